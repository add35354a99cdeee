//! The autoencoder's encoder, which no job needs, built here of the decoder's own layers: the fixtures record it, and
//! it shows those layers right at other sizes and numbers of channels.

use std::sync::Arc;

use candle_core::{DType, Device, Result as CandleResult, Tensor};

use super::super::Sheet;
use crate::contract::{ModelError, Run};
use crate::models::error::Context;
use crate::models::flux::config::VaeConfig;
use crate::models::flux::files::{FluxFiles, layout};
use crate::models::flux::precision::Precision;
use crate::models::flux::source::Source;
use crate::models::flux::transformer::Layout;
use crate::models::flux::vae::layers::{Attention, Residual, conv, norm};
use crate::models::weights::{Options, Weights, load};

/// Shows what was recorded of the encoder, where its file has the names that it was recorded under.
pub(super) fn run(
    files: &FluxFiles,
    config: &VaeConfig,
    device: &Device,
    sheet: &mut Sheet,
) -> Result<(), ModelError> {
    if !sheet.recorded.has_output("vae.encode_moments")
        || layout(Some(&files.vae.open()?)) != Layout::BlackForestLabs
    {
        return Ok(());
    }
    let image =
        sheet.recorded.input("image")?.to_device(device).context(|| "carrying a picture".to_owned())?;
    let weights = Arc::new(Weights::open(&files.vae.weights)?);
    let options = Options::new(DType::F32, device);
    let (moments, _) = load(&weights, &options, &Run::unobserved(), |vb| {
        encode(config, &Source::dense(vb, None).kept(Precision::F32, DType::F32), &image)
    })?;
    let put = |sheet: &mut Sheet| -> CandleResult<()> {
        sheet.put("vae.encode_moments", &moments)?;
        let mean = moments.narrow(1, 0, config.latent)?;
        sheet.put("vae.encode_mean_scaled", &((mean - config.shift)? * config.scale)?)
    };
    put(sheet).context(|| "reading back the autoencoder".to_owned())
}

/// Halves the size: padded by one pixel on the right and below only.
fn downsample(source: &Source<'_>, name: &str, x: &Tensor) -> CandleResult<Tensor> {
    let channels = x.dim(1)?;
    let weight = source.tensor(&format!("{name}.weight"), &[channels, channels, 3, 3])?;
    let bias = source.tensor(&format!("{name}.bias"), &[channels])?.reshape((1, channels, 1, 1))?;
    let padded = x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?;
    padded.conv2d(&weight, 0, 2, 1, 1)?.broadcast_add(&bias)
}

fn encode(config: &VaeConfig, source: &Source<'_>, image: &Tensor) -> CandleResult<Tensor> {
    let groups = config.groups;
    let mut channels = config.channels[0];
    let mut x = conv(source, "encoder.conv_in", (image.dim(1)?, channels), 3)?.forward(image)?;
    for (level, &next) in config.channels.iter().enumerate() {
        for block in 0..config.blocks {
            let name = format!("encoder.down.{level}.block.{block}");
            x = Residual::new(source, &name, (channels, next), groups)?.forward(&x)?;
            channels = next;
        }
        if level + 1 < config.channels.len() {
            x = downsample(source, &format!("encoder.down.{level}.downsample.conv"), &x)?;
        }
    }
    x = Residual::new(source, "encoder.mid.block_1", (channels, channels), groups)?.forward(&x)?;
    x = Attention::new(source, "encoder.mid.attn_1", channels, groups, Layout::BlackForestLabs)?
        .forward(&x)?;
    x = Residual::new(source, "encoder.mid.block_2", (channels, channels), groups)?.forward(&x)?;
    x = norm(source, "encoder.norm_out", channels, groups)?.forward_silu(&x)?;
    conv(source, "encoder.conv_out", (channels, 2 * config.latent), 3)?.forward(&x)
}
