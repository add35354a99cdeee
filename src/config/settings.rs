//! The validated settings: one small struct per consumer, so that nobody is handed more than it needs.
//!
//! What each value means, its unit and why it has its default stands in `defaults.toml`, once.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::network::Network;
use super::service::{Http, Journal, Store, Webhooks};
use super::signers::Signers;
use super::values::{self, BundleChoice, Devices, Limit, Precision, T5Placement, TelemetryFormat, Timeout};
use crate::types::{Bytes, ModelId, Stage};

/// Everything, as [`load`](super::load()) hands it out: parsed and free of contradictions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the profile that was laid over `node.toml`.
    pub profile: String,
    /// Where the models live.
    pub device: Devices,
    /// Journal, slot folders, caches.
    pub data_dir: PathBuf,
    /// Where the weights are.
    pub bundle: BundleChoice,
    /// Who signs results.
    pub node: Node,
    /// For `vram`: limits, sampling, leaks.
    pub memory: Memory,
    /// For loaders and the ledger.
    pub models: Models,
    /// For the door: what may be asked for.
    pub intake: Intake,
    /// For the orchestrator's plan.
    pub stages: Stages,
    /// For admission and the orchestrator.
    pub slots: Slots,
    /// For supervisors: when and how often to start something again.
    pub restart: Restart,
    /// For the model actors: how long each state may last.
    pub deadlines: Deadlines,
    /// For the API.
    pub http: Http,
    /// For the journal of the service.
    pub journal: Journal,
    /// For webhooks.
    pub webhooks: Webhooks,
    /// For the artifact store.
    pub store: Store,
    /// For the network of nodes.
    pub network: Network,
    /// For logs.
    pub telemetry: Telemetry,
}

impl Settings {
    /// Where the node's key lies.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir.join(&self.node.key_file)
    }
}

/// The node itself, among others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its signing key; relative to the data folder. See [`Settings::key_file`].
    pub key_file: PathBuf,
}

/// Memory of one device: limits, sampling, leak verdict.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Above it: backpressure and trimming.
    pub soft_limit: Limit,
    /// No lease may cross it; above it the offender is stopped. Above the soft limit.
    pub hard_limit: Limit,
    /// What no model accounts for: CUDA context, libraries, allocator.
    pub overhead: Bytes,
    /// Pressure clears this far below the limit that raised it.
    pub hysteresis: Bytes,
    /// And only after staying there this long.
    #[serde(deserialize_with = "values::duration")]
    pub dwell: Duration,
    /// Time between two samples.
    #[serde(deserialize_with = "values::above_zero")]
    pub sample_every: Duration,
    /// Older samples decide nothing. Longer than `sample_every`.
    #[serde(deserialize_with = "values::above_zero")]
    pub stale_after: Duration,
    /// Before a probe that failed is asked again.
    #[serde(deserialize_with = "values::above_zero")]
    pub probe_retry: Duration,
    /// Without a usable sample for this long the probes are made anew.
    #[serde(deserialize_with = "values::above_zero")]
    pub blind_rebuild: Duration,
    /// And for this long the device is given up. Longer than `blind_rebuild`.
    #[serde(deserialize_with = "values::above_zero")]
    pub blind_at_most: Duration,
    /// While pressure stands, trims and restarts are due again after this.
    #[serde(deserialize_with = "values::above_zero")]
    pub act_again: Duration,
    /// Memory counts as back when use is no more than this above the floor before the load.
    pub floor_tolerance: Bytes,
    /// What a card's allocation pool may keep between jobs without using it.
    pub pool_release_threshold: Bytes,
    /// Time between two snapshots of an idle node.
    #[serde(deserialize_with = "values::above_zero")]
    pub snapshot_every: Duration,
    /// Snapshots kept for the API.
    pub snapshots_kept: NonZeroUsize,
    /// When growth counts as a leak.
    pub leak: Leak,
}

/// When growth of the post-slot floor counts as a leak: all conditions at once.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leak {
    /// Fitted growth since the baseline above this.
    #[serde(deserialize_with = "values::some_bytes")]
    pub growth: Bytes,
    /// Slots after a start whose floors do not count: caches fill, kernels load.
    pub warm_up: u32,
    /// And above so many standard errors of the fit.
    #[serde(deserialize_with = "values::standard_errors")]
    pub standard_errors: f64,
    /// Judged each time so many slots have ended.
    pub every_slots: NonZeroU32,
}

/// The five models.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// Text to image.
    pub flux: FluxSettings,
    /// Portrait animation.
    pub liveportrait: LivePortraitSettings,
    /// Speech.
    pub kokoro: KokoroSettings,
    /// First half of the check.
    pub clip_b: ModelBudget,
    /// Second half of the check.
    pub clip_l: ModelBudget,
}

impl Models {
    /// Budget, workspace and precision of one model.
    pub fn budget(&self, model: ModelId) -> ModelBudget {
        match model {
            ModelId::Flux => {
                let FluxSettings { budget, workspace, precision, .. } = self.flux;
                ModelBudget { budget, workspace, precision }
            }
            ModelId::LivePortrait => {
                let LivePortraitSettings { budget, workspace, precision, .. } = self.liveportrait;
                ModelBudget { budget, workspace, precision }
            }
            ModelId::Kokoro => self.kokoro,
            ModelId::ClipB => self.clip_b,
            ModelId::ClipL => self.clip_l,
        }
    }
}

/// What one model may hold and is held in.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelBudget {
    /// Weights and permanent buffers; none where the bundle says it.
    #[serde(deserialize_with = "values::some_bytes_or_bundle")]
    pub budget: Option<Bytes>,
    /// Beyond that, at most, during a run, until measured peaks replace it; none where the bundle's sizes say it.
    #[serde(deserialize_with = "values::bytes_or_bundle")]
    pub workspace: Option<Bytes>,
    /// Of the weights.
    pub precision: Precision,
}

/// Kokoro has nothing of its own to set.
pub type KokoroSettings = ModelBudget;

/// Flux-Schnell.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FluxSettings {
    /// Weights and permanent buffers; none where the bundle says it.
    #[serde(deserialize_with = "values::some_bytes_or_bundle")]
    pub budget: Option<Bytes>,
    /// Beyond that, at most, during a run; none where the bundle's sizes say it.
    #[serde(deserialize_with = "values::bytes_or_bundle")]
    pub workspace: Option<Bytes>,
    /// Of the transformer's weights.
    pub precision: Precision,
    /// Where the T5 encoder's weights are.
    pub t5: T5Placement,
    /// Whether the modulation layers stay in host memory, computed once per slot for all steps.
    pub modulation_on_host: bool,
}

/// LivePortrait.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivePortraitSettings {
    /// Weights and permanent buffers; none where the bundle says it.
    #[serde(deserialize_with = "values::some_bytes_or_bundle")]
    pub budget: Option<Bytes>,
    /// Beyond that, at most, during a run; none where the bundle's sizes say it.
    #[serde(deserialize_with = "values::bytes_or_bundle")]
    pub workspace: Option<Bytes>,
    /// Of the weights.
    pub precision: Precision,
    /// Frames rendered at once; recorded in the result, lowered only after an out-of-memory.
    pub frame_batch: NonZeroU32,
}

/// What may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// Whose recipes are rendered.
    pub signers: Signers,
    /// How old a signature may be that comes in by the service.
    #[serde(deserialize_with = "values::above_zero")]
    pub replay_window: Duration,
}

/// Time and retries of each stage.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stages {
    /// Script to speech.
    pub audio: StageSettings,
    /// Prompt to actor image.
    pub image: StageSettings,
    /// Image and timeline to frames.
    pub video: StageSettings,
    /// Keyframes to verdict.
    pub verify: StageSettings,
    /// Artifacts to a signed result.
    pub package: StageSettings,
}

impl Stages {
    /// Those of one stage.
    pub const fn of(&self, stage: Stage) -> StageSettings {
        match stage {
            Stage::Audio => self.audio,
            Stage::Image => self.image,
            Stage::Video => self.video,
            Stage::Verify => self.verify,
            Stage::Package => self.package,
        }
    }
}

/// Time and retries of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSettings {
    /// How long one attempt may take.
    pub timeout: Timeout,
    /// How often it may be tried again after an error of its own or a timeout.
    pub retries: u32,
    /// How long it takes, until runs have been measured.
    #[serde(deserialize_with = "values::above_zero")]
    pub estimate: Duration,
    /// How many numbers the stage's models may have in all for the estimate to hold; zero where it holds for any.
    pub parameters: u64,
}

/// What is accepted, how much runs at once, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// Accepted slots that may wait.
    pub queue: NonZeroUsize,
    /// Slots in work at once.
    pub lookahead: NonZeroUsize,
    /// Time that must be left before a deadline, beyond the estimate of what is still to do.
    #[serde(deserialize_with = "values::duration")]
    pub deadline_buffer: Duration,
    /// For running slots to end after SIGTERM.
    #[serde(deserialize_with = "values::above_zero")]
    pub drain: Duration,
}

/// The ladder: a model's restarts, then its device's cordons, then the process ends; and what follows where processes end
/// one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// Of each model.
    pub model: Recovery,
    /// Of each device: cordons instead of restarts.
    pub device: Recovery,
    /// Of processes that ended with 71.
    pub process: RestartProcess,
}

/// What follows where a node's processes end with 71 one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartProcess {
    /// How long such an end counts.
    #[serde(deserialize_with = "values::above_zero")]
    pub window: Duration,
    /// From so many within the window on somebody is to be alerted.
    pub alert_at: NonZeroU32,
    /// Wait before anything is loaded after the second; doubles with each further one.
    #[serde(deserialize_with = "values::above_zero")]
    pub backoff: Duration,
    /// Longest wait. At least `backoff`.
    #[serde(deserialize_with = "values::above_zero")]
    pub backoff_max: Duration,
    /// Earlier ends do not count after a run of this length.
    #[serde(deserialize_with = "values::above_zero")]
    pub clean_after: Duration,
}

/// A sliding-window budget and a jittered exponential backoff.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Restarts allowed within the window; the next one escalates.
    pub budget: NonZeroU32,
    /// The window.
    #[serde(deserialize_with = "values::above_zero")]
    pub window: Duration,
    /// Wait before the first restart; doubles with each further one.
    #[serde(deserialize_with = "values::above_zero")]
    pub backoff: Duration,
    /// Longest wait. At least `backoff`.
    #[serde(deserialize_with = "values::above_zero")]
    pub backoff_max: Duration,
    /// Share of each wait that is drawn at random, 0 to 1.
    #[serde(deserialize_with = "values::share")]
    pub jitter: f64,
}

/// How long a model actor may stay in each state before it counts as hung.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// Between two steps of loading weights.
    #[serde(deserialize_with = "values::above_zero")]
    pub loading: Duration,
    /// For the canary.
    #[serde(deserialize_with = "values::above_zero")]
    pub warming: Duration,
    /// Idle; after it the canary runs again.
    #[serde(deserialize_with = "values::above_zero")]
    pub ready: Duration,
    /// Between two steps of a job.
    #[serde(deserialize_with = "values::above_zero")]
    pub busy: Duration,
    /// From the request to cancel a run to its end; after it the thread counts as lost.
    #[serde(deserialize_with = "values::above_zero")]
    pub cancelling: Duration,
    /// For giving back caches.
    #[serde(deserialize_with = "values::above_zero")]
    pub trimming: Duration,
    /// Until memory is back and the model may load again.
    #[serde(deserialize_with = "values::above_zero")]
    pub restarting: Duration,
    /// The longest that a device takes nothing in although nothing is open, where neither a coming model nor others'
    /// memory explains it.
    #[serde(deserialize_with = "values::above_zero")]
    pub stuck: Duration,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// How lines look.
    pub format: TelemetryFormat,
    /// Which events, in `tracing`'s filter syntax; checked when it is read.
    pub filter: String,
}
