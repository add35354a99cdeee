//! The resident Kokoro on seeded weights of a small size: what a job comes to, and what bad input does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use candle_core::Device;
use tempfile::TempDir;
use vortex_node::contract::{
    CancelFlag, ErrorClass, Model, ModelError, Observe, Progress, Run, Speak, Speech, Unit,
};
use vortex_node::models::kokoro::config::KokoroConfig;
use vortex_node::models::kokoro::{KokoroFiles, KokoroModel};
use vortex_node::types::{Emotion, SpeechSpeed};

use crate::synthetic_kokoro::{json, small, write};

const VOICES: [&str; 4] = ["af_sarah", "am_adam", "bf_emma", "jf_alpha"];
const TEXT: &str = "The river rose in the night. It carried the old bridge away, and nobody saw it go.";

struct Bundle {
    files: KokoroFiles,
    _folder: TempDir,
}

fn bundle(config: &KokoroConfig) -> Bundle {
    let folder = tempfile::tempdir().unwrap();
    Bundle { files: write(config, folder.path(), &VOICES), _folder: folder }
}

fn load(files: &KokoroFiles) -> KokoroModel {
    KokoroModel::load(files, &Device::Cpu, &Run::unobserved()).unwrap()
}

fn job(text: &str) -> Speak {
    Speak {
        text: text.to_owned(),
        voice: "af_sarah".parse().unwrap(),
        speed: SpeechSpeed::NORMAL,
        emotion: Emotion::Neutral,
        duration: Duration::from_secs(20),
        seed: 7,
    }
}

fn say(model: &mut KokoroModel, job: Speak) -> Speech {
    model.run(job, &Run::unobserved()).unwrap()
}

fn refused(model: &mut KokoroModel, job: Speak) -> ModelError {
    model.run(job, &Run::unobserved()).unwrap_err()
}

/// Where the last sound ends.
fn spoken(speech: &Speech) -> u64 {
    speech
        .timeline
        .phonemes()
        .iter()
        .filter(|phoneme| phoneme.symbol != " ")
        .map(|phoneme| phoneme.end)
        .max()
        .unwrap()
}

fn codes(speech: &Speech) -> Vec<&str> {
    speech.warnings.iter().map(|warning| warning.code.as_ref()).collect()
}

fn bytes(speech: &Speech) -> Vec<u8> {
    speech.pcm.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

#[test]
fn a_script_becomes_sound_of_the_asked_length_with_its_timeline() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let speech = say(&mut model, job(TEXT));
    assert_eq!(speech.pcm.samples.len(), 20 * 24_000);
    assert_eq!(speech.timeline.total(), speech.pcm.samples.len() as u64);
    assert_eq!(speech.timeline.phonemes().last().unwrap().end, speech.timeline.total());
    assert!(speech.pcm.samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
    let end = spoken(&speech) as usize;
    assert!(end > 24_000 && end < 15 * 24_000, "two sentences last {end} samples");
    assert!(speech.pcm.samples[..end].iter().any(|sample| sample.abs() > 1e-3), "something is heard");
    let said: String = speech.timeline.phonemes().iter().map(|phoneme| phoneme.symbol.as_str()).collect();
    assert!(said.starts_with(" ðə ɹɪvəɹ ɹOz ɪn ðə nIt "), "{said:?}");
    assert!(speech.warnings.is_empty(), "{:?}", speech.warnings);
}

#[test]
fn the_same_job_gives_the_same_bytes_on_any_number_of_threads() {
    let bundle = bundle(&small());
    let on = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let files = bundle.files.clone();
        pool.install(move || bytes(&say(&mut load(&files), Speak { seed, ..job(TEXT) })))
    };
    let first = on(1, 7);
    assert!(first == on(1, 7), "twice the same");
    assert!(first == on(3, 7), "the same on three threads");
    assert!(first != on(1, 8), "the seed is heard");
}

#[test]
fn speed_and_tempo_divide_the_length() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let mut length = |speed: f32, emotion: Emotion| {
        let speed = SpeechSpeed::try_from(speed).unwrap();
        spoken(&say(&mut model, Speak { speed, emotion, ..job(TEXT) })) as f64
    };
    let normal = length(1.0, Emotion::Neutral);
    for (speed, emotion, factor) in
        [(0.8, Emotion::Neutral, 0.8), (1.2, Emotion::Neutral, 1.2), (1.0, Emotion::Manic, 1.25)]
    {
        let ratio = length(speed, emotion) / normal;
        assert!((ratio * factor - 1.0).abs() < 0.05, "{speed} {emotion:?}: {ratio}");
    }
}

#[test]
fn a_long_script_stops_when_the_slot_is_full() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<Progress>>);
    impl Observe for Seen {
        fn step(&self, progress: Progress) {
            self.0.lock().unwrap().push(progress);
        }
    }
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let text = "When the storm came down, ten boats were still far out on the water. ".repeat(72);
    assert!(text.split_whitespace().count() >= 1000);
    let seen = Arc::new(Seen::default());
    let run = Run::new(CancelFlag::new(), seen.clone());
    let speech = model.run(Speak { duration: Duration::from_secs(10), ..job(&text) }, &run).unwrap();
    assert_eq!(speech.pcm.samples.len(), 240_000);
    assert_eq!(codes(&speech), ["script_cut"]);
    let message = &speech.warnings[0].message;
    assert!(message.contains("does not fit into 10s: cut at "), "{message}");
    let steps = seen.0.lock().unwrap();
    // A sentence that is too long for one piece counts for two.
    assert!(steps.iter().all(|step| step.unit == Unit::Sentences && (72..80).contains(&step.total)));
    assert!(steps.len() < 8, "{} sentences were begun for ten seconds", steps.len());
    // Cut at a word's end: what follows the last sound is silence, after a short fade.
    let end = spoken(&speech) as usize;
    assert!(end > 8 * 24_000, "the slot is nearly full: {end}");
    assert!(speech.pcm.samples[(end + 240).min(240_000)..].iter().all(|sample| *sample == 0.0));
}

#[test]
fn a_cancelled_job_stops_between_sentences() {
    struct CancelAt(CancelFlag, u32);
    impl Observe for CancelAt {
        fn step(&self, progress: Progress) {
            if progress.done == self.1 {
                self.0.cancel();
            }
        }
    }
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let cancel = CancelFlag::new();
    let run = Run::new(cancel.clone(), Arc::new(CancelAt(cancel, 1)));
    let error = model.run(job(TEXT), &run).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Cancelled);
    assert!(
        bytes(&say(&mut model, job(TEXT))) == bytes(&say(&mut load(&bundle.files), job(TEXT))),
        "as it was before"
    );
}

#[test]
fn a_long_sentence_is_spoken_in_pieces_that_fit_into_memory() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let sentence = format!("We saw {} and a wall.", "a boat, a bridge, a bird, ".repeat(9));
    let speech = say(&mut model, Speak { duration: Duration::from_secs(40), ..job(&sentence) });
    let said: String = speech.timeline.phonemes().iter().map(|phoneme| phoneme.symbol.as_str()).collect();
    assert_eq!(said.matches("bɹɪʤ").count(), 9, "{said}");
    assert!(spoken(&speech) > 10 * 24_000, "longer than any piece");
    assert!(model.workspace(&job(&sentence)).get() < 100_000_000);
}

#[test]
fn emotion_changes_the_sound_and_not_the_words() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let neutral = say(&mut model, job(TEXT));
    let angry = say(&mut model, Speak { emotion: Emotion::Angry, ..job(TEXT) });
    let said = |speech: &Speech| -> Vec<String> {
        speech.timeline.phonemes().iter().map(|phoneme| phoneme.symbol.clone()).collect()
    };
    assert_eq!(said(&neutral), said(&angry));
    assert!(bytes(&neutral) != bytes(&angry));
}

#[test]
fn the_accent_follows_the_voice() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let mut said = |voice: &str| {
        let speech = say(&mut model, Speak { voice: voice.parse().unwrap(), ..job("The car.") });
        let said =
            speech.timeline.phonemes().iter().map(|phoneme| phoneme.symbol.as_str()).collect::<String>();
        (said.trim().to_owned(), codes(&speech).join(" "))
    };
    assert_eq!(said("am_adam"), ("ðə kɑɹ".to_owned(), String::new()));
    assert_eq!(said("bf_emma"), ("ðə kɑ".to_owned(), String::new()));
    assert_eq!(said("af_sarah(0.4)+bf_emma(0.6)").0, "ðə kɑ");
    assert_eq!(said("jf_alpha"), ("ðə kɑɹ".to_owned(), "voice_language".to_owned()));
}

#[test]
fn a_blend_lies_between_its_voices() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let mut with =
        |voice: &str| bytes(&say(&mut model, Speak { voice: voice.parse().unwrap(), ..job("Hello.") }));
    let (a, b, both) = (with("af_sarah"), with("am_adam"), with("af_sarah(0.5)+am_adam(0.5)"));
    assert!(a != b && a != both && b != both);
    assert!(with("af_sarah(0.5)+af_sarah(0.5)") == a);
}

#[test]
fn unknown_words_are_spelled_with_a_warning_and_what_cannot_be_said_is_left_out() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let speech = say(&mut model, job("The qzxwv is 日本 here."));
    assert_eq!(codes(&speech), ["word_spelled", "text_skipped"]);
    assert!(speech.warnings[0].message.contains("qzxwv"), "{:?}", speech.warnings);
    assert!(speech.warnings[1].message.contains("日本"), "{:?}", speech.warnings);
}

#[test]
fn text_that_cannot_be_spoken_is_refused() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    for (text, part) in
        [("", "is empty"), (" \n\t ", "is empty"), ("…!?", "can be spoken"), ("日本語", "can be spoken")]
    {
        let error = refused(&mut model, job(text));
        assert!(error.class() == ErrorClass::Own && error.to_string().contains(part), "{text:?}: {error}");
    }
    let error = refused(&mut model, Speak { duration: Duration::ZERO, ..job(TEXT) });
    assert!(error.to_string().contains("holds no sample"), "{error}");
}

#[test]
fn an_unknown_voice_is_refused_with_the_nearest_name() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let error = refused(&mut model, Speak { voice: "af_sara".parse().unwrap(), ..job(TEXT) });
    assert!(error.to_string().contains("did you mean \"af_sarah\"?"), "{error}");
}

#[test]
fn a_vocabulary_without_the_texts_symbols_is_refused_by_name() {
    let bundle = bundle(&small());
    let mut config = small();
    config.vocab.remove(&'ð');
    std::fs::write(&bundle.files.config, json(&config).to_string()).unwrap();
    let mut model = load(&bundle.files);
    let error = refused(&mut model, job(TEXT)).to_string();
    assert!(error.contains("'ð' (U+00F0)") && error.contains("113 symbols"), "{error}");
    assert!(model.canary(&Run::unobserved()).unwrap_err().to_string().contains("'ð'"));
}

#[test]
fn the_canary_passes_on_sound_weights_and_fails_on_broken_ones() {
    let bundle = bundle(&small());
    load(&bundle.files).canary(&Run::unobserved()).unwrap();
    // A loudness that no speech has, and durations that no speech has.
    for (name, value) in [
        ("decoder.module.generator.conv_post.bias", 6.0),
        ("predictor.module.duration_proj.linear_layer.bias", -50.0),
    ] {
        let mut tensors = candle_core::safetensors::load(&bundle.files.weights, &Device::Cpu).unwrap();
        let broken = (tensors[name].zeros_like().unwrap() + value).unwrap();
        tensors.insert(name.to_owned(), broken);
        let files = KokoroFiles {
            weights: bundle.files.weights.with_extension("broken.safetensors"),
            ..bundle.files.clone()
        };
        candle_core::safetensors::save(&tensors, &files.weights).unwrap();
        let error = load(&files).canary(&Run::unobserved()).unwrap_err();
        assert!(error.to_string().contains("the canary"), "{error}");
    }
}

#[test]
fn weights_that_do_not_fit_the_configuration_are_refused_with_the_tensor() {
    let bundle = bundle(&small());
    let mut config = small();
    config.hidden_dim = 48;
    std::fs::write(&bundle.files.config, json(&config).to_string()).unwrap();
    let error = KokoroModel::load(&bundle.files, &Device::Cpu, &Run::unobserved()).unwrap_err().chain();
    assert!(error.contains("bert_encoder.module.weight"), "{error}");
    std::fs::write(&bundle.files.config, "{").unwrap();
    let error = KokoroModel::load(&bundle.files, &Device::Cpu, &Run::unobserved()).unwrap_err().chain();
    assert!(error.contains("config.json is not a Kokoro config"), "{error}");
}
