//! From settings to what the parts are handed: the tree's behaviour, the models' limits, the device and how its memory
//! is looked at. Every value of [`Settings`] that a running node heeds passes through here, and nothing is decided twice.

use std::time::Duration;

use candle_core::Device;

use crate::actors::limits::ModelLimits;
use crate::actors::limits::SlotLimits;
use crate::actors::plan::{PlanPolicy, StagePolicy, StageTimeout};
use crate::actors::restart::{LadderPolicy, RestartPolicy};
use crate::actors::tree::OpenSlots;
use crate::actors::tree::TreeSettings;
use crate::actors::watchdog::WatchSettings;
use crate::app::BuildError;
use crate::clock;
use crate::config::{self, Devices, Recovery, Settings, T5Placement, Timeout};
use crate::cuda::{Fault, cards};
use crate::models::bundle::{Bundle, Precision};
use crate::models::catalog::load;
use crate::models::device;
use crate::models::flux::plan::{Options as FluxOptions, T5Place};
use crate::types::{Bytes, DeviceId, ModelId, PerStage};
use crate::vram::policy::{LeakSettings, RemedySettings, Thresholds, ThresholdsError};
use crate::vram::{
    ChainSettings, HostMemory, HostProbe, HostProbeSetup, MonitorSettings, Probe, ProbeChain, ProbeError,
    probes_of,
};

#[cfg(test)]
mod tests;

/// Before an actor other than a model's is started again: it holds nothing that takes time to come back.
const FIRST_ACTOR_DELAY: Duration = Duration::from_millis(100);

/// How a tree behaves on `device`, of which `free` was free at start: limits that are shares are resolved by it.
pub(crate) fn tree_settings(
    settings: &Settings,
    device: DeviceId,
    free: Bytes,
    open_slots: OpenSlots,
) -> Result<TreeSettings, BuildError> {
    let model = recovery(&settings.restart.model);
    Ok(TreeSettings {
        plan: PlanPolicy {
            stages: PerStage::from_fn(|stage| stage_policy(settings.stages.of(stage))),
            buffer: settings.slots.deadline_buffer,
        },
        slots: slot_limits(settings),
        watch: watch(settings, device, free)?,
        ladder: LadderPolicy { model, device: recovery(&settings.restart.device) },
        actors: RestartPolicy { first_delay: FIRST_ACTOR_DELAY.min(model.longest_delay), ..model },
        floor_tolerance: settings.memory.floor_tolerance,
        drain: settings.slots.drain,
        open_slots,
        stuck_after: settings.deadlines.stuck,
        hold: Duration::ZERO,
        // Nodes that failed together are not to come back together; where the system has no randomness, the clock
        // tells them apart well enough.
        seed: getrandom::u64().unwrap_or_else(|_| clock::unix_time().as_nanos() as u64),
    })
}

/// How many slots may be open at once.
pub(super) fn slot_limits(settings: &Settings) -> SlotLimits {
    SlotLimits { queue: settings.slots.queue, lookahead: settings.slots.lookahead }
}

/// Why limits contradict each other, as they are configured.
pub(super) fn limits_problem(
    settings: &Settings,
    device: DeviceId,
    free: Bytes,
    source: ThresholdsError,
) -> BuildError {
    let memory = &settings.memory;
    BuildError::Limits {
        soft: memory.soft_limit.to_string(),
        hard: memory.hard_limit.to_string(),
        hysteresis: memory.hysteresis,
        device,
        free,
        source,
    }
}

/// Where the hard limit lies, on a device of which `free` was free at start; what the ledger never promises beyond.
pub(crate) fn hard_limit(settings: &Settings, free: Bytes) -> Bytes {
    settings.memory.hard_limit.resolve(free)
}

/// How long each state of a model may last.
pub(crate) fn model_limits(settings: &Settings) -> ModelLimits {
    let deadlines = &settings.deadlines;
    ModelLimits {
        load: deadlines.loading,
        warm: deadlines.warming,
        stall: deadlines.busy,
        trim: deadlines.trimming,
        grace: deadlines.cancelling,
        idle: deadlines.ready,
        memory: deadlines.restarting,
    }
}

fn stage_policy(stage: config::StageSettings) -> StagePolicy {
    let timeout = match stage.timeout {
        Timeout::Fixed(limit) => StageTimeout::Fixed(limit),
        Timeout::TimesEstimate { factor, at_least } => StageTimeout::TimesEstimate(factor, at_least),
    };
    StagePolicy { timeout, retries: stage.retries, estimate: stage.estimate }
}

fn recovery(recovery: &Recovery) -> RestartPolicy {
    RestartPolicy {
        budget: recovery.budget,
        window: recovery.window,
        first_delay: recovery.backoff,
        longest_delay: recovery.backoff_max,
        jitter: recovery.jitter,
    }
}

fn watch(settings: &Settings, device: DeviceId, free: Bytes) -> Result<WatchSettings, BuildError> {
    let memory = &settings.memory;
    let (soft, hard) = (memory.soft_limit.resolve(free), memory.hard_limit.resolve(free));
    let thresholds = Thresholds::new(soft, hard, memory.hysteresis, memory.dwell, memory.stale_after);
    let thresholds = thresholds.map_err(|source| limits_problem(settings, device, free, source))?;
    // What a host allocator keeps of freed memory makes the floor vague; a card's driver counts exactly.
    let tolerance = match device {
        DeviceId::Cpu => memory.floor_tolerance,
        DeviceId::Cuda(_) | DeviceId::Scripted(_) => Bytes::ZERO,
    };
    let leak = LeakSettings {
        warm_up: memory.leak.warm_up,
        every: memory.leak.every_slots.get(),
        growth: memory.leak.growth,
        standard_errors: memory.leak.standard_errors,
        tolerance,
    };
    Ok(WatchSettings {
        period: memory.sample_every,
        snapshot_every: memory.snapshot_every,
        monitor: MonitorSettings {
            thresholds: thresholds.repeating_after(memory.act_again),
            leak,
            snapshots: memory.snapshots_kept,
        },
        overhead: memory.overhead,
        remedies: RemedySettings { settle: memory.act_again, ..RemedySettings::default() },
        blind_rebuild: memory.blind_rebuild,
        blind_at_most: memory.blind_at_most,
    })
}

/// The devices that models live on, in order: one, or several cards.
pub(crate) fn devices(settings: &Settings) -> Result<Vec<DeviceId>, BuildError> {
    chosen(settings).map(|(devices, _)| devices)
}

/// The same, and why `"auto"` leaves a card out.
fn chosen(settings: &Settings) -> Result<(Vec<DeviceId>, Vec<String>), BuildError> {
    match &settings.device {
        Devices::Auto => Ok(best_devices(cards(), |card| open(card, settings).map(drop))),
        Devices::Listed(devices) => match devices.iter().find(|it| matches!(it, DeviceId::Scripted(_))) {
            Some(device) => Err(BuildError::Scripted(*device)),
            None => Ok((devices.clone(), Vec::new())),
        },
    }
}

/// What `"auto"` stands for where the driver counts so many cards: every card that can be opened, else the processor; and
/// why the others are left out. A build or a machine without a driver has none to leave out.
fn best_devices(
    counted: Result<u32, Fault>,
    open: impl Fn(DeviceId) -> Result<(), BuildError>,
) -> (Vec<DeviceId>, Vec<String>) {
    let (mut usable, mut left_out) = (Vec::new(), Vec::new());
    let count = counted.unwrap_or_else(|fault| {
        if !matches!(fault, Fault::NotBuilt | Fault::NoDriver) {
            left_out.push(format!("all cards are left out: {fault}"));
        }
        0
    });
    for card in (0..count).map(DeviceId::Cuda) {
        match open(card) {
            Ok(()) => usable.push(card),
            Err(failed) => left_out.push(format!("{card} is left out: {failed}")),
        }
    }
    if usable.is_empty() {
        usable.push(DeviceId::Cpu);
    }
    (usable, left_out)
}

/// A device that models can be loaded onto: opened, and its memory looked at.
pub(crate) struct Opened {
    /// The device.
    pub id: DeviceId,
    /// For what has to know its kind.
    pub device: Device,
    /// How its memory is looked at.
    pub chain: ProbeChain,
    /// How much of it was free then.
    pub free: Bytes,
}

/// Every device of the settings that `fits`, the one with most free memory first, and why `"auto"` leaves one out. A
/// device that is named and cannot be used, or of which `fits` complains, is refused by name.
pub(crate) fn open_all(
    settings: &Settings,
    fits: impl Fn(&Opened) -> Result<(), BuildError>,
) -> Result<(Vec<Opened>, Vec<String>), BuildError> {
    let (wanted, mut left_out) = chosen(settings)?;
    let (mut all, mut first) = (Vec::new(), None);
    for id in wanted {
        let opened = open(id, settings).and_then(|device| {
            let (chain, free) = probe_chain(settings, id)?;
            let opened = Opened { id, device, chain, free };
            fits(&opened).map_err(|error| error.on(id))?;
            Ok(opened)
        });
        match opened {
            Ok(opened) => all.push(opened),
            Err(failed) if settings.device != Devices::Auto => return Err(failed),
            Err(failed) => {
                left_out.push(format!("{id} is left out: {failed}"));
                first.get_or_insert(failed);
            }
        }
    }
    if let Some(failed) = first.filter(|_| all.is_empty()) {
        return Err(failed);
    }
    // Stable: of equally free ones the first stays first.
    all.sort_by_key(|opened| std::cmp::Reverse(opened.free));
    Ok((all, left_out))
}

/// `device`, opened for models.
pub(crate) fn open(device: DeviceId, settings: &Settings) -> Result<Device, BuildError> {
    // What a model says of a device that cannot be used is what the operator needs to know.
    device::open(device, pool_kept(settings)).map_err(BuildError::Device)
}

/// What a card's pool may keep unused between jobs; every model's device is opened with it.
pub(crate) fn pool_kept(settings: &Settings) -> Bytes {
    settings.memory.pool_release_threshold
}

fn chain_settings(settings: &Settings) -> ChainSettings {
    let (max_age, retry_after) = (settings.memory.stale_after, settings.memory.probe_retry);
    ChainSettings { max_age, retry_after, ..ChainSettings::default() }
}

/// How the memory of `device` is looked at, and how much of it is free now.
pub(crate) fn probe_chain(settings: &Settings, device: DeviceId) -> Result<(ProbeChain, Bytes), BuildError> {
    let unread = |source| BuildError::Memory { device, source };
    let probes: Vec<Box<dyn Probe>> = match device {
        DeviceId::Cuda(_) => probes_of(device, None),
        DeviceId::Cpu | DeviceId::Scripted(_) => vec![Box::new(host_probe().map_err(unread)?)],
    };
    let mut chain = ProbeChain::new(probes, chain_settings(settings));
    match chain.sample(clock::now()).sample {
        Some(sample) => Ok((chain, sample.free)),
        None => {
            let why: Vec<String> =
                chain.standing().filter_map(|(_, trouble)| trouble.map(ToString::to_string)).collect();
            Err(BuildError::Blind { device, why: why.join("; ") })
        }
    }
}

/// New probes of `device`, for when the old ones have seen nothing for long. The host's probe may be missing: then the
/// chain is blind, like the one before.
pub(crate) fn new_probes(settings: &Settings, device: DeviceId) -> ProbeChain {
    let probes: Vec<Box<dyn Probe>> = match device {
        DeviceId::Cuda(_) => probes_of(device, None),
        DeviceId::Cpu | DeviceId::Scripted(_) => {
            host_probe().ok().into_iter().map(|probe| Box::new(probe) as Box<dyn Probe>).collect()
        }
    };
    ProbeChain::new(probes, chain_settings(settings))
}

/// Looks at this process; its total is what the machine and its control groups leave the process.
fn host_probe() -> Result<HostProbe, ProbeError> {
    let own = HostProbe::new(HostProbeSetup::default()).sample(clock::now())?.used;
    let total = HostMemory::default().available()?.saturating_add(own);
    Ok(HostProbe::new(HostProbeSetup { total: Some(total), ..HostProbeSetup::default() }))
}

/// `bundle` as the settings would have it: precisions that they name go over the bundle's.
pub(crate) fn with_precisions(mut bundle: Bundle, settings: &Settings) -> Bundle {
    for (model, entry) in &mut bundle.models {
        if let Some(precision) = precision(settings.models.budget(*model).precision) {
            entry.precision = precision;
            // The setting is for the model, or of Flux for its transformer; what the bundle says of other parts stays.
            if *model != ModelId::Flux {
                entry.parts.clear();
            } else {
                entry.parts.remove("transformer");
            }
        }
    }
    bundle
}

fn precision(setting: config::Precision) -> Option<Precision> {
    Some(match setting {
        config::Precision::Bundle => return None,
        config::Precision::F32 => Precision::F32,
        config::Precision::F16 => Precision::F16,
        config::Precision::Bf16 => Precision::Bf16,
        config::Precision::Int8 => Precision::Q8_0,
        config::Precision::Nf4 => Precision::Nf4,
        config::Precision::Nf4Nested => Precision::Nf4Nested,
    })
}

/// How Flux of `bundle` is loaded; the settings' precisions are in the bundle already ([`with_precisions`]).
pub(crate) fn flux_options(bundle: &Bundle, settings: &Settings) -> Result<FluxOptions, BuildError> {
    let entry = bundle.model(ModelId::Flux)?;
    let own = entry.parts.get("text_encoder_2").copied().unwrap_or(entry.precision);
    let t5 = match settings.models.flux.t5 {
        T5Placement::Resident => T5Place::Resident(own.into()),
        T5Placement::Streamed => T5Place::Streamed,
    };
    let modulation_in_host = settings.models.flux.modulation_on_host;
    Ok(FluxOptions { t5, modulation_in_host, ..load::flux_options(entry) })
}
