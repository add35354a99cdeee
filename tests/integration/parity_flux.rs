//! Flux against its reference implementations: every output that the fixtures record, in every layout and precision.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use vortex_node::contract::Run;
use vortex_node::models::flux::files::FluxFiles;
use vortex_node::models::flux::latents;
use vortex_node::models::flux::load::{Networks, networks};
use vortex_node::models::flux::plan::{Options, T5Place};
use vortex_node::models::flux::precision::Precision;
use vortex_node::models::flux::transformer::{image_ids, rotation};
use vortex_node::models::flux::vae::to_rgb;

use crate::support::{Recorded, fixture_sets, max_difference};

mod encoder;
mod layouts;
mod quantised;

/// Every folder with a whole Flux model and its recorded outputs.
fn sets() -> Vec<PathBuf> {
    fixture_sets("Flux", |folder| {
        folder.join("io.safetensors").exists() && folder.join("flux1-schnell.safetensors").exists()
    })
}

/// Everything as the file has it, T5 in memory.
fn as_stored() -> Options {
    Options { precision: Precision::Stored, t5: T5Place::Resident(Precision::Stored), ..Options::default() }
}

fn load(files: &FluxFiles, options: &Options) -> Networks {
    networks(files, options, &Device::Cpu, &Run::unobserved())
        .unwrap_or_else(|error| panic!("{}", error.chain()))
}

fn ids(recorded: &Recorded, name: &str) -> Vec<u32> {
    recorded.input(name).flatten_all().unwrap().to_dtype(DType::U32).unwrap().to_vec1().unwrap()
}

/// With the batch dimension that the fixtures have and our activations do not.
fn batched(tensor: &Tensor) -> Tensor {
    tensor.unsqueeze(0).unwrap()
}

/// Our value of everything that a fixture may record, under its name there.
fn everything(networks: &Networks, recorded: &Recorded) -> BTreeMap<String, Tensor> {
    let mut ours = BTreeMap::new();
    let mut put = |name: &str, tensor: Tensor| drop(ours.insert(name.to_owned(), tensor));

    let t5_ids = ids(recorded, "t5_input_ids");
    let mut blocks = Vec::new();
    let text = networks
        .t5
        .encode(&t5_ids, &mut |index, x| {
            blocks.push((index, x.clone()));
            Ok(())
        })
        .unwrap();
    blocks.iter().for_each(|(index, x)| put(&format!("t5.block{index}"), batched(x)));
    put("t5.last_hidden_state", batched(&text));
    let (tokens, pooled) = networks.clip.encode(&ids(recorded, "clip_input_ids")).unwrap();
    put("clip.last_hidden_state", batched(&tokens));
    put("clip.pooled", pooled.clone());

    let noise = recorded.input("latents");
    let (_, _, height, width) = noise.dims4().unwrap();
    let (rows, columns) = (height / 2, width / 2);
    let mut latent = latents::pack(&noise).unwrap();
    put("flux.packed_latents", batched(&latent));
    let positions = image_ids(rows, columns);
    let flat: Vec<f32> = positions.iter().flatten().map(|value| *value as f32).collect();
    put("flux.img_ids", Tensor::from_vec(flat, (rows * columns, 3), &Device::Cpu).unwrap());
    let steps = recorded.meta()["dims"]["steps"].as_u64().unwrap() as usize;
    let levels = networks.configs.scheduler.levels(steps, rows * columns);
    let narrow: Vec<f32> = levels.iter().map(|level| *level as f32).collect();
    put("flux.sigmas", Tensor::new(narrow, &Device::Cpu).unwrap());

    let transformer = &networks.transformer;
    let words = text.dim(0).unwrap();
    let turned = rotation(transformer.config(), words, &positions, &Device::Cpu).unwrap();
    let (cos, sin) = (&turned.cos, &turned.sin);
    let matrices = Tensor::stack(&[cos, &sin.neg().unwrap(), sin, cos], 2).unwrap();
    let half = transformer.config().head() / 2;
    put("flux.pe", matrices.reshape((1, 1, words + rows * columns, half, 2, 2)).unwrap());

    let vectors = transformer.modulators().vectors(&levels[..steps], &pooled, 0.0).unwrap();
    put("flux.vec", vectors.narrow(0, 0, 1).unwrap());
    let modulations = transformer.modulators().modulations(&vectors, &mut || Ok(())).unwrap();
    let text_in = transformer.text(&text).unwrap();
    put("flux.txt_in", batched(&text_in));
    let (mut image, mut words_in) = (transformer.image(&latent).unwrap(), text_in.clone());
    put("flux.img_in", batched(&image));
    for (index, block) in transformer.doubles().iter().enumerate() {
        let modulation = modulations.doubles[index].at(0).unwrap();
        (image, words_in) = block.forward(&image, &words_in, &modulation, &turned).unwrap();
        put(&format!("flux.double{index}.img"), batched(&image));
        put(&format!("flux.double{index}.txt"), batched(&words_in));
    }
    let mut joint = Tensor::cat(&[words_in, image], 0).unwrap();
    for (index, block) in transformer.singles().iter().enumerate() {
        joint = block.forward(&joint, &modulations.singles[index].get(0).unwrap(), &turned).unwrap();
        put(&format!("flux.single{index}"), batched(&joint));
    }
    for step in 0..steps {
        let flow =
            transformer.forward(&latent, &text_in, (&modulations, step), &turned, &mut || Ok(())).unwrap();
        latent = (latent + (&flow * (levels[step + 1] - levels[step])).unwrap()).unwrap();
        put(&format!("flux.step{step}.pred"), batched(&flow));
        put(&format!("flux.step{step}.latents"), batched(&latent));
    }
    let unpacked = latents::unpack(&latent, rows, columns).unwrap();
    put("flux.unpacked_latents", unpacked.clone());

    let mut stages = Vec::new();
    let pixels = networks
        .decoder
        .decode(&unpacked, &mut |name, x| {
            stages.push((format!("vae.{name}"), x.clone()));
            Ok(())
        })
        .unwrap();
    stages.into_iter().for_each(|(name, x)| put(&name, x));
    let (_, channels, height, width) = pixels.dims4().unwrap();
    let rgb = Tensor::from_vec(to_rgb(&pixels).unwrap(), (height, width, channels), &Device::Cpu).unwrap();
    put("vae.image_u8", batched(&rgb.permute((2, 0, 1)).unwrap()));
    put("vae.decoded", pixels);
    ours
}

/// Compares everything that is recorded; `but` names what another test compares.
fn compare(set: &Path, ours: &BTreeMap<String, Tensor>, recorded: &Recorded, but: &[&str]) {
    let mut compared = 0;
    for name in recorded.output_names() {
        if but.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let value = ours
            .get(name)
            .unwrap_or_else(|| panic!("{} records {name}, which is not compared", set.display()));
        if name == "vae.image_u8" {
            // One level, by the rule for pictures.
            recorded.assert_within(name, value, 1.0);
        } else {
            recorded.assert_matches(name, value);
        }
        compared += 1;
    }
    assert!(compared > 20, "{}: only {compared} outputs compared", set.display());
}

#[test]
fn parity_of_every_recorded_output() {
    for set in sets() {
        let networks = load(&FluxFiles::find(&set).unwrap(), &as_stored());
        let recorded = Recorded::read(&set);
        compare(&set, &everything(&networks, &recorded), &recorded, &["vae.encode"]);
    }
}

#[test]
fn parity_with_a_streamed_t5_and_modulations_on_the_device() {
    for set in sets() {
        let options = Options { t5: T5Place::Streamed, modulation_in_host: false, ..as_stored() };
        let networks = load(&FluxFiles::find(&set).unwrap(), &options);
        let recorded = Recorded::read(&set);
        compare(&set, &everything(&networks, &recorded), &recorded, &["vae.encode"]);
    }
}

#[test]
fn parity_is_lost_where_the_structure_is_wrong() {
    // The tolerance must tell a mistake from noise: text and picture tokens exchanged, or one position off.
    for set in sets() {
        let networks = load(&FluxFiles::find(&set).unwrap(), &as_stored());
        let recorded = Recorded::read(&set);
        let ours = everything(&networks, &recorded);
        let shifted = ours["flux.step0.pred"].roll(1, 1).unwrap();
        let difference = max_difference(&shifted, &recorded.output("flux.step0.pred"));
        assert!(difference > 1e3 * recorded.bound("flux.step0.pred"), "{difference:e}");
    }
}
