//! What the operator sees of a slot under way: a live picture on a terminal, lines elsewhere, JSON events for machines.
//!
//! Owns no state of the slot; hears what happened and shows it. Progress goes to standard error, JSON events are the
//! answer and go to standard output.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::heard::{Heard, Told};
use crate::actors::events::SlotEvent;
use crate::app::Limits;
use crate::cli::{Console, Style};
use crate::clock;
use crate::types::{Deadline, Stage};
use crate::vram::policy::Level;

mod live;

use live::Live;

/// A video's progress is worth a line each time another tenth is done.
const TENTHS: u32 = 10;

/// What is known before the slot begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Of the device that renders.
    pub(super) limits: Limits,
    /// By when, where the recipe says.
    pub(super) deadline: Option<Deadline>,
}

/// How it is shown.
pub(super) enum Display {
    /// Bars on a terminal.
    Live(Box<Live>),
    /// One line for every event.
    Lines(Lines),
    /// One JSON object for every event.
    Json {
        /// When the command began.
        start: Instant,
    },
}

/// What lines need to remember.
pub(super) struct Lines {
    start: Instant,
    tenth: u32,
}

impl Display {
    /// The fitting one: JSON where asked for, bars where standard error is a terminal.
    pub(super) fn new(json: bool, terminal: bool, facts: Facts) -> Self {
        let start = clock::now();
        if json {
            Self::Json { start }
        } else if terminal {
            Self::Live(Box::new(Live::new(facts)))
        } else {
            Self::Lines(Lines { start, tenth: 0 })
        }
    }

    /// Something to know that is no event.
    pub(super) fn note(&mut self, text: &str, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Live(live) => live.note(text),
            Self::Lines(_) => writeln!(console.err(), "{text}"),
            Self::Json { start } => json_line(console, *start, json!({ "event": "note", "text": text })),
        }
    }

    /// Shows what happened.
    pub(super) fn hear(&mut self, told: &Told, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Live(live) => live.hear(told),
            Self::Lines(lines) => lines.hear(told, console),
            Self::Json { start } => match event_of(told) {
                Some(event) => json_line(console, *start, event),
                None => Ok(()),
            },
        }
    }

    /// Leaves the terminal as it should be found; nothing is shown after it.
    pub(super) fn finish(&mut self) {
        if let Self::Live(live) = self {
            live.finish();
        }
    }
}

impl Lines {
    fn hear(&mut self, told: &Told, console: &mut Console) -> io::Result<()> {
        let Some((style, text)) = self.line(told) else { return Ok(()) };
        let at = clock::now().saturating_duration_since(self.start).as_secs_f64();
        let text = console.paint_err(style, text);
        writeln!(console.err(), "{at:7.1} s  {text}")
    }

    fn line(&mut self, told: &Told) -> Option<(Style, String)> {
        let plain = |text: String| Some((Style::Strong, text));
        match &told.heard {
            Heard::Slot(event) => self.slot_line(event),
            Heard::Ready(model) => plain(format!("{model} is ready")),
            Heard::Down { actor, message } => Some((Style::Bad, format!("{actor} went down: {message}"))),
            Heard::Restarted(actor) => Some((Style::Doubtful, format!("{actor} is started again"))),
            Heard::Memory(_) => None,
            Heard::Pressure(level) => {
                let style = if *level == Level::Normal { Style::Good } else { Style::Doubtful };
                Some((style, format!("memory pressure is {}", level.name())))
            }
            Heard::Cordoned(model) => Some((Style::Bad, format!("{model} is given up for now"))),
            Heard::Escalated(_) | Heard::Lost(_) => Some((Style::Bad, given_up(told)?)),
        }
    }

    fn slot_line(&mut self, event: &SlotEvent) -> Option<(Style, String)> {
        let done = |stage: Stage, took: &Duration| {
            Some((Style::Good, format!("{stage} done in {:.1} s", took.as_secs_f64())))
        };
        match event {
            SlotEvent::Accepted { slot, device, eta, resumed } => {
                let how = if *resumed { "taken up again" } else { "accepted" };
                let text =
                    format!("slot {slot} {how} on {device}, {:.0} s expected at most", eta.as_secs_f64());
                Some((Style::Strong, text))
            }
            SlotEvent::StageBegan { stage, model, attempt, .. } => {
                self.tenth = 0;
                let who = model.map(|model| format!(" on {model}")).unwrap_or_default();
                let again = if attempt.get() > 1 { format!(", attempt {attempt}") } else { String::new() };
                Some((Style::Strong, format!("{stage} begins{who}{again}")))
            }
            SlotEvent::StageProgress { .. } => None,
            SlotEvent::VideoProgress { progress, .. } => {
                let tenth = progress.done * TENTHS / progress.total.max(1);
                if tenth == self.tenth {
                    return None;
                }
                self.tenth = tenth;
                Some((Style::Faint, format!("video {} of {} frames", progress.done, progress.total)))
            }
            SlotEvent::AudioComplete { took, .. } => done(Stage::Audio, took),
            SlotEvent::ImageComplete { took, .. } => done(Stage::Image, took),
            SlotEvent::VideoComplete { took, .. } => done(Stage::Video, took),
            SlotEvent::ClipComplete { took, summary, .. } => {
                let text = format!("{} done in {:.1} s: {summary}", Stage::Verify, took.as_secs_f64());
                Some((Style::Good, text))
            }
            // What came of it is the command's answer.
            SlotEvent::GenerationComplete { .. }
            | SlotEvent::SlotFailed { .. }
            | SlotEvent::SlotCancelled { .. }
            | SlotEvent::EndNotKept { .. } => None,
        }
    }
}

/// What becomes of a card that cannot go on, in words.
fn given_up(told: &Told) -> Option<String> {
    let device = told.device?;
    Some(match &told.heard {
        Heard::Escalated(cause) => format!("{device} is given up: {cause}"),
        Heard::Lost(Some(next)) => format!("{device} is lost; the slot goes on on {next}"),
        Heard::Lost(None) => format!("{device} is lost; there is no other"),
        _ => return None,
    })
}

fn event_of(told: &Told) -> Option<Value> {
    let mut event = named(&told.heard)?;
    if let (Some(device), Value::Object(fields)) = (told.device, &mut event) {
        fields.insert("device".to_owned(), json!(device));
    }
    Some(event)
}

fn named(heard: &Heard) -> Option<Value> {
    Some(match heard {
        Heard::Slot(event) => in_seconds(serde_json::to_value(event).ok()?),
        Heard::Ready(model) => json!({ "event": "model_ready", "model": model }),
        Heard::Down { actor, message } => {
            json!({ "event": "actor_down", "actor": actor, "message": message })
        }
        Heard::Restarted(actor) => json!({ "event": "actor_restarted", "actor": actor }),
        Heard::Memory(used) => json!({ "event": "memory", "used_bytes": used.get() }),
        Heard::Pressure(level) => json!({ "event": "memory_pressure", "level": level.name() }),
        Heard::Cordoned(model) => json!({ "event": "model_cordoned", "model": model }),
        Heard::Escalated(cause) => json!({ "event": "escalated", "cause": cause }),
        Heard::Lost(next) => json!({ "event": "card_lost", "next": next }),
    })
}

/// Serde writes a duration as an object of two integers; machines that read events want seconds.
fn in_seconds(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let part = |name: &str| fields.get(name).and_then(Value::as_u64);
            if let (2, Some(whole), Some(nanos)) = (fields.len(), part("secs"), part("nanos")) {
                return json!(whole as f64 + nanos as f64 / 1e9);
            }
            Value::Object(fields.into_iter().map(|(name, value)| (name, in_seconds(value))).collect())
        }
        other => other,
    }
}

/// One event on a line of its own, stamped with the time since the command began.
pub(super) fn json_line(console: &mut Console, start: Instant, mut event: Value) -> io::Result<()> {
    if let Value::Object(fields) = &mut event {
        let at = clock::now().saturating_duration_since(start).as_secs_f64();
        fields.insert("at".to_owned(), json!(at));
    }
    writeln!(console.out(), "{event}")?;
    console.out().flush()?;
    match console.answer_ended() {
        Some(why) => writeln!(console.err(), "{why}; the slot goes on"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Progress, Unit};
    use crate::types::SlotId;

    #[test]
    fn events_carry_seconds() {
        let slot = SlotId::new(uuid::Uuid::nil());
        let event = SlotEvent::AudioComplete { slot, took: Duration::from_millis(1500) };
        let value = event_of(&Told { device: None, heard: Heard::Slot(event) }).unwrap();
        assert_eq!(value["event"], "audio_complete");
        assert_eq!(value["took"], 1.5);
    }

    #[test]
    fn a_long_video_takes_ten_lines() {
        let mut lines = Lines { start: clock::now(), tenth: 0 };
        let slot = SlotId::new(uuid::Uuid::nil());
        let told = (1..=1080).filter_map(|done| {
            let progress = Progress::new(Unit::Frames, done, 1080);
            let heard = Heard::Slot(SlotEvent::VideoProgress { slot, progress });
            lines.line(&Told { device: None, heard })
        });
        assert_eq!(told.count(), 10);
    }
}
