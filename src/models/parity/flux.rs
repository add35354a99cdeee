//! Flux against its reference implementations: both text encoders, every block, every step, the autoencoder.

mod encoder;

use candle_core::{DType, Device, Result as CandleResult, Tensor};

use super::judge::Rule;
use super::{Form, Sheet};
use crate::contract::{ModelError, Run};
use crate::models::error::Context;
use crate::models::flux::files::FluxFiles;
use crate::models::flux::latents;
use crate::models::flux::load::{Networks, networks};
use crate::models::flux::plan::{Options, T5Place};
use crate::models::flux::precision::Precision;
use crate::models::flux::transformer::{image_ids, rotation};
use crate::models::flux::vae::to_rgb;

/// What bf16's eight bits may come to, rounded at each of some dozen operations in a row: an output's norm is off by a
/// few hundredths, where a mistake moves it by most of itself. Reasoned, not measured.
const BRAIN: f64 = 0.1;

fn kept(precision: Precision) -> Options {
    Options { precision, t5: T5Place::Resident(precision), ..Options::default() }
}

/// Everything as the file has it, T5 in memory.
pub fn as_stored() -> Options {
    kept(Precision::Stored)
}

/// On a card weights that are stored as bf16 are computed in bf16; widened they are computed in f32.
pub(super) fn forms(is_card: bool) -> Vec<Form<Options>> {
    let form = |precision, here| Form { precision, here, on_processor: as_stored() };
    match is_card {
        false => vec![form("f32", as_stored())],
        true => vec![form("f32", kept(Precision::F32)), form("bf16", as_stored())],
    }
}

/// Loads the networks and shows what they make of the recorded inputs.
pub fn run(
    files: &FluxFiles,
    options: &Options,
    device: &Device,
    sheet: &mut Sheet,
) -> Result<(), ModelError> {
    let networks = networks(files, options, device, &Run::unobserved())?;
    let is_wide = networks.compute == DType::F32;
    if !is_wide {
        sheet.usual = Rule::Relative(BRAIN);
    }
    let (t5, clip) = (sheet.recorded.ids("in.t5_input_ids")?, sheet.recorded.ids("in.clip_input_ids")?);
    let noise = sheet.recorded.input("latents")?.clone();
    // The schedule is recorded with its end.
    let steps = sheet.recorded.output("flux.sigmas")?.elem_count().saturating_sub(1);
    let inputs = Inputs { t5, clip, noise, steps };
    let pixels =
        everything(&networks, &inputs, device, sheet).context(|| "running Flux's networks".to_owned())?;
    let read_back = |sheet: &mut Sheet| -> CandleResult<()> {
        let (_, channels, height, width) = pixels.dims4()?;
        let rgb = Tensor::from_vec(to_rgb(&pixels)?, (height, width, channels), &Device::Cpu)?;
        if is_wide {
            // One level, by the rule for pictures.
            sheet.put_by("vae.image_u8", &batched(&rgb.permute((2, 0, 1))?)?, Rule::Within(1.0))?;
        }
        sheet.put("vae.decoded", &pixels)
    };
    read_back(sheet).context(|| "reading back Flux's picture".to_owned())?;
    if is_wide { encoder::run(files, &networks.configs.vae, device, sheet) } else { Ok(()) }
}

struct Inputs {
    t5: Vec<u32>,
    clip: Vec<u32>,
    noise: Tensor,
    steps: usize,
}

/// With the batch dimension that the fixtures have and our activations do not.
fn batched(tensor: &Tensor) -> CandleResult<Tensor> {
    tensor.unsqueeze(0)
}

/// Shows every stage up to the picture, which it returns.
fn everything(
    networks: &Networks,
    inputs: &Inputs,
    device: &Device,
    sheet: &mut Sheet,
) -> CandleResult<Tensor> {
    let text = networks
        .t5
        .encode(&inputs.t5, &mut |index, x| sheet.put(&format!("t5.block{index}"), &batched(x)?))?;
    sheet.put("t5.last_hidden_state", &batched(&text)?)?;
    let encoded = networks.clip.forward(&inputs.clip, inputs.clip.len(), &mut |_, _| ())?;
    sheet.put("clip.last_hidden_state", &encoded.tokens)?;
    sheet.put("clip.pooled", &encoded.pooled)?;

    let (_, _, height, width) = inputs.noise.dims4()?;
    let (rows, columns) = (height / 2, width / 2);
    let mut latent = latents::pack(&inputs.noise.to_device(device)?)?;
    sheet.put("flux.packed_latents", &batched(&latent)?)?;
    let positions = image_ids(rows, columns);
    let flat: Vec<f32> = positions.iter().flatten().map(|value| *value as f32).collect();
    sheet.put("flux.img_ids", &Tensor::from_vec(flat, (rows * columns, 3), &Device::Cpu)?)?;
    let levels = networks.configs.scheduler.levels(inputs.steps, rows * columns);
    let narrow: Vec<f32> = levels.iter().map(|level| *level as f32).collect();
    sheet.put("flux.sigmas", &Tensor::new(narrow, &Device::Cpu)?)?;

    let transformer = &networks.transformer;
    let words = text.dim(0)?;
    let turned = rotation(transformer.config(), words, &positions, device)?;
    let (cos, sin) = (&turned.cos, &turned.sin);
    let matrices = Tensor::stack(&[cos, &sin.neg()?, sin, cos], 2)?;
    let half = transformer.config().head() / 2;
    sheet.put("flux.pe", &matrices.reshape((1, 1, words + rows * columns, half, 2, 2))?)?;

    let vectors = transformer.modulators().vectors(&levels[..inputs.steps], &encoded.pooled, 0.0)?;
    sheet.put("flux.vec", &vectors.narrow(0, 0, 1)?)?;
    let modulations = transformer.modulators().modulations(&vectors, &mut || Ok(()))?;
    let text_in = transformer.text(&text)?;
    sheet.put("flux.txt_in", &batched(&text_in)?)?;
    let (mut image, mut words_in) =
        (transformer.image(&latent.to_dtype(networks.compute)?)?, text_in.clone());
    sheet.put("flux.img_in", &batched(&image)?)?;
    for (index, (block, modulation)) in transformer.doubles().iter().zip(&modulations.doubles).enumerate() {
        (image, words_in) = block.forward(&image, &words_in, &modulation.at(0)?, &turned)?;
        sheet.put(&format!("flux.double{index}.img"), &batched(&image)?)?;
        sheet.put(&format!("flux.double{index}.txt"), &batched(&words_in)?)?;
    }
    let mut joint = Tensor::cat(&[words_in, image], 0)?;
    for (index, (block, modulation)) in transformer.singles().iter().zip(&modulations.singles).enumerate() {
        joint = block.forward(&joint, &modulation.get(0)?, &turned)?;
        sheet.put(&format!("flux.single{index}"), &batched(&joint)?)?;
    }
    for (step, pair) in levels.windows(2).enumerate() {
        // As the model does it: latents stay f32 between the steps.
        let input = latent.to_dtype(networks.compute)?;
        let flow = transformer.forward(&input, &text_in, (&modulations, step), &turned, &mut || Ok(()))?;
        latent = (&latent + (flow.to_dtype(latent.dtype())? * (pair[1] - pair[0]))?)?;
        sheet.put(&format!("flux.step{step}.pred"), &batched(&flow)?)?;
        sheet.put(&format!("flux.step{step}.latents"), &batched(&latent)?)?;
    }
    let unpacked = latents::unpack(&latent, rows, columns)?;
    sheet.put("flux.unpacked_latents", &unpacked)?;
    networks
        .decoder
        .decode(&unpacked.to_dtype(networks.compute)?, &mut |name, x| sheet.put(&format!("vae.{name}"), x))
}
