//! The command's side of a slot under way: asks the node for it, watches for signals, and ends the node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use super::display::Display;
use crate::actors::admission::Refusal;
use crate::actors::handle::{Node, NodeHandle};
use crate::cli::{Console, Failed};
use crate::clock;
use crate::events::{Event, EventKind};
use crate::exit::Exit;
use crate::intake::{self, Entry, Kind, Rejection};
use crate::journal::SlotFolders;
use crate::types::{PerModel, SlotId};

/// For the models' threads to see that they are not wanted any more, at the end of a finished command.
const FAREWELL: Duration = Duration::from_secs(1);
/// A refusal for pressure may pass sooner than was advised.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How the wait for a slot came to its end.
pub(super) enum Outcome {
    /// It has a record.
    Ended,
    /// Its end could not be written down; why not.
    NotKept(String),
    /// A signal came first.
    Interrupted,
    /// The tree gave up first; what its last actor said.
    Gone(String),
}

/// The slot that the command renders.
pub(super) struct RenderedSlot {
    handle: NodeHandle,
    folders: Arc<SlotFolders>,
    /// What is still to be asked for; nothing where the journal brings it.
    asking: Option<Arc<Entry>>,
    next_try: Option<Instant>,
    ready: PerModel<bool>,
    /// Why an actor went down last: what a tree that gives up says of itself is too short.
    last_words: String,
}

impl RenderedSlot {
    /// Of a slot to be asked for, or of one that the journal has.
    pub(super) fn new(handle: NodeHandle, folders: Arc<SlotFolders>, asking: Option<Arc<Entry>>) -> Self {
        Self {
            handle,
            folders,
            asking,
            next_try: None,
            ready: PerModel::default(),
            last_words: String::new(),
        }
    }

    /// Until the slot has ended, a signal came, or the tree gave up; the tree has ended afterwards.
    pub(super) async fn wait(
        mut self,
        node: Node,
        heard: &mut UnboundedReceiver<Event>,
        display: &mut Display,
        console: &mut Console,
    ) -> Result<(Outcome, Exit), Failed> {
        let mut ended = std::pin::pin!(node.ended());
        let mut signals = Signals::listen()?;
        let outcome = loop {
            let next_try = self.next_try.unwrap_or_else(clock::now);
            tokio::select! {
                // What was told before the end is shown before it.
                biased;
                Some(event) = heard.recv() => {
                    display.hear(&event, console)?;
                    if let Some(outcome) = self.hear(event) {
                        break outcome;
                    }
                }
                () = signals.next() => break Outcome::Interrupted,
                exit = &mut ended => return Ok((Outcome::Gone(self.last_words), exit)),
                () = tokio::time::sleep_until(next_try.into()), if self.next_try.is_some() => {
                    self.ask(display, console).await?;
                }
            }
        };
        let (exit, within) = match outcome {
            Outcome::Interrupted => (Exit::Interrupted, Duration::ZERO),
            Outcome::Ended | Outcome::NotKept(_) | Outcome::Gone(_) => (Exit::Success, FAREWELL),
        };
        self.handle.shut_down(exit, within);
        let exit = tokio::select! {
            exit = &mut ended => exit,
            // Whoever asks twice means it; what was written is safe at every moment.
            () = signals.next() => Exit::Interrupted,
        };
        Ok((outcome, exit))
    }

    /// How the slot has come to its end, if it has.
    fn hear(&mut self, event: Event) -> Option<Outcome> {
        match event.kind {
            EventKind::ModelReady { model, .. } => {
                self.ready[model] = true;
                if self.asking.is_some() && self.ready.values().all(|ready| *ready) {
                    self.next_try.get_or_insert_with(clock::now);
                }
            }
            // The next card begins from nothing.
            EventKind::CardLost { .. } => self.ready = PerModel::default(),
            EventKind::ActorDown { actor, message, .. } => self.last_words = format!("{actor}: {message}"),
            EventKind::EndNotKept { message } => return Some(Outcome::NotKept(message)),
            kind if kind.ends_slot() => return Some(Outcome::Ended),
            _ => {}
        }
        None
    }

    /// Asks the node for the slot; where it says that another try makes sense, there will be one.
    async fn ask(&mut self, display: &mut Display, console: &mut Console) -> Result<(), Failed> {
        self.next_try = None;
        let Some(entry) = self.asking.take() else { return Ok(()) };
        let Err(rejection) = intake::ask(&entry, &self.folders, &self.handle).await else { return Ok(()) };
        let Rejection::Refused(refusal) = rejection else { return Err(rejection.into()) };
        let (Refusal::Pressure { retry_after, .. } | Refusal::NotReady { retry_after }) = refusal else {
            return Err(refused(entry.recipe.slot(), refusal));
        };
        display.note(&refusal.to_string(), console)?;
        self.next_try = clock::now().checked_add(retry_after.min(LONGEST_WAIT));
        self.asking = Some(entry);
        Ok(())
    }
}

fn refused(slot: SlotId, refusal: Refusal) -> Failed {
    let text = format!("slot {slot} is refused: {refusal}");
    match Rejection::Refused(refusal).kind() {
        Kind::Invalid | Kind::Forbidden => Failed::bad_input(text),
        Kind::Late | Kind::Unavailable | Kind::Duplicate | Kind::Storage => Failed::failure(text),
    }
}

/// SIGINT and SIGTERM: both mean stop, keep what is finished.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failed> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let terminate = signal(SignalKind::terminate())
                .map_err(|error| Failed::failure(format!("signals cannot be heard: {error}")))?;
            Ok(Self { terminate })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
