//! What is seen of recipes on their way: a bar for each on a terminal, lines elsewhere, JSON for machines.
//!
//! Owns no state of them. Progress goes to standard error, JSON is the answer and goes to standard output.

use std::io;
use std::time::Instant;

use serde_json::{Value, json};

use super::job::{Change, Job, Stand};
use crate::api::views::{SlotState, SlotView};
use crate::cli::remote::{length, plain, seconds};
use crate::cli::{Console, Style};
use crate::clock;

mod live;

use live::Live;

/// How it is shown.
pub(super) enum Display {
    /// Bars on a terminal.
    Live(Live),
    /// One line for every event of note.
    Lines {
        /// When the command began.
        start: Instant,
        /// Of each slot, in how many tenths of a stage it was last told.
        told: Vec<u32>,
    },
    /// One JSON object for everything.
    Json,
}

/// A stage's progress is worth a line each time another fifth is done.
const FIFTHS: u32 = 5;

impl Display {
    /// The fitting one: JSON where asked for, bars where standard error is a terminal.
    pub(super) fn new(json: bool, terminal: bool, jobs: &[Job]) -> Self {
        if json {
            Self::Json
        } else if terminal {
            Self::Live(Live::new(jobs))
        } else {
            Self::Lines { start: clock::now(), told: vec![0; jobs.len()] }
        }
    }

    /// Something to know that concerns no single slot.
    pub(super) fn note(&self, text: &str, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Live(live) => live.note(text),
            Self::Lines { .. } => writeln!(console.err(), "{text}"),
            Self::Json => line(console, &json!({ "event": "note", "text": text })),
        }
    }

    /// An answer of the node changed where the job stands.
    pub(super) fn read(&mut self, at: usize, job: &Job, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Live(live) => {
                live.show(at, job);
                Ok(())
            }
            Self::Lines { start, .. } => {
                let Some((style, text)) = standing(job) else { return Ok(()) };
                let text = console.paint_err(style, text);
                let since = clock::now().saturating_duration_since(*start).as_secs_f64();
                writeln!(console.err(), "{since:7.1} s  {}  {text}", job.shown())
            }
            Self::Json => match &job.stand {
                Stand::Open(open) => line(console, &json!({ "event": "slot", "slot": open.view })),
                // Ends are told last, with what came of everything.
                _ => Ok(()),
            },
        }
    }

    /// An event of a slot of ours.
    pub(super) fn hear(
        &mut self,
        at: usize,
        job: &Job,
        change: &Change,
        event: &Value,
        console: &mut Console,
    ) -> io::Result<()> {
        match self {
            Self::Live(live) => {
                live.show(at, job);
                Ok(())
            }
            Self::Lines { start, told } => {
                let Some((style, text)) = changed(job, change, &mut told[at]) else { return Ok(()) };
                let text = console.paint_err(style, text);
                let since = clock::now().saturating_duration_since(*start).as_secs_f64();
                writeln!(console.err(), "{since:7.1} s  {}  {text}", job.shown())
            }
            Self::Json => line(console, event),
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, jobs: &[Job]) {
        if let Self::Live(live) = self {
            jobs.iter().enumerate().for_each(|(at, job)| live.show(at, job));
        }
    }

    /// Leaves the terminal as it should be found; nothing is shown after it.
    pub(super) fn finish(&mut self) {
        if let Self::Live(live) = self {
            live.finish();
        }
    }
}

/// Where a job stands, in words.
fn standing(job: &Job) -> Option<(Style, String)> {
    match &job.stand {
        Stand::Pending(_) => None,
        Stand::Open(open) => {
            let how = if job.known { "in already" } else { "in" };
            let eta = open.view.eta.map(|eta| format!(", about {}", seconds(eta))).unwrap_or_default();
            let late = late(&open.view);
            Some((Style::Strong, format!("{how}: {}{eta}{late}", open.now_doing())))
        }
        Stand::Ended(view) => Some((style(view.state), ended(view))),
        Stand::Refused(error) => Some((Style::Bad, error.to_string())),
    }
}

fn late(view: &SlotView) -> String {
    match view.deadline_margin {
        Some(margin) if margin < 0.0 => format!(", {} after its deadline", seconds(-margin)),
        _ => String::new(),
    }
}

fn changed(job: &Job, change: &Change, told: &mut u32) -> Option<(Style, String)> {
    match change {
        Change::Nothing | Change::Over => None,
        Change::Began(stage) => {
            *told = 0;
            let entry = job.as_open()?.view.stages.iter().find(|entry| entry.stage == *stage)?;
            let again =
                if entry.attempt > 1 { format!(", attempt {}", entry.attempt) } else { String::new() };
            Some((Style::Strong, format!("{stage} begins{again}")))
        }
        Change::Progress(stage) => {
            let open = job.as_open()?;
            let entry = open.view.stages.iter().find(|entry| entry.stage == *stage)?;
            let (done, total) = (entry.done?, entry.total?);
            let fifth = done.saturating_mul(FIFTHS) / total.max(1);
            if fifth == *told {
                return None;
            }
            *told = fifth;
            let left = open.left(clock::now()).map(|left| format!(", about {} left", length(left)));
            Some((Style::Faint, format!("{stage} {done} of {total}{}", left.unwrap_or_default())))
        }
        Change::Done(stage) => Some((Style::Good, format!("{stage} done"))),
    }
}

/// How an end looks.
pub(super) fn style(state: SlotState) -> Style {
    match state {
        SlotState::Completed => Style::Good,
        SlotState::Failed => Style::Bad,
        SlotState::Cancelled | SlotState::Superseded => Style::Doubtful,
        SlotState::Queued | SlotState::Running => Style::Strong,
    }
}

/// How a slot ended, in words: `completed in 34 s`, `failed (check): …`, `superseded in 9 s, another node's result was first`.
pub(super) fn ended(view: &SlotView) -> String {
    let took = view.ended_at.map(|at| format!(" in {}", seconds(at - view.accepted_at))).unwrap_or_default();
    let cause = view.cause.as_deref().map(|cause| format!(" ({})", plain(cause))).unwrap_or_default();
    let message = view.message.as_deref().map(|message| format!(": {}", plain(message))).unwrap_or_default();
    let (state, late) = (view.state.name(), late(view));
    let why = if view.state == SlotState::Superseded { ", another node's result was first" } else { "" };
    format!("{state}{took}{why}{cause}{message}{late}")
}

/// One JSON object on a line of its own.
pub(super) fn line(console: &mut Console, value: &Value) -> io::Result<()> {
    writeln!(console.out(), "{value}")?;
    console.out().flush()?;
    match console.answer_ended() {
        Some(why) => writeln!(console.err(), "{why}; the slots go on"),
        None => Ok(()),
    }
}
