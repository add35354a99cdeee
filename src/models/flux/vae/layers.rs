//! What the autoencoder is made of: residual blocks and its attention, over convolutions and group norms.

use candle_core::{Result, Tensor};

use super::super::source::Source;
use super::super::transformer::Layout;
use crate::models::kernels::{DirectConv, GroupNorm, Mask, attention_of_rows};

const EPS: f64 = 1e-6;

/// The convolution `name` of `source`, `side` × `side`, with bias.
pub(crate) fn conv(
    source: &Source<'_>,
    name: &str,
    (inputs, outputs): (usize, usize),
    side: usize,
) -> Result<DirectConv> {
    let weight = source.tensor(&format!("{name}.weight"), &[outputs, inputs, side, side])?;
    DirectConv::new(weight, source.tensor(&format!("{name}.bias"), &[outputs])?)
}

/// The group norm `name` of `source`.
pub(crate) fn norm(source: &Source<'_>, name: &str, channels: usize, groups: usize) -> Result<GroupNorm> {
    let get = |part: &str| source.tensor(&format!("{name}.{part}"), &[channels]);
    GroupNorm::new(groups, get("weight")?, get("bias")?, EPS)
}

/// x + conv(silu(norm(conv(silu(norm(x)))))), with a 1×1 convolution of x where the number of channels changes.
#[derive(Debug)]
pub(crate) struct Residual {
    norm1: GroupNorm,
    conv1: DirectConv,
    norm2: GroupNorm,
    conv2: DirectConv,
    shortcut: Option<DirectConv>,
}

impl Residual {
    /// `name` of `source`.
    pub(crate) fn new(
        source: &Source<'_>,
        name: &str,
        (inputs, outputs): (usize, usize),
        groups: usize,
    ) -> Result<Self> {
        let at = |part: &str| format!("{name}.{part}");
        Ok(Self {
            norm1: norm(source, &at("norm1"), inputs, groups)?,
            conv1: conv(source, &at("conv1"), (inputs, outputs), 3)?,
            norm2: norm(source, &at("norm2"), outputs, groups)?,
            conv2: conv(source, &at("conv2"), (outputs, outputs), 3)?,
            shortcut: (inputs != outputs)
                .then(|| conv(source, &at("nin_shortcut"), (inputs, outputs), 1))
                .transpose()?,
        })
    }

    /// Of `x` [1, inputs, h, w].
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.conv1.forward(&self.norm1.forward_silu(x)?)?;
        let y = self.conv2.forward(&self.norm2.forward_silu(&y)?)?;
        match &self.shortcut {
            Some(conv) => conv.forward(x)? + y,
            None => x + y,
        }
    }

    /// Bytes it holds.
    pub(crate) fn size(&self) -> usize {
        let shortcut = self.shortcut.as_ref().map_or(0, DirectConv::size);
        self.norm1.size() + self.conv1.size() + self.norm2.size() + self.conv2.size() + shortcut
    }
}

/// Attention of every position to every other, one head over all channels.
#[derive(Debug)]
pub(crate) struct Attention {
    norm: GroupNorm,
    query: DirectConv,
    key: DirectConv,
    value: DirectConv,
    output: DirectConv,
}

impl Attention {
    /// `name` of `source`: 1×1 convolutions as Black Forest Labs store them, matrices as diffusers does.
    pub(crate) fn new(
        source: &Source<'_>,
        name: &str,
        channels: usize,
        groups: usize,
        layout: Layout,
    ) -> Result<Self> {
        let conv = |part: &str| {
            let name = format!("{name}.{part}");
            if layout == Layout::BlackForestLabs {
                return conv(source, &name, (channels, channels), 1);
            }
            let weight = source.tensor(&format!("{name}.weight"), &[channels, channels])?;
            let weight = weight.unsqueeze(2)?.unsqueeze(3)?;
            let bias = source.tensor(&format!("{name}.bias"), &[channels])?;
            DirectConv::new(weight, bias)
        };
        Ok(Self {
            norm: norm(source, &format!("{name}.norm"), channels, groups)?,
            query: conv("q")?,
            key: conv("k")?,
            value: conv("v")?,
            output: conv("proj_out")?,
        })
    }

    /// Of `x` [1, channels, h, w].
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        let normal = self.norm.forward(x)?;
        let tokens =
            |conv: &DirectConv| conv.forward(&normal)?.reshape((channels, height * width))?.t()?.contiguous();
        let (q, k, v) = (tokens(&self.query)?, tokens(&self.key)?, tokens(&self.value)?);
        let scale = 1.0 / (channels as f64).sqrt();
        let attended = attention_of_rows(1, scale, [&q, &k, &v], Mask::None)?;
        let attended = attended.t()?.contiguous()?.reshape((1, channels, height, width))?;
        x + self.output.forward(&attended)?
    }

    /// Bytes it holds.
    pub(crate) fn size(&self) -> usize {
        [&self.query, &self.key, &self.value, &self.output].map(DirectConv::size).iter().sum::<usize>()
            + self.norm.size()
    }
}
