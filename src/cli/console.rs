//! Where commands write: an answer, complaints, and whether colour is wanted.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// A command's two outlets.
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    colour: bool,
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
    /// The process's own. Coloured where standard output is a terminal and `NO_COLOR` is not set (no-color.org).
    pub fn standard() -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { out: Box::new(io::stdout()), err: Box::new(io::stderr()), colour }
    }

    /// Into these writers.
    pub fn new(out: impl Write + Send + 'static, err: impl Write + Send + 'static, colour: bool) -> Self {
        Self { out: Box::new(out), err: Box::new(err), colour }
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

    /// `text` in a style, where colour is wanted. Padding is the caller's: escape codes have no width.
    pub fn paint(&self, style: Style, text: impl fmt::Display) -> String {
        let code = match style {
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Doubtful => "33",
            Style::Bad => "31",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}
