//! Recipes into a network: what is wrong is told before anything is sent, many go in together or not at all.

mod follow;
mod view;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use follow::Follow;

use super::SubmitCommand;
use super::display::Display;
use super::job::{Job, Stand};
use super::outcome::{self, How};
use super::read::{self, Document, Wrong};
use crate::cli::network::Target;
use crate::cli::remote::{Signals, block_on, length};
use crate::cli::{Console, Context, Failed};
use crate::clock;
use crate::exit::Exit;
use crate::network::directors::{self, DirectorError};
use crate::network::{
    EpochRule, Order, PlanError, Priority, Session, Stream, SubmitError, Submitted, listing,
};
use crate::recipe::{Recipe, signature};
use crate::sink::PublicKey;
use crate::types::{SlotId, TraceParent};

/// Between two tries at a queue that is full or does not answer.
const COME_AGAIN: Duration = Duration::from_secs(5);
/// The context of a trace, as others hand it to what they start.
const TRACE: &str = "TRACEPARENT";

/// What is handed in, and what of it.
struct Piece {
    document: Document,
    recipe: Recipe,
    signer: Option<String>,
}

pub(super) fn submit(command: &SubmitCommand, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let read = read::read(&command.recipes, &mut std::io::stdin()).and_then(pieces);
    let pieces = match read {
        Ok(pieces) => pieces,
        Err(wrong) => return outcome::wrong(&wrong, command.json, context),
    };
    let target = command.network.find(command.remote.certificates(), context)?;
    let store = command.out.is_some().then(|| command.store.open(context)).transpose()?;
    block_on(async {
        let mut signals = Signals::listen()?;
        let (session, submitted) = tokio::select! {
            handed = hand_in(command, &target, &pieces, context.console) => handed?,
            () = signals.next() => {
                writeln!(context.console.err(), "interrupted: the same command hands in what is not in yet")?;
                return Ok(Exit::Interrupted);
            }
        };
        let jobs = jobs(&pieces, &submitted);
        if !command.wait {
            let exit = outcome::exit(&jobs, false);
            let how = if command.json { How::Json } else { How::Text };
            outcome::tell(&jobs, exit, how, context.console)?;
            return Ok(exit);
        }
        let terminal = !command.json && crate::telemetry::Terminal::of(&std::io::stderr()).moves_cursor();
        let display = Display::new(command.json, terminal, &jobs);
        Follow::new(command, target, session, jobs, display).go(store, &mut signals, context.console).await
    })?
}

/// Checks what a network would refuse: signatures that do not hold, and deadlines that have passed.
fn pieces(documents: Vec<Document>) -> Result<Vec<Piece>, Vec<Wrong>> {
    let (mut pieces, mut wrong) = (Vec::new(), Vec::new());
    for document in documents {
        let mut refuse = |problem: String| {
            wrong.push(Wrong { path: PathBuf::from(&document.name), problems: vec![problem] });
        };
        let recipe = match Recipe::read(&document.text) {
            Ok(recipe) => recipe,
            Err(problems) => {
                refuse(problems.to_string());
                continue;
            }
        };
        if let Some(late) = recipe.too_late(clock::unix_time()) {
            refuse(late.to_string());
            continue;
        }
        let signer = match recipe.security.map(|_| signature::verify(&recipe)).transpose() {
            Ok(security) => security.map(|security| PublicKey(security.director).to_string()),
            Err(error) => {
                refuse(error.to_string());
                continue;
            }
        };
        pieces.push(Piece { document, recipe, signer });
    }
    if wrong.is_empty() { Ok(pieces) } else { Err(wrong) }
}

/// Hands everything in; with `--wait`, a queue that is full or does not answer is asked again within the command's patience.
async fn hand_in(
    command: &SubmitCommand,
    target: &Target,
    pieces: &[Piece],
    console: &mut Console,
) -> Result<(Session, Vec<Submitted>), Failed> {
    let began = clock::now();
    let mut session = target.open().await?;
    loop {
        if session.is_over() {
            session = target.open().await?;
        }
        let error = match once(command, &session, pieces).await {
            Ok(submitted) => return Ok((session, submitted)),
            Err(error) => error,
        };
        let passes = match &error {
            NotIn::Submit(SubmitError::Full { .. }) | NotIn::Director(DirectorError::Queued { .. }) => true,
            NotIn::Submit(SubmitError::Network(error)) | NotIn::Director(DirectorError::Network(error)) => {
                error.is_open() || error.is_full()
            }
            _ => false,
        };
        let in_time = clock::now() + COME_AGAIN <= began + command.patience;
        if !(command.wait && passes && in_time) {
            return Err(error.into());
        }
        let told = Failed::from(error);
        writeln!(console.err(), "{}; again in {}", told.message(), length(COME_AGAIN))?;
        tokio::time::sleep(COME_AGAIN).await;
    }
}

/// Why nothing was handed in.
enum NotIn {
    Director(DirectorError),
    Submit(SubmitError),
}

impl From<DirectorError> for NotIn {
    fn from(error: DirectorError) -> Self {
        Self::Director(error)
    }
}

impl From<SubmitError> for NotIn {
    fn from(error: SubmitError) -> Self {
        Self::Submit(error)
    }
}

impl From<NotIn> for Failed {
    fn from(error: NotIn) -> Self {
        match error {
            NotIn::Director(error) => error.into(),
            NotIn::Submit(SubmitError::Network(error)) => error.into(),
            NotIn::Submit(error) => {
                let told = error.to_string();
                match error {
                    SubmitError::Large { .. } | SubmitError::Twice { .. } | SubmitError::Many { .. } => {
                        Self::bad_input(told)
                    }
                    SubmitError::Plan(PlanError::Late { .. }) => Self::bad_input(told),
                    _ => Self::failure(told),
                }
            }
        }
    }
}

async fn once(command: &SubmitCommand, session: &Session, pieces: &[Piece]) -> Result<Vec<Submitted>, NotIn> {
    let mut priorities: BTreeMap<Option<&str>, Priority> = BTreeMap::new();
    for piece in pieces {
        let signer = piece.signer.as_deref();
        if priorities.contains_key(&signer) {
            continue;
        }
        let own: Vec<SlotId> = pieces
            .iter()
            .filter(|other| other.signer == piece.signer)
            .map(|other| other.document.id)
            .collect();
        let priority = allowed(command, session, signer, &own).await?;
        priorities.insert(signer, priority);
    }
    let trace: Option<TraceParent> = std::env::var(TRACE).ok().and_then(|text| text.parse().ok());
    let orders: Vec<Order> = pieces
        .iter()
        .map(|piece| Order {
            slot: piece.document.id,
            recipe: piece.document.text.clone().into(),
            signer: piece.signer.clone(),
            resolution: piece.recipe.resolution,
            deadline: piece.recipe.deadline,
            replicas: command.replicas,
            priority: priorities.get(&piece.signer.as_deref()).copied().unwrap_or(Priority::Normal),
            bundle: command.bundle,
            epoch: if command.again { EpochRule::Again } else { EpochRule::First },
            traceparent: trace.clone(),
        })
        .collect();
    Ok(crate::network::submit(session, &orders, clock::unix_time()).await?)
}

/// The priority of what a director hands in; what is in already needs no room in its share.
async fn allowed(
    command: &SubmitCommand,
    session: &Session,
    signer: Option<&str>,
    slots: &[SlotId],
) -> Result<Priority, NotIn> {
    let replicas = u64::from(command.replicas.get());
    let more = replicas.saturating_mul(slots.len() as u64);
    match directors::allow(session, signer, command.priority, more).await {
        Err(DirectorError::Queued { .. }) => {}
        allowed => return Ok(allowed?),
    }
    let mut new = 0;
    for slot in slots {
        if !is_known(session, *slot, command.again).await.map_err(SubmitError::Network)? {
            new += 1;
        }
    }
    if new == 0 {
        // Nothing is added, so nothing is too much.
        return Ok(command.priority.unwrap_or(Priority::Normal));
    }
    Ok(directors::allow(session, signer, command.priority, replicas.saturating_mul(new)).await?)
}

/// Whether a slot would only be told.
async fn is_known(
    session: &Session,
    slot: SlotId,
    again: bool,
) -> Result<bool, crate::network::NetworkError> {
    let subjects = session.subjects();
    if !listing::works(session, Stream::Work, &subjects.work_of(slot)).await?.is_empty() {
        return Ok(true);
    }
    let ended = listing::works(session, Stream::Results, &subjects.of_slot(Stream::Results, slot)).await?;
    Ok(!again && !ended.is_empty())
}

/// One job for each rendering, in the order of the recipes.
fn jobs(pieces: &[Piece], submitted: &[Submitted]) -> Vec<Job> {
    let now = clock::now();
    let mut jobs = Vec::new();
    for piece in pieces {
        let own: Vec<&Submitted> =
            submitted.iter().filter(|one| one.work.slot == piece.document.id).collect();
        for one in &own {
            let mut document = piece.document.clone();
            if own.len() > 1 {
                document.name = format!("{} {}/{}", document.name, one.work.replica, own.len());
            }
            let mut job = Job::new(document, now);
            job.work = Some(one.work);
            job.known = !matches!(one.standing, crate::network::Standing::New);
            job.stand = view::stand(&piece.recipe, one, now);
            jobs.push(job);
        }
    }
    jobs
}

/// Of several replicas, each has a folder of its own.
fn folder_of(jobs: &[Job], job: &Job, folder: &std::path::Path) -> PathBuf {
    let slots = jobs.iter().filter(|other| other.document.id == job.document.id).count();
    let mut folder = folder.to_owned();
    if jobs.len() > slots {
        folder.push(job.document.id.to_string());
    }
    if slots > 1 {
        folder.push(job.work.map_or(NonZeroU32::MIN, |work| work.replica).to_string());
    }
    folder
}

fn open(jobs: &[Job]) -> usize {
    jobs.iter().filter(|job| matches!(job.stand, Stand::Open(_))).count()
}
