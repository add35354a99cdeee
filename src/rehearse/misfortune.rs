//! Whatever goes wrong at a time of its own: memory of others, probes, drifts, kills, shutdowns.
//!
//! What goes wrong in loads and runs happens on the stage, in [`scripted_models`](super::scripted_models).

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::scenario::{Fault, Scenario};
use super::theatre::{free, leak};
use crate::actors::handle::NodeHandle;
use crate::actors::placement::DeviceIndex;
use crate::actors::registry::ModelState;
use crate::clock;
use crate::exit::Exit;
use crate::types::{Bytes, DeviceId};
use crate::vram::{ScriptedChange, ScriptedDevice};

/// Starts every misfortune of `scenario`, which began at `start`, on every device that it befalls.
pub(super) fn let_happen(
    scenario: &Scenario,
    start: Instant,
    handle: &NodeHandle,
    devices: &[(DeviceId, ScriptedDevice)],
) -> JoinSet<()> {
    let mut misfortunes = JoinSet::new();
    for (card, (id, device)) in DeviceIndex::all(devices.len()).zip(devices) {
        for fault in scenario.faults.iter().filter_map(|fault| fault.on(*id)) {
            let place = Place { handle: handle.clone(), card, device: device.clone() };
            let (fault, drain) = (fault.clone(), scenario.drain);
            misfortunes.spawn(async move { happen(fault, place, start, drain).await });
        }
    }
    misfortunes
}

/// Where a misfortune happens.
struct Place {
    handle: NodeHandle,
    card: DeviceIndex,
    device: ScriptedDevice,
}

async fn happen(fault: Fault, place: Place, start: Instant, drain: Duration) {
    let Place { handle, card, device } = place;
    // What lies in the past happened to an earlier process.
    let until = async |at: Duration| {
        let ahead = start + at > clock::now();
        tokio::time::sleep_until((start + at).into()).await;
        ahead
    };
    match fault {
        Fault::Others { at, lasts, bytes } => {
            until(at).await;
            if clock::now() < start + at + lasts {
                // Several others add up, and none gets more than there is.
                let taken = bytes.min(free(&device));
                add_to_others(&device, taken);
                until(at + lasts).await;
                let others = device.figures().others.saturating_sub(taken);
                device.apply(ScriptedChange::Others(others));
            }
        }
        Fault::Probe { at, lasts, how } => {
            until(at).await;
            if clock::now() < start + at + lasts {
                device.apply(ScriptedChange::Fault(Some(how)));
                until(at + lasts).await;
                device.apply(ScriptedChange::Fault(None));
            }
        }
        Fault::Drift { model, per_minute, at, until: end } => {
            until(at).await;
            while clock::now() < start + end {
                tokio::time::sleep(Duration::from_secs(1)).await;
                // What creeps up does so at work.
                if handle.cards()[card.get()].registry().states()[model] != ModelState::Busy {
                    continue;
                }
                leak(&device, model, Bytes::new(per_minute.get() / 60));
            }
        }
        Fault::Kill { actor, at } => {
            if until(at).await {
                handle.kill(card, actor);
            }
        }
        Fault::Shutdown { at } => {
            if until(at).await {
                handle.shut_down(Exit::Interrupted, drain);
            }
        }
        // These happen on the stage.
        Fault::On(..) | Fault::Run { .. } | Fault::Load { .. } | Fault::Leak { .. } | Fault::Keep { .. } => {}
    }
}

fn add_to_others(device: &ScriptedDevice, bytes: Bytes) {
    device.apply(ScriptedChange::Others(device.figures().others.saturating_add(bytes)));
}
