//! `serve` from its settings to its exit code: lock, journal, node, API, and then [`lifecycle`](super::lifecycle).
//!
//! Owns the order of the start: what can be refused is refused before a model is loaded; the port is taken before, too, so
//! that probes are answered while models load. Everything is undone by being dropped.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use ractor::SpawnErr;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::events::ServiceEvents;
use super::journal::{JournalParts, ServiceJournal};
use super::lifecycle::{Reload, Running};
use super::network::Claims;
use super::reload::Reloader;
use super::signals::Signals;
use super::table::SlotTable;
use super::traces::Tracing;
use super::tree::TreeLog;
use super::{DoorSettings, Facts, Service, backend, listen, network, open, outbox, retention, uploads};
use crate::actors::handle;
use crate::actors::tree::DeviceTree;
use crate::api::access::LoginLink;
use crate::app::bundle::{Chosen, known_prompts, voices_of};
use crate::app::{BuildError, Node, NodeParts, Serving, door};
use crate::clock;
use crate::config::{Inputs, Loaded};
use crate::events::{Bus, Subscriber};
use crate::exit::Exit;
use crate::journal::index::{DataFolder, FolderError, Index, IndexError, KeptEvent, OpenRow};
use crate::journal::{Journal, SlotFolders};
use crate::models::workspace::SlotSize;
use crate::rehearse::Scenario;
use crate::rehearse::serving;
use crate::sink::{self, PublicKey};
use crate::telemetry::EventLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::observed::Source;
use crate::types::SlotId;

/// What listeners may be behind before they have to read what they missed: some seconds of a busy node.
const BACKLOG: usize = 4096;
/// Requests to read the settings again that may wait.
const RELOADS: usize = 8;

/// What the service is started with.
pub struct ServeParts {
    /// The settings in force.
    pub loaded: Loaded,
    /// What they came from, to read them again.
    pub inputs: Inputs,
    /// The weights.
    pub chosen: Chosen,
    /// Devices and models to play in place of real ones.
    pub scripted: Option<Scenario>,
    /// Whether somebody sits at a terminal who may open the page.
    pub shows_login: bool,
}

/// What whoever started it is to know.
#[derive(Clone, Debug)]
pub enum Announced {
    /// It answers there.
    Listening {
        /// The API's address.
        url: String,
        /// The second listener's.
        management: Option<SocketAddr>,
        /// How to open the page, once.
        login: Option<LoginLink>,
    },
    /// What was wrong with the journal, in sentences.
    Repaired(Vec<String>),
    /// Slots can be sent.
    Ready {
        /// Since the start.
        after: Duration,
    },
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be used, or another process has it.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The node cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The scenario cannot be played.
    #[error(transparent)]
    Scripted(#[from] crate::rehearse::RehearsalError),
    /// The actors do not start.
    #[error("the node's actors cannot be started: {0}")]
    Spawn(#[from] SpawnErr),
    /// Something of the system.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Listeners, tokens or certificates.
    #[error("{0}")]
    Access(String),
}

impl ServeError {
    /// Whether settings, bundle or scenario are wrong, so that trying again is no use.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Build(error) => error.is_bad_input(),
            Self::Scripted(_) | Self::Access(_) => true,
            Self::Folder(_) | Self::Index(_) | Self::Spawn(_) | Self::System { .. } => false,
        }
    }
}

/// The tree and what plays in it, not started.
enum Wired {
    Real(Box<Node>),
    Scripted(Box<serving::Serving>, handle::Cards),
}

/// Serves until the process is to end; its exit code.
pub async fn serve(
    parts: ServeParts,
    announce: Box<dyn FnMut(Announced) + Send>,
) -> Result<Exit, ServeError> {
    let mut announce = announce;
    let system = |what| move |source| ServeError::System { what, source };
    // From here on a signal ends nothing by itself.
    let signals = Signals::listen().map_err(system("signals cannot be heard"))?;
    let started_at = clock::unix_time();
    let ServeParts { loaded, inputs, chosen, scripted, shows_login } = parts;
    let settings = loaded.settings.clone();
    let _lock = DataFolder::lock(&settings.data_dir)?;
    let key = sink::node_key(&settings.key_file()).map_err(BuildError::from)?;
    let id = PublicKey(key.verifying_key().to_bytes()).to_string();
    // Before what may have something to tell.
    let (tracing, metrics) = Tracing::start(&id)?;
    let metrics = Arc::new(metrics);
    let entrance = listen::Entrance::bind(&settings)?;

    let folders = Arc::new(SlotFolders::under(&open::slots(&settings.data_dir)));
    let (index, report) = {
        let (settings, folders) = (settings.clone(), Arc::clone(&folders));
        blocking("opening the journal", move || open::open(&settings, &folders)).await??
    };
    let repairs = report.repairs();
    for finding in &report.findings {
        if finding.is_repair() {
            tracing::warn!(finding = finding.to_string(), "journal repaired");
        } else {
            tracing::info!(finding = finding.to_string(), "journal opened");
        }
    }
    if !repairs.is_empty() {
        announce(Announced::Repaired(repairs.clone()));
    }
    let commits = Arc::clone(&metrics);
    index.on_commit(move |took| commits.committed(took));
    let table = Arc::new(SlotTable::default());
    let tree = Arc::new(TreeLog::default());
    let claims = Arc::new(Claims::new(!settings.network.servers.is_empty()));
    let bundle = chosen.identity;
    let journal = Arc::new(ServiceJournal::new(JournalParts {
        index: index.clone(),
        folders: Arc::clone(&folders),
        table: Arc::clone(&table),
        bundle,
        uploads: settings.store.url.is_some(),
        keep: settings.journal.keep,
        tracing: tracing.clone(),
        claims: Arc::clone(&claims),
    }));
    let events = Arc::new(ServiceEvents {
        table: Arc::clone(&table),
        tree: Arc::clone(&tree),
        index: index.clone(),
        memory_told: Mutex::default(),
    });
    // Before the actors: nothing that they tell is missed.
    let kept = index.subscribe();
    let mut hear: Vec<Arc<dyn Subscriber>> = vec![events, Arc::<Metrics>::clone(&metrics)];
    hear.extend(tracing.traces.clone().map(|traces| traces as Arc<dyn Subscriber>));
    let wired = wire(&loaded, &chosen, scripted, &folders, &journal, hear)?;
    let to_cancel = cancelled_before(&index).await?;

    let (mut alerts, mut cards) = (Vec::new(), Vec::new());
    let (node, _misfortunes) = match wired {
        Wired::Real(mut node) => {
            cards = node.changeable();
            alerts.extend(node.crash_loop().map(ToString::to_string));
            for note in node.notes() {
                tracing::warn!(note, "devices");
            }
            (node.start().await?, None)
        }
        Wired::Scripted(serving, played) => {
            let node = played.start().await?;
            let misfortunes = serving.let_happen(clock::now(), &node.handle());
            (node, Some(misfortunes))
        }
    };
    let (told, _) = broadcast::channel(BACKLOG);
    let (reload, reloads) = mpsc::channel(RELOADS);
    let facts = Facts {
        id,
        process: uuid::Uuid::new_v4(),
        place: place(&settings.data_dir),
        address: Default::default(),
        started_at,
        profile: settings.profile.clone(),
        bundle: chosen.bundle.name.clone(),
        voices: voices(&loaded, &chosen),
        prompts: known_prompts(&loaded).unwrap_or_default(),
        repairs,
        alerts,
        keep: settings.journal.keep,
    };
    let boards = super::metrics::boards(node.handle().cards().iter().map(DeviceTree::device));
    let service = Arc::new(Service {
        facts,
        node: node.handle(),
        index: index.clone(),
        folders,
        journal,
        table,
        tree,
        door: RwLock::new(Arc::new(DoorSettings {
            door: door(&loaded, &chosen),
            signers: settings.intake.signers.clone(),
            replay_window: settings.intake.replay_window,
        })),
        lanes: Default::default(),
        told: told.clone(),
        draining: AtomicBool::new(false),
        ending: AtomicBool::new(false),
        started: AtomicBool::new(false),
        reload: Reload(reload),
        targets: watch::Sender::new(Arc::new(outbox::rules(&settings)?)),
        secrets: Default::default(),
        outbox: Arc::default(),
        uploads: Arc::default(),
        claims,
        network: Default::default(),
        store: Default::default(),
        metrics,
        refusals: Default::default(),
        given_up: AtomicU64::new(0),
        ready_after: Default::default(),
        data_dir: settings.data_dir.clone(),
        boards,
        tracing: tracing.clone(),
    });
    let devices = service.node.cards().iter().map(DeviceTree::device);
    service.metrics.begin(Arc::downgrade(&service) as Weak<dyn Source>, devices);
    let (closing, ends) = watch::channel(false);
    let mut beside = JoinSet::new();
    beside.spawn(forward(Arc::clone(&service), kept, told, to_cancel, ends.clone()));
    beside.spawn(until(ends.clone(), retention::run(Arc::clone(&service), settings.clone())));
    outbox::start(&service, &settings, &ends, &mut beside)?;
    uploads::start(&service, &settings, &ends, &mut beside)?;
    let opened = entrance.open(&service, &settings, &ends, &mut beside)?;
    // Set once: it is opened once.
    let _ = service.facts.address.set(opened.url.clone());
    network::start(&service, &settings, bundle, &ends, &mut beside).await?;
    let login = if shows_login { opened.access.new_login().ok() } else { None };
    announce(Announced::Listening { url: opened.url.clone(), management: opened.management, login });
    let swept = index.clone();
    let data = settings.data_dir.clone();
    drop(tokio::task::spawn_blocking(move || retention::sweep(&swept, &data)));
    let running = Running {
        service,
        node,
        signals,
        closing,
        beside,
        reloader: Reloader::new(inputs, loaded, chosen, opened, cards),
        reloads,
        farewell: settings.http.farewell,
        grace: settings.slots.drain,
        announce,
    };
    let exit = running.run().await;
    // Last of all: what happened until now is among it.
    tracing.finish().await;
    Ok(exit)
}

/// Names the machine's present run and the data folder: two processes of one place are never alive at once, since the first
/// holds the folder's lock. Where the system tells no run, each process is a place of its own.
fn place(data_dir: &std::path::Path) -> String {
    let run = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let folder = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    if run.is_empty() {
        uuid::Uuid::new_v4().to_string()
    } else {
        format!("{} {}", run.trim(), folder.display())
    }
}

/// Waits on a thread that may block.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ServeError::System { what, source: std::io::Error::other(error) })
}

/// `work` until `ends` turns true.
async fn until(mut ends: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        // A sender that is gone ends it, too.
        _ = ends.wait_for(|ends| *ends) => {}
    }
}

/// Open slots that somebody wanted cancelled before this process began.
async fn cancelled_before(index: &Index) -> Result<HashSet<SlotId>, ServeError> {
    let index = index.clone();
    let open = blocking("reading the journal", move || index.open_slots()).await??;
    let wanted = |OpenRow { row, .. }: OpenRow| row.cancel_requested_at.map(|_| row.slot);
    Ok(open.into_iter().filter_map(wanted).collect())
}

fn wire(
    loaded: &Loaded,
    chosen: &Chosen,
    scripted: Option<Scenario>,
    folders: &Arc<SlotFolders>,
    journal: &Arc<ServiceJournal>,
    subscribers: Vec<Arc<dyn Subscriber>>,
) -> Result<Wired, ServeError> {
    let Some(scenario) = scripted else {
        return Ok(Wired::Real(Box::new(Node::build(NodeParts {
            loaded,
            chosen,
            folders: Arc::clone(folders),
            journal: Arc::<ServiceJournal>::clone(journal),
            size: SlotSize::PLANNED,
            subscribers,
            serving: Serving::All,
        })?)));
    };
    let journal: Arc<dyn Journal> = Arc::<ServiceJournal>::clone(journal);
    let mut all: Vec<Arc<dyn Subscriber>> = vec![Arc::new(EventLog)];
    all.extend(subscribers);
    let bus = Bus::new(all);
    let (serving, cards) = serving::Serving::new(scenario, &journal, folders, &bus)?;
    Ok(Wired::Scripted(Box::new(serving), cards))
}

/// Hands kept events on to listeners, wakes the sender of webhooks, and cancels what was to be cancelled before.
async fn forward(
    service: Arc<Service>,
    mut kept: broadcast::Receiver<Arc<KeptEvent>>,
    told: broadcast::Sender<Arc<crate::api::backend::StoredEvent>>,
    mut to_cancel: HashSet<SlotId>,
    mut ends: watch::Receiver<bool>,
) {
    loop {
        let event = tokio::select! {
            event = kept.recv() => event,
            _ = ends.wait_for(|ends| *ends) => return,
        };
        let event = match event {
            Ok(event) => event,
            // Whoever listens sees the gap in the numbers and reads what it missed.
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if event.sequence.is_some() && event.slot.is_some() {
            service.outbox.notify_one();
            service.uploads.notify_one();
        }
        if let Some(slot) = event.slot.filter(|slot| !to_cancel.is_empty() && to_cancel.remove(slot)) {
            let service = Arc::clone(&service);
            tokio::spawn(async move { service.node.cancel(slot).await });
        }
        let event = backend::stored(&event);
        if let Some(slot) = event.slot.filter(|_| event.ends_slot()) {
            service.settle(slot).await;
        }
        // Nobody need listen.
        let _ = told.send(Arc::new(event));
    }
}

/// Characters first, then what the bundle has.
fn voices(loaded: &Loaded, chosen: &Chosen) -> Vec<String> {
    let mut all: Vec<String> = loaded.voices.characters().map(str::to_owned).collect();
    all.extend(voices_of(&chosen.bundle));
    all
}
