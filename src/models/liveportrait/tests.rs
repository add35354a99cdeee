//! Whole jobs on small random weights.

use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};

use super::config::Config;
use super::networks::{Networks, tensors};
use super::*;
use crate::contract::{Animate, Animation, FrameSink, Model, ModelError, RgbFrame, Run, SinkClosed};
use crate::models::kernels::Kernels;
use crate::types::{
    CameraView, FaceControls, FramePlan, FrameSource, HeadPose, PlannedFrame, Resolution, RgbImage,
};

/// As small as it goes with all 21 key points.
const TINY: &str = r#"{"input_shape": [32, 32], "model_params": {
    "appearance_feature_extractor_params": {"image_channel": 3, "block_expansion": 4, "num_down_blocks": 2,
        "max_features": 8, "reshape_channel": 4, "reshape_depth": 2, "num_resblocks": 1},
    "motion_extractor_params": {"num_kp": 21, "depths": [1, 1, 1, 1], "dims": [4, 4, 8, 8]},
    "warping_module_params": {"num_kp": 21, "block_expansion": 1, "max_features": 8, "num_down_blocks": 2,
        "reshape_channel": 4, "estimate_occlusion_map": true, "dense_motion_params": {"block_expansion": 2,
        "max_features": 4, "num_blocks": 1, "reshape_depth": 2, "compress": 1}},
    "spade_generator_params": {"upscale": 2, "block_expansion": 1, "max_features": 8, "num_down_blocks": 2,
        "out_channels": 4, "nhidden": 4},
    "stitching_retargeting_module_params": {
        "stitching": {"input_size": 126, "hidden_sizes": [8], "output_size": 65},
        "lip": {"input_size": 65, "hidden_sizes": [8], "output_size": 63},
        "eye": {"input_size": 66, "hidden_sizes": [8], "output_size": 63}}}}"#;

/// Weights as each tensor's initialisation asks, from a fixed stream of numbers, times `scale`.
fn networks(config: &Config, kernels: Kernels, scale: f32) -> Networks {
    let mut state = 7u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let mut files = tensors(config).unwrap().into_iter().map(|(_, specs)| {
        let made = specs.into_iter().map(|spec| {
            let fan_in = spec.shape.dims().iter().skip(1).product::<usize>().max(1) as f32;
            let values: Vec<f32> = (0..spec.shape.elem_count())
                .map(|_| match spec.init {
                    Init::Const(value) => scale * (value as f32 + 0.05 * uniform()),
                    _ => scale * uniform() * (3.0 / fan_in).sqrt(),
                })
                .collect();
            (spec.name, Tensor::from_vec(values, spec.shape, &Device::Cpu).unwrap())
        });
        VarBuilder::from_tensors(made.collect(), DType::F32, &Device::Cpu)
    });
    let files = std::array::from_fn(|_| files.next().unwrap());
    Networks::new(config, files, kernels).unwrap()
}

fn model(batch: u32, scale: f32) -> LivePortraitModel {
    let config = Config::parse(TINY).unwrap();
    let networks = networks(&config, Kernels::Fused, scale);
    LivePortraitModel::new(config, networks, Kernels::Fused, batch, &Device::Cpu).unwrap()
}

#[derive(Clone, Default)]
struct Film(Arc<Mutex<Vec<Vec<u8>>>>);

impl FrameSink for Film {
    fn push(&mut self, frame: RgbFrame<'_>) -> Result<(), SinkClosed> {
        self.0.lock().unwrap().push(frame.data.to_vec());
        Ok(())
    }
}

fn frames() -> Vec<PlannedFrame> {
    (0..9)
        .map(|i| {
            let share = i as f32 / 8.0;
            let source = match i {
                3 => FrameSource::Reuse,
                5 => FrameSource::Blend { weight: 0.5 },
                _ => FrameSource::Render,
            };
            PlannedFrame {
                pose: HeadPose { yaw: 20.0 * share, ..HeadPose::REST },
                face: FaceControls { lips: 100.0 * share - 40.0, eye_openness: share, ..FaceControls::REST },
                camera: CameraView { zoom: 1.0 + 0.2 * share, ..CameraView::WHOLE },
                source,
            }
        })
        .collect()
}

fn run(
    model: &mut LivePortraitModel,
    size: u32,
    frames: Vec<PlannedFrame>,
) -> (Result<Animation, ModelError>, Vec<Vec<u8>>) {
    let film = Film::default();
    let portrait = (0..3 * 40 * 40).map(|i| (i * 37 % 251) as u8).collect();
    let job = Animate {
        image: Arc::new(RgbImage::new(Resolution::new(40, 40).unwrap(), portrait).unwrap()),
        plan: Arc::new(FramePlan { fps: 24, frames }),
        resolution: Resolution::new(size, size).unwrap(),
        keyframes: vec![0, 4, 8],
        sink: Box::new(film.clone()),
    };
    let animation = model.run(job, &Run::unobserved());
    let film = film.0.lock().unwrap().clone();
    (animation, film)
}

#[test]
fn the_same_job_gives_the_same_bytes() {
    let (first, film) = run(&mut model(3, 1.0), 64, frames());
    let (again, film_again) = run(&mut model(3, 1.0), 64, frames());
    let first = first.unwrap();
    assert_eq!(first, again.unwrap());
    assert_eq!(film, film_again);
    assert_eq!((first.frames, first.rendered, first.batch), (9, 7, 3));
    assert_eq!(first.keyframes[1].image.data(), film[4]);
    assert!(film[0] != film[8] && film[2] != film[4], "frames follow the plan");
    assert_ne!(film[3], film[4]);
}

#[test]
fn batches_do_not_change_the_picture() {
    let (_, together) = run(&mut model(7, 1.0), 64, frames());
    let (_, alone) = run(&mut model(1, 1.0), 64, frames());
    for (a, b) in together.iter().flatten().zip(alone.iter().flatten()) {
        assert!(a.abs_diff(*b) <= 1);
    }
}

#[test]
fn frames_leave_in_the_size_asked_for() {
    for size in [64, 33, 100] {
        let (animation, film) = run(&mut model(4, 1.0), size, frames());
        animation.unwrap();
        assert!(film.len() == 9 && film.iter().all(|frame| frame.len() == (3 * size * size) as usize));
    }
}

#[test]
fn a_portrait_of_other_proportions_is_cut_with_a_warning() {
    let mut model = model(2, 1.0);
    let film = Film::default();
    let mut job = |width: u32, height: u32| {
        let image =
            RgbImage::new(Resolution::new(width, height).unwrap(), vec![90; (3 * width * height) as usize]);
        let job = Animate {
            image: Arc::new(image.unwrap()),
            plan: Arc::new(FramePlan { fps: 24, frames: frames() }),
            resolution: Resolution::new(64, 64).unwrap(),
            keyframes: vec![],
            sink: Box::new(film.clone()),
        };
        model.run(job, &Run::unobserved()).map(|animation| animation.warnings)
    };
    let codes: Vec<String> =
        job(60, 40).unwrap().into_iter().map(|warning| warning.code.into_owned()).collect();
    assert_eq!(codes, ["portrait_cut"]);
    assert_eq!(job(200, 200).unwrap(), []);
    assert!(job(8, 8).unwrap_err().chain().contains("8x8"));
}

#[test]
fn the_canary_sings_only_where_the_networks_work() {
    let run = Run::unobserved();
    let mut good = model(2, 1.0);
    good.canary(&run).unwrap();
    good.canary(&run).unwrap();
    // A changed weight shows against the first canary.
    let config = Config::parse(TINY).unwrap();
    good.networks = networks(&config, good.kernels, 1.1);
    assert!(good.canary(&run).unwrap_err().chain().contains("other pixels"));

    let mut silent = model(2, 1.0);
    silent.networks = flat_networks(&config);
    let error = silent.canary(&run).unwrap_err().chain();
    assert!(error.contains("flat"), "{error}");
}

/// Networks whose last layer makes everything grey.
fn flat_networks(config: &Config) -> Networks {
    let kernels = Kernels::Fused;
    let mut networks = networks(config, kernels, 1.0);
    networks.generator = {
        let specs = tensors(config).unwrap().remove(3).1;
        let made = specs.into_iter().map(|spec| {
            let value = if spec.name.starts_with("conv_img") { 0.0 } else { 0.1 };
            (spec.name, Tensor::full(value as f32, spec.shape, &Device::Cpu).unwrap())
        });
        let vb = VarBuilder::from_tensors(made.collect(), DType::F32, &Device::Cpu);
        generator::SpadeGenerator::new(&config.model_params.generator, &vb, kernels).unwrap()
    };
    networks
}

#[test]
fn what_a_batch_takes_is_estimated_from_its_frames() {
    let model = model(4, 1.0);
    let job = |count: usize| Animate {
        image: Arc::new(RgbImage::new(Resolution::new(16, 16).unwrap(), vec![0; 768]).unwrap()),
        plan: Arc::new(FramePlan { fps: 24, frames: vec![frames()[0]; count] }),
        resolution: Resolution::new(64, 64).unwrap(),
        keyframes: vec![],
        sink: Box::new(Film::default()),
    };
    let [one, four, many] = [1, 4, 1080].map(|count| model.workspace(&job(count)));
    assert!(one < four && four == many, "{one} {four} {many}");
    assert!(model.resident().get() > 0);
}

#[test]
fn half_precision_runs_on_stock_operations() {
    let config = Config::parse(TINY).unwrap();
    let kernels = Kernels::Stock(DType::F16);
    let networks = networks(&config, kernels, 1.0);
    let mut half = LivePortraitModel::new(config, networks, kernels, 3, &Device::Cpu).unwrap();
    let (animation, film) = run(&mut half, 64, frames());
    animation.unwrap();
    let (_, full) = run(&mut model(3, 1.0), 64, frames());
    let pairs = || film.iter().flatten().zip(full.iter().flatten());
    let mean = pairs().map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / pairs().count() as f64;
    assert!(mean < 2.0, "{mean} levels");
    assert_eq!(half.resident().get() % 2, 0);
}
