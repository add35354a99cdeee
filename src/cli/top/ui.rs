//! What keys mean: which slot is chosen, what is asked before it is done. Pure: takes keys, gives back what to do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::board::Board;
use super::feed::Command;
use crate::types::SlotId;

/// What is on the screen beside the board.
#[derive(Debug, Default)]
pub(super) struct Ui {
    /// The chosen slot.
    pub(super) selected: Option<String>,
    /// Its place among the open slots when it was last seen there.
    place: usize,
    /// What is to be confirmed.
    pub(super) asking: Option<Command>,
    /// The help is shown.
    pub(super) help: bool,
}

/// What to do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Go on.
    Stay,
    /// End, as asked.
    Quit,
    /// End, as by Ctrl-C.
    Interrupt,
    /// Ask the node.
    Ask(Command),
}

impl Ui {
    /// Keeps the choice among the slots that there are: where the chosen one is gone, the one in its place.
    pub(super) fn follow(&mut self, board: &Board) {
        let open = board.open();
        let found = self.selected.as_ref().and_then(|id| open.iter().position(|slot| slot.id == *id));
        self.place = found.unwrap_or(self.place).min(open.len().saturating_sub(1));
        self.selected = open.get(self.place).map(|slot| slot.id.clone());
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent, board: &Board) -> Step {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if matches!(key.code, KeyCode::Char('c' | 'C')) { Step::Interrupt } else { Step::Stay };
        }
        if let Some(command) = self.asking.take() {
            // Only a plain yes is one.
            return if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                Step::Ask(command)
            } else {
                Step::Stay
            };
        }
        if std::mem::take(&mut self.help) {
            return if key.code == KeyCode::Char('q') { Step::Quit } else { Step::Stay };
        }
        match key.code {
            KeyCode::Char('q') => return Step::Quit,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Up | KeyCode::Char('k') => self.choose(board, self.place.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(board, self.place + 1),
            KeyCode::Home | KeyCode::Char('g') => self.choose(board, 0),
            KeyCode::End | KeyCode::Char('G') => self.choose(board, usize::MAX),
            KeyCode::Char('d') => {
                let draining = board.look.as_ref().is_some_and(|look| look.node.draining);
                self.asking = Some(if draining { Command::Undrain } else { Command::Drain });
            }
            KeyCode::Char('c') => {
                let id = self.selected.as_ref().and_then(|id| id.parse::<SlotId>().ok());
                self.asking = id.map(Command::Cancel);
            }
            _ => {}
        }
        Step::Stay
    }

    fn choose(&mut self, board: &Board, place: usize) {
        self.place = place.min(board.open().len().saturating_sub(1));
        self.selected = board.open().get(self.place).map(|slot| slot.id.clone());
    }
}
