//! LivePortrait against its reference implementation: every recorded intermediate, with both kinds of kernels.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use vortex_node::models::layers::kernels::Kernels;
use vortex_node::models::liveportrait::config::Config;
use vortex_node::models::liveportrait::keypoints::{KeyPoints, Motion, rotation};
use vortex_node::models::liveportrait::networks::{FILES, Networks, tensors};
use vortex_node::models::liveportrait::parts::Probe;

use crate::support::{Recorded, fixture_sets, max_difference};

fn sets() -> Vec<std::path::PathBuf> {
    fixture_sets("LivePortrait", |folder| {
        folder.join("io.safetensors").is_file() && folder.join("spade_generator.safetensors").is_file()
    })
}

fn configs(folder: &Path) -> Vec<Config> {
    ["config.json", "models.yaml"]
        .iter()
        .filter_map(|name| std::fs::read_to_string(folder.join(name)).ok())
        .map(|text| Config::parse(&text).unwrap())
        .collect()
}

fn load(folder: &Path, kernels: Kernels) -> Networks {
    let config = configs(folder).remove(0);
    let files = FILES.map(|file| {
        let path = folder.join(format!("{file}.safetensors"));
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
    });
    Networks::new(&config, files, kernels).unwrap()
}

/// Everything that a run shows, by the fixtures' names.
type Seen = HashMap<String, Tensor>;

fn seeing<T>(seen: &mut Seen, prefix: &str, run: impl FnOnce(&mut Probe<'_>) -> T) -> T {
    let mut see = |name: &str, tensor: &Tensor| {
        // M's heads are recorded once per picture, its stages once.
        let name = match name.strip_prefix("M.") {
            Some(head) if !head.starts_with("stage") => format!("M.{prefix}.{head}"),
            _ => name.to_owned(),
        };
        seen.entry(name).or_insert_with(|| tensor.to_dtype(DType::F32).unwrap());
    };
    run(&mut Probe::on(&mut see))
}

fn points(all: &[KeyPoints]) -> Tensor {
    let values: Vec<f32> = all.iter().flatten().flatten().copied().collect();
    Tensor::from_vec(values, (all.len(), all[0].len(), 3), &Device::Cpu).unwrap()
}

fn pose(seen: &mut Seen, who: &str, motions: &[Motion]) -> Vec<KeyPoints> {
    let vector = |values: Vec<f32>| Tensor::new(values, &Device::Cpu).unwrap();
    for (axis, name) in ["pitch", "yaw", "roll"].iter().enumerate() {
        let angles = motions.iter().map(|motion| motion.angles[axis]).collect();
        seen.insert(format!("M.{who}.{name}_degree"), vector(angles));
    }
    let turned =
        motions.iter().flat_map(|motion| rotation(motion.angles)).flatten().map(|v| v as f32).collect();
    let turned = Tensor::from_vec(turned, (motions.len(), 3, 3), &Device::Cpu).unwrap();
    seen.insert(format!("M.{who}.rotation"), turned);
    let all: Vec<KeyPoints> = motions.iter().map(Motion::key_points).collect();
    seen.insert(format!("kp.{who}"), points(&all));
    all
}

fn rows<const N: usize>(tensor: &Tensor) -> Vec<[f32; N]> {
    tensor.to_vec2::<f32>().unwrap().into_iter().map(|row| row.try_into().unwrap()).collect()
}

/// The whole way from two pictures to a third.
fn run(networks: &Networks, recorded: &Recorded, kernels: Kernels) -> Seen {
    let mut seen = Seen::new();
    let picture = |name: &str| recorded.input(name).to_dtype(kernels.dtype()).unwrap();
    let source =
        seeing(&mut seen, "source", |probe| networks.motion.forward(&picture("source"), probe)).unwrap();
    let source = pose(&mut seen, "source", &source);
    let driving =
        seeing(&mut seen, "driving", |probe| networks.motion.forward(&picture("driving"), probe)).unwrap();
    let driving = pose(&mut seen, "driving", &driving);

    let eyes = networks.retargeting.eyes(&source, &rows(&recorded.input("eye_close_ratio"))).unwrap();
    let lips = networks.retargeting.lips(&source, &rows(&recorded.input("lip_close_ratio"))).unwrap();
    seen.insert("retarget_eye.delta".into(), points(&eyes));
    seen.insert("retarget_lip.delta".into(), points(&lips));
    let stitched = networks.retargeting.stitch(&source, &driving).unwrap();
    seen.insert("kp.stitched".into(), points(&stitched));

    seeing(&mut seen, "", |probe| {
        let feature = networks.appearance.forward(&picture("source"), probe).unwrap();
        let prepared = networks.warping.source(feature, source, probe).unwrap();
        let warped = networks.warping.forward(&prepared, &stitched, probe).unwrap();
        networks.generator.forward(&warped, probe).unwrap();
    });
    seen
}

/// What is recorded of a tensor: fixtures keep large ones sub-sampled.
fn as_recorded(name: &str, ours: &Tensor, reference: &Tensor) -> Tensor {
    match name {
        "F.first" => {
            let (_, _, height, width) = ours.dims4().unwrap();
            let every =
                |count: usize| Tensor::new((0..count as u32).step_by(4).collect::<Vec<_>>(), &Device::Cpu);
            let ours = ours.index_select(&every(height).unwrap(), 2).unwrap();
            ours.index_select(&every(width).unwrap(), 3).unwrap()
        }
        "W.hourglass" | "W.deformed_feature" => ours.narrow(1, 0, reference.dim(1).unwrap()).unwrap(),
        _ => ours.clone(),
    }
}

fn parity(kernels: Kernels) {
    for folder in sets() {
        let (networks, recorded) = (load(&folder, kernels), Recorded::read(&folder));
        let seen = run(&networks, &recorded, kernels);
        let mut worst: Vec<(f64, String)> = Vec::new();
        for name in recorded.output_names() {
            if name == "image_u8" {
                // The published wrapper cuts off instead of rounding; one level is the rule's tolerance.
                let ours = (&seen["image"] * 255.0).unwrap().floor().unwrap();
                recorded.assert_within(name, &ours, 1.0);
                continue;
            }
            let ours = seen.get(name).unwrap_or_else(|| panic!("{}: {name} is not shown", folder.display()));
            let reference = recorded.output(name);
            let ours = as_recorded(name, ours, &reference);
            worst.push((max_difference(&ours, &reference) / recorded.bound(name), name.to_owned()));
            recorded.assert_matches(name, &ours);
        }
        worst.sort_by(|a, b| b.0.total_cmp(&a.0));
        eprintln!(
            "{} {kernels:?}: largest shares of the bound {:?}",
            folder.display(),
            &worst[..4.min(worst.len())]
        );
    }
}

#[test]
fn fused_kernels_keep_parity_at_every_intermediate() {
    parity(Kernels::Fused);
}

#[test]
fn stock_operations_keep_parity_at_every_intermediate() {
    parity(Kernels::Stock(DType::F32));
}

#[test]
fn half_precision_keeps_near_parity_of_the_picture() {
    for folder in sets() {
        let kernels = Kernels::Stock(DType::F16);
        let recorded = Recorded::read(&folder);
        let seen = run(&load(&folder, kernels), &recorded, kernels);
        for (name, share) in [("F.feature_3d", 0.01), ("kp.stitched", 0.01), ("image", 0.1)] {
            let reference = recorded.output(name);
            let spread = recorded.meta()["outputs"][name]["std"].as_f64().unwrap();
            let difference = (&seen[name] - &reference).unwrap().sqr().unwrap().mean_all().unwrap();
            let error = f64::from(difference.to_scalar::<f32>().unwrap()).sqrt();
            assert!(error < share * spread, "{}: {name} is off by {error} of {spread}", folder.display());
        }
    }
}

#[test]
fn parity_does_not_depend_on_how_frames_are_batched() {
    for folder in sets() {
        let (networks, recorded) = (load(&folder, Kernels::Fused), Recorded::read(&folder));
        let off = &mut Probe::off();
        let picture = recorded.input("source").narrow(0, 0, 1).unwrap();
        let source = networks.motion.forward(&picture, off).unwrap()[0].key_points();
        let feature = networks.appearance.forward(&picture, off).unwrap();
        let prepared = networks.warping.source(feature, vec![source.clone()], off).unwrap();
        let driving: Vec<KeyPoints> = (0..5)
            .map(|frame| {
                source
                    .iter()
                    .map(|[x, y, z]| [x + 0.01 * frame as f32, *y, z - 0.02 * frame as f32])
                    .collect()
            })
            .collect();
        let mut frames = |driving: &[KeyPoints]| {
            networks
                .generator
                .forward(&networks.warping.forward(&prepared, driving, off).unwrap(), off)
                .unwrap()
        };
        let together = frames(&driving);
        let apart: Vec<Tensor> = driving.chunks(2).map(&mut frames).collect();
        let difference = max_difference(&together, &Tensor::cat(&apart, 0).unwrap());
        assert!(difference <= recorded.bound("image"), "{}: {difference:e}", folder.display());
    }
}

#[test]
fn the_networks_ask_for_exactly_the_published_tensors() {
    for folder in sets() {
        for config in configs(&folder) {
            for (file, specs) in tensors(&config).unwrap() {
                let path = folder.join(format!("{file}.safetensors"));
                let stored = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
                let mut asked: Vec<_> =
                    specs.iter().map(|s| (s.name.clone(), s.shape.dims().to_vec())).collect();
                let mut there: Vec<_> = stored
                    .iter()
                    .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
                    .map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()))
                    .collect();
                asked.sort();
                there.sort();
                assert_eq!(asked, there, "{file}");
            }
        }
    }
}
