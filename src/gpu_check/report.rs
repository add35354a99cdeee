//! What was found, serialisable. Owns no output: the command prints it.

use std::time::Duration;

use serde::Serialize;

use super::card::Facts;
use super::fixtures::Fixtures;
use crate::types::{Bytes, DeviceId, ModelId};

/// How far apart the device and the processor are in one thing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Parity {
    /// In what.
    pub what: &'static str,
    /// How far.
    pub worst: f64,
    /// How far they may be.
    pub allowed: f64,
    /// Whether they are not further.
    pub ok: bool,
}

impl Parity {
    /// Compared.
    pub(crate) fn new(what: &'static str, worst: f64, allowed: f64) -> Self {
        Self { what, worst, allowed, ok: worst <= allowed }
    }
}

/// What one model holds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Footprint {
    /// The model.
    pub model: ModelId,
    /// In which precision.
    pub precision: String,
    /// Weights and permanent buffers: on a card by the pool's difference, else as the model says.
    pub resident: Bytes,
    /// What the bundle allows.
    pub budget: Bytes,
    /// From the start of its load to its passed canary.
    pub ready_seconds: f64,
    /// The most that a run alone took beyond it.
    pub peak: Option<Bytes>,
    /// Whether it holds no more than allowed.
    pub within_budget: bool,
}

/// How long a stage takes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StageTimes {
    /// The stage.
    pub stage: &'static str,
    /// In so many slots.
    pub runs: u32,
    /// Half of them at most.
    pub p50_seconds: f64,
    /// 99 of a hundred at most.
    pub p99_seconds: f64,
}

/// Memory after each slot.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Flat {
    /// Slots looked at.
    pub slots: u32,
    /// After the warm-up.
    pub first: Option<Bytes>,
    /// At the end.
    pub last: Option<Bytes>,
    /// Fitted growth since the warm-up, in bytes.
    pub growth: Option<f64>,
    /// Share of the pool held without use.
    pub fragmentation: Option<f64>,
    /// Whether it is no leak.
    pub ok: bool,
}

/// How something ended that was done on purpose.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    /// `None` where it was left out.
    pub ok: Option<bool>,
    /// What happened, or why it was left out.
    pub what: String,
}

impl Outcome {
    /// As it should.
    pub(crate) fn passed(what: impl Into<String>) -> Self {
        Self { ok: Some(true), what: what.into() }
    }

    /// Not as it should.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { ok: Some(false), what: what.into() }
    }

    /// Not done.
    pub(crate) fn skipped(what: impl Into<String>) -> Self {
        Self { ok: None, what: what.into() }
    }
}

/// What a look at memory costs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sampling {
    /// Who looked.
    pub probe: String,
    /// How often.
    pub looks: u32,
    /// Each.
    pub mean_microseconds: f64,
    /// Of one core, ten a second.
    pub core_share_at_10_hz: f64,
    /// Whether all answered, within bounds.
    pub ok: bool,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Whether all is well.
    pub ok: bool,
    /// Why the device cannot be used.
    pub unusable: Option<String>,
    /// This program's version.
    pub version: &'static str,
    /// Seconds since 1970.
    pub unix_time: u64,
    /// What was checked.
    pub device: DeviceId,
    /// What the card says of itself.
    pub card: Option<Facts>,
    /// What was loaded.
    pub bundle: String,
    /// How large the jobs were.
    pub size: String,
    /// No lease crossed it.
    pub limit: Bytes,
    /// Whether the weights fit at all.
    pub fit: Option<Outcome>,
    /// The parity fixtures.
    pub fixtures: Option<Fixtures>,
    /// A slot of the tiny bundle against the processor.
    pub parity: Vec<Parity>,
    /// Of each model.
    pub footprint: Vec<Footprint>,
    /// Seconds until every model had run once or twice.
    pub warm_up_seconds: f64,
    /// Speech and picture, each by itself.
    pub alone_seconds: [f64; 2],
    /// Of each stage.
    pub stages: Vec<StageTimes>,
    /// Of the video stage.
    pub frames_per_second: Option<f64>,
    /// The share of the shorter of speech and picture that disappears behind the longer.
    pub overlap: Option<f64>,
    /// After each slot.
    pub memory: Option<Flat>,
    /// Of a lease beyond the limit.
    pub refusal: Option<Outcome>,
    /// And what came after it.
    pub out_of_memory: Option<Outcome>,
    /// From Kokoro's second start to its passed canary.
    pub restart_seconds: Option<f64>,
    /// Of the watch.
    pub sampling: Option<Sampling>,
}

impl Report {
    /// Nothing found yet.
    pub(crate) fn new(device: DeviceId, limit: Bytes, unix_time: Duration) -> Self {
        Self {
            ok: false,
            unusable: None,
            version: env!("CARGO_PKG_VERSION"),
            unix_time: unix_time.as_secs(),
            device,
            card: None,
            bundle: String::new(),
            size: String::new(),
            limit,
            fit: None,
            fixtures: None,
            parity: Vec::new(),
            footprint: Vec::new(),
            warm_up_seconds: 0.0,
            alone_seconds: [0.0; 2],
            stages: Vec::new(),
            frames_per_second: None,
            overlap: None,
            memory: None,
            refusal: None,
            out_of_memory: None,
            restart_seconds: None,
            sampling: None,
        }
    }

    /// Whether all is well, entered.
    pub(crate) fn finish(&mut self) {
        let passed = |outcome: &Option<Outcome>| outcome.as_ref().is_some_and(|it| it.ok != Some(false));
        self.ok = self.unusable.is_none()
            && passed(&self.fit)
            && self.fixtures.as_ref().is_some_and(|fixtures| fixtures.outcome.ok != Some(false))
            && self.parity.iter().all(|parity| parity.ok)
            && self.footprint.iter().all(|footprint| footprint.within_budget)
            && self.memory.as_ref().is_some_and(|memory| memory.ok)
            && passed(&self.refusal)
            && passed(&self.out_of_memory)
            && self.sampling.as_ref().is_some_and(|sampling| sampling.ok);
    }
}
