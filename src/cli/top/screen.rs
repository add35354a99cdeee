//! The terminal while it is ours: raw, on its second screen, and given back whatever happens, a panic among it.

use ratatui::{DefaultTerminal, Frame};

use crate::cli::Failed;

/// The terminal; dropped, it is as it was.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Takes it. From then on a panic gives it back before its message is written.
    pub(super) fn take() -> Result<Self, Failed> {
        let taken = ratatui::try_init();
        taken.map(Self).map_err(|error| {
            // What was done of it is undone; what cannot be undone was not done.
            let _ = ratatui::try_restore();
            Failed::failure(format!(
                "the terminal cannot be drawn on: {error}; --once prints one look as text"
            ))
        })
    }

    /// Draws one picture.
    pub(super) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failed> {
        let drawn = self.0.draw(picture);
        drawn.map(drop).map_err(|error| Failed::failure(format!("the terminal cannot be drawn on: {error}")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to give back.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}
