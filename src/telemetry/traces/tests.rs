use std::time::SystemTime;

use opentelemetry::trace::Status;

use super::*;
use crate::events::{Breakdown, EventKind};
use crate::journal::{CancelCause, Failure};
use crate::types::{AttemptId, Bytes, DeviceId, ModelId, Stage};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn slot() -> SlotId {
    "9a4d2a6e-6d5c-4b8f-9d6e-000000000001".parse().unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Rig {
    traces: Traces,
    sent: Arc<Mutex<Vec<SpanData>>>,
}

impl Rig {
    fn new(sampler: Sampler) -> Self {
        let sent: Arc<Mutex<Vec<SpanData>>> = Arc::default();
        let out = Arc::clone(&sent);
        let sampling = Sampling { sampler, parent_based: true };
        Self { traces: Traces::new(sampling, Arc::new(move |span| out.lock().push(span))), sent }
    }

    /// Handed in at 10 and accepted at 11.
    fn accept(&self, traceparent: TraceParent) {
        self.traces.expect(slot(), traceparent, secs(10));
        self.tell(11, EventKind::Accepted { eta: secs(60), resumed: false });
    }

    fn tell(&self, at: u64, kind: EventKind) {
        let device = Some(DeviceId::Cpu);
        self.traces.hear(&Event { at: secs(at), device, slot: Some(slot()), kind });
    }

    fn begin(&self, at: u64, stage: Stage, model: Option<ModelId>) {
        self.tell(at, EventKind::StageBegan { stage, model, attempt: AttemptId::FIRST });
    }

    fn end_run(&self, at: u64, stage: Stage, model: ModelId, error: Option<&str>) {
        let (before, after, peak) = (Some(Bytes::new(100)), Some(Bytes::new(110)), Some(Bytes::new(40)));
        let error = error.map(str::to_owned);
        self.tell(at, EventKind::RunEnded { stage, model, before, after, peak, error });
    }

    fn complete(&self, at: u64, deadline_met: bool) {
        let breakdown = Breakdown::default();
        self.tell(at, EventKind::GenerationComplete { elapsed: secs(1), breakdown, deadline_met });
    }

    fn names(&self) -> Vec<String> {
        self.sent.lock().iter().map(|span| span.name.to_string()).collect()
    }

    fn one(&self, name: &str) -> SpanData {
        let sent = self.sent.lock();
        let found: Vec<&SpanData> = sent.iter().filter(|span| span.name == name).collect();
        let [span] = found[..] else { panic!("{} of {name}", found.len()) };
        span.clone()
    }

    /// Name of the parent; none where it is not here.
    fn parent(&self, name: &str) -> Option<String> {
        let parent = self.one(name).parent_span_id;
        let sent = self.sent.lock();
        sent.iter().find(|span| span.span_context.span_id() == parent).map(|span| span.name.to_string())
    }
}

fn caller(flags: &str) -> TraceParent {
    format!("00-{TRACE}-{CALLER}-{flags}").parse().unwrap()
}

fn times(span: &SpanData) -> (u64, u64) {
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    (seconds(span.start_time), seconds(span.end_time))
}

fn said(span: &SpanData, key: &str) -> Option<String> {
    span.attributes.iter().find(|it| it.key.as_str() == key).map(|it| it.value.to_string())
}

/// A whole slot: every stage, one wait for memory.
fn whole(rig: &Rig) {
    rig.begin(13, Stage::Audio, Some(ModelId::Kokoro));
    let needed = Bytes::new(77);
    rig.tell(13, EventKind::MemoryAwaited { stage: Stage::Image, model: ModelId::Flux, needed });
    rig.end_run(15, Stage::Audio, ModelId::Kokoro, None);
    rig.tell(15, EventKind::AudioComplete { took: secs(2) });
    rig.begin(16, Stage::Image, Some(ModelId::Flux));
    let progress = crate::contract::Progress::new(crate::contract::Unit::Steps, 4, 4);
    rig.tell(17, EventKind::StageProgress { stage: Stage::Image, model: ModelId::Flux, progress });
    rig.end_run(18, Stage::Image, ModelId::Flux, None);
    rig.tell(18, EventKind::ImageComplete { took: secs(2) });
    rig.begin(19, Stage::Verify, Some(ModelId::ClipB));
    rig.begin(19, Stage::Verify, Some(ModelId::ClipL));
    rig.end_run(20, Stage::Verify, ModelId::ClipB, None);
    rig.end_run(21, Stage::Verify, ModelId::ClipL, None);
    rig.tell(21, EventKind::ClipComplete { took: secs(2), summary: String::new() });
    rig.begin(22, Stage::Package, None);
    rig.complete(25, true);
}

#[test]
fn a_slot_is_one_trace_below_its_caller_with_every_span_below_the_right_one() {
    let rig = Rig::new(Sampler::AlwaysOff);
    rig.accept(caller("01"));
    whole(&rig);
    for span in rig.sent.lock().iter() {
        assert_eq!(span.span_context.trace_id().to_string(), TRACE, "{}", span.name);
        assert!(span.span_context.is_sampled());
    }
    let root = rig.one("slot");
    assert_eq!(root.parent_span_id.to_string(), CALLER);
    assert!(root.parent_span_is_remote);
    assert_eq!((times(&root), &root.status), ((10, 25), &Status::Ok));
    assert_eq!(said(&root, "vortex.slot"), Some(slot().to_string()));
    assert_eq!(said(&root, "vortex.outcome"), Some("completed".to_owned()));
    for (name, parent, at) in [
        ("intake", "slot", (10, 11)),
        ("admission wait", "slot", (11, 13)),
        ("stage audio", "slot", (13, 15)),
        ("run kokoro", "stage audio", (13, 15)),
        ("memory wait", "slot", (13, 16)),
        ("stage image", "slot", (16, 18)),
        ("run flux", "stage image", (16, 18)),
        ("stage verify", "slot", (19, 21)),
        ("run clip_b", "stage verify", (19, 20)),
        ("run clip_l", "stage verify", (19, 21)),
        ("stage package", "slot", (22, 25)),
    ] {
        assert_eq!((rig.parent(name).as_deref(), times(&rig.one(name))), (Some(parent), at), "{name}");
    }
    assert_eq!(rig.sent.lock().len(), 12);
    let run = rig.one("run flux");
    for (key, value) in [
        ("vortex.memory.before", "100"),
        ("vortex.memory.after", "110"),
        ("vortex.memory.peak", "40"),
        ("vortex.steps.done", "4"),
        ("vortex.steps.total", "4"),
    ] {
        assert_eq!(said(&run, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(said(&rig.one("memory wait"), "vortex.memory.needed").as_deref(), Some("77"));
}

#[test]
fn spans_of_a_sampled_slot_go_out_as_they_end() {
    let rig = Rig::new(Sampler::AlwaysOn);
    rig.accept(rig.traces.new_trace(slot()).unwrap());
    rig.begin(13, Stage::Audio, Some(ModelId::Kokoro));
    assert_eq!(rig.names(), ["intake", "admission wait"]);
}

#[test]
fn a_slot_without_a_caller_has_a_root_without_a_parent_that_its_traceparent_names() {
    let rig = Rig::new(Sampler::AlwaysOn);
    let own = rig.traces.new_trace(slot()).unwrap();
    rig.accept(own.clone());
    rig.complete(20, true);
    let root = rig.one("slot");
    assert_eq!(root.parent_span_id, SpanId::INVALID);
    let context = &root.span_context;
    assert_eq!(own.as_str(), format!("00-{}-{}-01", context.trace_id(), context.span_id()));
    // And what is sent along with requests names it, too.
    assert_eq!(onward(slot(), &own).unwrap(), own);
    // Where nothing is sent nobody is told that it is.
    assert!(new_trace(slot()).unwrap().as_str().ends_with("-00"));
    let onward = onward(slot(), &caller("00")).unwrap();
    assert_eq!(onward.as_str(), format!("00-{TRACE}-{}-00", context.span_id()));
}

#[test]
fn a_slot_taken_up_after_a_kill_has_a_trace_of_its_own_that_leads_to_the_first() {
    let rig = Rig::new(Sampler::AlwaysOn);
    rig.traces.take_up(slot(), caller("01"), 2);
    rig.tell(50, EventKind::Accepted { eta: secs(60), resumed: true });
    rig.complete(60, true);
    let root = rig.one("slot");
    assert_ne!(root.span_context.trace_id().to_string(), TRACE);
    let [link] = &root.links.links[..] else { panic!("{:?}", root.links) };
    assert_eq!(link.span_context.trace_id().to_string(), TRACE);
    // To the very root that the first process would have sent.
    let first = Rig::new(Sampler::AlwaysOn);
    first.accept(caller("01"));
    first.complete(20, true);
    assert_eq!(link.span_context.span_id(), first.one("slot").span_context.span_id());
    assert_ne!(root.span_context.span_id(), link.span_context.span_id());
    assert_eq!((root.parent_span_id, times(&root)), (SpanId::INVALID, (50, 60)));
}

#[test]
fn a_slot_asked_for_twice_before_it_is_told_of_is_still_taken_up() {
    for counted in [[2, 1], [1, 2]] {
        let rig = Rig::new(Sampler::AlwaysOn);
        counted.into_iter().for_each(|attempts| rig.traces.take_up(slot(), caller("01"), attempts));
        rig.tell(50, EventKind::Accepted { eta: secs(60), resumed: true });
        rig.complete(60, true);
        assert_eq!(rig.one("slot").links.links.len(), 1, "{counted:?}");
    }
}

#[test]
fn another_orchestrator_goes_on_with_the_same_trace() {
    let rig = Rig::new(Sampler::AlwaysOn);
    rig.accept(caller("01"));
    rig.traces.take_up(slot(), caller("01"), 1);
    rig.tell(12, EventKind::Accepted { eta: secs(60), resumed: true });
    rig.complete(20, true);
    let root = rig.one("slot");
    assert_eq!(root.span_context.trace_id().to_string(), TRACE);
    assert_eq!(root.events.events[0].name, "taken_up");
}

#[test]
fn what_sampling_leaves_out_is_kept_where_it_failed_or_was_late() {
    let out = |end: &dyn Fn(&Rig)| {
        let rig = Rig::new(Sampler::AlwaysOff);
        rig.accept(rig.traces.new_trace(slot()).unwrap());
        rig.begin(13, Stage::Audio, Some(ModelId::Kokoro));
        end(&rig);
        rig.names()
    };
    assert!(out(&|rig| rig.complete(20, true)).is_empty());
    let cause = CancelCause::Requested;
    assert!(out(&|rig| rig.tell(20, EventKind::SlotCancelled { cause })).is_empty());
    assert!(out(&|rig| rig.tell(20, EventKind::SlotLeft)).is_empty());
    let all = ["intake", "admission wait", "run kokoro", "stage audio", "slot"];
    assert_eq!(out(&|rig| rig.complete(20, false)), all);
    let (cause, stage, message) = (Failure::OutOfMemory, Some(Stage::Audio), "too much".to_owned());
    let failed = EventKind::SlotFailed { cause, stage, message };
    assert_eq!(out(&|rig| rig.tell(20, failed.clone())), all);
}

#[test]
fn a_slot_that_another_node_has_is_over_here_too() {
    let by = "another".to_owned();
    for (kind, outcome) in [(EventKind::SlotSuperseded { by }, "superseded"), (EventKind::SlotLeft, "left")] {
        let rig = Rig::new(Sampler::AlwaysOn);
        rig.accept(caller("01"));
        rig.begin(13, Stage::Audio, Some(ModelId::Kokoro));
        rig.tell(20, kind);
        let root = rig.one("slot");
        assert_eq!(said(&root, "vortex.outcome").as_deref(), Some(outcome));
        assert_eq!(said(&root, "vortex.superseded_by").is_some(), outcome == "superseded");
        assert_eq!(rig.one("stage audio").status, Status::error(outcome));
    }
}

#[test]
fn a_callers_decision_holds_and_a_ratio_is_of_traces() {
    let rig = Rig::new(Sampler::AlwaysOn);
    rig.accept(caller("00"));
    rig.complete(20, true);
    assert!(rig.names().is_empty());
    let sampling = |ratio| Sampling { sampler: Sampler::Ratio(ratio), parent_based: false };
    let low = TraceId::from(1u128);
    let high = TraceId::from(u128::from(u64::MAX));
    assert!(sampling(0.5).by_itself(low) && !sampling(0.5).by_itself(high));
    assert!(
        !sampling(0.0).by_itself(low) && sampling(1.0).by_itself(TraceId::from(u128::from(u64::MAX / 2)))
    );
}

#[test]
fn a_failed_slot_says_why_and_what_ran_says_so_too() {
    let rig = Rig::new(Sampler::AlwaysOn);
    rig.accept(caller("01"));
    rig.begin(13, Stage::Video, Some(ModelId::LivePortrait));
    rig.end_run(14, Stage::Video, ModelId::LivePortrait, Some("ran out"));
    let message = "ran out".to_owned();
    rig.tell(14, EventKind::StageAgain { stage: Stage::Video, counted: true, message });
    let second = AttemptId::FIRST.next();
    let (stage, model) = (Stage::Video, Some(ModelId::LivePortrait));
    rig.tell(15, EventKind::StageBegan { stage, model, attempt: second });
    rig.traces.hear(&Event {
        at: secs(16),
        device: Some(DeviceId::Cpu),
        slot: None,
        kind: EventKind::ActorDown {
            actor: "liveportrait",
            fault: crate::events::Fault::Victim,
            message: "outgrew its budget".to_owned(),
        },
    });
    let message = "lost twice".to_owned();
    rig.tell(17, EventKind::SlotFailed { cause: Failure::Lost, stage: Some(Stage::Video), message });
    let failed = |span: &SpanData| matches!(&span.status, Status::Error { .. });
    let spans = rig.sent.lock().clone();
    let stages: Vec<&SpanData> = spans.iter().filter(|span| span.name == "stage video").collect();
    assert_eq!(
        stages.iter().map(|span| said(span, "vortex.attempt").unwrap()).collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert!(stages.into_iter().all(failed));
    assert!(spans.iter().filter(|span| span.name == "run liveportrait").all(failed));
    let root = rig.one("slot");
    assert_eq!(root.status, Status::error("lost twice"));
    assert_eq!(said(&root, "vortex.cause").as_deref(), Some("lost"));
    // What befell the device stands in the slot's trace, with the model and the reason.
    let [note] = &root.events.events[..] else { panic!("{:?}", root.events) };
    assert_eq!(note.name, "actor_down");
    assert!(note.attributes.iter().any(|it| it.value.as_str() == "outgrew its budget"));
}

#[test]
fn what_is_done_beside_a_slot_comes_below_its_root() {
    let rig = Rig::new(Sampler::AlwaysOn);
    rig.accept(caller("01"));
    rig.traces.beside(slot(), "webhook", (Some(secs(1)), secs(12)), Said::default());
    rig.complete(20, true);
    rig.traces.beside(slot(), "upload", (None, secs(23)), Said::default());
    assert_eq!((rig.parent("webhook").as_deref(), times(&rig.one("webhook"))), (Some("slot"), (11, 12)));
    assert_eq!((rig.parent("upload").as_deref(), times(&rig.one("upload"))), (Some("slot"), (20, 23)));
    // Of a slot that nobody knows there is nothing to say.
    let other = SlotId::new(uuid::Uuid::nil());
    rig.traces.beside(other, "upload", (None, secs(23)), Said::default());
    // Beside intake, wait and root.
    assert_eq!(rig.sent.lock().len(), 5);
}

#[test]
fn a_refused_slot_leaves_nothing() {
    let rig = Rig::new(Sampler::AlwaysOn);
    rig.traces.expect(slot(), caller("01"), secs(10));
    rig.traces.forget(slot());
    rig.tell(11, EventKind::Accepted { eta: secs(60), resumed: false });
    rig.complete(20, true);
    assert!(rig.names().is_empty());
    let state = rig.traces.state.lock();
    assert!(state.expected.is_empty() && state.open.is_empty() && state.ended.is_empty());
}
