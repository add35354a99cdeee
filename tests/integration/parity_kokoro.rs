//! Kokoro against hexgrad's own implementation, stage by stage as the fixtures' README says, in both forms of the
//! operators.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use vortex_node::models::kokoro::config::KokoroConfig;
use vortex_node::models::kokoro::net::{Net, Style, Timing};
use vortex_node::models::kokoro::ops::Kernels;
use vortex_node::models::kokoro::source::NoiseOf;
use vortex_node::types::Emotion;

use crate::support::{Recorded, fixture_sets, max_abs, max_difference};

const BOTH: [Kernels; 2] = [Kernels::Cpu, Kernels::Portable];

/// One fixture set, its network and what was recorded of it.
struct Case {
    net: Net,
    config: KokoroConfig,
    io: Recorded,
    ids: Tensor,
    style: Style,
}

fn sets() -> Vec<PathBuf> {
    fixture_sets("Kokoro", |folder| weights(folder).is_some() && folder.join("io.safetensors").is_file())
}

fn weights(folder: &Path) -> Option<PathBuf> {
    let mut files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files.find(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("kokoro") && name.ends_with(".safetensors")
    })
}

fn cases() -> Vec<Case> {
    sets().iter().flat_map(|folder| BOTH.map(|kernels| Case::new(folder, kernels))).collect()
}

impl Case {
    fn new(folder: &Path, kernels: Kernels) -> Self {
        let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
        let mut config = KokoroConfig::parse(&text, "config.json").unwrap();
        let data = std::fs::read(weights(folder).unwrap()).unwrap();
        // As a load does it: widths that the published configuration leaves out are the weights' own.
        let tensors = candle_core::safetensors::load(weights(folder).unwrap(), &Device::Cpu).unwrap();
        config.take_widths(|name| tensors.get(name).map(|tensor| tensor.dims().to_vec()));
        let vb = VarBuilder::from_buffered_safetensors(data, DType::F32, &Device::Cpu).unwrap();
        let net = Net::new(&config, &vb, kernels).unwrap();
        let io = Recorded::read(folder);
        let ids = io.input("input_ids").to_dtype(DType::U32).unwrap();
        let values: Vec<f32> = io.input("ref_s").flatten_all().unwrap().to_vec1().unwrap();
        let style = net.style(&values).unwrap();
        Self { net, config, io, ids, style }
    }

    fn speed(&self) -> f32 {
        self.io.input("speed").to_scalar().unwrap()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.io.tensor(name).flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The recorded durations and encoder output, so that a later stage starts from the reference's own.
    fn timing(&self) -> Timing {
        let frames = self.io.output("pred_dur").to_vec1::<i64>().unwrap();
        Timing {
            frames: frames.into_iter().map(|frames| frames as usize).collect(),
            encoded: self.io.output("duration_encoder"),
        }
    }
}

#[test]
fn parity_ids_to_durations() {
    for Case { net, io, ids, style, .. } in &cases() {
        let contextual = net.contextual(ids).unwrap();
        io.assert_matches("bert", &contextual);
        let projected = net.projected(&contextual).unwrap();
        io.assert_matches("bert_encoder", &projected);
        let predictor = net.predictor();
        let first = predictor.recur(0, &predictor.with_style(&projected, &style.prosody).unwrap()).unwrap();
        io.assert_matches("duration_encoder.0", &first.squeeze(0).unwrap());
        io.assert_matches("duration_encoder.1", &predictor.normalise(0, &first, &style.prosody).unwrap());
        let encoded = predictor.encode(&projected, &style.prosody).unwrap();
        io.assert_matches("duration_encoder", &encoded);
        let lstm = predictor.lstm(&encoded).unwrap();
        io.assert_matches("predictor_lstm", &lstm);
        let logits = predictor.duration_logits(&lstm).unwrap();
        io.assert_matches("duration_logits", &logits);
    }
}

#[test]
fn parity_durations_are_identical() {
    for case in &cases() {
        let timing = case.net.timing(&case.ids, &case.style, case.speed()).unwrap();
        assert_eq!(timing.frames, case.timing().frames);
        let logits = case.io.output("duration_logits");
        let durations = (case.net.predictor().durations(&logits).unwrap() / f64::from(case.speed())).unwrap();
        case.io.assert_matches("duration", &durations);
    }
}

#[test]
fn parity_durations_to_f0_and_energy() {
    for case in &cases() {
        let Case { net, io, style, .. } = case;
        let aligned = net
            .align(&io.output("duration_encoder").transpose(1, 2).unwrap(), &case.timing().frames)
            .unwrap();
        io.assert_matches("en", &aligned);
        let shared = net.predictor().shared(&aligned).unwrap();
        // Recorded with time before features.
        io.assert_matches("shared_lstm", &shared.transpose(1, 2).unwrap());
        let block0 = net.predictor().f0_block(0, &shared, &style.prosody).unwrap();
        io.assert_matches("F0.block0", &block0);
        io.assert_matches("F0.block1", &net.predictor().f0_block(1, &block0, &style.prosody).unwrap());
        let (f0, energy) = net.curves(&case.timing(), style).unwrap();
        io.assert_matches("F0", &f0);
        io.assert_matches("N", &energy);
    }
}

#[test]
fn parity_text_encoder() {
    for Case { net, io, ids, .. } in &cases() {
        let encoder = net.text_encoder();
        io.assert_matches("text_encoder.cnn0", &encoder.convolve(0, &encoder.embed(ids).unwrap()).unwrap());
        io.assert_matches("text_encoder", &encoder.forward(ids).unwrap());
    }
}

#[test]
fn parity_decoder() {
    for case in &cases() {
        let Case { net, io, style, .. } = case;
        let text = net.align(&io.output("text_encoder"), &case.timing().frames).unwrap();
        let (f0, energy) = (io.output("F0"), io.output("N"));
        let conditions = net.decoder().conditions(&text, &f0, &energy).unwrap();
        io.assert_matches("dec.F0_conv", &conditions.f0);
        io.assert_matches("dec.N_conv", &conditions.energy);
        let mut x = net.decoder().encode(&text, &conditions, &style.timbre).unwrap();
        io.assert_matches("dec.encode", &x);
        let blocks = io.output_names().iter().filter(|name| name.starts_with("dec.decode")).count();
        assert!(blocks > 0);
        for block in 0..blocks {
            x = net.decoder().decode(block, &x, &conditions, &style.timbre).unwrap();
            io.assert_matches(&format!("dec.decode{block}"), &x);
        }
        let features = net.decoder().features(&text, &f0, &energy, &style.timbre).unwrap();
        io.assert_matches(&format!("dec.decode{}", blocks - 1), &features);
    }
}

#[test]
fn parity_f0_to_the_harmonic_source() {
    for case in &cases() {
        let Case { net, io, .. } = case;
        let source = net.decoder().generator().source();
        let (f0, noise) = (case.floats("out.F0"), case.floats("in.noise"));
        let sines = source.sines(&f0, NoiseOf::Given(&noise));
        let recorded = io.output("gen.sine_waves");
        let kept = recorded.elem_count();
        let sines = Tensor::from_slice(&sines[..kept], recorded.shape(), &Device::Cpu).unwrap();
        io.assert_within("gen.sine_waves", &sines, 1e-2);
        let excitation = source.excite(&f0, NoiseOf::Given(&noise));
        let recorded = io.output("gen.har_source");
        let excitation = Tensor::from_vec(excitation, recorded.shape(), &Device::Cpu).unwrap();
        io.assert_within("gen.har_source", &excitation, 1e-2);
    }
}

#[test]
fn parity_harmonic_source_to_its_spectrum() {
    for case in &cases() {
        let generator = case.net.decoder().generator();
        let bins = generator.stft().bins();
        let har = generator.spectrum(&case.floats("out.gen.har_source"), &Device::Cpu).unwrap();
        case.io.assert_matches("har_spec", &har.narrow(1, 0, bins).unwrap());

        let ours: Vec<f32> = har.narrow(1, bins, bins).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let (spectrum, phases) = (case.floats("out.har_spec"), case.floats("out.har_phase"));
        let loudest = spectrum.iter().copied().fold(0.0, f32::max);
        let mut compared = 0;
        for ((ours, reference), magnitude) in ours.iter().zip(&phases).zip(&spectrum) {
            // The angle of a bin is as uncertain as f32's error over its magnitude.
            if *magnitude > 1e-3 * loudest {
                let turns = f64::from(ours - reference) / std::f64::consts::TAU;
                let difference = (turns - turns.round()).abs() * std::f64::consts::TAU;
                assert!(
                    difference < 1e-3,
                    "a phase of {reference} came out as {ours} at magnitude {magnitude}"
                );
                compared += 1;
            }
        }
        assert!(compared * 2 > spectrum.len(), "only {compared} of {} bins are loud enough", spectrum.len());
        let edges = spectrum.len() / bins;
        for edge in [0, bins - 1] {
            for frame in edge * edges..(edge + 1) * edges {
                // DC and Nyquist are real: their phases are exactly 0 or +π.
                if spectrum[frame] > 1e-3 * loudest {
                    assert!(
                        (ours[frame] - phases[frame]).abs() < 1e-6,
                        "{} for {}",
                        ours[frame],
                        phases[frame]
                    );
                }
            }
        }
    }
}

#[test]
fn parity_spectrum_to_sound() {
    for case in &cases() {
        let Case { net, io, style, config, .. } = case;
        let generator = net.decoder().generator();
        let har = Tensor::cat(&[io.output("har_spec"), io.output("har_phase")], 1).unwrap();
        let last = io.output_names().iter().filter(|name| name.starts_with("dec.decode")).count() - 1;
        let features = io.output(&format!("dec.decode{last}"));
        let stages = config.istftnet.upsample_rates.len();
        let kinds = config.istftnet.resblock_kernel_sizes.len();

        let mut x = features.clone();
        for stage in 0..stages {
            let conv = generator.noise_conv(stage, &har).unwrap();
            io.assert_matches(&format!("gen.noise_conv{stage}"), &conv);
            let source = generator.noise_block(stage, &conv, &style.timbre).unwrap();
            io.assert_matches(&format!("gen.noise_res{stage}"), &source);
            let mut up = generator.up(stage, &x).unwrap();
            io.assert_matches(&format!("gen.ups{stage}"), &up);
            if stage + 1 == stages {
                up = Tensor::cat(&[&up.narrow(2, 1, 1).unwrap(), &up], 2).unwrap();
            }
            x = (up + source).unwrap();
            let blocks: Vec<Tensor> =
                (0..kinds).map(|block| generator.block(stage, block, &x, &style.timbre).unwrap()).collect();
            for (block, output) in blocks.iter().enumerate() {
                let name = format!("gen.resblock{}", stage * kinds + block);
                if io.output_names().contains(&name.as_str()) {
                    io.assert_matches(&name, output);
                }
            }
            let sum = blocks.into_iter().reduce(|sum, block| (sum + block).unwrap()).unwrap();
            x = (sum / kinds as f64).unwrap();
        }

        let post = generator.features(&features, &style.timbre, &har).unwrap();
        io.assert_matches("gen.conv_post", &post);
        let (magnitudes, phases) = generator.split(&post).unwrap();
        io.assert_matches("spec", &magnitudes);
        io.assert_matches("phase", &phases);
        io.assert_matches("audio", &generator.forward(&features, &style.timbre, &har).unwrap());
        io.assert_matches(
            "audio",
            &generator.stft().inverse(&io.output("spec"), &io.output("phase")).unwrap(),
        );
    }
}

#[test]
fn parity_end_to_end() {
    for case in &cases() {
        let Case { net, ids, style, .. } = case;
        let timing = net.timing(ids, style, case.speed()).unwrap();
        assert_eq!(timing.frames, case.timing().frames);
        let noise = case.floats("in.noise");
        let ours =
            net.speak(ids, style, &timing, Emotion::Neutral.prosody(), NoiseOf::Given(&noise)).unwrap();
        let reference = case.floats("out.audio");
        assert_eq!(ours.len(), reference.len());
        assert_eq!(ours.len(), timing.total() * case.config.samples_per_frame());
        let correlation = correlation(&ours, &reference);
        assert!(correlation >= 0.99, "the sound correlates at {correlation}");
    }
}

#[test]
fn parity_both_forms_of_the_operators_agree() {
    for folder in sets() {
        let [cpu, portable] = BOTH.map(|kernels| Case::new(&folder, kernels));
        let (timing, noise) = (cpu.timing(), cpu.floats("in.noise"));
        let f0 = cpu.floats("out.F0");
        let run = |case: &Case| {
            let generator = case.net.decoder().generator();
            let har = generator.harmonics(&f0, NoiseOf::Given(&noise), &Device::Cpu).unwrap();
            let text =
                case.net.align(&case.net.text_encoder().forward(&case.ids).unwrap(), &timing.frames).unwrap();
            let features = case
                .net
                .decoder()
                .features(&text, &case.io.output("F0"), &case.io.output("N"), &case.style.timbre)
                .unwrap();
            generator.features(&features, &case.style.timbre, &har).unwrap()
        };
        let (cpu, portable) = (run(&cpu), run(&portable));
        assert!(max_difference(&cpu, &portable) <= 2e-5 * max_abs(&cpu));
    }
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |x: &[f32]| x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a) - mean_a, f64::from(*b) - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt()
}
