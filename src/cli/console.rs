//! Where commands write: an answer, complaints, and whether colour is wanted.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::telemetry::Terminal;

/// A command's two outlets.
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    colour: bool,
    err_colour: bool,
}

/// What a piece of text is, for terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A heading or name.
    Strong,
    /// Of less interest.
    Faint,
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Wrong.
    Bad,
}

impl Console {
    /// The process's own. Each is coloured where it is a terminal that knows colours and `NO_COLOR` is not set.
    pub fn standard() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            colour: Terminal::of(&io::stdout()).shows_colour(),
            err_colour: Terminal::of(&io::stderr()).shows_colour(),
        }
    }

    /// Into these writers.
    pub fn new(out: impl Write + Send + 'static, err: impl Write + Send + 'static, colour: bool) -> Self {
        Self { out: Box::new(out), err: Box::new(err), colour, err_colour: colour }
    }

    /// For the answer.
    pub fn out(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// For complaints and progress.
    pub fn err(&mut self) -> &mut dyn Write {
        &mut self.err
    }

    /// Answers with one JSON document, indented, and a line's end.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, value)?;
        writeln!(self.out)
    }

    /// `text` in a style for the answer, where colour is wanted. Padding is the caller's: escape codes have no width.
    pub fn paint(&self, style: Style, text: impl fmt::Display) -> String {
        painted(self.colour, style, text)
    }

    /// `text` in a style for [`err`](Self::err), where colour is wanted there.
    pub fn paint_err(&self, style: Style, text: impl fmt::Display) -> String {
        painted(self.err_colour, style, text)
    }
}

fn painted(colour: bool, style: Style, text: impl fmt::Display) -> String {
    let code = match style {
        Style::Strong => "1",
        Style::Faint => "2",
        Style::Good => "32",
        Style::Doubtful => "33",
        Style::Bad => "31",
    };
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::cli::Failed;
    use crate::exit::Exit;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn answers_and_complaints_go_their_own_ways() {
        let (out, err) = (Shared::default(), Shared::default());
        let mut console = Console::new(out.clone(), err.clone(), false);
        console.json(&serde_json::json!({ "ok": true })).unwrap();
        assert_eq!(Failed::bad_input("no such thing").report(&mut console), Exit::BadInput);
        assert_eq!(out.text(), "{\n  \"ok\": true\n}\n");
        assert_eq!(err.text(), "error: no such thing\n");
    }

    #[test]
    fn colour_appears_only_where_it_is_wanted() {
        let plain = Console::new(io::sink(), io::sink(), false);
        assert_eq!(plain.paint(Style::Bad, "x"), "x");
        let coloured = Console::new(io::sink(), io::sink(), true);
        assert_eq!(coloured.paint(Style::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(coloured.paint_err(Style::Good, "x"), "\u{1b}[32mx\u{1b}[0m");
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let (err, broken) = (Shared::default(), io::Error::from(io::ErrorKind::BrokenPipe));
        let mut console = Console::new(io::sink(), err.clone(), false);
        assert_eq!(Failed::from(broken).report(&mut console), Exit::Success);
        assert_eq!(err.text(), "");
        assert_eq!(Failed::from(io::Error::other("disk full")).report(&mut console), Exit::Failure);
        assert!(err.text().contains("disk full"));
    }
}
