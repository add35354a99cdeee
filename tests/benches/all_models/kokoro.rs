//! Kokoro at full size: one utterance, with the published weights where they are there, else five seconds with random ones.
//! And what concerns the model as a whole: memory of a long script, and what speed does to length.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use serde_json::json;
use vortex_node::clock;
use vortex_node::contract::{Model, Run, Speak};
use vortex_node::models::kernels::Kernels;
use vortex_node::models::kokoro::config::KokoroConfig;
use vortex_node::models::kokoro::net::{Net, tensors};
use vortex_node::models::kokoro::source::NoiseOf;
use vortex_node::models::kokoro::{KokoroFiles, KokoroModel};
use vortex_node::models::noise::Noise;
use vortex_node::types::{Emotion, SpeechSpeed};

use crate::flux::own_memory;
use crate::options::Options;
use crate::random;
use crate::rows::{Case, Ours};

#[path = "../../integration/synthetic_kokoro.rs"]
mod synthetic_kokoro;

/// What is said, in the network's own symbols: six seconds and a half in the voice below.
const SYMBOLS: &str = "ðə ɹˈɪvəɹ ɹˈOz ɪn ðə nˈIt ænd kˈæɹid ði ˈOld bɹˈɪʤ əwˈA, \
    ænd nˈObˌɑdi ɪn ðə vˈɪləʤ slˈɛpt ʌntˈɪl mˈɔɹnɪŋ kˈAm.";
const VOICE: &str = "af_heart";
/// Frames of five seconds, which random weights are made to speak for.
const FRAMES: usize = 200;

pub fn cases(options: &Options) -> Vec<(Case, &'static [&'static str])> {
    let folder = options.real.join("kokoro");
    let (seed, real) = (options.seed, folder.join("kokoro-v1_0.safetensors"));
    let vocabulary = KokoroConfig::published().vocab;
    let inner = SYMBOLS.chars().map(|symbol| vocabulary[&symbol]);
    let ids: Vec<u32> = std::iter::once(0).chain(inner).chain([0]).collect();
    let case = if real.is_file() {
        let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
        let config = KokoroConfig::parse(&text, "config.json").unwrap();
        let voices =
            candle_core::safetensors::load(folder.join(format!("voices/{VOICE}.safetensors")), &Device::Cpu);
        let pack = voices.unwrap().into_values().next().unwrap();
        let row = pack.get(SYMBOLS.chars().count() - 1).unwrap().flatten_all().unwrap();
        let style = row.to_vec1::<f32>().unwrap();
        let published: serde_json::Value = serde_json::from_str(&text).unwrap();
        let peer = json!({ "model": "kokoro", "config": published, "ids": &ids, "style": &style, "durations": null,
            "weights": &real, "graph": options.real.join("kokoro-f32.onnx") });
        let build = move |_: &str| {
            let data = std::fs::read(&real).unwrap();
            let weights = VarBuilder::from_buffered_safetensors(data, DType::F32, &Device::Cpu).unwrap();
            build(&config, &weights, &ids, &style, None)
        };
        Case { gflop: f64::NAN, build: Box::new(build), ..case(peer) }
    } else {
        let config = KokoroConfig::published();
        let count = ids.len();
        let style = Noise::new(seed, 0).normals(2 * config.style_dim);
        let durations: Vec<usize> =
            (0..count).map(|i| (i + 1) * FRAMES / count - i * FRAMES / count).collect();
        let peer = json!({ "model": "kokoro", "config": synthetic_kokoro::json(&config), "ids": &ids, "style": &style,
            "durations": &durations, "weights": null });
        let build = move |_: &str| build(&config, &random::weights(seed), &ids, &style, Some(&durations));
        Case { gflop: 274.4, build: Box::new(build), ..case(peer) }
    };
    vec![(case, &["f32"])]
}

fn case(peer: serde_json::Value) -> Case {
    let build = Box::new(|_: &str| Ours { run: Box::new(|| {}), bytes: 0 });
    Case { name: "kokoro".to_owned(), peer, gflop: 0.0, multiplied: 1.0, precisions: vec!["f32"], build }
}

/// Tokens to sound; durations, where given, take the place of the predicted ones.
fn build(
    config: &KokoroConfig,
    weights: &VarBuilder<'_>,
    ids: &[u32],
    style: &[f32],
    durations: Option<&[usize]>,
) -> Ours {
    let net = Net::new(config, weights, Kernels::Fused).unwrap();
    let values: usize = tensors(config).unwrap().iter().map(|spec| spec.shape.elem_count()).sum();
    let (ids, style) = (ids.to_vec(), style.to_vec());
    let (durations, per_frame) = (durations.map(<[usize]>::to_vec), config.samples_per_frame());
    let run = move || {
        let sound = rayon::scope(|_| {
            let (ids, style) = (net.ids(&ids).unwrap(), net.style(&style).unwrap());
            let mut timing = net.durations().timing(&ids, &style, 1.0).unwrap();
            if let Some(durations) = &durations {
                timing.frames.clone_from(durations);
            }
            let noise = NoiseOf::Seed { seed: 1, utterance: 0 };
            let frames = timing.total();
            (net.speak(&ids, &style, &timing, Emotion::Neutral.prosody(), noise).unwrap(), frames)
        });
        assert_eq!(sound.0.len(), sound.1 * per_frame);
    };
    Ours { run: Box::new(run), bytes: 4 * values }
}

/// Makes every token last about nine frames instead of five. Random weights give all tokens nearly the same length,
/// and the network's rounding to whole frames, which real weights average out, would then hide what speed does: at
/// five frames, 0.8 and 1.2 gave 1.30 and 0.90 times the length.
fn lengthen(weights: &Path) {
    let mut tensors = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    let is_bias = |name: &&String| name.ends_with("duration_proj.linear_layer.bias");
    let name = tensors.keys().find(is_bias).unwrap().clone();
    let longer = (&tensors[&name] + 0.7).unwrap();
    tensors.insert(name, longer);
    candle_core::safetensors::save(&tensors, weights).unwrap();
}

/// Loads the model from files of random weights, then runs both of the below.
pub fn long_script_and_speeds(options: &Options) {
    let folder = tempfile::tempdir().unwrap();
    let files: KokoroFiles =
        synthetic_kokoro::write(&KokoroConfig::published(), folder.path(), &["af_bench"]);
    lengthen(&files.weights);
    let (before, started) = (own_memory() as f64, clock::now());
    let mut model = KokoroModel::load(&files, &Device::Cpu, &Run::unobserved()).unwrap();
    let grown = (own_memory() as f64 - before) / 1e6;
    println!("load: {:.2?}, resident {}, process +{grown:.0} MB", started.elapsed(), model.resident());
    model.canary(&Run::unobserved()).unwrap();
    long_script(&mut model, options.seed);
    speeds(&mut model, options.seed);
}

fn job(text: &str, speed: f32, seed: u64) -> Speak {
    Speak {
        text: text.to_owned(),
        voice: "af_bench".parse().unwrap(),
        speed: SpeechSpeed::try_from(speed).unwrap(),
        emotion: Emotion::Neutral,
        duration: Duration::from_secs(45),
        seed,
    }
}

/// Speed 0.8 and 1.2 against 1.0, at full size.
fn speeds(model: &mut KokoroModel, seed: u64) {
    const TEXT: &str = "The river rose in the night and carried the old bridge away.";
    let mut length = |speed| {
        let speech = model.run(job(TEXT, speed, seed), &Run::unobserved()).unwrap();
        assert_eq!(speech.timeline.total(), speech.pcm.samples.len() as u64);
        let last = speech.timeline.phonemes().iter().rev().find(|phoneme| phoneme.symbol != " ").unwrap();
        last.end as f64
    };
    let normal = length(1.0);
    for (speed, expected) in [(0.8, 1.25), (1.2, 1.0 / 1.2)] {
        let ratio = length(speed) / normal;
        println!(
            "speed {speed}: length times {ratio:.3} (expected {expected:.3}), {:.2} s at 1.0",
            normal / 24e3
        );
        assert!((ratio / expected - 1.0).abs() < 0.05);
    }
}

/// A thousand words into 45 s: time, and the most anonymous memory beyond what was resident.
fn long_script(model: &mut KokoroModel, seed: u64) {
    let sentence = "When the storm came down from the hills, ten boats were still far out on the water. ";
    let text = sentence.repeat(1000usize.div_ceil(sentence.split_whitespace().count()));
    let (before, done) = (own_memory(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(own_memory());
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let started = clock::now();
        let speech = model.run(job(&text, 1.0, seed), &Run::unobserved()).unwrap();
        let elapsed = started.elapsed();
        done.store(true, Ordering::Relaxed);
        let rise = watch.join().unwrap().saturating_sub(before) as f64 / 1e6;
        let (words, sounds) = (text.split_whitespace().count(), speech.pcm.duration());
        let estimate = model.workspace(&job("", 1.0, seed));
        println!(
            "{words} words: {elapsed:.2?} for {sounds:?}, memory rise {rise:.1} MB (estimate {estimate})"
        );
        speech.warnings.iter().for_each(|warning| println!("  {}: {}", warning.code, warning.message));
        assert!(rise < 100.0, "the run took {rise} MB");
    });
}
