//! What an output stream can show: whether a terminal is behind it, and whether that one knows escape sequences.

use std::ffi::OsStr;
use std::io::IsTerminal;

/// What may be written to a stream beside plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    is_terminal: bool,
    knows_escapes: bool,
    wants_colour: bool,
}

impl Terminal {
    /// Of `stream`, by this process's `TERM` and `NO_COLOR`.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let (term, no_color) = (std::env::var_os("TERM"), std::env::var_os("NO_COLOR"));
        Self::new(stream.is_terminal(), term.as_deref(), no_color.as_deref())
    }

    /// Of a stream that is a terminal or not, under these values of `TERM` and `NO_COLOR` (no-color.org).
    fn new(is_terminal: bool, term: Option<&OsStr>, no_color: Option<&OsStr>) -> Self {
        let knows_escapes = match term {
            Some(term) => term != "dumb" && !term.is_empty(),
            // Terminals of Windows have no such name; elsewhere one that nobody named may be anything.
            None => cfg!(windows),
        };
        Self { is_terminal, knows_escapes, wants_colour: no_color.is_none_or(OsStr::is_empty) }
    }

    /// Whether a person reads it.
    pub fn is_terminal(self) -> bool {
        self.is_terminal
    }

    /// Whether the cursor may be moved, as progress bars do.
    pub fn moves_cursor(self) -> bool {
        self.is_terminal && self.knows_escapes
    }

    /// Whether text may be coloured.
    pub fn shows_colour(self) -> bool {
        self.moves_cursor() && self.wants_colour
    }
}

#[cfg(test)]
impl Terminal {
    /// One that shows everything, or a stream that is none.
    pub(crate) fn plain_or_full(is_terminal: bool) -> Self {
        Self { is_terminal, knows_escapes: is_terminal, wants_colour: is_terminal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(is_terminal: bool, term: Option<&str>, no_color: Option<&str>) -> [bool; 3] {
        let terminal = Terminal::new(is_terminal, term.map(OsStr::new), no_color.map(OsStr::new));
        [terminal.is_terminal(), terminal.moves_cursor(), terminal.shows_colour()]
    }

    #[test]
    fn a_dumb_terminal_is_shown_no_escape_sequence() {
        assert_eq!(shown(true, Some("xterm-256color"), None), [true, true, true]);
        assert_eq!(shown(true, Some("dumb"), None), [true, false, false]);
        assert_eq!(shown(true, Some(""), None), [true, false, false]);
        assert_eq!(shown(true, None, None), [true, cfg!(windows), cfg!(windows)]);
    }

    #[test]
    fn no_color_takes_the_colour_and_not_the_bars() {
        assert_eq!(shown(true, Some("xterm"), Some("1")), [true, true, false]);
        assert_eq!(
            shown(true, Some("xterm"), Some("")),
            [true, true, true],
            "an empty value asks for nothing"
        );
    }

    #[test]
    fn what_is_no_terminal_is_shown_text_alone() {
        assert_eq!(shown(false, Some("xterm"), None), [false; 3]);
    }
}
