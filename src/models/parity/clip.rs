//! CLIP against transformers' own: every stage of both towers.

use std::path::Path;

use candle_core::{D, Device, Result as CandleResult, Tensor};

use super::judge::Rule;
use super::{Form, Sheet};
use crate::contract::{ModelError, Run};
use crate::models::catalog;
use crate::models::clip::{Clip, ClipConfig, Tap, Tower};
use crate::models::error::Context;
use crate::models::kernels::Precision;
use crate::models::weights::{Options, Weights, load};

/// What a cosine loses to matrices that are rounded to 2^-11, through a few layers; on a card activations are too.
const HALF: f64 = 1e-5;
const HALF_ON_CARD: f64 = 1e-4;
/// And to blocks rounded to 1/254 of their largest weight.
const EIGHT_BITS: f64 = 5e-3;

pub(super) fn forms() -> Vec<Form<Precision>> {
    let form = |precision, here| Form { precision, here, on_processor: here };
    vec![form("f32", Precision::F32), form("f16", Precision::F16), form("q8_0", Precision::Q8_0)]
}

/// Loads the network of `folder` and shows what it makes of the recorded inputs.
pub(crate) fn run(
    folder: &Path,
    precision: Precision,
    device: &Device,
    sheet: &mut Sheet,
) -> Result<(), ModelError> {
    let config = folder.join("config.json");
    let config = ClipConfig::from_json(&super::recorded::text(&config)?)
        .map_err(|error| ModelError::own(config.display().to_string()).because(error))?;
    let weights =
        catalog::clip(&config)?.sound_weights(Weights::open([folder.join("model.safetensors")])?)?;
    let options = Options::new(precision.activations(device), device);
    let (network, _) = load(&weights, &options, &Run::unobserved(), |vb| Clip::new(&config, precision, &vb))?;

    let (ids, pixels) = (sheet.recorded.ids("in.input_ids")?, sheet.recorded.input("pixel_values")?.clone());
    let length = sheet.recorded.input("input_ids")?.dims().last().copied().unwrap_or(0);
    let shown = pixels
        .to_device(device)
        .and_then(|pixels| outputs(&network, &ids, length, &pixels.to_dtype(options.dtype)?));
    let shown = shown.context(|| format!("running {}", folder.display()))?;
    let card = !device.is_cpu();
    let put = |sheet: &mut Sheet| -> CandleResult<()> {
        for (name, tensor) in &shown {
            let is_embedding = name.ends_with("_embeds");
            match precision {
                Precision::F32 => sheet.put(name, tensor)?,
                Precision::F16 | Precision::Bf16 if is_embedding => {
                    sheet.put_by(name, tensor, Rule::Cosine(if card { HALF_ON_CARD } else { HALF }))?;
                }
                Precision::Q8_0 if is_embedding => sheet.put_by(name, tensor, Rule::Cosine(EIGHT_BITS))?,
                _ => {}
            }
        }
        Ok(())
    };
    put(sheet).context(|| format!("reading back {}", folder.display()))
}

/// Every output that transformers records, by its recorded name.
fn outputs(
    network: &Clip,
    ids: &[u32],
    length: usize,
    pixels: &Tensor,
) -> CandleResult<Vec<(String, Tensor)>> {
    let mut seen = Vec::new();
    let mut look = |tower: Tower, tap: Tap, tensor: &Tensor| {
        let tower = if tower == Tower::Vision { "vision" } else { "text" };
        let what = match tap {
            Tap::Embeddings => "embeddings".to_owned(),
            Tap::PreNorm => "pre_layrnorm".to_owned(),
            Tap::Layer(index) => format!("layer{index}"),
            Tap::LastHidden => "last_hidden_state".to_owned(),
            Tap::Pooled => "pooled".to_owned(),
        };
        seen.push((format!("{tower}.{what}"), tensor.clone()));
    };
    let texts = network.text_features(ids, length, &mut look)?;
    let images = network.image_features(pixels, &mut look)?;
    let unit = |x: &Tensor| x.broadcast_div(&x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?);
    let (image_embeds, text_embeds) = (unit(&images)?, unit(&texts)?);
    let logits = (image_embeds.matmul(&text_embeds.t()?)? * f64::from(network.logit_scale()))?;
    let probabilities = candle_nn::ops::softmax(&logits, D::Minus1)?;
    let named = [
        ("text_features", texts),
        ("image_features", images),
        ("text_embeds", text_embeds),
        ("image_embeds", image_embeds),
        ("logits_per_text", logits.t()?),
        ("logits_per_image", logits),
        ("probs_per_image", probabilities),
    ];
    seen.extend(named.map(|(name, tensor)| (name.to_owned(), tensor)));
    Ok(seen)
}
