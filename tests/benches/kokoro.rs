//! Kokoro at its full size with seeded weights: five seconds of speech, where the time goes, memory of a long script.
//!
//! `cargo bench --bench kokoro` prints one line for each figure. `KOKORO_BENCH_DIR` keeps the weights and the case in
//! a folder, from which `kokoro.py` runs the PyTorch reference on the same numbers; `KOKORO_BENCH_ONLY=speech` leaves
//! everything out but the speech, for interleaved runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use vortex_node::clock;
use vortex_node::contract::{Model, Run, Speak};
use vortex_node::models::kernels::Kernels;
use vortex_node::models::kokoro::config::KokoroConfig;
use vortex_node::models::kokoro::net::Net;
use vortex_node::models::kokoro::source::NoiseOf;
use vortex_node::models::kokoro::{KokoroFiles, KokoroModel};
use vortex_node::models::noise::Noise;
use vortex_node::types::{Emotion, SpeechSpeed};

#[path = "../integration/synthetic_kokoro.rs"]
mod synthetic_kokoro;

/// Runs of which the median counts.
const RUNS: usize = 5;
/// Samples of the speech that is timed.
const SAMPLES: usize = 5 * 24_000;
/// Tokens of it, start and end included: sixteen a second.
const TOKENS: usize = 80;

fn main() {
    let kept = std::env::var_os("KOKORO_BENCH_DIR").map(PathBuf::from);
    let only_speech = std::env::var("KOKORO_BENCH_ONLY").is_ok_and(|only| only == "speech");
    let temporary = tempfile::tempdir().unwrap();
    let folder = kept.unwrap_or_else(|| temporary.path().to_owned());
    let config = KokoroConfig::published();
    let files = files(&config, &folder);
    speech(&config, &files, &folder, only_speech);
    if only_speech {
        return;
    }
    let (before, started) = (anonymous(), clock::now());
    let mut model = KokoroModel::load(&files, &Device::Cpu, &Run::unobserved()).unwrap();
    let grown = (anonymous() - before) / 1e6;
    println!("load: {:.2?}, resident {}, process +{grown:.0} MB", started.elapsed(), model.resident());
    model.canary(&Run::unobserved()).unwrap();
    long_script(&mut model);
    speeds(&mut model);
}

fn files(config: &KokoroConfig, folder: &Path) -> KokoroFiles {
    let weights = folder.join("kokoro-v1_0.safetensors");
    if weights.is_file() {
        let voices = vec![folder.join("voices/af_bench.safetensors")];
        return KokoroFiles { config: folder.join("config.json"), weights, voices };
    }
    std::fs::create_dir_all(folder).unwrap();
    let files = synthetic_kokoro::write(config, folder, &["af_bench"]);
    lengthen(&files.weights);
    files
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

/// The network alone, with durations stretched to exactly five seconds.
fn speech(config: &KokoroConfig, files: &KokoroFiles, folder: &Path, only: bool) {
    let data = std::fs::read(&files.weights).unwrap();
    let vb = VarBuilder::from_buffered_safetensors(data, DType::F32, &Device::Cpu).unwrap();
    let net = Net::new(config, &vb, Kernels::Fused).unwrap();
    drop(vb);
    let inner = config.vocab.values().copied().cycle().take(TOKENS - 2);
    let ids: Vec<u32> = std::iter::once(0).chain(inner).chain([0]).collect();
    let style = Noise::new(3, 0).normals(2 * config.style_dim);
    let frames = SAMPLES / config.samples_per_frame();
    let durations: Vec<usize> =
        (0..TOKENS).map(|i| (i + 1) * frames / TOKENS - i * frames / TOKENS).collect();
    let case = serde_json::json!({ "ids": ids, "style": style, "durations": durations });
    std::fs::write(folder.join("case.json"), case.to_string()).unwrap();

    let noise = NoiseOf::Seed { seed: 1, utterance: 0 };
    let mut times = Vec::new();
    for _ in 0..=RUNS {
        let started = clock::now();
        let sound = rayon::scope(|_| {
            let (ids, style) = (net.ids(&ids).unwrap(), net.style(&style).unwrap());
            let mut timing = net.timing(&ids, &style, 1.0).unwrap();
            timing.frames.clone_from(&durations);
            net.speak(&ids, &style, &timing, Emotion::Neutral.prosody(), noise).unwrap()
        });
        assert_eq!(sound.len(), SAMPLES);
        times.push(started.elapsed());
    }
    // The first run only warms up.
    times.remove(0);
    times.sort();
    let (median, fastest) = (times[times.len() / 2], times[0]);
    let (threads, factor) = (rayon::current_num_threads(), median.as_secs_f64() / 5.0);
    println!(
        "speech: {median:.3?} for 5 s on {threads} threads (fastest {fastest:.3?}), real-time factor {factor:.3}"
    );
    if !only {
        rayon::scope(|_| stages(&net, &ids, &style, &durations, noise));
    }
}

/// Where the time goes, of one run.
fn stages(net: &Net, ids: &[u32], style: &[f32], durations: &[usize], noise: NoiseOf<'_>) {
    let mut stage = Stages(clock::now());
    let (ids, style) = (net.ids(ids).unwrap(), net.style(style).unwrap());
    let mut timing = net.timing(&ids, &style, 1.0).unwrap();
    timing.frames = durations.to_vec();
    stage.note("durations (ALBERT, encoder, LSTM)");
    let (f0, energy) = net.curves(&timing, &style).unwrap();
    stage.note("F0 and energy");
    let text = net.align(&net.text_encoder().forward(&ids).unwrap(), &timing.frames).unwrap();
    stage.note("text encoder");
    let features = net.decoder().features(&text, &f0, &energy, &style.timbre).unwrap();
    stage.note("decoder blocks");
    let generator = net.decoder().generator();
    let f0 = f0.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let excitation = generator.source().excite(&f0, 0..f0.len(), noise);
    stage.note("harmonic source");
    let har = generator.spectrum(&excitation, &Device::Cpu).unwrap();
    stage.note("its STFT");
    let post = generator.features(&features, &style.timbre, &har).unwrap();
    stage.note("vocoder blocks");
    let (magnitudes, phases) = generator.split(&post).unwrap();
    generator.stft().inverse(&magnitudes, &phases).unwrap();
    stage.note("inverse STFT");
}

struct Stages(Instant);

impl Stages {
    fn note(&mut self, stage: &str) {
        println!("  {stage}: {:.1} ms", 1e3 * self.0.elapsed().as_secs_f64());
        self.0 = clock::now();
    }
}

fn job(text: &str, speed: f32) -> Speak {
    Speak {
        text: text.to_owned(),
        voice: "af_bench".parse().unwrap(),
        speed: SpeechSpeed::try_from(speed).unwrap(),
        emotion: Emotion::Neutral,
        duration: Duration::from_secs(45),
        seed: 1,
    }
}

/// Speed 0.8 and 1.2 against 1.0, at full size.
fn speeds(model: &mut KokoroModel) {
    const TEXT: &str = "The river rose in the night and carried the old bridge away.";
    let mut length = |speed| {
        let speech = model.run(job(TEXT, speed), &Run::unobserved()).unwrap();
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
fn long_script(model: &mut KokoroModel) {
    let sentence = "When the storm came down from the hills, ten boats were still far out on the water. ";
    let text = sentence.repeat(1000usize.div_ceil(sentence.split_whitespace().count()));
    let (before, done) = (anonymous(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0.0f64;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(anonymous());
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let started = clock::now();
        let speech = model.run(job(&text, 1.0), &Run::unobserved()).unwrap();
        let elapsed = started.elapsed();
        done.store(true, Ordering::Relaxed);
        let rise = (watch.join().unwrap() - before) / 1e6;
        let (words, sounds) = (text.split_whitespace().count(), speech.pcm.duration());
        let estimate = model.workspace(&job("", 1.0));
        println!(
            "{words} words: {elapsed:.2?} for {sounds:?}, memory rise {rise:.1} MB (estimate {estimate})"
        );
        speech.warnings.iter().for_each(|warning| println!("  {}: {}", warning.code, warning.message));
        assert!(rise < 100.0, "the run took {rise} MB");
    });
}

/// Anonymous memory of this process in bytes.
fn anonymous() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}
