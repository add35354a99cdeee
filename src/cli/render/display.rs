//! What the operator sees of a slot under way: a live picture on a terminal, lines elsewhere, JSON events for machines.
//!
//! Owns no state of the slot; hears what happened and shows it. Progress goes to standard error, JSON events are the
//! answer and go to standard output.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::Limits;
use crate::cli::{Console, Style};
use crate::clock;
use crate::events::{Event, EventKind};
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
    pub(super) fn hear(&mut self, event: &Event, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Live(live) => live.hear(event),
            Self::Lines(lines) => lines.hear(event, console),
            Self::Json { start } => match serde_json::to_value(event) {
                Ok(event) => json_line(console, *start, event),
                // Numbers, names and texts: it can always be written.
                Err(error) => Err(error.into()),
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
    fn hear(&mut self, event: &Event, console: &mut Console) -> io::Result<()> {
        let Some((style, text)) = self.line(event) else { return Ok(()) };
        let at = clock::now().saturating_duration_since(self.start).as_secs_f64();
        let text = console.paint_err(style, text);
        writeln!(console.err(), "{at:7.1} s  {text}")
    }

    fn line(&mut self, event: &Event) -> Option<(Style, String)> {
        let done = |stage: Stage, took: &Duration| {
            Some((Style::Good, format!("{stage} done in {:.1} s", took.as_secs_f64())))
        };
        match &event.kind {
            EventKind::Accepted { eta, resumed } => {
                let how = if *resumed { "taken up again" } else { "accepted" };
                let (slot, device) = (event.slot?, event.device?);
                let text =
                    format!("slot {slot} {how} on {device}, {:.0} s expected at most", eta.as_secs_f64());
                Some((Style::Strong, text))
            }
            EventKind::StageBegan { stage, model, attempt } => {
                self.tenth = 0;
                let who = model.map(|model| format!(" on {model}")).unwrap_or_default();
                let again = if attempt.get() > 1 { format!(", attempt {attempt}") } else { String::new() };
                Some((Style::Strong, format!("{stage} begins{who}{again}")))
            }
            EventKind::VideoProgress { progress } => {
                let tenth = progress.done * TENTHS / progress.total.max(1);
                if tenth == self.tenth {
                    return None;
                }
                self.tenth = tenth;
                Some((Style::Faint, format!("video {} of {} frames", progress.done, progress.total)))
            }
            EventKind::AudioComplete { took } => done(Stage::Audio, took),
            EventKind::ImageComplete { took } => done(Stage::Image, took),
            EventKind::VideoComplete { took } => done(Stage::Video, took),
            EventKind::ClipComplete { took, summary } => {
                let text = format!("{} done in {:.1} s: {summary}", Stage::Verify, took.as_secs_f64());
                Some((Style::Good, text))
            }
            EventKind::ModelReady { model, .. } => Some((Style::Strong, format!("{model} is ready"))),
            EventKind::MemoryPressure(crossing) if crossing.to == Level::Normal => {
                Some((Style::Good, notice(event)?))
            }
            EventKind::ActorRestarted { .. } | EventKind::MemoryPressure(_) => {
                Some((Style::Doubtful, notice(event)?))
            }
            // What came of the slot is the command's answer, and what is left the log's.
            _ => Some((Style::Bad, notice(event)?)),
        }
    }
}

/// What befell the node, in words; nothing for what is no news to whoever renders.
fn notice(event: &Event) -> Option<String> {
    Some(match &event.kind {
        EventKind::ActorDown { actor, message, .. } => format!("{actor} went down: {message}"),
        EventKind::ActorRestarted { actor } => format!("{actor} is started again"),
        EventKind::MemoryPressure(crossing) => format!("memory pressure is {}", crossing.to.name()),
        EventKind::ModelCordoned { model, .. } => format!("{model} is given up for now"),
        EventKind::Escalated { cause, .. } => format!("{} is given up: {cause}", event.device?),
        EventKind::CardLost { next: Some(next), .. } => {
            format!("{} is lost; the slot goes on on {next}", event.device?)
        }
        EventKind::CardLost { next: None, .. } => format!("{} is lost; there is no other", event.device?),
        _ => return None,
    })
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

    #[test]
    fn a_long_video_takes_ten_lines() {
        let mut lines = Lines { start: clock::now(), tenth: 0 };
        let told = (1..=1080).filter_map(|done| {
            let progress = Progress::new(Unit::Frames, done, 1080);
            let kind = EventKind::VideoProgress { progress };
            lines.line(&Event { at: Duration::ZERO, device: None, slot: None, kind })
        });
        assert_eq!(told.count(), 10);
    }
}
