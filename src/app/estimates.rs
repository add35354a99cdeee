//! What stages take: a first estimate by the size of the bundle's models, and what was measured, kept in a small file of the
//! data folder for the next process.
//!
//! Owns that file. What was measured counts for one bundle on one device with settings of the same speed. Never fatal: a
//! file that is damaged or foreign is set aside with a warning, one that cannot be written is told of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::BuildError;
use super::bundle::Chosen;
use super::kept;
use crate::actors::plan::Learned;
use crate::actors::tree::DeviceTree;
use crate::clock;
use crate::config::Settings;
use crate::events::{Event, Subscriber};
use crate::models::bundle::Bundle;
use crate::models::catalog;
use crate::models::error::of_load;
use crate::types::{DeviceId, ModelId, PerStage, Sha256, Stage};

#[cfg(test)]
mod tests;

/// In the data folder.
pub(crate) const FILE: &str = "estimates.json";
/// What a file is called that cannot be read.
pub(crate) const SET_ASIDE: &str = "estimates.json.unreadable";
/// The form of the file.
const VERSION: u32 = 1;
/// As many bundles, devices and settings are remembered, the newest.
const REMEMBERED: usize = 32;
/// No stage takes longer: a day.
const LONGEST: f64 = 86_400.0;

/// What each stage is expected to take before any run was measured: the settings' estimate, in proportion longer where the
/// bundle's models are larger than it holds for. Reads configurations and headers only.
pub(super) fn first(bundle: &Bundle, settings: &Settings) -> Result<PerStage<Duration>, BuildError> {
    let mut all = PerStage::default();
    for stage in Stage::ALL {
        let of_stage = settings.stages.of(stage);
        let mut parameters = 0;
        // Where the estimate holds for any size, nothing is counted.
        for model in models(stage).iter().filter(|_| of_stage.parameters > 0) {
            let networks = catalog::networks(bundle, *model).map_err(of_load)?;
            parameters += networks.iter().map(catalog::Network::parameters).sum::<u64>();
        }
        all[stage] = grown(of_stage.estimate, parameters, of_stage.parameters);
    }
    Ok(all)
}

/// The models of a stage.
const fn models(stage: Stage) -> &'static [ModelId] {
    match stage {
        Stage::Audio => &[ModelId::Kokoro],
        Stage::Image => &[ModelId::Flux],
        Stage::Video => &[ModelId::LivePortrait],
        Stage::Verify => &[ModelId::ClipB, ModelId::ClipL],
        Stage::Package => &[],
    }
}

/// An estimate that holds for `holds_to` parameters (any where that is zero), for `parameters`.
fn grown(estimate: Duration, parameters: u64, holds_to: u64) -> Duration {
    if holds_to == 0 || parameters <= holds_to {
        return estimate;
    }
    let seconds = estimate.as_secs_f64() * parameters as f64 / holds_to as f64;
    Duration::from_secs_f64(seconds.min(LONGEST)).max(estimate)
}

/// What decides how fast a stage is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    bundle: Sha256,
    device: DeviceId,
    /// A hash of all settings that change the speed.
    settings: Sha256,
}

impl Key {
    /// Of a node with these settings and weights, on `device`.
    pub(super) fn of(chosen: &Chosen, settings: &Settings, device: DeviceId) -> Self {
        let models = &settings.models;
        let mut text = format!(
            "threads {}, frame batch {}, t5 {:?}, modulation on host {}",
            rayon::current_num_threads(),
            models.liveportrait.frame_batch,
            models.flux.t5,
            models.flux.modulation_on_host
        );
        for (model, entry) in &chosen.bundle.models {
            // A text is always written.
            let _ = write!(text, ", {model} {:?} {:?}", entry.precision, entry.parts);
        }
        // Whoever changes an estimate means it.
        for stage in Stage::ALL {
            let of_stage = settings.stages.of(stage);
            let _ = write!(text, ", {stage} {:?} {}", of_stage.estimate, of_stage.parameters);
        }
        Self { bundle: chosen.identity, device, settings: Sha256::of(text.as_bytes()) }
    }
}

/// One row of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    key: Key,
    /// When it was measured last, in Unix seconds.
    at: u64,
    /// Seconds for each stage that has run.
    seconds: BTreeMap<String, f64>,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    version: u32,
    rows: Vec<Row>,
}

impl Default for Book {
    fn default() -> Self {
        Self { version: VERSION, rows: Vec::new() }
    }
}

impl Book {
    /// Fails where it is none of this version's, or says what no stage can take.
    fn sound(self) -> io::Result<Self> {
        let foreign = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if self.version != VERSION {
            return foreign(format!("it is of version {}, and {VERSION} is understood", self.version));
        }
        for (stage, seconds) in self.rows.iter().flat_map(|row| &row.seconds) {
            if stage.parse::<Stage>().is_err() {
                return foreign(format!("it names a stage {stage:?}"));
            }
            if !(0.0..=LONGEST).contains(seconds) {
                return foreign(format!("it says that {stage} takes {seconds:e} s"));
            }
        }
        Ok(self)
    }

    fn known(&self, key: &Key) -> PerStage<Option<Duration>> {
        let row = self.rows.iter().find(|row| row.key == *key);
        PerStage::from_fn(|stage: Stage| {
            let seconds = *row?.seconds.get(stage.name())?;
            Duration::try_from_secs_f64(seconds).ok()
        })
    }

    /// Puts down what is known under `key`; says whether that changes anything.
    fn put(&mut self, key: &Key, known: &PerStage<Option<Duration>>, at: u64) -> bool {
        let seconds: BTreeMap<String, f64> = known
            .iter()
            .filter_map(|(stage, time)| Some((stage.name().to_owned(), time.as_ref()?.as_secs_f64())))
            .collect();
        let place = self.rows.iter().position(|row| row.key == *key);
        if seconds.is_empty() || place.is_some_and(|place| self.rows[place].seconds == seconds) {
            return false;
        }
        if let Some(place) = place {
            self.rows.remove(place);
        }
        self.rows.insert(0, Row { key: key.clone(), at, seconds });
        self.rows.truncate(REMEMBERED);
        true
    }
}

/// Keeps what the stages of a node's devices were measured to take: each time a slot has ended, and at the end.
pub(super) struct EstimateRecord {
    shared: Arc<Shared>,
    trouble: Option<String>,
    /// Has a thread write; writing takes a sync, for which no actor waits.
    wake: Option<SyncSender<()>>,
}

struct Shared {
    file: PathBuf,
    book: Mutex<Book>,
    devices: Mutex<Vec<(Key, Learned)>>,
}

impl EstimateRecord {
    /// Reads what earlier processes left.
    pub(super) fn read(settings: &Settings) -> Self {
        let file = settings.data_dir.join(FILE);
        let (book, trouble) = match kept::read(&file).and_then(Book::sound) {
            Ok(book) => (book, None),
            Err(error) => {
                (Book::default(), Some(kept::set_aside(&file, "what stages were measured to take", &error)))
            }
        };
        let shared = Arc::new(Shared { file, book: Mutex::new(book), devices: Mutex::default() });
        let (wake, woken) = sync_channel(1);
        let writes = Arc::clone(&shared);
        // Ends with the record. Where the system gives no thread, the node's end writes.
        let started = std::thread::Builder::new().name("estimates".to_owned()).spawn(move || {
            while woken.recv().is_ok() {
                writes.keep();
            }
        });
        Self { shared, trouble, wake: started.is_ok().then_some(wake) }
    }

    /// What could not be read.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What is known under `key`.
    pub(super) fn known(&self, key: &Key) -> PerStage<Option<Duration>> {
        self.shared.book.lock().known(key)
    }

    /// `tree` goes on from what is known under `key`, and what it learns is kept there.
    pub(super) fn go_on(&self, tree: &DeviceTree, key: Key) {
        tree.learned().set(self.known(&key));
        self.shared.devices.lock().push((key, tree.learned().clone()));
    }

    /// Writes what has been learned.
    pub(super) fn keep(&self) {
        self.shared.keep();
    }
}

impl Shared {
    fn keep(&self) {
        let mut book = self.book.lock();
        let at = clock::unix_time().as_secs();
        let mut is_new = false;
        for (key, learned) in self.devices.lock().iter() {
            is_new |= book.put(key, &learned.get(), at);
        }
        if !is_new {
            return;
        }
        if let Err(error) = kept::write(&self.file, &*book) {
            tracing::warn!(file = %self.file.display(), %error, "what stages take is not kept");
        }
    }
}

impl Subscriber for EstimateRecord {
    fn hear(&self, event: &Event) {
        if event.kind.ends_slot()
            && let Some(wake) = &self.wake
        {
            // One that is under way, or due already, writes this as well or is followed by the node's end.
            let _ = wake.try_send(());
        }
    }

    fn wants_steps(&self) -> bool {
        false
    }
}
