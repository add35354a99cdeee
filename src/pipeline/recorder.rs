//! What a slot's result says of its making: when each stage ran, what memory it took, how often its models tried.
//!
//! Owns the record of one process; hears the tree's events and never blocks. Times count from acceptance.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::actors::events::{NodeEvent, SlotEvent, Subscriber};
use crate::clock;
use crate::sink::{Memory, ModelReport, StageReport};
use crate::types::{Bytes, DeviceId, ModelId, Stage};

/// The record.
pub(crate) struct Recorder(Mutex<Record>);

struct Record {
    accepted: Instant,
    stages: [Option<Ran>; Stage::ALL.len()],
    attempts: [u32; ModelId::ALL.len()],
    restarts: [u32; ModelId::ALL.len()],
    used: Option<Bytes>,
    device: Option<DeviceId>,
}

/// One stage as it ran in this process.
#[derive(Clone, Copy)]
struct Ran {
    began: Instant,
    ended: Option<Instant>,
    attempts: u32,
    before: Option<Bytes>,
    peak: Option<Bytes>,
    after: Option<Bytes>,
}

impl Recorder {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Record {
            accepted: clock::now(),
            stages: [None; Stage::ALL.len()],
            attempts: [0; ModelId::ALL.len()],
            restarts: [0; ModelId::ALL.len()],
            used: None,
            device: None,
        }))
    }

    /// The slot was accepted `at` this moment, perhaps in an earlier process.
    pub(crate) fn accepted(&self, at: Instant) {
        self.record().accepted = at;
    }

    /// The card that had the slot last, if one has had it.
    pub(crate) fn device(&self) -> Option<DeviceId> {
        self.record().device
    }

    /// The stages that ran in this process, and those of which an earlier one has left an output, in order.
    pub(crate) fn stages(&self, has_output: impl Fn(Stage) -> bool) -> Vec<StageReport> {
        let record = self.record();
        let since = |at: Instant| at.saturating_duration_since(record.accepted).as_secs_f64();
        let report = |stage: Stage| {
            let Some(ran) = record.stages[stage.index()] else {
                let nothing =
                    StageReport { stage, resumed: true, began: 0.0, ended: 0.0, attempts: 0, memory: None };
                return has_output(stage).then_some(nothing);
            };
            // The stage that writes this is not over yet, and what one takes after it shows in a later look.
            let ended = since(ran.ended.unwrap_or_else(clock::now));
            let memory = ran.before.zip(ran.peak).map(|(before, peak)| Memory {
                before,
                peak,
                after: ran.after.or(record.used).unwrap_or(peak),
            });
            let (began, attempts) = (since(ran.began), ran.attempts);
            Some(StageReport { stage, resumed: false, began, ended, attempts, memory })
        };
        Stage::ALL.into_iter().filter_map(report).collect()
    }

    /// How often each model was given work and started again.
    pub(crate) fn models(&self) -> Vec<ModelReport> {
        let record = self.record();
        let report = |model: ModelId| ModelReport {
            model,
            attempts: record.attempts[model.index()],
            restarts: record.restarts[model.index()],
        };
        ModelId::ALL.map(report).to_vec()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Plain values, each changed in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn began(&mut self, stage: Stage, model: Option<ModelId>) {
        let used = self.used;
        let ran = self.stages[stage.index()].get_or_insert_with(|| Ran {
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
                self.attempts[model.index()] += 1;
                self.attempts[model.index()]
            }
            None => ran.attempts + 1,
        };
        ran.attempts = ran.attempts.max(attempts);
        ran.ended = None;
    }

    fn ended(&mut self, stage: Stage) {
        if let Some(ran) = &mut self.stages[stage.index()] {
            ran.ended = Some(clock::now());
            ran.after = self.used;
        }
    }

    fn sampled(&mut self, used: Bytes) {
        self.used = Some(used);
        for ran in self.stages.iter_mut().flatten() {
            if ran.ended.is_none() {
                ran.before.get_or_insert(used);
                ran.peak = ran.peak.max(Some(used));
            } else if ran.after.is_none() {
                ran.after = Some(used);
            }
        }
    }
}

impl Subscriber for Recorder {
    fn hear(&self, event: &SlotEvent) {
        let mut record = self.record();
        match event {
            SlotEvent::StageBegan { stage, model, .. } => record.began(*stage, *model),
            SlotEvent::AudioComplete { .. } => record.ended(Stage::Audio),
            SlotEvent::ImageComplete { .. } => record.ended(Stage::Image),
            SlotEvent::VideoComplete { .. } => record.ended(Stage::Video),
            SlotEvent::ClipComplete { .. } => record.ended(Stage::Verify),
            SlotEvent::GenerationComplete { .. }
            | SlotEvent::SlotFailed { .. }
            | SlotEvent::SlotCancelled { .. } => {
                for stage in Stage::ALL {
                    if record.stages[stage.index()].is_some_and(|ran| ran.ended.is_none()) {
                        record.ended(stage);
                    }
                }
            }
            SlotEvent::Accepted { device, .. } => record.device = Some(*device),
            SlotEvent::StageProgress { .. } | SlotEvent::VideoProgress { .. } => {}
        }
    }

    fn notice(&self, _: DeviceId, event: &NodeEvent) {
        match event {
            NodeEvent::Sampled(sample) => self.record().sampled(sample.used),
            NodeEvent::ActorRestarted { actor } => {
                if let Ok(model) = actor.parse::<ModelId>() {
                    self.record().restarts[model.index()] += 1;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AttemptId, SlotId};

    fn began(stage: Stage, model: ModelId) -> SlotEvent {
        let slot = SlotId::new(uuid::Uuid::nil());
        SlotEvent::StageBegan { slot, stage, model: Some(model), attempt: AttemptId::FIRST }
    }

    #[test]
    fn a_stage_that_was_tried_again_counts_its_attempts_and_keeps_its_beginning() {
        let recorder = Recorder::new();
        recorder.hear(&began(Stage::Audio, ModelId::Kokoro));
        recorder.notice(DeviceId::Cpu, &NodeEvent::ActorRestarted { actor: "kokoro" });
        recorder.hear(&began(Stage::Audio, ModelId::Kokoro));
        let stages = recorder.stages(|_| false);
        assert_eq!((stages.len(), stages[0].attempts), (1, 2));
        let kokoro = &recorder.models()[ModelId::Kokoro.index()];
        assert_eq!((kokoro.attempts, kokoro.restarts), (2, 1));
    }

    #[test]
    fn a_stage_that_an_earlier_process_finished_is_told_as_such() {
        let stages = Recorder::new().stages(|stage| stage == Stage::Image);
        assert_eq!(stages.len(), 1);
        assert!(stages[0].stage == Stage::Image && stages[0].resumed && stages[0].attempts == 0);
    }

    #[test]
    fn both_models_of_the_check_are_one_attempt() {
        let recorder = Recorder::new();
        recorder.hear(&began(Stage::Verify, ModelId::ClipB));
        recorder.hear(&began(Stage::Verify, ModelId::ClipL));
        assert_eq!(recorder.stages(|_| false)[0].attempts, 1);
    }

    #[test]
    fn memory_is_that_before_the_highest_and_that_after() {
        let mut record = Recorder::new().0.into_inner().unwrap();
        record.sampled(Bytes::mb(10));
        record.began(Stage::Image, Some(ModelId::Flux));
        record.sampled(Bytes::mb(30));
        record.sampled(Bytes::mb(20));
        record.ended(Stage::Image);
        record.sampled(Bytes::mb(90));
        let ran = record.stages[Stage::Image.index()].unwrap();
        let of = |it: Option<Bytes>| it.unwrap();
        assert_eq!(
            [of(ran.before), of(ran.peak), of(ran.after)],
            [Bytes::mb(10), Bytes::mb(30), Bytes::mb(20)]
        );
    }
}
