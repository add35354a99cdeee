//! LivePortrait's networks at their published sizes, one picture of 256×256.

use serde_json::json;
use vortex_node::models::kernels::Kernels;
use vortex_node::models::liveportrait::config::Config;
use vortex_node::models::liveportrait::keypoints::KeyPoints;
use vortex_node::models::liveportrait::networks::Networks;
use vortex_node::models::liveportrait::parts::Probe;

use crate::options::Options;
use crate::random;
use crate::rows::{Case, Ours};

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

/// What Winograd's transform leaves of a 3×3 convolution's multiplications.
const WINOGRAD: f64 = 0.25;

pub fn cases(options: &Options) -> Vec<(Case, &'static [&'static str])> {
    let seed = options.seed;
    let parts = [
        ("F", 64.1, WINOGRAD),
        ("M", 11.6, 1.0),
        ("W", 342.1, WINOGRAD),
        ("G", 891.6, WINOGRAD),
        ("WG", 1233.7, WINOGRAD),
    ];
    let case = |(part, gflop, multiplied): (&'static str, f64, f64)| {
        let name = format!("liveportrait-{}", part.to_lowercase());
        let peer = json!({ "model": "liveportrait", "parts": part, "checkout": options.portrait_checkout });
        let build = Box::new(move |_: &str| build(part, seed));
        (Case { name, peer, gflop, multiplied, precisions: vec!["f32"], build }, ["f32"].as_slice())
    };
    parts.map(case).into()
}

fn build(part: &str, seed: u64) -> Ours {
    let config = Config::parse(PUBLISHED).unwrap();
    let files = std::array::from_fn(|file| random::weights(seed + file as u64));
    let Networks { appearance, motion, warping, generator, .. } =
        Networks::new(&config, files, Kernels::Fused).unwrap();
    let [height, width] = config.input_shape;
    let picture = random::tensor(&[1, 3, height, width]);
    // W and G see a source once and each of its frames anew.
    let prepared = |off: &mut Probe<'_>| {
        let feature = appearance.forward(&picture, off).unwrap();
        let points: KeyPoints = motion.forward(&picture, off).unwrap()[0].key_points();
        let driving: KeyPoints = points.iter().map(|[x, y, z]| [x + 0.01, *y, *z]).collect();
        (warping.source(feature, vec![points], off).unwrap(), vec![driving])
    };
    let off = &mut Probe::off();
    match part {
        "F" => {
            let bytes = appearance.bytes();
            Ours {
                run: Box::new(move || drop(appearance.forward(&picture, &mut Probe::off()).unwrap())),
                bytes,
            }
        }
        "M" => {
            let bytes = motion.bytes();
            Ours { run: Box::new(move || drop(motion.forward(&picture, &mut Probe::off()).unwrap())), bytes }
        }
        "W" => {
            let (source, driving) = prepared(off);
            let bytes = warping.bytes();
            let run = move || drop(warping.forward(&source, &driving, &mut Probe::off()).unwrap());
            Ours { run: Box::new(run), bytes }
        }
        "G" => {
            let (source, driving) = prepared(off);
            let warped = warping.forward(&source, &driving, off).unwrap();
            let bytes = generator.bytes();
            Ours {
                run: Box::new(move || drop(generator.forward(&warped, &mut Probe::off()).unwrap())),
                bytes,
            }
        }
        _ => {
            let (source, driving) = prepared(off);
            let bytes = warping.bytes() + generator.bytes();
            let run = move || {
                let warped = warping.forward(&source, &driving, &mut Probe::off()).unwrap();
                generator.forward(&warped, &mut Probe::off()).unwrap();
            };
            Ours { run: Box::new(run), bytes }
        }
    }
}
