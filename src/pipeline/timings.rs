//! What a slot's result says of its making: when each stage ran, what memory it took, how often its models tried.
//!
//! Owns one record for each open slot of this process, from acceptance to the told end; hears what happens and never
//! blocks. Times count from acceptance. What happens to a device counts for every slot that is open on it.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::clock;
use crate::events::{Event, EventKind, Subscriber};
use crate::sink::{Memory, ModelReport, StageReport};
use crate::types::{Bytes, DeviceId, ModelId, PerModel, PerStage, SlotId, Stage};

/// The records of all open slots.
#[derive(Default)]
pub(crate) struct Timings(Mutex<Book>);

#[derive(Default)]
struct Book {
    open: HashMap<SlotId, SlotTimings>,
    /// Bytes in use on each device when it was last looked at.
    used: HashMap<DeviceId, Bytes>,
}

/// The record of one slot in this process.
#[derive(Clone, Debug)]
pub(crate) struct SlotTimings {
    accepted: Instant,
    stages: PerStage<Option<Ran>>,
    attempts: PerModel<u32>,
    restarts: PerModel<u32>,
    used: Option<Bytes>,
    device: Option<DeviceId>,
}

/// One stage as it ran in this process.
#[derive(Clone, Copy, Debug)]
struct Ran {
    began: Instant,
    ended: Option<Instant>,
    attempts: u32,
    before: Option<Bytes>,
    peak: Option<Bytes>,
    after: Option<Bytes>,
}

impl Timings {
    /// `slot`, accepted `at` this moment (perhaps in an earlier process), is open. A record that an earlier orchestrator of
    /// this process began goes on.
    pub(crate) fn begin(&self, slot: SlotId, at: Instant) {
        self.book().open.entry(slot).or_insert_with(|| SlotTimings::new(at)).accepted = at;
    }

    /// The record of `slot` as it stands; an empty one where nothing of it was heard.
    pub(crate) fn of(&self, slot: SlotId) -> SlotTimings {
        self.book().open.get(&slot).cloned().unwrap_or_else(|| SlotTimings::new(clock::now()))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Plain values, each changed in one step.
        self.0.lock()
    }
}

impl Book {
    fn on(&mut self, device: DeviceId) -> impl Iterator<Item = &mut SlotTimings> {
        self.open.values_mut().filter(move |slot| slot.device == Some(device))
    }
}

impl SlotTimings {
    fn new(accepted: Instant) -> Self {
        Self {
            accepted,
            stages: PerStage::default(),
            attempts: PerModel::default(),
            restarts: PerModel::default(),
            used: None,
            device: None,
        }
    }

    /// The device that had the slot last, if one has had it.
    pub(crate) fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// The stages that ran in this process, and those of which an earlier one has left an output, in order.
    pub(crate) fn stages(&self, has_output: impl Fn(Stage) -> bool) -> Vec<StageReport> {
        let since = |at: Instant| at.saturating_duration_since(self.accepted).as_secs_f64();
        let report = |stage: Stage| {
            let Some(ran) = self.stages[stage] else {
                let nothing =
                    StageReport { stage, resumed: true, began: 0.0, ended: 0.0, attempts: 0, memory: None };
                return has_output(stage).then_some(nothing);
            };
            // The stage that writes this is not over yet, and what one takes after it shows in a later look.
            let ended = since(ran.ended.unwrap_or_else(clock::now));
            let memory = ran.before.zip(ran.peak).map(|(before, peak)| Memory {
                before,
                peak,
                after: ran.after.or(self.used).unwrap_or(peak),
            });
            let (began, attempts) = (since(ran.began), ran.attempts);
            Some(StageReport { stage, resumed: false, began, ended, attempts, memory })
        };
        Stage::ALL.into_iter().filter_map(report).collect()
    }

    /// How often each model was given work and started again.
    pub(crate) fn models(&self) -> Vec<ModelReport> {
        let report = |model: ModelId| ModelReport {
            model,
            attempts: self.attempts[model],
            restarts: self.restarts[model],
        };
        ModelId::ALL.map(report).to_vec()
    }

    fn began(&mut self, stage: Stage, model: Option<ModelId>) {
        let used = self.used;
        let ran = self.stages[stage].get_or_insert_with(|| Ran {
            began: clock::now(),
            ended: None,
            attempts: 0,
            before: used,
            peak: used,
            after: None,
        });
        // The check is two models' work: its attempts are those of the one that needed more.
        let attempts = match model {
            Some(model) => {
                self.attempts[model] += 1;
                self.attempts[model]
            }
            None => ran.attempts + 1,
        };
        ran.attempts = ran.attempts.max(attempts);
        ran.ended = None;
    }

    fn ended(&mut self, stage: Stage) {
        if let Some(ran) = &mut self.stages[stage] {
            ran.ended = Some(clock::now());
            ran.after = self.used;
        }
    }

    fn sampled(&mut self, used: Bytes) {
        self.used = Some(used);
        for ran in self.stages.values_mut().flatten() {
            if ran.ended.is_none() {
                ran.before.get_or_insert(used);
                ran.peak = ran.peak.max(Some(used));
            } else if ran.after.is_none() {
                ran.after = Some(used);
            }
        }
    }
}

impl Subscriber for Timings {
    fn hear(&self, event: &Event) {
        let mut book = self.book();
        match (event.slot, event.device) {
            (Some(slot), _) if event.kind.settles_slot() => {
                // Its result has been written, or is another's to write.
                book.open.remove(&slot);
            }
            (Some(slot), device) => book.of_slot(slot, device, &event.kind),
            (None, Some(device)) => book.of_device(device, &event.kind),
            (None, None) => {}
        }
    }

    fn wants_steps(&self) -> bool {
        false
    }
}

impl Book {
    fn of_slot(&mut self, slot: SlotId, device: Option<DeviceId>, kind: &EventKind) {
        if let EventKind::Accepted { .. } = kind {
            let used = device.and_then(|device| self.used.get(&device).copied());
            let slot = self.open.entry(slot).or_insert_with(|| SlotTimings::new(clock::now()));
            (slot.device, slot.used) = (device, used);
            return;
        }
        let Some(slot) = self.open.get_mut(&slot) else { return };
        match kind {
            EventKind::StageBegan { stage, model, .. } => slot.began(*stage, *model),
            EventKind::AudioComplete { .. } => slot.ended(Stage::Audio),
            EventKind::ImageComplete { .. } => slot.ended(Stage::Image),
            EventKind::VideoComplete { .. } => slot.ended(Stage::Video),
            EventKind::ClipComplete { .. } => slot.ended(Stage::Verify),
            _ => {}
        }
    }

    fn of_device(&mut self, device: DeviceId, kind: &EventKind) {
        match kind {
            EventKind::Memory { sample } => {
                self.used.insert(device, sample.used);
                self.on(device).for_each(|slot| slot.sampled(sample.used));
            }
            EventKind::ActorRestarted { actor } => {
                if let Ok(model) = actor.parse::<ModelId>() {
                    self.on(device).for_each(|slot| slot.restarts[model] += 1);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use enum_map::Enum;

    use super::*;
    use crate::types::AttemptId;

    fn slot(number: u128) -> SlotId {
        SlotId::new(uuid::Uuid::from_u128(number))
    }

    fn tell(timings: &Timings, number: Option<u128>, device: DeviceId, kind: EventKind) {
        let slot = number.map(slot);
        timings.hear(&Event { at: std::time::Duration::ZERO, device: Some(device), slot, kind });
    }

    fn accepted(timings: &Timings, number: u128, device: DeviceId) {
        timings.begin(slot(number), clock::now());
        let eta = std::time::Duration::ZERO;
        tell(timings, Some(number), device, EventKind::Accepted { eta, resumed: false });
    }

    fn began(timings: &Timings, number: u128, stage: Stage, model: ModelId) {
        let attempt = AttemptId::FIRST;
        let kind = EventKind::StageBegan { stage, model: Some(model), attempt };
        tell(timings, Some(number), DeviceId::Cpu, kind);
    }

    #[test]
    fn a_stage_that_was_tried_again_counts_its_attempts_and_keeps_its_beginning() {
        let timings = Timings::default();
        accepted(&timings, 1, DeviceId::Cpu);
        began(&timings, 1, Stage::Audio, ModelId::Kokoro);
        tell(&timings, None, DeviceId::Cpu, EventKind::ActorRestarted { actor: "kokoro" });
        began(&timings, 1, Stage::Audio, ModelId::Kokoro);
        let stages = timings.of(slot(1)).stages(|_| false);
        assert_eq!((stages.len(), stages[0].attempts), (1, 2));
        let kokoro = timings.of(slot(1)).models()[ModelId::Kokoro.into_usize()];
        assert_eq!((kokoro.attempts, kokoro.restarts), (2, 1));
    }

    #[test]
    fn slots_side_by_side_have_records_of_their_own() {
        let timings = Timings::default();
        accepted(&timings, 1, DeviceId::Cuda(0));
        accepted(&timings, 2, DeviceId::Cuda(1));
        began(&timings, 1, Stage::Audio, ModelId::Kokoro);
        began(&timings, 2, Stage::Image, ModelId::Flux);
        tell(&timings, None, DeviceId::Cuda(1), EventKind::ActorRestarted { actor: "flux" });
        let stages = |number| timings.of(slot(number)).stages(|_| false);
        assert_eq!((stages(1).len(), stages(1)[0].stage), (1, Stage::Audio));
        assert_eq!((stages(2).len(), stages(2)[0].stage), (1, Stage::Image));
        let restarts = |number| timings.of(slot(number)).models()[ModelId::Flux.into_usize()].restarts;
        assert_eq!((restarts(1), restarts(2)), (0, 1), "another card's restart is none of its own");
        let cause = crate::journal::CancelCause::Requested;
        tell(&timings, Some(1), DeviceId::Cuda(0), EventKind::SlotCancelled { cause });
        assert!(stages(1).is_empty() && stages(2).len() == 1, "what has ended is forgotten, nothing else");
    }

    #[test]
    fn a_stage_that_an_earlier_process_finished_is_told_as_such() {
        let stages = Timings::default().of(slot(1)).stages(|stage| stage == Stage::Image);
        assert_eq!(stages.len(), 1);
        assert!(stages[0].stage == Stage::Image && stages[0].resumed && stages[0].attempts == 0);
    }

    #[test]
    fn both_models_of_the_check_are_one_attempt() {
        let timings = Timings::default();
        accepted(&timings, 1, DeviceId::Cpu);
        began(&timings, 1, Stage::Verify, ModelId::ClipB);
        began(&timings, 1, Stage::Verify, ModelId::ClipL);
        assert_eq!(timings.of(slot(1)).stages(|_| false)[0].attempts, 1);
    }

    #[test]
    fn memory_is_that_before_the_highest_and_that_after() {
        let mut record = SlotTimings::new(clock::now());
        record.sampled(Bytes::mb(10));
        record.began(Stage::Image, Some(ModelId::Flux));
        record.sampled(Bytes::mb(30));
        record.sampled(Bytes::mb(20));
        record.ended(Stage::Image);
        record.sampled(Bytes::mb(90));
        let ran = record.stages[Stage::Image].unwrap();
        let of = |it: Option<Bytes>| it.unwrap();
        assert_eq!(
            [of(ran.before), of(ran.peak), of(ran.after)],
            [Bytes::mb(10), Bytes::mb(30), Bytes::mb(20)]
        );
    }
}
