//! How a command ends that did not do what was asked.

use std::io;

use super::console::{Console, Style};
use crate::app::BuildError;
use crate::config::Problems;
use crate::exit::Exit;

/// What to tell the user, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    exit: Exit,
    message: String,
}

impl Failed {
    /// The input was wrong; nothing was started.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self { exit: Exit::BadInput, message: message.into() }
    }

    /// It was tried and failed.
    pub fn failure(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, message: message.into() }
    }

    /// How the process is to end.
    pub(super) const fn exit(&self) -> Exit {
        self.exit
    }

    /// What there is to tell.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Tells the user; the answer is the exit code.
    pub fn report(&self, console: &mut Console) -> Exit {
        if !self.message.is_empty() {
            let label = console.paint_err(Style::Bad, "error:");
            // Where even standard error is gone there is nobody left to tell.
            let _ = writeln!(console.err(), "{label} {}", self.message);
        }
        self.exit
    }
}

impl From<Problems> for Failed {
    fn from(problems: Problems) -> Self {
        Self::bad_input(problems.to_string())
    }
}

impl From<BuildError> for Failed {
    fn from(error: BuildError) -> Self {
        let told = error.to_string();
        if error.is_bad_input() { Self::bad_input(told) } else { Self::failure(told) }
    }
}

impl From<io::Error> for Failed {
    /// Of writing the answer. A reader that has seen enough (`| head`) is no failure.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { exit: Exit::Success, message: String::new() },
            _ => Self::failure(format!("the answer could not be written: {error}")),
        }
    }
}
