//! Recipes into a node and, where that is wanted, to their ends.
//!
//! One loop: hand in what is due, hear what happens, read the state where events may be missing, until everything is over.
//! A node that is full, busy, not ready or away is asked again within the command's patience.

mod hand_in;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::display::{Display, line};
use super::job::{Job, Stand};
use super::outcome::{self, How};
use super::{SubmitCommand, read};
use crate::api::views::SlotView;
use crate::cli::fetch::{into, verdict, worse};
use crate::cli::remote::{Signals, block_on, length};
use crate::cli::{Console, Context, Failed};
use crate::client::{Client, ClientError, Events, Heard, Source};
use crate::clock;
use crate::exit::Exit;
use crate::telemetry::Terminal;

/// Places in the queue and expected times change without events: so often the open slots are read.
const REFRESH: Duration = Duration::from_secs(5);
/// So many at a time, so that a thousand slots are no load.
const AT_ONCE: usize = 20;
/// Of bars on a terminal.
const TICK: Duration = Duration::from_secs(1);
/// After an event that says that a slot is over, where its state does not say so yet.
const SOON: Duration = Duration::from_millis(300);

/// Hands in what `command` names.
pub(super) fn submit(command: &SubmitCommand, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let documents = match read::read(&command.recipes, &mut std::io::stdin()) {
        Ok(documents) => documents,
        Err(wrong) => return outcome::wrong(&wrong, command.json, context),
    };
    let client = command.remote.connect(context)?;
    block_on(async {
        let now = clock::now();
        let jobs: Vec<Job> = documents.into_iter().map(|document| Job::new(document, now)).collect();
        let terminal = command.wait && !command.json && Terminal::of(&std::io::stderr()).moves_cursor();
        let display = command.wait.then(|| Display::new(command.json, terminal, &jobs));
        let run = Run {
            command,
            client,
            jobs,
            display,
            began: now,
            had_contact: false,
            trouble: None,
            is_deaf: false,
            next_read: 0,
        };
        run.go(Signals::listen()?, context.console).await
    })?
}

struct Run<'a> {
    command: &'a SubmitCommand,
    client: Client,
    jobs: Vec<Job>,
    display: Option<Display>,
    began: Instant,
    /// The node has answered, in whatever way.
    had_contact: bool,
    /// Since when it does not answer, and how that began.
    trouble: Option<(Instant, ClientError)>,
    /// There are no events to be had any more.
    is_deaf: bool,
    /// Where reading open slots goes on.
    next_read: usize,
}

/// Why the loop ended before everything was over.
enum Stop {
    Interrupted,
    Lost(ClientError),
}

impl Run<'_> {
    async fn go(mut self, mut signals: Signals, console: &mut Console) -> Result<Exit, Failed> {
        let stopped = tokio::select! {
            stopped = self.walk(console) => stopped?.map(Stop::Lost),
            // Wherever it waits: what the node has done stays, and what is known here is whole.
            () = signals.next() => Some(Stop::Interrupted),
        };
        if let Some(display) = &mut self.display {
            display.finish();
        }
        let waited = self.command.wait;
        let how = match (self.command.json, waited) {
            (true, true) => How::JsonLine,
            (true, false) => How::Json,
            (false, _) => How::Text,
        };
        let mut exit = outcome::exit(&self.jobs, waited);
        let told = match &stopped {
            Some(Stop::Interrupted) => {
                exit = Exit::Interrupted;
                Some(format!("interrupted: {}", self.what_goes_on()))
            }
            Some(Stop::Lost(error)) => Some(format!("{error}\n{}", self.what_goes_on())),
            None => None,
        };
        if let Some(folder) = self.command.out.as_deref().filter(|_| stopped.is_none()) {
            let fetched = self.fetch(folder, &mut signals, console).await?;
            // A recipe that is wrong is worse than a file that did not come.
            if exit == Exit::Success {
                exit = fetched;
            }
        }
        outcome::tell(&self.jobs, exit, how, console)?;
        if let Some(told) = told {
            writeln!(console.err(), "{told}")?;
        }
        Ok(exit)
    }

    fn what_goes_on(&self) -> String {
        let open = self.jobs.iter().filter(|job| matches!(job.stand, Stand::Open(_))).count();
        match open {
            0 => "no slot of these is open at the node".to_owned(),
            1 => "the slot goes on at the node; the same command waits for it again, `vortex-node cancel` stops it".to_owned(),
            many => format!(
                "{many} slots go on at the node; the same command waits for them again, `vortex-node cancel` stops them"
            ),
        }
    }

    /// To the end of everything; or of the command's patience, with what tried it.
    async fn walk(&mut self, console: &mut Console) -> Result<Option<ClientError>, Failed> {
        let mut events: Option<Events> = None;
        let mut refresh = clock::now();
        loop {
            self.hand_in(console).await?;
            if !self.command.wait || self.jobs.iter().all(Job::is_settled) {
                return Ok(None);
            }
            if let Some((since, error)) = self.trouble.take() {
                if clock::now().saturating_duration_since(since) > self.command.patience {
                    return Ok(Some(error));
                }
                self.trouble = Some((since, error));
            }
            if events.is_none() && !self.is_deaf && self.jobs.iter().any(|job| job.as_open().is_some()) {
                let source = match self.jobs.as_slice() {
                    [only] => Source::Slot(only.document.id),
                    _ => Source::Node,
                };
                events = Some(Events::listen(self.client.clone(), source, None));
            }
            let now = clock::now();
            if now >= refresh {
                refresh = now + REFRESH;
                self.read_open(AT_ONCE, console).await?;
                continue;
            }
            if self.jobs.iter().any(Job::is_over) {
                self.read_over(console).await?;
                refresh = refresh.min(now + SOON);
                continue;
            }
            let due = self.jobs.iter().filter_map(Job::due).min();
            let wake = due.map_or(refresh, |due| due.min(refresh)).min(now + TICK);
            tokio::select! {
                () = tokio::time::sleep_until(wake.into()) => {
                    if let Some(display) = &mut self.display {
                        display.tick(&self.jobs);
                    }
                }
                heard = next(&mut events) => match heard {
                    Some(heard) => if self.hear(heard, console)? { refresh = clock::now() },
                    // Reading goes on without events.
                    None => (events, self.is_deaf) = (None, true),
                },
            }
        }
    }

    /// Reads the state of open slots, at most `most`, where it was left off before.
    async fn read_open(&mut self, most: usize, console: &mut Console) -> Result<(), Failed> {
        let open: Vec<usize> = (0..self.jobs.len()).filter(|at| self.jobs[*at].as_open().is_some()).collect();
        let from = open.iter().position(|at| *at >= self.next_read).unwrap_or(0);
        for at in open.iter().cycle().skip(from).take(open.len().min(most)) {
            self.next_read = at + 1;
            if !self.read_one(*at, console).await? {
                break;
            }
        }
        Ok(())
    }

    /// Reads how slots ended of which events say that they are over.
    async fn read_over(&mut self, console: &mut Console) -> Result<(), Failed> {
        for at in 0..self.jobs.len() {
            if self.jobs[at].is_over() && !self.read_one(at, console).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the node answered.
    async fn read_one(&mut self, at: usize, console: &mut Console) -> Result<bool, Failed> {
        match self.client.slot(self.jobs[at].document.id).await {
            Ok(view) => {
                self.answered();
                self.read(at, view, console)?;
            }
            Err(error) if error.passes() => {
                self.jobs[at].forget_over();
                if error.refusal().is_none() {
                    self.trouble.get_or_insert((clock::now(), error));
                }
                return Ok(false);
            }
            Err(error) => {
                self.jobs[at].stand = Stand::Refused(error);
                self.show(at, console)?;
            }
        }
        Ok(true)
    }

    /// What the stream has; whether the state has to be read anew.
    fn hear(&mut self, heard: Heard, console: &mut Console) -> Result<bool, Failed> {
        match heard {
            Heard::Connected => {
                self.answered();
                Ok(true)
            }
            Heard::Gap | Heard::Finished => Ok(true),
            Heard::Lost { why, .. } => {
                if self.trouble.is_none() {
                    self.note(&format!("{why}; trying again"), console)?;
                    self.trouble = Some((clock::now(), why));
                }
                Ok(false)
            }
            Heard::Ended(why) => {
                self.note(
                    &format!("no events: {why}; the state is read every {}", length(REFRESH)),
                    console,
                )?;
                Ok(false)
            }
            Heard::Event(frame) => {
                self.trouble = None;
                let Ok(event) = serde_json::from_str::<Value>(&frame.data) else { return Ok(false) };
                let slot = event.get("slot").and_then(Value::as_str).and_then(|slot| slot.parse().ok());
                let Some(at) = slot.and_then(|slot| self.jobs.iter().position(|job| job.document.id == slot))
                else {
                    return Ok(false);
                };
                let change = self.jobs[at].hear(&frame.event, &event);
                if let Some(display) = &mut self.display {
                    display.hear(at, &self.jobs[at], &change, &event, console)?;
                }
                Ok(false)
            }
        }
    }

    fn read(&mut self, at: usize, view: SlotView, console: &mut Console) -> Result<(), Failed> {
        if self.jobs[at].read(view, clock::now()) {
            self.show(at, console)?;
        }
        Ok(())
    }

    fn show(&mut self, at: usize, console: &mut Console) -> Result<(), Failed> {
        match &mut self.display {
            Some(display) => Ok(display.read(at, &self.jobs[at], console)?),
            None => Ok(()),
        }
    }

    fn note(&self, text: &str, console: &mut Console) -> Result<(), Failed> {
        match &self.display {
            Some(display) => Ok(display.note(text, console)?),
            None => Ok(()),
        }
    }

    fn answered(&mut self) {
        self.had_contact = true;
        self.trouble = None;
    }

    /// Fetches what the slots left, each into its folder.
    async fn fetch(
        &self,
        folder: &Path,
        signals: &mut Signals,
        console: &mut Console,
    ) -> Result<Exit, Failed> {
        let several = self.jobs.len() > 1;
        let mut exit = Exit::Success;
        for job in &self.jobs {
            let Stand::Ended(view) = &job.stand else { continue };
            let folder = if several { folder.join(job.document.id.to_string()) } else { folder.to_owned() };
            let came = into(&self.client, &view.artifacts, &folder, signals).await?;
            for one in &came {
                if self.command.json {
                    line(console, &one.json(job.document.id, &folder))?;
                } else if let Some(told) = one.complaint(console) {
                    writeln!(console.err(), "{told}")?;
                }
            }
            if !self.command.json && came.iter().any(|one| one.ended.is_ok()) {
                writeln!(console.err(), "{}: {}", job.document.id, folder.display())?;
            }
            exit = worse(exit, verdict(&came));
        }
        Ok(exit)
    }
}

async fn next(events: &mut Option<Events>) -> Option<Heard> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
