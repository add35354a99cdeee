//! A failing scenario made smaller: whatever can go goes, as long as it fails in the same way.
//!
//! Greedy and without chance: the same scenario shrinks to the same one. Knows what is smaller, not what failing is.

use std::collections::HashSet;
use std::time::Duration;

use super::draw::horizon;
use crate::rehearse::scenario::{Arrivals, Fault, Scenario};
use crate::types::{DeviceId, ModelId, Stage};

/// Tries at most: each plays a whole scenario, and the last ones win little.
const TRIES: usize = 400;

/// The smallest scenario found that still `fails`, and how many were tried. Only what reads back from its own text is tried.
pub fn shrink(from: &Scenario, fails: &mut dyn FnMut(&Scenario) -> bool) -> (Scenario, usize) {
    let mut best = from.clone();
    let mut tried: HashSet<String> = HashSet::from([best.to_toml()]);
    let mut tries = 0;
    loop {
        let before = best.clone();
        for smaller in PASSES {
            // After every success the pass begins again, with what is left.
            while let Some(found) = smaller(&best).into_iter().find_map(|candidate| {
                let text = candidate.to_toml();
                if tries >= TRIES || !tried.insert(text.clone()) {
                    return None;
                }
                let read: Scenario = text.parse().ok()?;
                tries += 1;
                fails(&read).then_some(read)
            }) {
                best = found;
            }
        }
        if best == before || tries >= TRIES {
            return (best, tries);
        }
    }
}

/// Scenarios that are smaller than the given one, the smallest first.
type Pass = fn(&Scenario) -> Vec<Scenario>;

/// What is won most by first; a shorter limit makes every later try cheaper.
const PASSES: [Pass; 12] = [
    shorter_limit,
    fewer_misfortunes,
    fewer_arrivals,
    fewer_cards,
    fewer_processes,
    usual_settings,
    fewer_slots,
    simpler_arrivals,
    simpler_misfortunes,
    rounder_arrivals,
    rounder_misfortunes,
    usual_details,
];

fn changed(it: &Scenario, change: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut other = it.clone();
    change(&mut other);
    other
}

/// `all` without its first half, without its second, and without each.
fn without<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    let (first, second) = all.split_at(all.len() / 2);
    let halves = [second.to_vec(), first.to_vec()].into_iter().filter(|half| half.len() + 1 < all.len());
    let without_one = (0..all.len()).map(|gone| {
        let rest = all.iter().enumerate().filter(|(place, _)| *place != gone);
        rest.map(|(_, it)| it.clone()).collect()
    });
    halves.chain(without_one).collect()
}

fn shorter_limit(it: &Scenario) -> Vec<Scenario> {
    let limit = horizon(it);
    if limit < it.limit { vec![changed(it, |other| other.limit = limit)] } else { Vec::new() }
}

fn fewer_misfortunes(it: &Scenario) -> Vec<Scenario> {
    without(&it.faults).into_iter().map(|faults| changed(it, |other| other.faults = faults)).collect()
}

fn fewer_arrivals(it: &Scenario) -> Vec<Scenario> {
    without(&it.arrivals).into_iter().map(|arrivals| changed(it, |other| other.arrivals = arrivals)).collect()
}

fn fewer_cards(it: &Scenario) -> Vec<Scenario> {
    let usual = Scenario::default();
    let everywhere = |fault: &Fault| match fault {
        Fault::On(_, inner) => (**inner).clone(),
        fault => fault.clone(),
    };
    let mut all = Vec::new();
    if it.device.count > usual.device.count {
        all.push(changed(it, |other| {
            (other.device.count, other.device.standby) = (usual.device.count, false);
            other.faults = it.faults.iter().map(everywhere).collect();
        }));
        all.push(changed(it, |other| {
            (other.device.count, other.device.standby) = (usual.device.count, false);
            other.faults.retain(|fault| fault.on(DeviceId::Scripted(0)).is_some());
            other.faults.iter_mut().for_each(|fault| *fault = everywhere(fault));
        }));
        all.push(changed(it, |other| other.device.standby = false));
        if it.device.count.get() > 2 {
            all.push(changed(it, |other| {
                other.device.count = usual.device.count.saturating_add(1);
                let there = |id: DeviceId| matches!(id, DeviceId::Scripted(0 | 1));
                other.faults.retain(|fault| !matches!(fault, Fault::On(id, _) if !there(*id)));
            }));
        }
    }
    all
}

fn fewer_processes(it: &Scenario) -> Vec<Scenario> {
    let fewer = [0, 1, it.processes / 2, it.processes.saturating_sub(1)];
    let fewer = fewer.into_iter().filter(|count| *count < it.processes);
    fewer.map(|count| changed(it, |other| other.processes = count)).collect()
}

fn usual_settings(it: &Scenario) -> Vec<Scenario> {
    let usual = Scenario::default();
    let mut all = vec![
        changed(it, |other| {
            let (count, standby) = (it.device.count, it.device.standby);
            *other =
                Scenario { limit: it.limit, settle: it.settle, processes: it.processes, ..usual.clone() };
            (other.device.count, other.device.standby) = (count, standby);
            other.about.clone_from(&it.about);
            other.expect.clone_from(&it.expect);
            (other.arrivals, other.faults) = (it.arrivals.clone(), it.faults.clone());
        }),
        changed(it, |other| {
            let (count, standby) = (it.device.count, it.device.standby);
            other.device = usual.device;
            (other.device.count, other.device.standby) = (count, standby);
        }),
        changed(it, |other| other.parts = usual.parts),
        changed(it, |other| other.stages = usual.stages),
        changed(it, |other| {
            (other.queue, other.lookahead, other.buffer) = (usual.queue, usual.lookahead, usual.buffer);
        }),
        changed(it, |other| (other.restart, other.cordon) = (usual.restart, usual.cordon)),
        changed(it, |other| {
            (other.grace, other.stall, other.memory_back, other.drain) =
                (usual.grace, usual.stall, usual.memory_back, usual.drain);
        }),
        changed(it, |other| other.leak_every = usual.leak_every),
        changed(it, |other| other.package = usual.package),
        changed(it, |other| other.settle = usual.settle),
        changed(it, |other| other.seed = usual.seed),
        changed(it, |other| other.device.sample_every = usual.device.sample_every),
    ];
    all.extend(ModelId::ALL.map(|model| changed(it, |other| other.parts[model] = usual.parts[model])));
    all.extend(Stage::ALL.map(|stage| changed(it, |other| other.stages[stage] = usual.stages[stage])));
    all
}

/// Single settings of what could not go back to the usual as a whole.
fn usual_details(it: &Scenario) -> Vec<Scenario> {
    let usual = Scenario::default();
    let mut all = vec![
        changed(it, |other| other.queue = usual.queue),
        changed(it, |other| other.lookahead = usual.lookahead),
        changed(it, |other| other.restart.budget = usual.restart.budget),
        changed(it, |other| other.restart.window = usual.restart.window),
        changed(it, |other| other.restart.first_delay = usual.restart.first_delay),
        changed(it, |other| other.cordon = usual.cordon),
        changed(it, |other| other.grace = usual.grace),
        changed(it, |other| other.stall = usual.stall),
        changed(it, |other| other.memory_back = usual.memory_back),
        changed(it, |other| other.drain = usual.drain),
        changed(it, |other| other.device.hysteresis = usual.device.hysteresis),
        changed(it, |other| other.device.dwell = usual.device.dwell),
        changed(it, |other| other.device.overhead = usual.device.overhead),
        changed(it, |other| other.device.stale_after = usual.device.stale_after),
    ];
    for (model, was) in &usual.parts {
        all.extend([
            changed(it, |other| other.parts[model].load = was.load),
            changed(it, |other| other.parts[model].canary = was.canary),
            changed(it, |other| (other.parts[model].run, other.parts[model].steps) = (was.run, was.steps)),
            changed(it, |other| other.parts[model].resident = was.resident),
            changed(it, |other| other.parts[model].workspace = was.workspace),
            changed(it, |other| other.parts[model].slack = was.slack),
        ]);
    }
    all
}

/// `it` with one of its arrivals changed, for each and each of `changes`.
fn each_arrival(it: &Scenario, changes: &[&dyn Fn(&mut Arrivals)]) -> Vec<Scenario> {
    let places = 0..it.arrivals.len();
    let change = |place: usize, change: &dyn Fn(&mut Arrivals)| {
        changed(it, |other| {
            if let Some(arrivals) = other.arrivals.get_mut(place) {
                change(arrivals);
            }
        })
    };
    places.flat_map(|place| changes.iter().map(move |it| change(place, *it)).collect::<Vec<_>>()).collect()
}

fn fewer_slots(it: &Scenario) -> Vec<Scenario> {
    each_arrival(
        it,
        &[
            &|arrivals| arrivals.count = 1,
            &|arrivals| arrivals.count = arrivals.count.div_ceil(2),
            &|arrivals| arrivals.count = (arrivals.count - arrivals.count / 4).max(1),
            &|arrivals| arrivals.count = arrivals.count.saturating_sub(1).max(1),
        ],
    )
}

fn simpler_arrivals(it: &Scenario) -> Vec<Scenario> {
    let usual = Arrivals::default();
    each_arrival(
        it,
        &[
            &|arrivals| *arrivals = Arrivals { count: arrivals.count, ..usual },
            &|arrivals| arrivals.cancel_after = None,
            &|arrivals| arrivals.deadline = usual.deadline,
            &|arrivals| arrivals.patient = usual.patient,
            &|arrivals| arrivals.every = Duration::ZERO,
            &|arrivals| arrivals.at = usual.at,
        ],
    )
}

/// `it` with one of its misfortunes changed, for each and each of `changes`.
fn each_misfortune(it: &Scenario, changes: &[&dyn Fn(&mut Fault)]) -> Vec<Scenario> {
    fn inner(fault: &mut Fault) -> &mut Fault {
        match fault {
            Fault::On(_, fault) => inner(fault),
            fault => fault,
        }
    }
    let change = |place: usize, change: &dyn Fn(&mut Fault)| {
        changed(it, |other| other.faults.get_mut(place).into_iter().for_each(|fault| change(inner(fault))))
    };
    let places = 0..it.faults.len();
    places.flat_map(|place| changes.iter().map(move |it| change(place, *it)).collect::<Vec<_>>()).collect()
}

fn simpler_misfortunes(it: &Scenario) -> Vec<Scenario> {
    let everywhere = (0..it.faults.len()).filter_map(|place| match &it.faults[place] {
        Fault::On(_, fault) => Some(changed(it, |other| other.faults[place] = (**fault).clone())),
        _ => None,
    });
    let simpler = each_misfortune(
        it,
        &[
            &|fault| match fault {
                Fault::Run { slots, attempts, .. } => (*slots, *attempts) = (1, 1),
                Fault::Load { after, times, .. } => (*after, *times) = (0, 1),
                Fault::Others { lasts, .. } | Fault::Probe { lasts, .. } => *lasts = halved(*lasts),
                Fault::Drift { at, until, .. } => *until = *at + halved(until.saturating_sub(*at)),
                _ => {}
            },
            &|fault| match fault {
                Fault::Run { slot, .. } => *slot = 1,
                Fault::Load { times, .. } => *times = times.div_ceil(2),
                _ => {}
            },
        ],
    );
    everywhere.chain(simpler).collect()
}

/// Half of it in whole seconds, at least one.
fn halved(time: Duration) -> Duration {
    Duration::from_secs((time.as_secs() / 2).max(1))
}

/// To whole multiples of this many seconds.
fn rounded(time: &mut Duration, to: u64) {
    *time = Duration::from_secs(time.as_secs() / to * to);
}

fn rounder_arrivals(it: &Scenario) -> Vec<Scenario> {
    let round = |to: u64| {
        move |arrivals: &mut Arrivals| {
            rounded(&mut arrivals.at, to);
            rounded(&mut arrivals.every, to);
        }
    };
    each_arrival(it, &[&round(60), &round(10), &round(1)])
}

fn rounder_misfortunes(it: &Scenario) -> Vec<Scenario> {
    let round = |to: u64| {
        move |fault: &mut Fault| match fault {
            Fault::Kill { at, .. } | Fault::Shutdown { at } => rounded(at, to),
            Fault::Others { at, lasts, .. } | Fault::Probe { at, lasts, .. } => {
                rounded(at, to);
                rounded(lasts, to);
            }
            Fault::Drift { at, until, .. } => {
                rounded(at, to);
                rounded(until, to);
            }
            _ => {}
        }
    };
    each_misfortune(it, &[&round(60), &round(10), &round(1)])
}
