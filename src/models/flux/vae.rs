//! The autoencoder's decoder: from a latent picture to pixels. Residual blocks, one attention, three doublings of size.
//!
//! candle-transformers' autoencoder is not used: it builds the encoder too, which no job needs, fixes the number of
//! groups at 32, and its convolutions unfold the picture to nine times its size on one thread.

pub(crate) mod layers;

use candle_core::{Device, Result, Tensor};

use self::layers::{Attention, Residual, conv, norm};
use super::config::VaeConfig;
use super::naming::diffusers_decoder;
use super::source::Source;
use super::transformer::Layout;
use crate::models::kernels::{DirectConv, GroupNorm};
use crate::profile::timed;

#[derive(Debug)]
struct Level {
    residuals: Vec<Residual>,
    upsample: Option<DirectConv>,
}

/// The decoder.
#[derive(Debug)]
pub struct Decoder {
    config: VaeConfig,
    conv_in: DirectConv,
    first: Residual,
    attention: Attention,
    second: Residual,
    /// From the smallest picture to the largest.
    levels: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: DirectConv,
}

impl Decoder {
    /// From `source`, whose file has the names of `layout`.
    pub fn new(config: &VaeConfig, source: &Source<'_>, layout: Layout) -> Result<Self> {
        let levels = config.channels.len();
        let source = &match layout {
            Layout::BlackForestLabs => source.clone(),
            Layout::Diffusers => source.clone().named(move |name| vec![diffusers_decoder(name, levels)]),
        };
        let groups = config.groups;
        let (Some(&smallest), Some(&largest)) = (config.channels.last(), config.channels.first()) else {
            candle_core::bail!("a decoder has at least one level")
        };
        let mut channels = smallest;
        let mut up = Vec::with_capacity(levels);
        for (level, &next) in config.channels.iter().enumerate().rev() {
            let name = format!("decoder.up.{level}");
            let mut residuals = Vec::with_capacity(config.blocks + 1);
            for block in 0..=config.blocks {
                let name = format!("{name}.block.{block}");
                residuals.push(Residual::new(source, &name, (channels, next), groups)?);
                channels = next;
            }
            let upsample = (level > 0)
                .then(|| conv(source, &format!("{name}.upsample.conv"), (channels, channels), 3))
                .transpose()?;
            up.push(Level { residuals, upsample });
        }
        let residual =
            |name: &str| Residual::new(source, &format!("decoder.mid.{name}"), (smallest, smallest), groups);
        Ok(Self {
            conv_in: conv(source, "decoder.conv_in", (config.latent, smallest), 3)?,
            first: residual("block_1")?,
            attention: Attention::new(source, "decoder.mid.attn_1", smallest, groups, layout)?,
            second: residual("block_2")?,
            levels: up,
            norm_out: norm(source, "decoder.norm_out", largest, groups)?,
            conv_out: conv(source, "decoder.conv_out", (largest, config.outputs), 3)?,
            config: config.clone(),
        })
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        let level = |level: &Level| {
            level.residuals.iter().map(Residual::size).sum::<usize>()
                + level.upsample.as_ref().map_or(0, DirectConv::size)
        };
        let middle = self.first.size() + self.attention.size() + self.second.size();
        let ends = self.conv_in.size() + self.norm_out.size() + self.conv_out.size();
        middle + ends + self.levels.iter().map(level).sum::<usize>()
    }

    /// Its sizes.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Stages that [`decode`](Self::decode) reports.
    pub fn stages(&self) -> usize {
        4 + self.levels.len()
    }

    /// A latent picture [1, latent, h, w] to pixels around [−1, 1], [1, 3, h · factor, w · factor].
    ///
    /// `each` sees every stage's name and outcome and may stop the work.
    pub fn decode(
        &self,
        latent: &Tensor,
        each: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        timed!("autoencoder");
        let latent = ((latent / self.config.scale)? + self.config.shift)?;
        let mut x = self.conv_in.forward(&latent)?;
        each("conv_in", &x)?;
        x = self.first.forward(&x)?;
        each("mid.block_1", &x)?;
        x = self.attention.forward(&x)?;
        each("mid.attn_1", &x)?;
        x = self.second.forward(&x)?;
        each("mid.block_2", &x)?;
        for (index, level) in self.levels.iter().enumerate() {
            for residual in &level.residuals {
                x = residual.forward(&x)?;
            }
            if let Some(conv) = &level.upsample {
                let (_, _, height, width) = x.dims4()?;
                x = conv.forward(&x.upsample_nearest2d(2 * height, 2 * width)?)?;
            }
            each(&format!("up.{}", self.levels.len() - 1 - index), &x)?;
        }
        self.conv_out.forward(&self.norm_out.forward_silu(&x)?)
    }
}

/// Pixels around [−1, 1], [1, 3, height, width], as u8 rows of RGB; (x + 1) · 127.5 is cut off, not rounded, as the
/// reference does.
pub fn to_rgb(pixels: &Tensor) -> Result<Vec<u8>> {
    let (_, channels, height, width) = pixels.dims4()?;
    let planes = pixels.to_device(&Device::Cpu)?.to_dtype(candle_core::DType::F32)?;
    let planes = planes.flatten_all()?.to_vec1::<f32>()?;
    let area = height * width;
    let level = |value: f32| ((value.clamp(-1.0, 1.0) + 1.0) * 127.5) as u8;
    Ok((0..area * channels).map(|i| level(planes[(i % channels) * area + i / channels])).collect())
}
