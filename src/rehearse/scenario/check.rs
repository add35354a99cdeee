//! What is fine by itself and makes no sense together.

use std::time::Duration;

use super::{Device, Fault, Scenario};
use crate::rehearse::reader::Problems;
use crate::types::Bytes;

/// A year: what a rehearsal may simulate at most, so that sums of instants cannot overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Complains of every contradiction in `it`.
pub(super) fn check(it: &Scenario, problems: &Problems) {
    let device = &it.device;
    let wrong = |key: &str, value: String, what: String| problems.add(key, Some(value), what);
    if device.soft_limit >= device.hard_limit {
        let what = format!("must be below device.hard_limit, {}", device.hard_limit);
        wrong("device.soft_limit", device.soft_limit.to_string(), what);
    }
    if device.hysteresis >= device.soft_limit {
        let what = format!("must be below device.soft_limit, {}", device.soft_limit);
        wrong("device.hysteresis", device.hysteresis.to_string(), what);
    }
    if device.hard_limit > device.total {
        let what = format!("must not be above device.total, {}", device.total);
        wrong("device.hard_limit", device.hard_limit.to_string(), what);
    }
    if device.stale_after < device.sample_every {
        let what = format!("must not be below device.sample_every, {:?}", device.sample_every);
        wrong("device.stale_after", format!("{:?}", device.stale_after), what);
    }
    if it.limit > LONGEST {
        wrong("limit", format!("{:?}", it.limit), format!("accepted: at most {LONGEST:?}"));
    }
    if it.restart.first_delay > it.restart.longest_delay {
        let what = format!("must not be above policy.backoff_max, {:?}", it.restart.longest_delay);
        wrong("policy.backoff", format!("{:?}", it.restart.first_delay), what);
    }
    let budgets: Bytes =
        it.parts.values().map(|part| part.budget).sum::<Bytes>().saturating_add(device.overhead);
    if budgets > device.hard_limit {
        let what = format!("they must fit under device.hard_limit, {}", device.hard_limit);
        wrong("models", format!("{budgets} of budgets and overhead"), what);
    }
    for (place, arrivals) in it.arrivals.iter().enumerate() {
        let last = arrivals.every.checked_mul(u32::try_from(arrivals.count).unwrap_or(u32::MAX));
        let end = last.and_then(|last| last.checked_add(arrivals.at));
        if end.is_none_or(|end| end > it.limit) && !arrivals.patient {
            let key = format!("arrivals[{place}]");
            problems.add(key, None, format!("the last arrives after the scenario's limit, {:?}", it.limit));
        }
    }
    for (place, fault) in it.faults.iter().enumerate() {
        if fault.over_at() > it.limit {
            let key = format!("faults[{place}]");
            problems.add(key, None, format!("it ends after the scenario's limit, {:?}", it.limit));
        }
        let arriving: u64 = it.arrivals.iter().map(|arrivals| arrivals.count).sum();
        if let Fault::On(device, what) = fault {
            let key = format!("faults[{place}].device");
            if matches!(**what, Fault::Shutdown { .. }) {
                problems.add(
                    &key,
                    Some(device.to_string()),
                    "the whole node is told to shut down; accepted: none",
                );
            } else if !it.device.ids().any(|id| id == *device) {
                let known = known(&it.device);
                problems.add(&key, Some(device.to_string()), format!("accepted: {known}"));
            }
        }
        let fault = if let Fault::On(_, fault) = fault { fault } else { fault };
        if let Fault::Run { slot, .. } = fault
            && *slot > arriving
        {
            let key = format!("faults[{place}].slot");
            problems.add(key, Some(slot.to_string()), format!("only {arriving} slots arrive"));
        }
    }
}

fn known(device: &Device) -> String {
    let ids: Vec<String> = device.ids().map(|id| id.to_string()).collect();
    ids.join(", ")
}
