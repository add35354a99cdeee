//! Voices that Whisper understands: the demo's, and Kokoro-82M's own at full size, which sounds like the same network in
//! ONNX Runtime as well. `tests/real/fetch` brings Whisper and the weights.

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
const DEMO_LINES: &str = include_str!("../real/demo_lines.txt");
/// Words that Whisper tiny may mistake, of all; the reference's own voice has 2 % on texts like these.
const WORD_ERROR: f64 = 0.05;
/// The same of the demo's voices, which are small.
const DEMO_WORD_ERROR: f64 = 0.10;
/// Between our sound and the reference's, of one sentence, in dB over mel bands.
const DISTANCE: f64 = 1.5;
/// Every how many sentences one is compared with the reference: it takes as long as ours.
const COMPARED: usize = 3;
/// What is left of the silence behind the last word.
const TAIL: u64 = SAMPLE_RATE as u64 / 4;
/// Longer than any of the sentences.
const SLOT: Duration = Duration::from_secs(12);

/// The fetched folder: `VORTEX_REAL`, else `target/real`.
pub(super) fn fetched() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("VORTEX_REAL").map_or_else(|| checkout.join("target/real"), PathBuf::from);
    if !folder.join("made-from").is_file() {
        skip(&format!("what tests/real/fetch brings, under {},", folder.display()));
        return None;
    }
    Some(folder)
}

/// Voice and text of each line, and the voices.
fn listed(text: &str) -> (Vec<(&str, &str)>, Vec<&str>) {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sentences: Vec<(&str, &str)> = lines.map(|line| line.split_once(" | ").unwrap()).collect();
    let mut voices: Vec<&str> = sentences.iter().map(|(voice, _)| *voice).collect();
    voices.dedup();
    (sentences, voices)
}

/// From a bundle's folder of Kokoro.
fn load(kokoro: &Path, voices: &[&str]) -> KokoroModel {
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

/// A sentence that the program has said, as `tests/real/judge.py` takes it.
fn said(file: &str, (voice, text): (&str, &str), speech: &Speech, compare: bool) -> Value {
    let script = Phonemiser::new(Accent::of(voice).unwrap()).script(text).unwrap();
    let [utterance] = &script.utterances[..] else { panic!("{text} is not one sentence: {script:?}") };
    json!({
        "file": file, "text": text, "voice": voice, "symbols": utterance.symbols(),
        "phonemes": speech.timeline.phonemes(), "compare": compare,
    })
}

#[test]
fn real_weights_are_understood_and_sound_like_the_reference() {
    let Some(folder) = fetched() else { return };
    let (sentences, voices) = listed(SENTENCES);
    let mut model = load(&folder.join("kokoro"), &voices);
    let place = tempfile::tempdir().unwrap();
    let mut list = Vec::new();
    for (number, (voice, text)) in sentences.iter().enumerate() {
        let speech = say(&mut model, voice, text);
        // A name that no dictionary has may be guessed; whether it was guessed well is heard.
        let grave: Vec<_> = speech.warnings.iter().filter(|warning| warning.code != "word_guessed").collect();
        assert!(grave.is_empty(), "{text}: {grave:?}");
        let file = format!("{number:02}.wav");
        std::fs::write(place.path().join(&file), wav::encode(&trimmed(&speech))).unwrap();
        list.push(said(&file, (voice, text), &speech, number % COMPARED == 0));
    }
    // What must be found wanting: a sound that is said to be another sentence, in another voice.
    let mut wrong = list[0].clone();
    wrong["text"] = list[1]["text"].clone();
    wrong["voice"] = list[sentences.len() - 1]["voice"].clone();
    list.push(wrong);
    let rows = judged(&folder, place.path(), &Value::from(list));

    let (wrong, rows) = rows.split_last().unwrap();
    assert!(number(wrong, "distance") > 2.0 * DISTANCE, "another voice is not told apart: {wrong:#}");
    assert!(
        number(wrong, "errors") > 0.5 * number(wrong, "words"),
        "another text is not told apart: {wrong:#}"
    );
    let distances: Vec<f64> = rows.iter().step_by(COMPARED).map(|row| number(row, "distance")).collect();
    let (errors, words) = mistaken("real voice", rows);
    println!("{distances:.2?} dB from the reference");
    assert!(
        distances.iter().all(|apart| *apart <= DISTANCE),
        "over {DISTANCE} dB: {distances:.2?}: {rows:#?}"
    );
    assert!(errors <= WORD_ERROR * words, "{errors} of {words} words were mistaken: {rows:#?}");
}

/// Every voice of the demo's says four lines that it was not trained on.
#[test]
fn the_demos_voices_are_understood() {
    let Some(folder) = fetched() else { return };
    let (lines, voices) = listed(DEMO_LINES);
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bundles/demo/kokoro");
    assert_eq!(voices.len(), std::fs::read_dir(demo.join("voices")).unwrap().count(), "each voice is heard");
    let mut model = load(&demo, &voices);
    let place = tempfile::tempdir().unwrap();
    let mut list = Vec::new();
    for (number, (voice, text)) in lines.iter().enumerate() {
        let file = format!("{number:02}.wav");
        let speech = say(&mut model, voice, text);
        std::fs::write(place.path().join(&file), wav::encode(&trimmed(&speech))).unwrap();
        list.push(json!({ "file": file, "text": text, "voice": voice }));
    }
    let rows = judged(&folder, place.path(), &Value::from(list));
    for voice in &voices {
        mistaken(voice, rows.iter().filter(|row| row["voice"] == **voice));
    }
    let (errors, words) = mistaken("all of the demo's voices", &rows);
    assert!(errors <= DEMO_WORD_ERROR * words, "{errors} of {words} words were mistaken: {rows:#?}");
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("no {name}: {row:#}"))
}

/// How many words of `rows` were mistaken, and how many there were; printed with what differs.
fn mistaken<'a>(whose: &str, rows: impl IntoIterator<Item = &'a Value>) -> (f64, f64) {
    let (mut errors, mut words, mut differences) = (0.0, 0.0, Vec::new());
    for row in rows {
        errors += number(row, "errors");
        words += number(row, "words");
        differences.extend(row["differences"].as_array().unwrap());
    }
    println!("{whose}: {errors} of {words} words mistaken: {differences:?}");
    (errors, words)
}

/// A row for each sentence.
pub(super) fn judged(folder: &Path, place: &Path, sentences: &Value) -> Vec<Value> {
    let list = place.join("sentences.json");
    std::fs::write(&list, sentences.to_string()).unwrap();
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/judge.py");
    let run = Command::new(folder.join("venv/bin/python")).arg(judge).arg(folder).arg(list).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}
