//! Keys of the terminal, read by a thread that waits for them.

use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::sync::mpsc;

/// What comes from the terminal.
#[derive(Debug)]
pub(super) enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
}

/// So often the thread looks whether anybody listens still: it ends soon after the command does.
const LOOK: Duration = Duration::from_millis(200);
/// Keys that wait to be understood.
const WAITING: usize = 64;

/// From now on; ends with its receiver, or with the terminal.
pub(super) fn read() -> mpsc::Receiver<Input> {
    let (tell, inputs) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        while !tell.is_closed() {
            let input = match event::poll(LOOK) {
                Ok(false) => continue,
                Ok(true) => match event::read() {
                    Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Input::Key(key),
                    Ok(Event::Resize(..)) => Input::Resized,
                    Ok(_) => continue,
                    Err(_) => return,
                },
                Err(_) => return,
            };
            if tell.blocking_send(input).is_err() {
                return;
            }
        }
    });
    inputs
}
