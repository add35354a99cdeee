use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;
use crate::config::{FlagSetting, Inputs, Loaded, load};
use crate::types::Stage;

const FREE: Bytes = Bytes::gb(20);

fn loaded(changes: &[(&str, &str)]) -> Loaded {
    let empty = tempfile::tempdir().unwrap();
    let flags = changes
        .iter()
        .map(|(key, value)| FlagSetting { flag: "--set".into(), key: (*key).into(), value: (*value).into() })
        .collect();
    load(&Inputs { config_dir: Some(empty.path().to_owned()), flags, ..Inputs::default() }).unwrap()
}

/// Everything that a running node is told, one value a line, each with the way to it.
fn told(settings: &Settings) -> BTreeSet<String> {
    let mut tree = tree_settings(settings, DeviceId::Cpu, FREE, OpenSlots::Close).unwrap();
    // Drawn anew each time.
    tree.seed = 0;
    let mut text = format!("{tree:#?}\n{:#?}\n{:#?}", model_limits(settings), chain_settings(settings));
    write!(text, "\npool_kept: {:#?}", pool_kept(settings)).unwrap();
    // As the record of this node's ends has it.
    write!(text, "\nprocess: {:#?}", settings.restart.process).unwrap();
    // As first estimates are made from.
    for stage in Stage::ALL {
        write!(text, "\n{stage}_parameters: {}", settings.stages.of(stage).parameters).unwrap();
    }
    for model in ModelId::ALL {
        let set = settings.models.budget(model);
        let told = (set.budget.unwrap_or_default(), set.workspace.unwrap_or_default(), set.precision);
        write!(text, "\n{model}_budget: {told:#?}").unwrap();
    }
    let mut path: Vec<&str> = Vec::new();
    let mut found = BTreeSet::new();
    let mut items = Vec::new();
    for line in text.lines() {
        let depth = (line.len() - line.trim_start().len()) / 4;
        path.truncate(depth);
        items.truncate(depth + 1);
        items.resize(depth + 1, 0);
        let name = line.trim().trim_end_matches([',', '{', '[', '(', ' ']);
        items[depth] += 1;
        path.push(name.split(':').next().unwrap_or(name));
        let place: Vec<String> =
            path.iter().zip(&items).map(|(name, item)| format!("{name}#{item}")).collect();
        found.insert(format!("{}: {}", place.join("."), line.trim()));
    }
    found
}

/// Each setting with another value, and how that value is told.
const CHANGES: [(&str, &str, &str); 68] = [
    ("memory.soft_limit", "10.0GB", "10000000000"),
    ("memory.hard_limit", "19.0GB", "19000000000"),
    ("memory.overhead", "123MB", "123000000"),
    ("memory.hysteresis", "124MB", "124000000"),
    ("memory.dwell", "31s", "31s"),
    ("memory.sample_every", "32ms", "32ms"),
    ("memory.stale_after", "33s", "33s"),
    ("memory.probe_retry", "34s", "34s"),
    ("memory.blind_rebuild", "61s", "61s"),
    ("memory.blind_at_most", "1234s", "1234s"),
    ("memory.act_again", "35s", "35s"),
    ("memory.floor_tolerance", "125MB", "125000000"),
    ("memory.pool_release_threshold", "127MB", "127000000"),
    ("memory.snapshot_every", "36s", "36s"),
    ("memory.snapshots_kept", "37", "37"),
    ("memory.leak.growth", "126MB", "126000000"),
    ("memory.leak.standard_errors", "7.5", "7.5"),
    ("memory.leak.every_slots", "38", "38"),
    ("memory.leak.warm_up", "39", "39"),
    ("stages.audio.timeout", "41s", "41s"),
    ("stages.audio.retries", "4", "4"),
    ("stages.audio.estimate", "42s", "42s"),
    ("stages.audio.parameters", "101", "101"),
    ("stages.image.timeout", "7x, at least 43s", "7"),
    ("stages.image.retries", "5", "5"),
    ("stages.image.estimate", "44s", "44s"),
    ("stages.image.parameters", "102", "102"),
    ("stages.video.timeout", "45s", "45s"),
    ("stages.video.retries", "6", "6"),
    ("stages.video.estimate", "46s", "46s"),
    ("stages.video.parameters", "103", "103"),
    ("stages.verify.timeout", "47s", "47s"),
    ("stages.verify.retries", "7", "7"),
    ("stages.verify.estimate", "48s", "48s"),
    ("stages.verify.parameters", "104", "104"),
    ("stages.package.timeout", "49s", "49s"),
    ("stages.package.retries", "8", "8"),
    ("stages.package.estimate", "51s", "51s"),
    ("stages.package.parameters", "105", "105"),
    ("slots.queue", "52", "52"),
    ("slots.lookahead", "53", "53"),
    ("slots.deadline_buffer", "54s", "54s"),
    ("slots.drain", "55s", "55s"),
    ("restart.model.budget", "56", "56"),
    ("restart.model.window", "57s", "57s"),
    ("restart.model.backoff", "58ms", "58ms"),
    ("restart.model.backoff_max", "59s", "59s"),
    ("restart.model.jitter", "0.61", "0.61"),
    ("restart.device.budget", "62", "62"),
    ("restart.device.window", "63s", "63s"),
    ("restart.device.backoff", "13s", "13s"),
    ("restart.device.backoff_max", "64s", "64s"),
    ("restart.device.jitter", "0.65", "0.65"),
    ("restart.process.window", "901s", "901s"),
    ("restart.process.alert_at", "17", "17"),
    ("restart.process.backoff", "14s", "14s"),
    ("restart.process.backoff_max", "902s", "902s"),
    ("restart.process.clean_after", "903s", "903s"),
    ("deadlines.loading", "71s", "71s"),
    ("deadlines.warming", "72s", "72s"),
    ("deadlines.ready", "73s", "73s"),
    ("deadlines.busy", "74s", "74s"),
    ("deadlines.cancelling", "75s", "75s"),
    ("deadlines.trimming", "76s", "76s"),
    ("deadlines.restarting", "77s", "77s"),
    ("deadlines.stuck", "78s", "78s"),
    ("models.flux.budget", "601MB", "601000000"),
    ("models.clip_l.workspace", "202MB", "202000000"),
];

#[test]
fn every_setting_reaches_its_place_and_no_other() {
    let before = told(&loaded(&[]).settings);
    for (key, value, expected) in CHANGES {
        let after = told(&loaded(&[(key, value)]).settings);
        let changed: Vec<&String> = after.difference(&before).collect();
        assert!(!changed.is_empty(), "{key} = {value} changes nothing");
        let last = key.rsplit('.').next().unwrap();
        // A limit, and the tree's own actors, follow a setting that other parts have too.
        let places = match key {
            // A stage's timeout becomes another variant with it.
            _ if key.ends_with("timeout") => 1..=3,
            "memory.stale_after" | "memory.floor_tolerance" | "memory.act_again" => 2..=2,
            _ if key.starts_with("restart.model") && last != "backoff" => 2..=2,
            _ => 1..=1,
        };
        assert!(places.contains(&changed.len()), "{key} = {value} changes {changed:#?}");
        assert!(changed.iter().any(|line| line.contains(expected)), "{key} = {value} changes {changed:#?}");
    }
}

#[test]
fn no_setting_of_a_running_node_is_left_out() {
    let groups = ["memory.", "stages.", "slots.", "restart.", "deadlines."];
    let loaded = loaded(&[]);
    let keys = loaded.effective.iter().map(|row| row.key.as_str());
    for key in keys.filter(|key| groups.iter().any(|group| key.starts_with(group))) {
        assert!(CHANGES.iter().any(|(known, ..)| *known == key), "{key} is in no test");
    }
}

#[test]
fn shares_count_what_is_free_and_contradictions_name_their_keys() {
    let settings = loaded(&[("memory.soft_limit", "50%"), ("memory.hard_limit", "75%")]).settings;
    let tree = tree_settings(&settings, DeviceId::Cpu, Bytes::gb(4), OpenSlots::Resume).unwrap();
    assert_eq!(tree.watch.monitor.thresholds.soft(), Bytes::gb(2));
    assert_eq!(hard_limit(&settings, Bytes::gb(4)), Bytes::gb(3));
    assert_eq!(tree.open_slots, OpenSlots::Resume);
    let settings = loaded(&[("memory.soft_limit", "9.0GB"), ("memory.hard_limit", "92%")]).settings;
    assert!(tree_settings(&settings, DeviceId::Cpu, Bytes::gb(20), OpenSlots::Close).is_ok());
    let refused = tree_settings(&settings, DeviceId::Cpu, Bytes::gb(5), OpenSlots::Close).unwrap_err();
    let told = refused.to_string();
    assert!(refused.is_bad_input());
    assert!(told.contains("memory.soft_limit = 9.00 GB") && told.contains("5.00 GB free"), "{told}");
}

#[test]
fn the_processor_is_opened_and_its_free_memory_is_what_may_be_used() {
    let settings = loaded(&[]).settings;
    let (mut all, left_out) = open_all(&settings, |_| Ok(())).unwrap();
    let Opened { id, device, mut chain, free } = all.remove(0);
    assert!(id == DeviceId::Cpu && device.is_cpu() && all.is_empty() && left_out.is_empty());
    let sample = chain.sample(clock::now()).sample.unwrap();
    assert_eq!(sample.source, "host");
    assert!(free > Bytes::ZERO && sample.total >= free);
}

#[test]
fn devices_that_cannot_be_used_say_what_can() {
    let told = |device: &str| {
        let settings = loaded(&[("device", device)]).settings;
        open_all(&settings, |_| Ok(())).err().unwrap().to_string()
    };
    assert!(told("scripted").contains("vortex-node rehearse"), "{}", told("scripted"));
    if !cfg!(feature = "cuda") {
        assert!(told("cuda:1").contains("built without cuda"), "{}", told("cuda:1"));
        assert!(told("cuda:1,cuda:0").starts_with("cuda:1 cannot be used"), "{}", told("cuda:1,cuda:0"));
        assert_eq!(devices(&loaded(&[("device", "auto")]).settings).unwrap(), [DeviceId::Cpu]);
    }
    let both = devices(&loaded(&[("device", "cuda:1,cuda:0")]).settings).unwrap();
    assert_eq!(both, [DeviceId::Cuda(1), DeviceId::Cuda(0)]);
}

#[test]
fn a_device_that_cannot_hold_the_models_is_refused_by_name() {
    for device in ["cpu", "auto"] {
        let settings = loaded(&[("device", device)]).settings;
        let refused = open_all(&settings, |it| {
            let beyond = vec![format!("{} is too little", it.free)];
            Err(BuildError::OverBudget { bundle: "x".to_owned(), beyond })
        });
        let refused = refused.err().unwrap();
        let told = refused.to_string();
        assert!(
            refused.is_bad_input() && told.starts_with("cpu: ") && told.ends_with("is too little"),
            "{told}"
        );
    }
}

#[test]
fn precisions_and_places_of_the_settings_go_over_the_bundles() {
    let folder = tempfile::tempdir().unwrap();
    let models = [ModelId::Flux, ModelId::ClipB];
    let bundle =
        crate::models::synth::write(folder.path(), &models, crate::models::synth::Profile::Tiny, 0, |_| {});
    let bundle = bundle.unwrap();
    assert_eq!(with_precisions(bundle.clone(), &loaded(&[]).settings), bundle);
    let changes = [
        ("models.flux.precision", "f32"),
        ("models.flux.t5", "streamed"),
        ("models.flux.modulation_on_host", "true"),
        ("models.clip_b.precision", "f16"),
    ];
    let settings = loaded(&changes).settings;
    let laid_over = with_precisions(bundle, &settings);
    assert_eq!(laid_over.model(ModelId::ClipB).unwrap().precision, Precision::F16);
    let options = flux_options(&laid_over, &settings).unwrap();
    assert_eq!(options.precision, crate::models::flux::precision::Precision::F32);
    assert!(options.t5 == T5Place::Streamed && options.modulation_in_host);
}

#[test]
fn a_card_that_cannot_be_opened_is_left_out_by_name_and_its_neighbour_is_used() {
    let refuse = |bad: u32| {
        move |id: DeviceId| match id {
            DeviceId::Cuda(ordinal) if ordinal == bad => {
                Err(BuildError::Blind { device: id, why: "lost".into() })
            }
            _ => Ok(()),
        }
    };
    for bad in [0, 1] {
        let (used, left_out) = best_devices(Ok(2), refuse(bad));
        assert_eq!(used, [DeviceId::Cuda(1 - bad)]);
        let [told] = &left_out[..] else { panic!("{left_out:?}") };
        assert!(told.starts_with(&format!("cuda:{bad} is left out: ")) && told.contains("lost"), "{told}");
    }
    let (used, left_out) = best_devices(Ok(1), refuse(0));
    assert_eq!((used, left_out.len()), (vec![DeviceId::Cpu], 1));
    let broken = Fault::Driver { doing: "counting".to_owned(), code: "CUDA_ERROR_UNKNOWN".to_owned() };
    let (used, left_out) = best_devices(Err(broken), refuse(0));
    assert!(used == [DeviceId::Cpu] && left_out[0].starts_with("all cards are left out: "), "{left_out:?}");
    for none in [Fault::NotBuilt, Fault::NoDriver] {
        assert_eq!(best_devices(Err(none), refuse(0)), (vec![DeviceId::Cpu], Vec::new()));
    }
}
