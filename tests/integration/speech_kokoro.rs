//! The resident Kokoro on seeded weights of a small size: what a job comes to, and what bad input does.

mod windows;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use candle_core::Device;
use tempfile::TempDir;
use vortex_node::contract::{
    CancelFlag, ErrorClass, Model, ModelError, Observe, Progress, Run, Speak, Speech, Unit,
};
use vortex_node::models::kokoro::config::KokoroConfig;
use vortex_node::models::kokoro::loudness::{CEILING, TARGET, integrated, true_peak};
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

/// The steps of a run, which stops it at one of them if it is told to.
#[derive(Default)]
struct Seen {
    steps: Mutex<Vec<Progress>>,
    cancel: CancelFlag,
    at: Option<usize>,
}

impl Observe for Seen {
    fn step(&self, progress: Progress) {
        let mut steps = self.steps.lock().unwrap();
        steps.push(progress);
        if self.at == Some(steps.len()) {
            self.cancel.cancel();
        }
    }
}

/// Runs a job that is cancelled at its step `at`, and says how it ended and what steps it made.
fn run_until(
    model: &mut KokoroModel,
    job: Speak,
    at: Option<usize>,
) -> (Result<Speech, ModelError>, Vec<Progress>) {
    let seen = Arc::new(Seen { at, ..Seen::default() });
    let result = model.run(job, &Run::new(seen.cancel.clone(), seen.clone()));
    let steps = seen.steps.lock().unwrap().clone();
    (result, steps)
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
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let text = "When the storm came down, ten boats were still far out on the water. ".repeat(72);
    assert!(text.split_whitespace().count() >= 1000);
    let (speech, steps) =
        run_until(&mut model, Speak { duration: Duration::from_secs(10), ..job(&text) }, None);
    let speech = speech.unwrap();
    assert_eq!(speech.pcm.samples.len(), 240_000);
    assert_eq!(codes(&speech), ["script_cut"]);
    let message = &speech.warnings[0].message;
    assert!(message.contains("does not fit into 10s: cut at "), "{message}");
    assert!(message.contains("not said (9") && message.contains("still far out on the water."), "{message}");
    assert!(message.len() < 800, "{message}");
    assert!(steps.iter().all(|step| step.unit == Unit::Sentences && step.total == 72));
    assert!(steps.len() < 8, "{} sentences were begun for ten seconds", steps.len());
    // Cut at a word's end: what follows the last sound is silence, after a short fade.
    let end = spoken(&speech) as usize;
    assert!(end > 8 * 24_000, "the slot is nearly full: {end}");
    assert!(speech.pcm.samples[(end + 240).min(240_000)..].iter().all(|sample| *sample == 0.0));
}

#[test]
fn a_run_that_was_broken_off_goes_on_behind_what_it_spoke() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let whole = bytes(&say(&mut load(&bundle.files), job(TEXT)));
    let (cancelled, steps) = run_until(&mut model, job(TEXT), Some(2));
    assert_eq!(cancelled.unwrap_err().class(), ErrorClass::Cancelled);
    assert_eq!(steps.iter().map(|step| step.done).collect::<Vec<_>>(), [0, 1]);
    // What it takes up is not the canary's or a trim's to forget.
    model.canary(&Run::unobserved()).unwrap();
    model.trim();
    let (speech, steps) = run_until(&mut model, job(TEXT), None);
    assert_eq!(steps.iter().map(|step| step.done).collect::<Vec<_>>(), [1, 2]);
    assert!(bytes(&speech.unwrap()) == whole, "as if nothing had happened");
    let (_, steps) = run_until(&mut model, job(TEXT), None);
    assert_eq!(steps[0].done, 0, "what is finished is not kept");
}

#[test]
fn another_job_does_not_go_on_with_what_was_kept() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let others = [
        Speak { seed: 8, ..job(TEXT) },
        Speak { voice: "am_adam".parse().unwrap(), ..job(TEXT) },
        Speak { emotion: Emotion::Sad, ..job(TEXT) },
        Speak { duration: Duration::from_secs(19), ..job(TEXT) },
        Speak { speed: SpeechSpeed::try_from(0.9).unwrap(), ..job(TEXT) },
        job("The river rose in the night. It went."),
    ];
    for other in others {
        run_until(&mut model, job(TEXT), Some(2)).0.unwrap_err();
        let (speech, steps) = run_until(&mut model, other.clone(), None);
        assert_eq!(steps[0].done, 0, "{other:?}");
        assert!(bytes(&speech.unwrap()) == bytes(&say(&mut load(&bundle.files), other)));
    }
}

#[test]
fn every_voice_is_as_loud_as_the_target_and_an_emotion_by_its_own_gain_louder() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let mut level = |voice: &str, emotion: Emotion| {
        let speech = say(&mut model, Speak { voice: voice.parse().unwrap(), emotion, ..job(TEXT) });
        let peak = 20.0 * true_peak(&speech.pcm.samples).log10();
        assert!(peak <= CEILING + 0.01, "{voice} {emotion}: {peak} dBTP");
        integrated(&speech.pcm.samples, speech.pcm.sample_rate).unwrap()
    };
    for voice in VOICES {
        let neutral = level(voice, Emotion::Neutral);
        assert!((neutral - TARGET).abs() < 0.05, "{voice}: {neutral} LUFS");
    }
    for emotion in Emotion::ALL {
        let asked = 20.0 * f64::from(emotion.prosody().energy).log10();
        let heard = level("af_sarah", emotion) - TARGET;
        assert!((heard - asked).abs() < 0.05, "{emotion}: {heard} dB of {asked} dB");
    }
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
