//! LivePortrait against its reference implementation: every recorded intermediate, with both kinds of kernels.

use std::path::Path;

use candle_core::{Device, Tensor};
use vortex_node::models::kernels::Kernels;
use vortex_node::models::liveportrait::config::Config;
use vortex_node::models::liveportrait::keypoints::KeyPoints;
use vortex_node::models::liveportrait::networks::tensors;
use vortex_node::models::liveportrait::parts::Probe;
use vortex_node::models::parity::Sheet;
use vortex_node::models::parity::judge::{Rule, judge};
use vortex_node::models::parity::liveportrait::load;
use vortex_node::models::parity::recorded::Recorded;
use vortex_node::models::parity::sets::{Kind, Set};

use crate::support::{assert_parity, sets_of};

fn configs(folder: &Path) -> Vec<Config> {
    ["config.json", "models.yaml"]
        .iter()
        .filter_map(|name| std::fs::read_to_string(folder.join(name)).ok())
        .map(|text| Config::parse(&text).unwrap())
        .collect()
}

#[test]
fn every_intermediate_keeps_parity_with_both_kinds_of_kernels_and_the_picture_in_half_precision() {
    // Fifty outputs with each kind, three in half precision.
    assert_parity(Kind::LivePortrait, 80);
}

#[test]
fn parity_does_not_depend_on_how_frames_are_batched() {
    for Set { folder, .. } in sets_of(Kind::LivePortrait) {
        let networks = load(&folder, Kernels::Fused, &Device::Cpu).unwrap();
        let sheet = Sheet::new(Recorded::read(&folder).unwrap());
        let off = &mut Probe::off();
        let picture = sheet.recorded.input("source").unwrap().narrow(0, 0, 1).unwrap();
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
        let noise = sheet.recorded.noise("image");
        let judged = judge(&together, &Tensor::cat(&apart, 0).unwrap(), Rule::Floats, noise, false);
        assert!(judged.ok, "{}: {judged:?}", folder.display());
    }
}

#[test]
fn the_networks_ask_for_exactly_the_published_tensors() {
    for Set { folder, .. } in sets_of(Kind::LivePortrait) {
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
