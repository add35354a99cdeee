use super::*;
use crate::types::ModelId;
use crate::vram::probe::{ScriptedChange, ScriptedDevice, ScriptedFault, ScriptedProbe};

const RETRY: Duration = Duration::from_secs(30);

/// A chain of two probes, each with a device of its own; the second's always has 1 MB more in use.
struct Scene {
    first: ScriptedDevice,
    second: ScriptedDevice,
    chain: ProbeChain,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        let (first, second) = (ScriptedDevice::new(Bytes::gb(12)), ScriptedDevice::new(Bytes::gb(12)));
        second.apply(ScriptedChange::Others(Bytes::mb(1)));
        let probes: Vec<Box<dyn Probe>> = vec![
            Box::new(ScriptedProbe::new("first", first.clone())),
            Box::new(ScriptedProbe::new("second", second.clone())),
        ];
        let settings =
            ChainSettings { max_age: Duration::from_secs(5), retry_after: RETRY, ..ChainSettings::default() };
        Self { first, second, chain: ProbeChain::new(probes, settings), start: crate::clock::now() }
    }

    fn sample(&mut self, second: u64) -> Reading {
        self.chain.sample(self.start + Duration::from_secs(second))
    }

    fn source(&mut self, second: u64) -> Option<&'static str> {
        self.sample(second).sample.map(|sample| sample.source)
    }
}

fn fault(device: &ScriptedDevice, fault: impl Into<Option<ScriptedFault>>) {
    device.apply(ScriptedChange::Fault(fault.into()));
}

#[test]
fn the_first_probe_answers_while_it_can() {
    let mut scene = Scene::new();
    let reading = scene.sample(0);
    assert_eq!(reading.sample.map(|s| (s.source, s.standing)), Some(("first", Standing::Primary)));
    assert_eq!(reading.switch, Some(Switch { from: None, to: Some("first"), because: None }));
    assert_eq!(scene.sample(1).switch, None);
}

#[test]
fn every_kind_of_trouble_makes_the_next_take_over_and_the_sample_say_so() {
    use ScriptedFault::{Failing, HalfTotal, Missing, NoTotal, UsedAboveTotal};
    for (trouble, kind) in [
        (Missing, ProbeErrorKind::Missing),
        (Failing, ProbeErrorKind::Failed),
        (UsedAboveTotal, ProbeErrorKind::Lied),
        (NoTotal, ProbeErrorKind::Lied),
        (HalfTotal, ProbeErrorKind::Lied),
    ] {
        let mut scene = Scene::new();
        scene.sample(0);
        fault(&scene.first, trouble);
        let reading = scene.sample(1);
        let sample = reading.sample.unwrap();
        assert_eq!((sample.source, sample.standing), ("second", Standing::Fallback), "{trouble:?}");
        assert_eq!(sample.used, Bytes::mb(1), "{trouble:?}: the numbers are the second's");
        let switch = reading.switch.unwrap();
        assert_eq!((switch.from, switch.to), (Some("first"), Some("second")));
        assert_eq!(switch.because.map(|error| (error.probe, error.kind)), Some(("first", kind)));
    }
}

#[test]
fn a_frozen_probe_is_stale_once_its_sample_is_too_old() {
    let mut scene = Scene::new();
    scene.sample(0);
    fault(&scene.first, ScriptedFault::Frozen);
    assert_eq!(scene.source(5), Some("first"));
    let reading = scene.sample(6);
    assert_eq!(reading.sample.map(|sample| sample.source), Some("second"));
    let because = reading.switch.and_then(|switch| switch.because).unwrap();
    assert_eq!(because.kind, ProbeErrorKind::Stale);
    assert!(because.to_string().contains("first") && because.to_string().contains("6s"), "{because}");
}

#[test]
fn a_probe_in_trouble_rests_and_is_taken_back() {
    let mut scene = Scene::new();
    scene.sample(0);
    fault(&scene.first, ScriptedFault::Failing);
    assert_eq!(scene.source(1), Some("second"));
    fault(&scene.first, None);
    assert_eq!(scene.source(30), Some("second"), "it rests");
    let back = scene.sample(31);
    assert_eq!(back.sample.map(|s| (s.source, s.standing)), Some(("first", Standing::Primary)));
    let switch = Switch { from: Some("second"), to: Some("first"), because: None };
    assert_eq!(back.switch, Some(switch));
    assert!(scene.chain.standing().all(|(_, trouble)| trouble.is_none()));
}

#[test]
fn a_retry_that_fails_begins_another_rest() {
    let mut scene = Scene::new();
    fault(&scene.first, ScriptedFault::Failing);
    assert_eq!(scene.source(0), Some("second"));
    assert_eq!(scene.source(30), Some("second"));
    fault(&scene.first, None);
    assert_eq!(scene.source(59), Some("second"));
    assert_eq!(scene.source(60), Some("first"));
}

#[test]
fn where_all_are_in_trouble_there_is_no_sample_and_the_rest_ends_early() {
    let mut scene = Scene::new();
    scene.sample(0);
    fault(&scene.first, ScriptedFault::Missing);
    fault(&scene.second, ScriptedFault::UsedAboveTotal);
    let reading = scene.sample(1);
    assert_eq!(reading.sample, None);
    assert_eq!(reading.switch.map(|switch| (switch.from, switch.to)), Some((Some("first"), None)));
    let troubles: Vec<_> =
        scene.chain.standing().map(|(name, trouble)| (name, trouble.map(|error| error.kind))).collect();
    let expected = [("first", Some(ProbeErrorKind::Missing)), ("second", Some(ProbeErrorKind::Lied))];
    assert_eq!(troubles, expected);
    assert_eq!(scene.sample(2), Reading { sample: None, switch: None });
    fault(&scene.first, None);
    assert_eq!(scene.source(3), Some("first"), "nobody else to ask, so it is asked");
}

#[test]
fn a_chain_of_none_has_no_sample() {
    let mut chain = ProbeChain::new(Vec::new(), ChainSettings::default());
    assert_eq!(chain.sample(crate::clock::now()), Reading { sample: None, switch: None });
}

#[test]
fn a_total_that_changed_for_good_is_believed_in_the_end() {
    let mut scene = Scene::new();
    fault(&scene.second, ScriptedFault::Missing);
    scene.sample(0);
    fault(&scene.first, ScriptedFault::HalfTotal);
    assert_eq!(scene.source(1), None);
    assert_eq!(scene.source(2), None);
    let convinced = scene.sample(3).sample.unwrap();
    assert_eq!((convinced.source, convinced.total), ("first", Bytes::gb(6)));
    assert_eq!(scene.source(4), Some("first"));
    fault(&scene.first, None);
    assert_eq!(scene.source(5), None, "and now the other is the odd one");
}

#[test]
fn a_total_that_comes_and_goes_is_never_believed() {
    let mut scene = Scene::new();
    fault(&scene.second, ScriptedFault::Missing);
    scene.sample(0);
    for second in (1..20).step_by(2) {
        fault(&scene.first, ScriptedFault::HalfTotal);
        assert_eq!(scene.source(second), None);
        fault(&scene.first, None);
        assert_eq!(scene.source(second + 1), Some("first"));
    }
}

#[test]
fn what_models_allocate_shows_in_the_sample() {
    let mut scene = Scene::new();
    let held = scene.first.allocate(ModelId::Flux, Bytes::gb(6)).unwrap();
    assert_eq!(scene.sample(0).sample.map(|sample| sample.used), Some(Bytes::gb(6)));
    drop(held);
    assert_eq!(scene.sample(1).sample.map(|sample| sample.used), Some(Bytes::ZERO));
}
