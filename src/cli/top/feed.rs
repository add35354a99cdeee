//! What is read from a node and asked of it, by tasks of their own: looks once a second, events as they happen, what keys
//! ask for.

use std::time::Duration;

use tokio::sync::mpsc;

use super::board::Look;
use super::brief;
use crate::api::views::SlotState;
use crate::client::{Client, ClientError, Events, Heard, Operation, Source};
use crate::types::SlotId;

/// Between two looks: what a person sees as live, and a load that no node notices.
const EVERY: Duration = Duration::from_secs(1);
/// Open slots that are looked at: more than any terminal has rows.
const OPEN: usize = 200;
/// Ended slots that are looked at.
const ENDED: usize = 40;
/// Updates on their way.
const WAITING: usize = 256;
/// Commands on their way.
const ASKED: usize = 8;

/// What was read or heard.
#[derive(Debug)]
pub(super) enum Update {
    /// The whole state.
    Look(Box<Look>),
    /// The node does not answer.
    Lost(String),
    /// Something happened.
    Event {
        /// What kind.
        kind: String,
        /// The event.
        json: String,
    },
    /// Events are missing.
    Gap,
    /// What came of a command.
    Said(String),
}

/// What a key asks of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Take nothing in any more.
    Drain,
    /// Take slots in again.
    Undrain,
    /// Stop a slot.
    Cancel(SlotId),
}

/// One look.
pub(super) async fn look(client: &Client) -> Result<Look, ClientError> {
    let node = client.node().await?;
    let open = client.slots(&[SlotState::Queued, SlotState::Running], OPEN, None).await?.slots;
    let ended = [SlotState::Completed, SlotState::Failed, SlotState::Cancelled, SlotState::Superseded];
    let recent = client.slots(&ended, ENDED, None).await?.slots;
    Ok(Look { node, open, recent })
}

/// Begins to read; ends with its receiver. Commands are carried out one after the other. Needs a runtime.
pub(super) fn start(client: Client) -> (mpsc::Receiver<Update>, mpsc::Sender<Command>) {
    let (tell, updates) = mpsc::channel(WAITING);
    let (commands, asked) = mpsc::channel(ASKED);
    tokio::spawn(looks(client.clone(), tell.clone()));
    tokio::spawn(events(client.clone(), tell.clone()));
    tokio::spawn(carry_out(client, asked, tell));
    (updates, commands)
}

async fn looks(client: Client, tell: mpsc::Sender<Update>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let update = match look(&client).await {
            Ok(look) => Update::Look(Box::new(look)),
            Err(error) => Update::Lost(brief(&error)),
        };
        if tell.send(update).await.is_err() {
            return;
        }
    }
}

async fn events(client: Client, tell: mpsc::Sender<Update>) {
    let mut events = Events::listen(client, Source::Node, None);
    while let Some(heard) = events.next().await {
        let update = match heard {
            Heard::Event(frame) => Update::Event { kind: frame.event, json: frame.data },
            Heard::Gap => Update::Gap,
            Heard::Ended(error) => Update::Said(format!("no events: {}", brief(&error))),
            // Looks tell whether the node answers.
            Heard::Connected | Heard::Lost { .. } | Heard::Finished => continue,
        };
        if tell.send(update).await.is_err() {
            return;
        }
    }
}

async fn carry_out(client: Client, mut asked: mpsc::Receiver<Command>, tell: mpsc::Sender<Update>) {
    while let Some(command) = asked.recv().await {
        let (ended, good) = match command {
            Command::Drain => {
                (client.operate(Operation::Drain).await.map(drop), "the node takes nothing in any more")
            }
            Command::Undrain => {
                (client.operate(Operation::Undrain).await.map(drop), "the node takes slots in again")
            }
            Command::Cancel(id) => (client.cancel(id).await.map(drop), "the slot is being cancelled"),
        };
        let said = ended.map_or_else(|error| brief(&error), |()| good.to_owned());
        if tell.send(Update::Said(said)).await.is_err() {
            return;
        }
    }
}
