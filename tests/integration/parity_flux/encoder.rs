//! The autoencoder's encoder, which no job needs, built here of the decoder's own layers: the fixtures record it, and
//! it shows those layers right at other sizes and numbers of channels.

use candle_core::{Device, Result, Tensor};
use vortex_node::models::flux::config::{VaeConfig, read_json};
use vortex_node::models::flux::source::Source;
use vortex_node::models::flux::transformer::Layout;
use vortex_node::models::flux::vae::layers::{Attention, Conv, Norm, Residual};

use crate::support::Recorded;

/// Halves the size: padded by one pixel on the right and below only.
fn downsample(source: &Source<'_>, name: &str, x: &Tensor) -> Result<Tensor> {
    let channels = x.dim(1)?;
    let weight = source.tensor(&format!("{name}.weight"), &[channels, channels, 3, 3])?;
    let bias = source.tensor(&format!("{name}.bias"), &[channels])?.reshape((1, channels, 1, 1))?;
    let padded = x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?;
    padded.conv2d(&weight, 0, 2, 1, 1)?.broadcast_add(&bias)
}

fn encode(config: &VaeConfig, source: &Source<'_>, image: &Tensor) -> Result<Tensor> {
    let groups = config.groups;
    let mut channels = config.channels[0];
    let mut x = Conv::new(source, "encoder.conv_in", (image.dim(1)?, channels), 3)?.forward(image)?;
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
    x = Norm::new(source, "encoder.norm_out", channels, groups)?.forward_silu(&x)?;
    Conv::new(source, "encoder.conv_out", (channels, 2 * config.latent), 3)?.forward(&x)
}

#[test]
fn parity_of_the_encoder_made_of_the_decoders_layers() {
    for set in super::sets() {
        let recorded = Recorded::read(&set);
        let config = VaeConfig::from_json(&read_json(&set.join("vae/config.json")).unwrap()).unwrap();
        let tensors = candle_core::safetensors::load(set.join("ae.safetensors"), &Device::Cpu).unwrap();
        let builder = candle_nn::VarBuilder::from_tensors(tensors, candle_core::DType::F32, &Device::Cpu);
        let moments = encode(&config, &Source::dense(builder, None), &recorded.input("image")).unwrap();
        recorded.assert_matches("vae.encode_moments", &moments);
        let mean = moments.narrow(1, 0, config.latent).unwrap();
        let scaled = ((mean - config.shift).unwrap() * config.scale).unwrap();
        recorded.assert_matches("vae.encode_mean_scaled", &scaled);
    }
}
