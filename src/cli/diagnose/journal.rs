//! The journal: whether it is sound, and the newest events, slots and messages to webhooks that can be read of it.
//!
//! Where the index cannot be read, or is damaged, the snapshot of its last backup is told beside it. Changes nothing and
//! takes no lock: a node may be running, and a damaged journal is a start's to repair.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};

use super::archive::{Archive, MOST_OF_ONE};
use super::recipes::Texts;
use super::step::within;
use crate::journal::index::inspect::{Inspection, Salvaged, Stopper, databases, look_at_log};
use crate::journal::index::{Counts, Delivery, IndexError, KeptEvent, SlotRow};
use crate::types::SlotId;

/// To read what is wanted of one database from a slow disk.
const READING: Duration = Duration::from_secs(20);
/// To look at every row of one, of some hundred megabytes.
const LOOKING: Duration = Duration::from_secs(30);
/// So many events: of some hundred slots.
const EVENTS: usize = 10_000;
/// So many slots and messages.
const ROWS: usize = 50;
/// Scrubbed and with its line around it, an event takes more room than it has in the index.
const EVENT_BYTES: usize = MOST_OF_ONE / 2;

/// What can be read of one database.
struct Contents {
    events: Salvaged<KeptEvent>,
    slots: Salvaged<SlotRow>,
    deliveries: Salvaged<Delivery>,
    counts: Result<Counts, IndexError>,
    state: Result<Option<Value>, IndexError>,
    unread: Option<String>,
}

/// What the journal in `dir` holds, before it is put into an archive: slots are told with their folders as well.
#[derive(Default)]
pub(super) struct Journal {
    databases: Vec<(&'static str, Contents)>,
    health: serde_json::Map<String, Value>,
    missing: Vec<(String, String)>,
}

impl Journal {
    /// Looks at all of it.
    pub(super) fn read(dir: &Path) -> Self {
        let mut journal = Self::default();
        for (name, path) in databases(dir) {
            // A backup is worth telling only where the index is not sound.
            let is_sound = journal.look(name, &path);
            if is_sound {
                break;
            }
        }
        let folder = dir.to_owned();
        let log = match within(LOOKING, move || look_at_log(&folder)) {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => json!({ "error": error.to_string() }),
            Err(why) => json!({ "error": why }),
        };
        journal.health.insert("log".to_owned(), log);
        journal
    }

    /// Looks at one database; whether all of it is as it was written.
    fn look(&mut self, name: &'static str, path: &Path) -> bool {
        let read = stoppable(READING, path, |it| Contents {
            events: it.newest_events(EVENTS, EVENT_BYTES),
            slots: it.newest_slots(ROWS),
            deliveries: it.newest_deliveries(ROWS),
            counts: it.counts(),
            state: it.state(),
            unread: it.unread().map(str::to_owned),
        });
        let damage = stoppable(LOOKING, path, Inspection::damage)
            .and_then(|told| told.map_err(|error| error.to_string()));
        let mut health = json!({ "path": path.to_string_lossy() });
        let is_sound = match &damage {
            Ok(None) => true,
            Ok(Some(what)) => {
                self.missing.push((format!("journal/{name}: some of it"), format!("damaged: {what}")));
                false
            }
            Err(why) => {
                self.missing.push((format!("journal/{name}: whether it is sound"), why.clone()));
                false
            }
        };
        health["sound"] = json!(is_sound);
        health["damage"] = json!(damage.unwrap_or_else(Some));
        match read {
            Ok(contents) => {
                health["state"] = contents
                    .state
                    .as_ref()
                    .map_or_else(|error| json!({ "error": error.to_string() }), |it| json!(it));
                health["counts"] = contents
                    .counts
                    .as_ref()
                    .map_or_else(|error| json!({ "error": error.to_string() }), counts);
                health["not_read"] = json!(contents.unread);
                for (what, damaged, error) in [
                    ("events", contents.events.damaged, &contents.events.error),
                    ("slots", contents.slots.damaged, &contents.slots.error),
                    ("deliveries", contents.deliveries.damaged, &contents.deliveries.error),
                ] {
                    if let Some(error) = error {
                        self.missing.push((format!("journal/{name}: all {what}"), error.clone()));
                    } else if damaged > 0 {
                        let why = format!("{damaged} are damaged and were passed over");
                        self.missing.push((format!("journal/{name}: some {what}"), why));
                    }
                }
                self.databases.push((name, contents));
            }
            Err(why) => self.missing.push((format!("journal/{name}"), why)),
        }
        self.health.insert(name.to_owned(), health);
        is_sound
    }

    /// The slots that were accepted last, the newest first.
    pub(super) fn slots(&self) -> Vec<SlotId> {
        let mut found: Vec<SlotId> = Vec::new();
        for row in self.databases.iter().flat_map(|(_, contents)| &contents.slots.rows) {
            if !found.contains(&row.slot) {
                found.push(row.slot);
            }
        }
        found
    }

    /// The slots that the events tell of.
    pub(super) fn told_of(&self) -> BTreeSet<SlotId> {
        let events = self.databases.iter().flat_map(|(_, contents)| &contents.events.rows);
        events.filter_map(|event| event.slot).collect()
    }

    /// Puts all of it into the archive; without what the recipes say, where their `texts` are given.
    pub(super) fn gather(self, texts: Option<&Texts>, archive: &mut Archive) {
        let hidden = |slot, value| match texts {
            Some(texts) => texts.hidden(slot, value),
            None => value,
        };
        archive.json(
            "journal/health.json",
            "whether index, backup and log are sound, and what they count",
            Value::Object(self.health),
        );
        for (part, why) in self.missing {
            archive.miss(part, why);
        }
        for (name, contents) in self.databases {
            let Contents { events, slots, deliveries, .. } = contents;
            let events = events.rows.iter().map(|event| hidden(event.slot, told(event)));
            archive.lines(
                format!("journal/{name}-events.jsonl"),
                "the newest events, the newest first",
                events,
            );
            let slots = slots.rows.iter().map(|row| hidden(Some(row.slot), json!(row)));
            archive.lines(
                format!("journal/{name}-slots.jsonl"),
                "the slots that were accepted last, as the journal has them",
                slots,
            );
            if !deliveries.rows.is_empty() {
                let rows = deliveries.rows.iter().map(|row| hidden(Some(row.slot), delivery(row)));
                archive.lines(
                    format!("journal/{name}-webhooks.jsonl"),
                    "the newest messages to webhooks",
                    rows,
                );
            }
        }
    }
}

/// Reads of the database at `path` on a thread of its own, which is stopped where it takes too long.
fn stoppable<T: Send + 'static>(
    limit: Duration,
    path: &Path,
    read: impl FnOnce(&Inspection) -> T + Send + 'static,
) -> Result<T, String> {
    let (hand, stopper) = channel::<Stopper>();
    let path: PathBuf = path.to_owned();
    let answer = within(limit, move || {
        let inspection = Inspection::open(&path)?;
        let _ = hand.send(inspection.stopper());
        Ok::<T, IndexError>(read(&inspection))
    });
    match answer {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(why) => {
            stopper.try_iter().for_each(|stopper| stopper.stop());
            Err(why)
        }
    }
}

fn told(event: &KeptEvent) -> Value {
    let whole = serde_json::from_str(&event.json).unwrap_or_else(|_| Value::from(&*event.json));
    json!({
        "sequence": event.sequence, "at": event.at.as_secs_f64(), "slot": event.slot.map(|slot| slot.to_string()),
        "kind": &*event.kind, "event": whole,
    })
}

/// A message to a webhook; what it says stands among the events.
fn delivery(row: &Delivery) -> Value {
    json!({
        "id": row.id, "slot": row.slot.to_string(), "kind": &*row.kind, "url": row.url, "state": row.state,
        "attempts": row.attempts, "since": row.since.as_secs_f64(), "next_at": row.next_at.as_secs_f64(),
        "error": row.error, "settled_at": row.settled_at.map(|at| at.as_secs_f64()),
    })
}

fn counts(counts: &Counts) -> Value {
    json!({
        "slots": counts.slots, "tombstones": counts.tombstones, "events": counts.events,
        "deliveries": counts.deliveries, "uploads": counts.uploads,
    })
}
