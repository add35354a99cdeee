//! The actor itself, with models that are ready and never bring anything.

use std::marker::PhantomData;
use std::num::{NonZeroU32, NonZeroUsize};

use ractor::rpc::CallResult;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::actors::admission::{Answer, Request};
use crate::actors::assignments::Assignments;
use crate::actors::limits::{Limits, SlotLimits};
use crate::actors::pipeline::{Delivering, PipelineError, SlotPipeline};
use crate::actors::placement::DeviceIndex;
use crate::contract::{
    Animate, Animation, FrameSink, Paint, Painting, RgbFrame, Score, Scores, SinkClosed, Speak, Speech,
};
use crate::events::{Event, EventKind, Forward};
use crate::journal::{
    Accepted, Ending, Failure, JournalFuture, Judgement, MemoryJournal, Opened, Outputs, Parcel, Recorded,
    StageOutput, Terminal,
};
use crate::types::{
    AttemptId, Deadline, DeviceId, Emotion, FramePlan, Pcm, Resolution, RgbImage, SpeechSpeed, Stage,
    Timeline,
};
use crate::vram::policy::{Level, Thresholds};

/// For what needs no waiting.
const SOON: Duration = Duration::from_secs(30);
const SIZE: Resolution = Resolution { width: NonZeroU32::MIN, height: NonZeroU32::MIN };

/// Takes every message and does nothing.
struct Deaf<M>(PhantomData<fn(M)>);

impl<M: ractor::Message> Actor for Deaf<M> {
    type Msg = M;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<M>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

async fn deaf<M: ractor::Message>() -> ActorRef<M> {
    Actor::spawn(None, Deaf(PhantomData), ()).await.unwrap().0
}

struct Jobs;

struct NoFrames;

impl FrameSink for NoFrames {
    fn push(&mut self, _: RgbFrame<'_>) -> Result<(), SinkClosed> {
        Ok(())
    }
}

fn image() -> RgbImage {
    RgbImage::new(SIZE, vec![0; 3]).unwrap()
}

fn not_reached<T>() -> Result<T, PipelineError> {
    Err(PipelineError::new(Failure::Recipe, "no stage comes so far"))
}

impl SlotPipeline for Jobs {
    fn speak(&self) -> Result<Speak, PipelineError> {
        Ok(Speak {
            text: String::new(),
            voice: "voice".parse().unwrap(),
            speed: SpeechSpeed::NORMAL,
            emotion: Emotion::Neutral,
            duration: Duration::ZERO,
            seed: 1,
        })
    }

    fn paint(&self) -> Result<Paint, PipelineError> {
        Ok(Paint { prompt: String::new(), seed: 1, resolution: SIZE, steps: 4 })
    }

    fn animate(&self, _: AttemptId, _: &Arc<Speech>, _: &Arc<Painting>) -> Result<Animate, PipelineError> {
        let (image, plan) = (Arc::new(image()), Arc::new(FramePlan { fps: 24, frames: Vec::new() }));
        Ok(Animate { image, plan, resolution: SIZE, keyframes: Vec::new(), sink: Box::new(NoFrames) })
    }

    fn score(&self, _: &Arc<Animation>) -> Result<Score, PipelineError> {
        not_reached()
    }

    fn judge(&self, _: &Scores, _: &Scores) -> Result<Judgement, PipelineError> {
        not_reached()
    }

    fn deliver(&self, _: &Ending, _: &Outputs) -> Delivering {
        Box::pin(async { Ok(Parcel { artifacts: Vec::new() }) })
    }
}

impl Pipeline for Jobs {
    fn open(&self, _: &Accepted) -> Result<Arc<dyn SlotPipeline>, PipelineError> {
        Ok(Arc::new(Jobs))
    }
}

/// Says this of every end, which it writes only where it is one.
struct Says(Recorded, MemoryJournal);

impl Journal for Says {
    fn accept(&self, accepted: &Accepted) -> JournalFuture {
        self.1.accept(accepted)
    }

    fn stage_done(&self, slot: SlotId, output: &StageOutput) -> JournalFuture {
        self.1.stage_done(slot, output)
    }

    fn terminal(&self, terminal: &Terminal) -> JournalFuture<Recorded> {
        match &self.0 {
            Recorded::Left => JournalFuture::ready(Ok(Recorded::Left)),
            recorded => {
                let recorded = recorded.clone();
                self.1.terminal(terminal).map_ok(|_| recorded)
            }
        }
    }

    fn open(&self) -> JournalFuture<Opened> {
        self.1.open()
    }

    fn before_exit(&self) -> JournalFuture {
        self.1.before_exit()
    }
}

struct Stand {
    orchestrator: ActorRef<OrchestratorMsg>,
    assignments: Assignments,
    journal: Arc<Says>,
    told: UnboundedReceiver<Event>,
}

fn slot() -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(1))
}

async fn begin(recorded: Recorded) -> Stand {
    let (now, device) = (clock::now(), DeviceId::Scripted(0));
    let (tell, told) = unbounded_channel();
    let registry = Registry::new(device);
    for model in ModelId::ALL {
        registry.set_model(model, Some(deaf().await));
    }
    let gauge = PressureGauge::new(now);
    gauge.publish(Pressure { level: Level::Normal, blind: false }, now);
    let (assignments, card) = (Assignments::default(), DeviceIndex::new(0));
    let slots = SlotLimits { queue: NonZeroUsize::MIN, lookahead: NonZeroUsize::MIN };
    let day = Duration::from_secs(86_400);
    let thresholds = Thresholds::new(Bytes::gb(8), Bytes::gb(9), Bytes::gb(1), SOON, day).unwrap();
    let journal = Arc::new(Says(recorded, MemoryJournal::new()));
    let args = OrchestratorArgs {
        policy: PlanPolicy::default(),
        learned: Learned::default(),
        limits: LiveLimits::new(Limits { slots, thresholds }),
        workspaces: PerModel::default(),
        max_age: day,
        registry,
        ledger: Ledger::new(device, Bytes::gb(9), Bytes::ZERO),
        gauge,
        journal: journal.clone(),
        slots: CardSlots { assignments: assignments.clone(), card },
        pipeline: Arc::new(Jobs),
        bus: Bus::new(vec![Arc::new(Forward(tell))]).on(device),
        node: deaf().await,
    };
    let (orchestrator, _) = Actor::spawn(None, Orchestrator, args).await.unwrap();
    for model in ModelId::ALL {
        orchestrator.cast(OrchestratorMsg::ModelReady(model)).unwrap();
    }
    assignments.take(slot(), card);
    Stand { orchestrator, assignments, journal, told }
}

impl Stand {
    async fn submit(&self, outputs: Outputs) -> Answer {
        let now = clock::now();
        let deadline = Deadline::after(now, Duration::from_secs(3600)).unwrap();
        let request = Request { slot: slot(), recipe: Arc::new([]), deadline, traceparent: None, outputs };
        let ask = |reply| OrchestratorMsg::Submit(Box::new(request), reply);
        match self.orchestrator.call(ask, Some(SOON)).await.unwrap() {
            CallResult::Success(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The first thing that happened of those that `wanted` takes.
    async fn hear<T>(&mut self, mut wanted: impl FnMut(EventKind) -> Option<T>) -> T {
        let hearing = async {
            loop {
                let event = self.told.recv().await.expect("it goes on");
                if let Some(found) = wanted(event.kind) {
                    return found;
                }
            }
        };
        tokio::time::timeout(SOON, hearing).await.expect("it is told soon")
    }

    async fn first_stage(&mut self) -> Stage {
        self.hear(|kind| match kind {
            EventKind::StageBegan { stage, .. } => Some(stage),
            _ => None,
        })
        .await
    }
}

fn speech_and_painting() -> Outputs {
    let pcm = Pcm { sample_rate: 24_000, samples: vec![0.0; 240] };
    let timeline = Timeline::new(24_000, 240, Vec::new()).unwrap();
    Outputs {
        speech: Some(Arc::new(Speech { pcm, timeline, warnings: Vec::new() })),
        painting: Some(Arc::new(Painting { image: image(), warnings: Vec::new() })),
        ..Outputs::default()
    }
}

#[tokio::test]
async fn a_slot_goes_on_after_the_stages_that_its_request_brings() {
    let mut fresh = begin(Recorded::Ended).await;
    let whole = fresh.submit(Outputs::default()).await.unwrap();
    assert_eq!(fresh.first_stage().await, Stage::Audio);
    let mut resumed = begin(Recorded::Ended).await;
    let left = resumed.submit(speech_and_painting()).await.unwrap();
    assert_eq!(resumed.first_stage().await, Stage::Video);
    assert!(left < whole, "{left:?} of {whole:?}");
}

#[tokio::test]
async fn what_is_told_of_an_end_is_what_was_recorded() {
    let by = "another".to_owned();
    for recorded in [Recorded::Ended, Recorded::Superseded { by: by.clone() }, Recorded::Left] {
        let mut it = begin(recorded.clone()).await;
        it.submit(Outputs::default()).await.unwrap();
        assert!(it.assignments.of(slot()).is_some());
        let cancel = it.orchestrator.call(|reply| OrchestratorMsg::Cancel(slot(), reply), Some(SOON)).await;
        assert!(matches!(cancel, Ok(CallResult::Success(true))), "{cancel:?}");
        let told = it.hear(|kind| kind.settles_slot().then_some(kind)).await;
        let is_it = match &recorded {
            Recorded::Ended => matches!(told, EventKind::SlotCancelled { .. }),
            Recorded::Superseded { by } => told == EventKind::SlotSuperseded { by: by.clone() },
            Recorded::Left => told == EventKind::SlotLeft,
        };
        assert!(is_it, "{told:?} of {recorded:?}");
        assert_eq!(told.ends_slot(), recorded != Recorded::Left);
        // Its card has it no more, and one that is left is open.
        assert_eq!(it.assignments.of(slot()), None);
        assert_eq!(it.journal.1.unfinished(), usize::from(recorded == Recorded::Left));
    }
}
