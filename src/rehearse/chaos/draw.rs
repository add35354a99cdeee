//! A scenario out of a seed: everything that a scenario can say, several misfortunes at once.
//!
//! What is drawn makes sense (a look is not stale before the next one, memory has the time of three looks to come back), so
//! that whatever ends wrongly is the node's fault and not the scenario's. Plays nothing.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::dice::Dice;
use crate::actors::handle::ActorName;
use crate::actors::plan::StageTimeout;
use crate::rehearse::scenario::{Arrivals, Device, Fault, Part, RunFault, Scenario};
use crate::types::{Bytes, DeviceId, ModelId, Stage};
use crate::vram::ScriptedFault;

/// Misfortunes of one scenario at most: more only hide each other.
const MISFORTUNES: u64 = 9;
/// Slots of one scenario at most: leaks are judged after as few as five.
const SLOTS: u64 = 90;
/// Beyond the last arrival and misfortune and the time that the work takes: several times any bound.
const MARGIN: Duration = Duration::from_secs(3600);
/// Slowest that work may get: a slot's walk and a restart of every model it needs.
const PER_SLOT: Duration = Duration::from_secs(60);

/// Slowest that a load may get, with the backoff before it.
const PER_LOAD: Duration = Duration::from_secs(90);
/// Ten days: what a scenario may simulate at most, however much it says.
const LONGEST: Duration = Duration::from_secs(864_000);

/// The scenario of `seed`: always the same one.
pub fn draw(seed: u64) -> Scenario {
    let mut dice = Dice::new(seed);
    let mut it = Scenario { about: format!("chaos: seed {seed}"), ..Scenario::default() };
    it.seed = dice.below(1 << 32);
    it.processes = if dice.chance(30) { 0 } else { dice.within(1, 8) };
    it.settle = dice.one_of([5, 5, 5, 60, 600, 1500].map(Duration::from_secs));
    if dice.chance(20) {
        it.package = dice.seconds(0, 3);
    }
    device(&mut dice, &mut it.device);
    for model in ModelId::ALL {
        if dice.chance(25) {
            part(&mut dice, &mut it.parts[model]);
        }
    }
    for stage in Stage::ALL {
        if dice.chance(15) {
            it.stages[stage].timeout = StageTimeout::Fixed(dice.seconds(15, 90));
            it.stages[stage].retries = dice.below(3) as u32;
        }
    }
    if dice.chance(60) {
        policy(&mut dice, &mut it);
    }
    it.arrivals = arrivals(&mut dice);
    let (slots, busy) = (slots(&it.arrivals), busy_until(&it.arrivals));
    let count = it.device.count.get();
    for _ in 0..dice.within(1, MISFORTUNES) {
        let misfortune = misfortune(&mut dice, slots, busy);
        // The whole node is told to shut down, no single device.
        let single = count > 1 && !matches!(misfortune, Fault::Shutdown { .. }) && dice.chance(50);
        it.faults.push(if single {
            let place = DeviceId::Scripted(dice.below(u64::from(count)) as u32);
            Fault::On(place, Box::new(misfortune))
        } else {
            misfortune
        });
    }
    it.limit = horizon(&it);
    it
}

/// Simulated time after which whatever is still under way in `it` never ends.
pub(super) fn horizon(it: &Scenario) -> Duration {
    const MINUTE: u64 = 60;
    let slowed: Duration = it.faults.iter().map(slowed_by).sum();
    let last = it.faults.iter().map(Fault::over_at).max().unwrap_or_default().max(busy_until(&it.arrivals));
    // What waits for something that never comes ends at its deadline, and only then it shows what the node does without.
    let deadline = it.arrivals.iter().map(|arrivals| arrivals.deadline).max().unwrap_or_default();
    let work = PER_SLOT.saturating_mul(u32::try_from(slots(&it.arrivals)).unwrap_or(u32::MAX));
    let parts = [last, deadline, work, slowed, it.settle, MARGIN];
    let whole = parts.into_iter().fold(Duration::ZERO, Duration::saturating_add);
    Duration::from_secs(whole.as_secs().div_ceil(MINUTE).saturating_mul(MINUTE)).min(LONGEST)
}

/// How much longer everything may take because of `fault`.
fn slowed_by(fault: &Fault) -> Duration {
    let times = |time: Duration, count: u64| time.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
    match fault {
        Fault::On(_, fault) => slowed_by(fault),
        Fault::Run { slots, attempts, how: RunFault::Slow(by), .. } => {
            times(*by, slots.saturating_mul(*attempts))
        }
        Fault::Load { times: count, .. } => times(PER_LOAD, *count),
        _ => Duration::ZERO,
    }
}

fn slots(arrivals: &[Arrivals]) -> u64 {
    arrivals.iter().map(|arrivals| arrivals.count).sum()
}

fn busy_until(arrivals: &[Arrivals]) -> Duration {
    let end = |it: &Arrivals| {
        it.at.saturating_add(it.every.saturating_mul(u32::try_from(it.count).unwrap_or(u32::MAX)))
    };
    arrivals.iter().map(end).max().unwrap_or_default()
}

fn nonzero(count: u64) -> NonZeroU32 {
    u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

fn nonzero_usize(count: u64) -> NonZeroUsize {
    usize::try_from(count).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
}

fn device(dice: &mut Dice, it: &mut Device) {
    it.count = nonzero(dice.one_of([1, 1, 1, 1, 1, 1, 2, 2, 2, 3]));
    it.standby = it.count.get() > 1 && dice.chance(20);
    if dice.chance(30) {
        it.soft_limit = Bytes::mb(dice.within(100, 112) * 100);
        it.hard_limit = it.soft_limit.saturating_add(Bytes::mb(dice.within(2, 10) * 100));
        it.hysteresis = Bytes::mb(dice.within(1, 6) * 100);
        it.dwell = dice.seconds(0, 10);
        it.overhead = Bytes::mb(dice.within(1, 8) * 100);
    }
    if dice.chance(25) {
        it.sample_every = dice.one_of([250, 500, 2000, 5000].map(Duration::from_millis));
        it.stale_after = it.sample_every * dice.within(2, 5) as u32;
    }
}

fn part(dice: &mut Dice, it: &mut Part) {
    it.load = dice.time(Duration::from_millis(200), Duration::from_secs(60));
    it.canary = dice.time(Duration::from_millis(100), Duration::from_secs(5));
    it.run = it.run.mul_f64(dice.within(4, 11) as f64 / 10.0);
    it.steps = nonzero(dice.within(1, 30));
    let tenths = |bytes: Bytes, share: u64| Bytes::mb(bytes.get() / 1_000_000 * share / 10);
    it.resident = tenths(it.budget, dice.within(6, 10));
    it.workspace = tenths(it.workspace, dice.within(5, 15));
    if dice.chance(30) {
        it.slack = dice.megabytes(10, 500);
    }
}

fn policy(dice: &mut Dice, it: &mut Scenario) {
    it.queue = nonzero_usize(dice.within(1, 32));
    it.lookahead = nonzero_usize(dice.within(1, 4));
    it.restart.budget = nonzero(dice.within(1, 8));
    it.restart.window = dice.seconds(60, 1200);
    it.restart.first_delay = dice.time(Duration::from_millis(100), Duration::from_secs(2));
    it.cordon = dice.seconds(5, 120);
    it.grace = dice.seconds(2, 20);
    it.stall = dice.seconds(20, 90);
    it.memory_back = dice.seconds(10, 30).max(it.device.sample_every * 3);
    it.drain = dice.seconds(1, 120);
    it.leak_every = nonzero(dice.within(5, 100));
}

fn arrivals(dice: &mut Dice) -> Vec<Arrivals> {
    let mut all: Vec<Arrivals> = Vec::new();
    for _ in 0..dice.within(1, 4) {
        let left = SLOTS.saturating_sub(slots(&all));
        if left == 0 {
            break;
        }
        let every = match dice.below(4) {
            0 => Duration::ZERO,
            1 => dice.seconds(60, 240),
            _ => dice.seconds(3, 45),
        };
        let most = if every > Duration::from_secs(45) { 12 } else { 40 };
        all.push(Arrivals {
            at: dice.seconds(0, 240),
            count: dice.within(1, most.min(left)),
            every,
            deadline: dice.one_of([30, 60, 120, 600, 600, 3600, 3600].map(Duration::from_secs)),
            patient: dice.chance(65),
            cancel_after: dice.chance(15).then(|| dice.seconds(0, 90)),
        });
    }
    all
}

fn misfortune(dice: &mut Dice, slots: u64, busy: Duration) -> Fault {
    let model = dice.one_of(ModelId::ALL);
    let late = busy.saturating_add(Duration::from_secs(60));
    match dice.below(100) {
        0..25 => run(dice, slots),
        25..32 => Fault::Load {
            model,
            after: dice.below(4),
            // Enough to spend any budget; for good it would be the scenario that never lets the node be ready.
            times: if dice.chance(10) { 30 } else { dice.within(1, 8) },
            unusable: dice.chance(5),
        },
        32..43 => {
            let at = dice.time(Duration::ZERO, late);
            let until = at.saturating_add(dice.seconds(20, 1200));
            Fault::Drift { model, per_minute: dice.megabytes(50, 4000), at, until }
        }
        43..63 => Fault::Leak { model, per_slot: dice.megabytes(5, 900) },
        63..67 => Fault::Keep { model },
        67..77 => Fault::Others {
            at: dice.time(Duration::ZERO, late),
            lasts: dice.seconds(3, 900),
            bytes: dice.megabytes(200, 8000),
        },
        77..84 => Fault::Probe {
            at: dice.time(Duration::ZERO, late),
            lasts: dice.seconds(1, 600),
            how: dice.one_of([
                ScriptedFault::Missing,
                ScriptedFault::Failing,
                ScriptedFault::UsedAboveTotal,
                ScriptedFault::NoTotal,
                ScriptedFault::HalfTotal,
                ScriptedFault::Frozen,
            ]),
        },
        84..97 => {
            use ActorName::{Models, Node, Orchestrator, Root, Watchdog};
            let actor = dice.one_of([Root, Node, Watchdog, Watchdog, Models, Orchestrator]);
            let actor = if dice.chance(40) { ActorName::Model(model) } else { actor };
            Fault::Kill { actor, at: dice.time(Duration::ZERO, late) }
        }
        _ => Fault::Shutdown { at: dice.time(Duration::ZERO, late) },
    }
}

fn run(dice: &mut Dice, slots: u64) -> Fault {
    let how = match dice.below(6) {
        0 => RunFault::OutOfMemory,
        1 => RunFault::Panic,
        2 => RunFault::Error,
        3 => RunFault::Hang,
        4 => RunFault::Poison,
        _ => RunFault::Slow(dice.seconds(1, 120)),
    };
    Fault::Run {
        stage: dice.one_of([Stage::Audio, Stage::Image, Stage::Video, Stage::Verify]),
        slot: dice.within(1, slots.max(1)),
        slots: if dice.chance(70) { 1 } else { dice.within(2, 6) },
        attempts: dice.one_of([1, 1, 1, 2, 5]),
        how,
    }
}
