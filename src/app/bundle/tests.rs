use super::*;
use crate::config::{FlagSetting, Inputs, load};

/// A node's folders, empty at first.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.0.path().join("config")).unwrap();
        place
    }

    fn loaded(&self, changes: &[(&str, &str)]) -> Loaded {
        let flag = |key: &str, value: &str| FlagSetting {
            flag: "--set".into(),
            key: key.into(),
            value: value.into(),
        };
        let data = self.0.path().join("data").display().to_string();
        let flags =
            changes.iter().map(|(key, value)| flag(key, value)).chain([flag("data_dir", &data)]).collect();
        let config_dir = Some(self.0.path().join("config"));
        load(&Inputs { config_dir, flags, ..Inputs::default() }).unwrap()
    }

    fn write(&self, at: &str, models: &[ModelId], seed: u64) -> PathBuf {
        let folder = self.0.path().join(at);
        synth::write(&folder, models, Profile::Tiny, seed, |_| {}).unwrap();
        folder
    }

    fn in_bundles(&self) -> Vec<PathBuf> {
        fs::read_dir(self.0.path().join("data/bundles")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn with_nothing_configured_weights_are_made_up_once_and_said_to_be_noise() {
    let place = Place::new();
    let loaded = place.loaded(&[]);
    let first = choose(None, &loaded).unwrap();
    assert_eq!(first.origin, Origin::Synthetic);
    assert!(first.notes[0].contains("noise") && first.notes[0].contains("weights pull"), "{:?}", first.notes);
    assert_eq!(place.in_bundles(), std::slice::from_ref(&first.bundle.folder), "nothing is left beside it");
    let description = first.bundle.folder.join(FILE_NAME);
    let made = fs::metadata(&description).unwrap().modified().unwrap();
    let second = choose(None, &loaded).unwrap();
    assert_eq!((second.sha256, &second.bundle), (first.sha256, &first.bundle));
    assert_eq!(fs::metadata(&description).unwrap().modified().unwrap(), made, "it is not made twice");
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let place = Place::new();
    let loaded = place.loaded(&[]);
    let first = choose(None, &loaded).unwrap();
    let weights = first.bundle.weight_files(ModelId::Kokoro, "weights").remove(0);
    let sound = fs::read(&weights).unwrap();
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&weights, damaged).unwrap();
    assert_eq!(choose(None, &loaded).unwrap().sha256, first.sha256);
    assert_eq!(fs::read(&weights).unwrap(), sound);
    fs::remove_file(first.bundle.folder.join(FILE_NAME)).unwrap();
    assert_eq!(choose(None, &loaded).unwrap().sha256, first.sha256);
    assert_eq!(place.in_bundles().len(), 1, "nothing is left beside it");
}

#[test]
fn the_flag_goes_over_the_setting_and_the_setting_over_the_demo() {
    let place = Place::new();
    let demo = place.write("config/bundles/demo", &ModelId::ALL, 1);
    let set = place.write("set", &ModelId::ALL, 2);
    let flag = place.write("flag", &ModelId::ALL, 3);
    let found = choose(None, &place.loaded(&[])).unwrap();
    assert_eq!((found.origin, found.bundle.folder, found.notes.len()), (Origin::Demo, demo, 0));
    let with_setting = place.loaded(&[("bundle", set.to_str().unwrap())]);
    let found = choose(None, &with_setting).unwrap();
    assert_eq!((found.origin, found.bundle.folder), (Origin::Given, set));
    let description = flag.join(FILE_NAME);
    let found = choose(Some(&description), &with_setting).unwrap();
    assert_eq!((found.origin, found.bundle.folder), (Origin::Given, flag));
    assert_eq!(found.sha256, Sha256::of(&fs::read(description).unwrap()));
}

#[test]
fn a_bundle_without_all_models_is_refused_with_what_is_missing() {
    let place = Place::new();
    let folder = place.write("partial", &[ModelId::Kokoro, ModelId::ClipB, ModelId::LivePortrait], 0);
    let told = choose(Some(&folder), &place.loaded(&[])).unwrap_err().to_string();
    assert!(told.contains("lacks flux, clip_l; it has liveportrait, kokoro, clip_b"), "{told}");
}

#[cfg(unix)]
#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let place = Place::new();
    fs::write(place.0.path().join("data"), "a file").unwrap();
    let told = choose(None, &place.loaded(&[])).unwrap_err().to_string();
    assert!(told.contains("data/bundles cannot be made") && told.contains("data_dir"), "{told}");
}

#[test]
fn what_does_not_fit_its_budget_or_the_limit_is_refused() {
    let place = Place::new();
    let folder = place.write("given", &ModelId::ALL, 0);
    let device = candle_core::Device::Cpu;
    let judged = |changes: &[(&str, &str)], free: Bytes| {
        let loaded = place.loaded(changes);
        let chosen = choose(Some(&folder), &loaded).unwrap();
        fit(&chosen.bundle, &loaded.settings, &device, free).map_err(|error| error.to_string())
    };
    assert!(judged(&[], Bytes::gb(20)).is_ok());
    let told = judged(&[("models.kokoro.budget", "1kB")], Bytes::gb(20)).unwrap_err();
    assert!(told.contains("kokoro will hold") && told.contains("models.kokoro.budget is 1.0 kB"), "{told}");
    let told = judged(&[], Bytes::gb(2)).unwrap_err();
    assert!(told.contains("too much"), "{told}");
}
