use std::path::Path;

use super::*;
use crate::app::bundle::choose;
use crate::config::{FlagSetting, Inputs, Loaded, load};
use crate::models::synth::{self, Profile};

fn loaded(folder: &Path, changes: &[(&str, &str)]) -> Loaded {
    let flag =
        |key: &str, value: &str| FlagSetting { flag: "--set".into(), key: key.into(), value: value.into() };
    let data = folder.join("data").display().to_string();
    let flags =
        changes.iter().map(|(key, value)| flag(key, value)).chain([flag("data_dir", &data)]).collect();
    let config_dir = Some(folder.join("config"));
    load(&Inputs { config_dir, flags, ..Inputs::default() }).unwrap()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("config")).unwrap();
    let bundle = place.path().join("bundle");
    synth::write(&bundle, &ModelId::ALL, Profile::Tiny, 0, |_| {}).unwrap();
    (place, bundle)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// What one process knows at first, and learns.
fn process(settings: &Settings, key: &Key, learns: Option<Duration>) -> PerStage<Option<Duration>> {
    let record = EstimateRecord::read(settings);
    assert_eq!(record.trouble(), None);
    let (known, learned) = (record.known(key), Learned::default());
    learned.set(known);
    record.shared.devices.lock().push((key.clone(), learned.clone()));
    if let Some(time) = learns {
        learned.set(PerStage::from_fn(|stage: Stage| (stage != Stage::Package).then_some(time)));
    }
    record.keep();
    known
}

#[test]
fn what_one_process_measured_the_next_one_knows_for_the_same_bundle_device_and_settings() {
    let (place, bundle) = place();
    let set = loaded(place.path(), &[]);
    let chosen = choose(Some(&bundle), &set).unwrap();
    let key = Key::of(&chosen, &set.settings, DeviceId::Cpu);
    assert_eq!(process(&set.settings, &key, None), PerStage::default());
    assert!(!set.settings.data_dir.join(FILE).exists(), "nothing was learned");
    process(&set.settings, &key, Some(seconds(7)));
    let known = process(&set.settings, &key, None);
    assert_eq!((known[Stage::Audio], known[Stage::Package]), (Some(seconds(7)), None));

    let other = loaded(place.path(), &[("models.liveportrait.frame_batch", "2")]);
    let mut others = vec![
        Key::of(&chosen, &other.settings, DeviceId::Cpu),
        Key::of(&chosen, &set.settings, DeviceId::Cuda(0)),
        Key { bundle: Sha256::of(b"another"), ..key },
    ];
    let meant = loaded(place.path(), &[("stages.video.estimate", "5s")]);
    others.push(Key::of(&chosen, &meant.settings, DeviceId::Cpu));
    let narrow = loaded(place.path(), &[("models.clip_l.precision", "f16")]);
    others.push(Key::of(&choose(Some(&bundle), &narrow).unwrap(), &narrow.settings, DeviceId::Cpu));
    for other in &others {
        assert_eq!(process(&set.settings, other, None), PerStage::default(), "{other:?}");
        process(&set.settings, other, Some(seconds(9)));
    }
    assert_eq!(process(&set.settings, &key, None)[Stage::Video], Some(seconds(7)), "each has its own row");
    // Settings that change no speed change nothing.
    let same = loaded(place.path(), &[("slots.queue", "5")]);
    assert_eq!(Key::of(&chosen, &same.settings, DeviceId::Cpu), key);
}

#[test]
fn a_damaged_or_foreign_file_is_set_aside_and_told_and_another_is_begun() {
    let (place, bundle) = place();
    let set = loaded(place.path(), &[]);
    let chosen = choose(Some(&bundle), &set).unwrap();
    let key = Key::of(&chosen, &set.settings, DeviceId::Cpu);
    process(&set.settings, &key, Some(seconds(7)));
    let file = set.settings.data_dir.join(FILE);
    let sound = std::fs::read_to_string(&file).unwrap();
    for (damaged, told) in [
        (sound[..sound.len() / 2].to_owned(), "cannot be read: EOF"),
        (String::new(), "cannot be read: EOF"),
        ("[1, 2]".to_owned(), "cannot be read: invalid"),
        (sound.replace("\"version\":1", "\"version\":2"), "it is of version 2, and 1 is understood"),
        (sound.replace("7.0", "-7.0"), "takes -7e0 s"),
        (sound.replace("7.0", "1e300"), "takes 1e300 s"),
        (sound.replace("audio", "smell"), "it names a stage \"smell\""),
        (" ".repeat(70_000), "it is larger than 65536 bytes"),
    ] {
        std::fs::write(&file, &damaged).unwrap();
        let record = EstimateRecord::read(&set.settings);
        let trouble = record.trouble().unwrap_or_else(|| panic!("{damaged} is taken")).to_owned();
        assert!(trouble.contains(told) && trouble.contains("it is set aside as"), "{trouble}");
        assert_eq!(record.known(&key), PerStage::default());
        assert_eq!(std::fs::read_to_string(file.with_file_name(SET_ASIDE)).unwrap(), damaged);
        assert!(!file.exists());
    }
    process(&set.settings, &key, Some(seconds(8)));
    assert_eq!(process(&set.settings, &key, None)[Stage::Audio], Some(seconds(8)));
}

#[test]
fn only_the_newest_are_remembered() {
    let mut book = Book::default();
    let key = |number: usize| Key {
        bundle: Sha256::of(&number.to_le_bytes()),
        device: DeviceId::Cpu,
        settings: Sha256::of(b"the same"),
    };
    let known = PerStage::from_fn(|_: Stage| Some(seconds(1)));
    for number in 0..=REMEMBERED {
        assert!(book.put(&key(number), &known, 0));
        assert!(!book.put(&key(number), &known, 1), "it is known");
    }
    assert_eq!(book.rows.len(), REMEMBERED);
    assert_eq!(book.known(&key(0)), PerStage::default());
    assert_eq!(book.known(&key(REMEMBERED)), known);
    let text = serde_json::to_vec(&book).unwrap();
    assert!(text.len() < 32 * 1024, "{} bytes: far below what is read", text.len());
}

#[test]
fn a_larger_bundle_is_expected_to_take_longer_in_proportion() {
    assert_eq!(grown(seconds(20), 82_000_000, 15_000_000).as_secs(), 109);
    assert_eq!(grown(seconds(20), 3_000_000, 15_000_000), seconds(20), "none is expected to be faster");
    assert_eq!(grown(seconds(20), 82_000_000, 0), seconds(20), "it holds for any");
    assert_eq!(grown(seconds(20), u64::MAX, 1), Duration::from_secs_f64(LONGEST));

    let (place, bundle) = place();
    let set = loaded(place.path(), &[]);
    let chosen = choose(Some(&bundle), &set).unwrap();
    let of =
        |changes: &[(&str, &str)]| first(&chosen.bundle, &loaded(place.path(), changes).settings).unwrap();
    let small = of(&[]);
    assert_eq!(small, PerStage::from_fn(|stage| set.settings.stages.of(stage).estimate), "it is small");
    let large = of(&[("stages.audio.parameters", "1000"), ("stages.verify.parameters", "1000")]);
    assert!(large[Stage::Audio] > small[Stage::Audio].saturating_mul(2), "{large:?}");
    assert!(large[Stage::Verify] > small[Stage::Verify].saturating_mul(2), "{large:?}");
    assert_eq!((large[Stage::Image], large[Stage::Video]), (small[Stage::Image], small[Stage::Video]));
}
