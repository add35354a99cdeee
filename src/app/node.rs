//! The node before it runs: devices opened and preflighted, models, pipeline and journal wired, nothing loaded.

use std::sync::Arc;
use std::time::Duration;

use ractor::SpawnErr;

use super::BuildError;
use super::bundle::{Chosen, budgets, fit, voices_of};
use super::crash_loop::{CrashLoop, CrashRecord};
use super::estimates::{self, EstimateRecord, Key};
use super::limits::Card;
use super::models::model_specs;
use super::settings::{Opened, hard_limit, model_limits, new_probes, open_all, tree_settings};
use crate::actors::handle::{self, Cards};
use crate::actors::sampler::ThreadSampler;
use crate::actors::tree::OpenSlots;
use crate::actors::tree::{DeviceTree, TreeParts, TreeSettings};
use crate::config::{Loaded, Settings};
use crate::events::{Bus, Subscriber};
use crate::intake::Door;
use crate::journal::{Journal, SlotFolders};
use crate::models::bundle::{Bundle, held};
use crate::models::kokoro::text::check_speakable;
use crate::models::vocabulary::Vocabulary;
use crate::models::workspace::SlotSize;
use crate::pipeline::result::Signer;
use crate::pipeline::timings::Timings;
use crate::pipeline::{FULL_FRAMES, RecipePipeline, Shared, World};
use crate::sink::{self, BundleRef, NodeReport, PublicKey};
use crate::telemetry::EventLog;
use crate::types::{Bytes, ModelId, PerStage, Stage};
use crate::verify::Thresholds;
use crate::vram::Ledger;

/// What a node is built from.
pub struct NodeParts<'a> {
    /// The settings in force.
    pub loaded: &'a Loaded,
    /// The weights.
    pub chosen: &'a Chosen,
    /// Where its slots are kept.
    pub folders: Arc<SlotFolders>,
    /// What is kept of them: the folders themselves, or an index over them.
    pub journal: Arc<dyn Journal>,
    /// The largest slot that memory is planned for.
    pub size: SlotSize,
    /// Who hears what happens.
    pub subscribers: Vec<Arc<dyn Subscriber>>,
    /// Which of several cards serve.
    pub serving: Serving,
}

/// Which of several cards serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// All of them; each slot goes to the one with most room for it.
    All,
    /// The one with most free memory; the others stand by with nothing loaded and take over where it is lost. Enough for
    /// whoever renders one slot.
    One,
}

/// The memory limits of the device that serves first, in bytes used on it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Above it: backpressure.
    pub soft: Bytes,
    /// Above it: restarts.
    pub hard: Bytes,
}

/// A node, ready to start.
pub struct Node {
    cards: Cards,
    changeable: Vec<Card>,
    limits: Limits,
    notes: Vec<String>,
    crashes: Arc<CrashRecord>,
    crash_loop: Option<CrashLoop>,
    record: Arc<EstimateRecord>,
    bus: Bus,
}

/// What recipes are checked against on a node with these settings and weights. Known before any device is opened.
pub fn door(loaded: &Loaded, chosen: &Chosen) -> Door {
    Door {
        voices: loaded.voices.clone(),
        known_voices: voices_of(&chosen.bundle),
        bundle: chosen.identity,
        speakable: check_speakable,
    }
}

impl Node {
    /// Opens the devices, refuses what cannot fit, and wires everything; starts and loads nothing.
    pub fn build(parts: NodeParts<'_>) -> Result<Self, BuildError> {
        let NodeParts { loaded, chosen, folders, journal, size, subscribers, serving } = parts;
        let settings = &loaded.settings;
        held::check(&chosen.bundle, &ModelId::ALL)?;
        // Before anything is loaded: budgets and workspaces that cannot fit are refused by how much and with what would.
        let (mut opened, mut notes) =
            open_all(settings, |it| fit(&chosen.bundle, settings, &it.device, it.free, size).map(drop))?;
        let first = opened.remove(0);
        if serving == Serving::One && !opened.is_empty() {
            let others: Vec<String> = opened.iter().map(|other| other.id.to_string()).collect();
            notes.push(format!("rendering on {}; {} on standby", first.id, others.join(", ")));
        }
        let memory = &settings.memory;
        let limits = Limits {
            soft: memory.soft_limit.resolve(first.free),
            hard: memory.hard_limit.resolve(first.free),
        };
        let crashes = Arc::new(CrashRecord::read(settings));
        let crash_loop = crashes.standing(serving == Serving::All);
        notes.extend(crashes.trouble().map(str::to_owned));
        notes.extend(crash_loop.as_ref().map(ToString::to_string));
        let record = Arc::new(EstimateRecord::read(settings));
        notes.extend(record.trouble().map(str::to_owned));
        let first_estimates = estimates::first(&chosen.bundle, settings)?;
        let known = record.known(&Key::of(chosen, settings, first.id));
        let expected = PerStage::from_fn(|stage: Stage| known[stage].unwrap_or(first_estimates[stage]));
        let timings = Arc::new(Timings::default());
        let mut told: Vec<Arc<dyn Subscriber>> =
            vec![Arc::new(EventLog), timings.clone(), crashes.clone(), record.clone()];
        told.extend(subscribers);
        let key = sink::node_key(&settings.key_file())?;
        let node = NodeReport {
            id: PublicKey(key.verifying_key().to_bytes()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: first.id,
            profile: settings.profile.clone(),
            threads: u32::try_from(rayon::current_num_threads()).unwrap_or(u32::MAX),
            frame_batch: settings.models.liveportrait.frame_batch.get(),
        };
        let (name, lock_sha256) = (chosen.bundle.name.clone(), chosen.lock_sha256);
        let bundle = BundleRef { name, sha256: chosen.sha256, lock_sha256 };
        let signer = Signer { key, bundle, node };
        let bus = Bus::new(told);
        let shared = shared(loaded, &chosen.bundle, folders, timings, signer, bus.clone(), &expected)?;
        let trees = Trees {
            bundle: &chosen.bundle,
            settings,
            estimates: first_estimates,
            size,
            pipeline: Arc::new(RecipePipeline(Arc::new(shared))),
            journal,
            bus,
            hold: crash_loop.as_ref().map(|it| it.delay).unwrap_or_default(),
        };
        let (mut changeable, mut all) = (Vec::new(), Vec::new());
        for card in std::iter::once(first).chain(opened) {
            let (device, free) = (card.device.clone(), card.free);
            let tree = trees.tree(card)?;
            record.go_on(&tree, Key::of(chosen, settings, tree.device()));
            changeable.push(Card { tree: tree.clone(), device, free, size, started_with: settings.clone() });
            all.push(tree);
        }
        let first = all.remove(0);
        let cards = match serving {
            Serving::All => Cards::new(first, all),
            Serving::One => Cards::one_at_a_time(first, all),
        };
        Ok(Self { cards, changeable, limits, notes, crashes, crash_loop, record, bus: trees.bus })
    }

    /// What its last processes left, where they ended with 71: an alert, maybe.
    pub fn crash_loop(&self) -> Option<&CrashLoop> {
        self.crash_loop.as_ref()
    }

    /// What an operator has to know of how it was built: devices left out or on standby, and how its last processes ended.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Its cards, for their limits to be changed while it runs.
    pub(crate) fn changeable(&mut self) -> Vec<Card> {
        std::mem::take(&mut self.changeable)
    }

    /// Of the device that serves first.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Starts its actors; the models begin to load, after a wait where earlier processes ended badly. How this one ends,
    /// and what its stages took, is kept for the next.
    pub async fn start(self) -> Result<handle::Node, SpawnErr> {
        let Self { cards, crashes, crash_loop, record, bus, .. } = self;
        crashes.begin(crash_loop.as_ref(), &bus);
        let node = cards.start().await?;
        Ok(node.at_end(move |exit| {
            record.keep();
            crashes.end(exit, &bus);
        }))
    }
}

fn shared(
    loaded: &Loaded,
    bundle: &Bundle,
    folders: Arc<SlotFolders>,
    timings: Arc<Timings>,
    signer: Signer,
    bus: Bus,
    expected: &PerStage<Duration>,
) -> Result<Shared, BuildError> {
    let (settings, verification) = (&loaded.settings, &bundle.verification);
    Ok(Shared {
        voices: loaded.voices.clone(),
        known_voices: voices_of(bundle),
        paints: bundle.image.resolution,
        vocabulary: vocabulary(bundle)?,
        thresholds: Thresholds {
            clip_b: verification.clip_b,
            clip_l: verification.clip_l,
            weight_b: verification.weight_b,
            weight_l: verification.weight_l,
            outlier: verification.outlier,
        },
        per_frame: expected[Stage::Video].div_f64(FULL_FRAMES),
        afterwards: expected[Stage::Verify] + expected[Stage::Package] + settings.slots.deadline_buffer,
        folders,
        bus,
        timings,
        signer,
    })
}

/// What the trees of all cards share.
struct Trees<'a> {
    bundle: &'a Bundle,
    settings: &'a Settings,
    /// What each stage is expected to take before it was measured.
    estimates: PerStage<Duration>,
    size: SlotSize,
    pipeline: Arc<RecipePipeline>,
    journal: Arc<dyn Journal>,
    bus: Bus,
    /// Before anything is loaded.
    hold: Duration,
}

impl Trees<'_> {
    /// The tree of one card; nothing of it runs, and nothing is loaded.
    fn tree(&self, opened: Opened) -> Result<DeviceTree, BuildError> {
        let Opened { id, chain, free, device } = opened;
        let settings = self.settings;
        let budgets = budgets(self.bundle, settings, &device, self.size)?;
        let probes = settings.clone();
        let sampler = ThreadSampler::start(chain, move || new_probes(&probes, id))
            .map_err(|source| BuildError::Thread { device: id, source })?;
        let mut behaviour = tree_settings(settings, id, free, OpenSlots::Resume)?;
        behaviour.plan.stages.iter_mut().for_each(|(stage, row)| row.estimate = self.estimates[stage]);
        Ok(DeviceTree::new(TreeParts {
            settings: TreeSettings { hold: self.hold, ..behaviour },
            models: model_specs(self.bundle, settings, &budgets, id, model_limits(settings))?,
            pipeline: self.pipeline.clone(),
            journal: self.journal.clone(),
            sampler: Arc::new(sampler),
            ledger: Ledger::new(id, hard_limit(settings, free), settings.memory.overhead),
            bus: self.bus.clone(),
        }))
    }
}

/// The words that the bundle's image model knows, and what can be said with them.
fn vocabulary(bundle: &Bundle) -> Result<Option<World>, BuildError> {
    let words = Vocabulary::of_bundle(bundle)?;
    let about = bundle.image.vocabulary.as_ref().and_then(|file| file.about.clone());
    Ok(words.map(|words| World { words, about }))
}
