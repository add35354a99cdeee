//! A stream that a command writes to, whatever becomes of whoever reads it.

use std::io::{self, Write};

/// Takes everything, and writes it as long as that can be done.
pub(super) struct Outlet {
    stream: Box<dyn Write + Send>,
    /// Why nothing is written any more.
    ended: Option<io::Error>,
    is_told: bool,
}

impl Outlet {
    pub(super) fn new(stream: impl Write + Send + 'static) -> Self {
        Self { stream: Box::new(stream), ended: None, is_told: false }
    }

    /// What went wrong; a reader that left is none of it.
    pub(super) fn error(&self) -> Option<&io::Error> {
        self.ended.as_ref().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    /// Why nothing is written any more, the first time that this is asked.
    pub(super) fn newly_ended(&mut self) -> Option<String> {
        let ended = self.ended.as_ref().filter(|_| !self.is_told)?;
        self.is_told = true;
        Some(match ended.kind() {
            io::ErrorKind::BrokenPipe => "nobody reads standard output any more".to_owned(),
            _ => format!("standard output cannot be written: {ended}"),
        })
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ended.is_some() {
            return Ok(bytes.len());
        }
        match self.stream.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            // A stream that takes nothing of something is at its end.
            Ok(0) if !bytes.is_empty() => {
                self.ended = Some(io::ErrorKind::WriteZero.into());
                Ok(bytes.len())
            }
            Ok(written) => Ok(written),
            Err(error) => {
                self.ended = Some(error);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.ended.is_none()
            && let Err(error) = self.stream.flush()
        {
            self.ended = Some(error);
        }
        Ok(())
    }
}
