//! To the ends of renderings: what nodes tell of how far they are, and results, which alone say that one has ended.
//!
//! A connection that breaks is replaced within the command's patience; results are looked for in turn, whatever is told.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use serde_json::{Value, json};

use super::{folder_of, open, view};
use crate::cli::fetch::{network as files, verdict, worse};
use crate::cli::network::Target;
use crate::cli::remote::{Signals, length};
use crate::cli::submit::SubmitCommand;
use crate::cli::submit::display::{Display, line};
use crate::cli::submit::job::{Job, Stand};
use crate::cli::submit::outcome::{self, How};
use crate::cli::{Console, Failed, Style};
use crate::clock;
use crate::exit::Exit;
use crate::network::progress::{self, Progress};
use crate::network::results::{self, ResultRecord};
use crate::network::{NetworkError, Session, overview};
use crate::sink::store::Store;
use crate::types::WorkId;

/// Between two looks for results, and of bars on a terminal.
const TICK: Duration = Duration::from_secs(1);
/// So many results are looked for at a time, so that a thousand slots are no load.
const AT_ONCE: usize = 50;
/// So many slots are listened to; of more, only the ends are shown.
const MOST_HEARD: usize = 200;

/// What is heard.
enum Heard {
    Progress(Progress),
    /// A result was sent; whether it is kept is to be read.
    End(WorkId),
}

/// Why the loop ended before everything was over.
enum Stop {
    Interrupted,
    TimedOut,
    Lost(Failed),
}

pub(super) struct Follow<'a> {
    command: &'a SubmitCommand,
    target: Target,
    session: Session,
    jobs: Vec<Job>,
    display: Display,
    began: Instant,
    /// Since when the network does not answer.
    trouble: Option<Instant>,
    /// Where looking for results goes on.
    next_read: usize,
    results: Vec<ResultRecord>,
}

impl<'a> Follow<'a> {
    pub(super) fn new(
        command: &'a SubmitCommand,
        target: Target,
        session: Session,
        jobs: Vec<Job>,
        display: Display,
    ) -> Self {
        let began = clock::now();
        Self {
            command,
            target,
            session,
            jobs,
            display,
            began,
            trouble: None,
            next_read: 0,
            results: Vec::new(),
        }
    }

    pub(super) async fn go(
        mut self,
        store: Option<Store>,
        signals: &mut Signals,
        console: &mut Console,
    ) -> Result<Exit, Failed> {
        for at in 0..self.jobs.len() {
            self.display.read(at, &self.jobs[at], console)?;
        }
        let left = self.command.timeout.map(|timeout| self.began + timeout);
        let stopped = tokio::select! {
            walked = self.walk(console) => walked?.map(Stop::Lost),
            () = signals.next() => Some(Stop::Interrupted),
            () = until(left) => Some(Stop::TimedOut),
        };
        self.display.finish();
        let mut exit = outcome::exit(&self.jobs, true);
        if let (Some(store), Some(folder), None) = (&store, &self.command.out, &stopped) {
            exit = worse(exit, self.fetch(store, folder, signals, console).await?);
        }
        let many = open(&self.jobs);
        let goes_on = format!(
            "{many} of {} have not ended and go on in the network; the same command waits for them again, `vortex-node cancel \
             --nats` stops them",
            self.jobs.len()
        );
        let told = match stopped {
            Some(Stop::Interrupted) => {
                exit = Exit::Interrupted;
                Some(format!("interrupted: {goes_on}"))
            }
            Some(Stop::TimedOut) => {
                let after = length(self.command.timeout.unwrap_or_default());
                Some(format!("not waited for any longer, after {after}: {goes_on}"))
            }
            Some(Stop::Lost(failed)) => Some(format!("{}\n{goes_on}", failed.message())),
            None => None,
        };
        let how = if self.command.json { How::JsonLine } else { How::Text };
        outcome::tell(&self.jobs, exit, how, console)?;
        if let Some(told) = told {
            writeln!(console.err(), "{told}")?;
        }
        Ok(exit)
    }

    /// To the end of everything; or of the command's patience, with what tried it.
    async fn walk(&mut self, console: &mut Console) -> Result<Option<Failed>, Failed> {
        let mut heard = self.listen().await;
        loop {
            if let Err(error) = self.read_some().await {
                if let Some(lost) = self.connect_again(error, console).await? {
                    return Ok(Some(lost));
                }
                heard = self.listen().await;
                continue;
            }
            self.trouble = None;
            self.tell_ends(console)?;
            if self.jobs.iter().all(Job::is_settled) && !(0..self.jobs.len()).any(|at| self.wants_result(at))
            {
                return Ok(None);
            }
            let tick = clock::now() + TICK;
            while clock::now() < tick {
                let next = tokio::select! {
                    next = heard.next(), if !heard.is_empty() => next,
                    () = tokio::time::sleep_until(tick.into()) => break,
                };
                match next {
                    Some(Heard::Progress(progress)) => self.hear(&progress, console)?,
                    // Read it at once; where that fails, the look in turn says so.
                    Some(Heard::End(work)) => {
                        let at = self.jobs.iter().position(|job| job.work == Some(work));
                        if let Some(at) = at.filter(|at| !self.jobs[*at].is_settled())
                            && self.read(at).await.is_ok()
                        {
                            self.tell_ends(console)?;
                            break;
                        }
                    }
                    None => break,
                }
            }
            self.display.tick(&self.jobs);
        }
    }

    /// Everything that can be heard. Credentials that do not allow it cost nothing but what would have been shown.
    async fn listen(&self) -> SelectAll<BoxStream<'static, Heard>> {
        let mut all = SelectAll::new();
        if let Ok(endings) = overview::endings(&self.session).await {
            all.push(endings.map(Heard::End).boxed());
        }
        let mut slots: Vec<_> = self.jobs.iter().map(|job| job.document.id).collect();
        slots.dedup();
        if slots.len() <= MOST_HEARD {
            for slot in slots {
                if let Ok(told) = progress::watch(&self.session, slot).await {
                    all.push(told.map(Heard::Progress).boxed());
                }
            }
        }
        all
    }

    /// A session in place of one that broke; what it came to where patience ended.
    async fn connect_again(
        &mut self,
        error: NetworkError,
        console: &mut Console,
    ) -> Result<Option<Failed>, Failed> {
        if error.is_final() || !error.is_open() {
            return Ok(Some(error.into()));
        }
        let since = match self.trouble {
            Some(since) => since,
            None => {
                self.display.note(&format!("{error}; trying again"), console)?;
                *self.trouble.insert(clock::now())
            }
        };
        if clock::now().saturating_duration_since(since) > self.command.patience {
            return Ok(Some(error.into()));
        }
        tokio::time::sleep(TICK).await;
        if self.session.is_over()
            && let Ok(session) = self.target.open().await
        {
            self.session = session;
        }
        Ok(None)
    }

    /// Looks for the results of renderings that have none, where it was left off before.
    async fn read_some(&mut self) -> Result<(), NetworkError> {
        let wanted: Vec<usize> = (0..self.jobs.len()).filter(|at| self.wants_result(*at)).collect();
        let from = wanted.iter().position(|at| *at >= self.next_read).unwrap_or(0);
        for at in wanted.iter().cycle().skip(from).take(wanted.len().min(AT_ONCE)) {
            self.next_read = at + 1;
            self.read(*at).await?;
        }
        Ok(())
    }

    /// One that had ended before is read once as well: for how, and for its files.
    fn wants_result(&self, at: usize) -> bool {
        let work = self.jobs[at].work;
        !matches!(self.jobs[at].stand, Stand::Refused(_))
            && !self.results.iter().any(|record| Some(record.work) == work)
    }

    async fn read(&mut self, at: usize) -> Result<(), NetworkError> {
        let Some(work) = self.jobs[at].work else { return Ok(()) };
        if let Some(record) = results::read(&self.session, work).await? {
            self.results.push(record);
        }
        Ok(())
    }

    /// Takes the results that were read into the jobs.
    fn tell_ends(&mut self, console: &mut Console) -> Result<(), Failed> {
        for at in 0..self.jobs.len() {
            let record = self.results.iter().find(|record| Some(record.work) == self.jobs[at].work);
            let (ended, is_new) = match (&self.jobs[at].stand, record) {
                (Stand::Open(open), Some(record)) => (view::ended(&open.view, record), true),
                (Stand::Ended(view), Some(record)) if view.ended_at.is_none() => {
                    (view::ended(view, record), false)
                }
                _ => continue,
            };
            self.jobs[at].stand = Stand::Ended(Box::new(ended));
            if is_new {
                self.display.read(at, &self.jobs[at], console)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, progress: &Progress, console: &mut Console) -> Result<(), Failed> {
        let Some(at) = self.jobs.iter().position(|job| job.work == Some(progress.work)) else {
            return Ok(());
        };
        let change = self.jobs[at].reach(progress);
        let mut event = serde_json::to_value(progress).unwrap_or_default();
        event["event"] = json!("progress");
        self.display.hear(at, &self.jobs[at], &change, &event, console)?;
        Ok(())
    }

    /// Fetches what the renderings left, each into its folder.
    async fn fetch(
        &self,
        store: &Store,
        folder: &Path,
        signals: &mut Signals,
        console: &mut Console,
    ) -> Result<Exit, Failed> {
        let mut exit = Exit::Success;
        for job in &self.jobs {
            let record = self.results.iter().find(|record| Some(record.work) == job.work);
            let Some(record) = record.filter(|record| record.result.is_some()) else { continue };
            let folder = folder_of(&self.jobs, job, folder);
            let came = match files::files(store, record, &self.target.known, &[], &folder, signals).await {
                Ok(came) => came,
                Err(failed) => {
                    let label = console.paint_err(Style::Bad, "error:");
                    writeln!(console.err(), "{label} {}", failed.message())?;
                    exit = worse(exit, Exit::Failure);
                    continue;
                }
            };
            for one in &came {
                if self.command.json {
                    let mut event: Value = one.json(job.document.id, &folder);
                    event["work"] = json!(record.work.to_string());
                    line(console, &event)?;
                } else if let Some(told) = one.complaint(console) {
                    writeln!(console.err(), "{told}")?;
                }
            }
            if !self.command.json && came.iter().any(|one| one.ended.is_ok()) {
                writeln!(console.err(), "{}: {}", record.work, folder.display())?;
            }
            exit = worse(exit, verdict(&came));
        }
        Ok(exit)
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
