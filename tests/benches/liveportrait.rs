//! LivePortrait at its published sizes on random weights: seconds, operations and share of peak per part.
//!
//! `cargo bench --bench liveportrait -- [--rounds 3] [--batch 1] [--config models.yaml]`; `liveportrait.py` beside it
//! times the reference implementation the same way. Peak is what a large f32 matrix product reaches here and now.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};
use vortex_node::clock;
use vortex_node::models::kernels::Kernels;
use vortex_node::models::kernels::conv3::release_scratch;
use vortex_node::models::liveportrait::config::Config;
use vortex_node::models::liveportrait::keypoints::{KeyPoints, Motion};
use vortex_node::models::liveportrait::networks::{Networks, tensors};
use vortex_node::models::liveportrait::parts::Probe;

/// The published sizes.
const PUBLISHED: &str = r#"{"model_params": {
    "appearance_feature_extractor_params": {"image_channel": 3, "block_expansion": 64, "num_down_blocks": 2,
        "max_features": 512, "reshape_channel": 32, "reshape_depth": 16, "num_resblocks": 6},
    "motion_extractor_params": {"num_kp": 21},
    "warping_module_params": {"num_kp": 21, "block_expansion": 64, "max_features": 512, "num_down_blocks": 2,
        "reshape_channel": 32, "estimate_occlusion_map": true, "dense_motion_params": {"block_expansion": 32,
        "max_features": 1024, "num_blocks": 5, "reshape_depth": 16, "compress": 4}},
    "spade_generator_params": {"upscale": 2, "block_expansion": 64, "max_features": 512, "num_down_blocks": 2},
    "stitching_retargeting_module_params": {
        "stitching": {"input_size": 126, "hidden_sizes": [128, 128, 64], "output_size": 65},
        "lip": {"input_size": 65, "hidden_sizes": [128, 128, 64], "output_size": 63},
        "eye": {"input_size": 66, "hidden_sizes": [256, 256, 128, 128, 64], "output_size": 63}}}}"#;

fn option(name: &str) -> Option<String> {
    let arguments: Vec<String> = std::env::args().collect();
    arguments.iter().position(|argument| argument == name).and_then(|place| arguments.get(place + 1).cloned())
}

fn number(name: &str, default: usize) -> usize {
    option(name).map_or(default, |text| text.parse().expect("a number"))
}

fn networks(config: &Config) -> Networks {
    let mut state = 7u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let mut files = tensors(config).unwrap().into_iter().map(|(_, specs)| {
        let made = specs.into_iter().map(|spec| {
            let fan_in = spec.shape.dims().iter().skip(1).product::<usize>().max(1) as f32;
            let constant = if let Init::Const(value) = spec.init { Some(value as f32) } else { None };
            let values: Vec<f32> = (0..spec.shape.elem_count())
                .map(|_| match constant {
                    Some(value) => value + 0.01 * uniform(),
                    None => uniform() * (3.0 / fan_in).sqrt(),
                })
                .collect();
            (spec.name, Tensor::from_vec(values, spec.shape, &Device::Cpu).unwrap())
        });
        VarBuilder::from_tensors(made.collect(), DType::F32, &Device::Cpu)
    });
    Networks::new(config, std::array::from_fn(|_| files.next().unwrap()), Kernels::Fused).unwrap()
}

/// Multiplications and additions of one run, by the parts that the probes tell apart.
fn operations(config: &Config) -> BTreeMap<&'static str, f64> {
    let [height, width] = config.input_shape;
    let networks = &config.model_params;
    let cell = (height * width) >> (2 * networks.appearance.num_down_blocks);
    let depth = networks.appearance.reshape_depth;
    let dense = networks.warping.dense_motion_params.num_blocks;
    let mut sums = BTreeMap::new();
    for (file, specs) in tensors(config).unwrap() {
        for spec in specs {
            let dims = spec.shape.dims().to_vec();
            if dims.len() < 2 || spec.name.contains("weight_") && !spec.name.ends_with("weight_orig") {
                continue;
            }
            let name = spec.name.as_str();
            let digit = |after: &str| -> usize {
                name.split(after).nth(1).and_then(|rest| rest.split('.').next()).unwrap().parse().unwrap()
            };
            let (part, positions) = match file {
                "appearance_feature_extractor" if name.starts_with("first") => ("F", height * width),
                "appearance_feature_extractor" if name.starts_with("down") => {
                    ("F", (height * width) >> (2 * digit("down_blocks.")))
                }
                "appearance_feature_extractor" if name.starts_with("second") => ("F", cell),
                "appearance_feature_extractor" => ("F", cell * depth),
                "motion_extractor" => {
                    let stage = |after| (height / 4 * width / 4) >> (2 * digit(after));
                    let positions = if name.contains("downsample") {
                        stage("downsample_layers.")
                    } else if name.contains("stages") && dims.len() != 4 || name.contains("dwconv") {
                        stage("stages.")
                    } else {
                        1
                    };
                    ("M", positions)
                }
                "warping_module" if name.contains("down_blocks") => {
                    ("W hourglass", (cell * depth) >> (2 * digit("down_blocks.")))
                }
                "warping_module" if name.contains("up_blocks") => {
                    ("W hourglass", (cell * depth) >> (2 * (dense - 1 - digit("up_blocks."))))
                }
                "warping_module" if name.contains("decoder") => ("W hourglass", cell * depth),
                "warping_module" if name.contains("mask") => ("W mask", cell * depth),
                "warping_module" if name.contains("compress") => ("W compress, once", cell * depth),
                "warping_module" if name.contains("occlusion") => ("W occlusion", cell),
                "warping_module" => ("W third and fourth", cell),
                "spade_generator" if name.starts_with("up_0") => ("G up_0", 4 * cell),
                "spade_generator" if name.starts_with("up_1") => ("G up_1", 16 * cell),
                "spade_generator" if name.starts_with("conv_img") => ("G picture", 16 * cell),
                "spade_generator" if name.starts_with("fc") => ("G fc", cell),
                "spade_generator" => ("G middle", cell),
                _ => continue,
            };
            *sums.entry(part).or_insert(0.0) += 2.0 * spec.shape.elem_count() as f64 * positions as f64;
        }
    }
    sums
}

/// Seconds since the last mark, by the probe's names.
struct Marks(BTreeMap<String, f64>);

fn timed<T>(marks: &mut Marks, parts: &[(&str, &str)], run: impl FnOnce(&mut Probe<'_>) -> T) -> T {
    let mut last = clock::now();
    let mut see = |name: &str, _: &Tensor| {
        let Some((_, part)) = parts.iter().find(|(mark, _)| *mark == name) else { return };
        let now = clock::now();
        *marks.0.entry((*part).to_owned()).or_insert(0.0) += (now - last).as_secs_f64();
        last = now;
    };
    run(&mut Probe::passing(&mut see))
}

/// What a product of 2048 × 2048 matrices reaches, GFLOP/s.
fn peak() -> f64 {
    const SIDE: usize = 2048;
    let matrix = Tensor::ones((SIDE, SIDE), DType::F32, &Device::Cpu).unwrap();
    let best = (0..3).map(|_| {
        let start = clock::now();
        matrix.matmul(&matrix).unwrap();
        (clock::now() - start).as_secs_f64()
    });
    2.0 * (SIDE as f64).powi(3) / best.fold(f64::INFINITY, f64::min) / 1e9
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

fn main() {
    let (rounds, batch) = (number("--rounds", 3), number("--batch", 1));
    let config = option("--config")
        .map_or_else(|| PUBLISHED.to_owned(), |path| std::fs::read_to_string(path).unwrap());
    let config = Config::parse(&config).unwrap();
    let networks = networks(&config);
    let bytes = networks.bytes();
    let [height, width] = config.input_shape;
    let picture = Tensor::rand(0f32, 1.0, (1, 3, height, width), &Device::Cpu).unwrap();
    let mut best: BTreeMap<String, f64> = BTreeMap::new();
    let mut peaks = 0f64;
    for _ in 0..rounds {
        peaks = peaks.max(peak());
        let mut marks = Marks(BTreeMap::new());
        let feature = timed(&mut marks, &[("F.feature_3d", "F")], |probe| {
            networks.appearance.forward(&picture, probe).unwrap()
        });
        let motion =
            timed(&mut marks, &[("M.exp", "M")], |probe| networks.motion.forward(&picture, probe).unwrap());
        let source = motion.iter().map(Motion::key_points).collect::<Vec<KeyPoints>>();
        let driving: Vec<KeyPoints> = (0..batch)
            .map(|frame| source[0].iter().map(|[x, y, z]| [x + 0.01 * frame as f32, *y, *z]).collect())
            .collect();
        let source = networks.warping.source(feature, source, &mut Probe::off()).unwrap();
        let parts = [
            ("W.hourglass", "W hourglass"),
            ("W.mask_logits", "W mask"),
            ("W.deformation", "W deformation"),
            ("W.occlusion_map", "W occlusion"),
            ("W.third", "W third and fourth"),
            ("W.out", "W third and fourth"),
        ];
        let warped =
            timed(&mut marks, &parts, |probe| networks.warping.forward(&source, &driving, probe).unwrap());
        let parts = [
            ("G.fc", "G fc"),
            ("G.middle5", "G middle"),
            ("G.up_0", "G up_0"),
            ("G.up_1.activated", "G up_1"),
            ("image", "G picture"),
        ];
        timed(&mut marks, &parts, |probe| networks.generator.forward(&warped, probe).unwrap());
        for (part, seconds) in marks.0 {
            let frames = if part.starts_with(['W', 'G']) { batch as f64 } else { 1.0 };
            let entry = best.entry(part).or_insert(f64::INFINITY);
            *entry = entry.min(seconds / frames);
        }
    }
    let counted = operations(&config);
    println!(
        "weights {:.2} GB as kept, process {:.2} GB, batch {batch}, {rounds} rounds, peak {peaks:.0} GFLOP/s",
        bytes.get() as f64 / 1e9,
        resident()
    );
    println!("{:<20} {:>9} {:>9} {:>9} {:>7}", "part", "seconds", "GFLOP", "GFLOP/s", "of peak");
    let mut totals: BTreeMap<char, (f64, f64)> = BTreeMap::new();
    for (part, seconds) in &best {
        let gflop = counted.get(part.as_str()).copied().unwrap_or(0.0) / 1e9;
        println!(
            "{part:<20} {seconds:>9.4} {gflop:>9.1} {:>9.0} {:>6.0}%",
            gflop / seconds,
            100.0 * gflop / seconds / peaks
        );
        let total = totals.entry(part.chars().next().unwrap()).or_default();
        *total = (total.0 + seconds, total.1 + gflop);
    }
    for (part, (seconds, gflop)) in totals {
        println!("total {part} {seconds:.4} s {gflop:.1} GFLOP {:.0} GFLOP/s", gflop / seconds);
    }
    println!("scratch given back {:.1} MB", release_scratch() as f64 / 1e6);
}
