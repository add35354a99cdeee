//! `vortex-node top`: a node at a glance in a terminal, on this machine or another.
//!
//! Owns the terminal while it runs. What is known is a [`board::Board`], read by [`feed`] and drawn by [`draw`]; keys are
//! read by [`keys`], and what they mean decides [`ui`]. Without a terminal it prints one look as text.

mod board;
mod draw;
mod feed;
mod keys;
mod screen;
mod tail;
mod ui;

#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::mpsc;

use super::remote::{RemoteFlags, Signals, block_on};
use super::{ConfigFlags, Console, Context, Failed};
use crate::client::{Client, ClientError, Patience};
use crate::clock;
use crate::exit::Exit;
use crate::telemetry::Terminal;
use board::Board;
use draw::Palette;
use feed::{Command, Update};
use keys::Input;
use screen::Screen;
use ui::{Step, Ui};

/// Arguments of `top`.
#[derive(Debug, Args)]
pub struct TopCommand {
    /// Print one look as text and end; so it is where standard output is no terminal
    #[arg(long)]
    once: bool,
    /// Print one look in JSON and end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

/// Ages and times left are counted in seconds.
const TICK: Duration = Duration::from_secs(1);
/// Columns of a look that is printed.
const PRINTED: u16 = 100;

impl TopCommand {
    /// The data folder leads to a node on this machine.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        Some(&self.config)
    }

    /// Shows. Exit code 0, 1 where the node cannot be reached, 2 where it cannot be asked, 130 after Ctrl-C or SIGTERM.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        // What does not answer at once is shown as stale, and asked again by the next look.
        let client = self.remote.connect_by(context, Patience { tries: 1, ..Patience::default() })?;
        let out = Terminal::of(&std::io::stdout());
        let is_live = out.moves_cursor() && std::io::stdin().is_terminal() && !self.once && !self.json;
        block_on(async {
            if is_live {
                live(client, Palette::new(out.shows_colour())).await
            } else {
                once(&client, self.json, context.console).await.map(|()| Exit::Success)
            }
        })?
    }
}

async fn once(client: &Client, as_json: bool, console: &mut Console) -> Result<(), Failed> {
    let mut board = Board::new(client.address());
    let look = feed::look(client).await?;
    if as_json {
        return Ok(console.json(&look)?);
    }
    board.take(Update::Look(Box::new(look)), clock::now());
    for line in draw::text(&board, PRINTED, Now::read()) {
        writeln!(console.out(), "{line}")?;
    }
    Ok(())
}

async fn live(client: Client, palette: Palette) -> Result<Exit, Failed> {
    // Before the screen is taken: a node that cannot be asked at all is told as by any command.
    let first = feed::look(&client).await?;
    let mut board = Board::new(client.address());
    board.take(Update::Look(Box::new(first)), clock::now());
    let (updates, commands) = feed::start(client);
    let signals = Signals::listen()?;
    let screen = Screen::take()?;
    // The screen is given back when this is dropped, before anything is said about it.
    Watch { board, palette, updates, commands, screen, inputs: keys::read(), signals }.go().await
}

/// A terminal with a node on it.
struct Watch {
    board: Board,
    palette: Palette,
    updates: mpsc::Receiver<Update>,
    commands: mpsc::Sender<Command>,
    screen: Screen,
    inputs: mpsc::Receiver<Input>,
    signals: Signals,
}

impl Watch {
    /// Until it is ended by a key or a signal.
    async fn go(mut self) -> Result<Exit, Failed> {
        let mut ui = Ui::default();
        loop {
            ui.follow(&self.board);
            let (board, palette) = (&self.board, &self.palette);
            self.screen.draw(|frame| draw::draw(frame, board, &ui, *palette, Now::read()))?;
            tokio::select! {
                () = self.signals.next() => return Ok(Exit::Interrupted),
                () = tokio::time::sleep(TICK) => {}
                update = self.updates.recv() => {
                    let Some(update) = update else {
                        return Err(Failed::failure("nothing reads from the node any more"));
                    };
                    self.board.take(update, clock::now());
                    // What has come meanwhile is drawn at once.
                    while let Ok(update) = self.updates.try_recv() {
                        self.board.take(update, clock::now());
                    }
                }
                input = self.inputs.recv() => match input {
                    Some(Input::Key(key)) => match ui.key(key, &self.board) {
                        Step::Stay => {}
                        Step::Quit => return Ok(Exit::Success),
                        Step::Interrupt => return Ok(Exit::Interrupted),
                        Step::Ask(command) => self.ask(command),
                    },
                    // Drawing again asks for the size.
                    Some(Input::Resized) => {}
                    None => return Err(Failed::failure("the terminal gives no keys any more")),
                },
            }
        }
    }

    /// A node that does not answer leaves some commands waiting; more are not kept.
    fn ask(&mut self, command: Command) {
        if self.commands.try_send(command).is_err() {
            self.board.say("the node has not answered to what was asked before", clock::now());
        }
    }
}

/// What time it is, by both clocks: of this process, and of the world, by which a node tells when something was.
#[derive(Clone, Copy, Debug)]
struct Now {
    at: Instant,
    /// Since the Unix epoch.
    wall: Duration,
}

impl Now {
    fn read() -> Self {
        Self { at: clock::now(), wall: clock::unix_time() }
    }
}

/// An error in one line.
fn brief(error: &ClientError) -> String {
    let told = error.to_string();
    crate::client::plain(told.lines().next().unwrap_or_default()).into_owned()
}
