//! G, the SPADE generator: from warped features to a picture.
//!
//! Owns the network's outline. All its SPADEs see the same features, so their shared first layers run as one convolution
//! per size; enlarged inputs are read, never made.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

mod spade;

use self::spade::{Shared, SpadeBlock};
use super::config::Generator as Config;
use super::parts::{Probe, conv_weights, kernel};
use crate::models::kernels::conv3::{Conv3, Finish, Input};
use crate::models::kernels::pixel_shuffle::pixel_shuffle;
use crate::models::kernels::{Activation, Kernels};
use crate::profile::timed;

/// The blocks before the first enlargement; the published generator always has six.
const MIDDLE: usize = 6;
/// Of every leaky ReLU here, as published.
const SLOPE: f32 = 0.2;

/// The network.
pub struct SpadeGenerator {
    first: Conv3,
    middle_shared: Shared,
    middle: Vec<SpadeBlock>,
    /// A shared layer and its block, at two and at four times the size.
    up: Vec<(Shared, SpadeBlock)>,
    picture: Conv3,
    shuffles: bool,
    kernels: Kernels,
}

impl SpadeGenerator {
    /// From the tensors of `spade_generator`.
    pub fn new(config: &Config, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let inputs = config.input_channels();
        let (weight, bias) = conv_weights(&vb.pp("fc"), &kernel(2 * inputs, inputs, &[3, 3]))?;
        let first = Conv3::new(&weight, &bias, kernels)?;
        let sizes = |from: usize, to: usize| [from, to, inputs, config.nhidden];
        let middle = (0..MIDDLE).map(|block| vb.pp(format!("G_middle_{block}"))).collect::<Vec<_>>();
        let middle_shared = Shared::new(&middle, sizes(2 * inputs, 2 * inputs), 1, kernels)?;
        let middle = middle
            .iter()
            .map(|vb| SpadeBlock::new(vb, sizes(2 * inputs, 2 * inputs), kernels))
            .collect::<Result<_>>()?;
        let up = [("up_0", 2 * inputs, inputs), ("up_1", inputs, config.out_channels)]
            .into_iter()
            .enumerate()
            .map(|(place, (name, from, to))| {
                let shared = Shared::new(&[vb.pp(name)], sizes(from, to), 2 << place, kernels)?;
                Ok((shared, SpadeBlock::new(&vb.pp(name), sizes(from, to), kernels)?))
            })
            .collect::<Result<_>>()?;
        let shuffles = config.upscale > 1;
        // With a shuffle after it the convolution is the first of a sequence.
        let (name, outputs) = if shuffles { ("conv_img.0", 12) } else { ("conv_img", 3) };
        let (weight, bias) = conv_weights(&vb.pp(name), &kernel(outputs, config.out_channels, &[3, 3]))?;
        Ok(Self {
            first,
            middle_shared,
            middle,
            up,
            picture: Conv3::new(&weight, &bias, kernels)?,
            shuffles,
            kernels,
        })
    }

    /// W's `[batch, channels, height, width]` to pictures `[batch, 3, …]` in 0 … 1.
    pub fn forward(&self, features: &Tensor, probe: &mut Probe<'_>) -> Result<Tensor> {
        timed!("G: generator", x = features.dims());
        let mut x = self.first.forward(Input::new(features), Finish::default())?;
        probe.see("G.fc", &x);
        let shared = self.middle_shared.forward(features, 1)?;
        for (place, block) in self.middle.iter().enumerate() {
            if probe.is_on() {
                let normed = block.first_norm(&x, &shared, place, self.kernels)?;
                probe.see(&format!("G.middle{place}.norm_0"), &normed);
            }
            let next = block.forward(&x, 1, &shared, place, Activation::Identity, self.kernels)?;
            probe.spent(std::mem::replace(&mut x, next), self.kernels)?;
            probe.see(&format!("G.middle{place}"), &x);
        }
        shared.spent(probe, self.kernels)?;
        let mut factor = 1;
        for (place, (shared, block)) in self.up.iter().enumerate() {
            factor *= 2;
            let shared = shared.forward(features, factor)?;
            // The last block's result goes through a leaky ReLU before the picture; nothing else reads it.
            let is_last = place + 1 == self.up.len();
            let activation = if is_last { Activation::Leaky(SLOPE) } else { Activation::Identity };
            let next = block.forward(&x, 2, &shared, 0, activation, self.kernels)?;
            probe.spent(std::mem::replace(&mut x, next), self.kernels)?;
            shared.spent(probe, self.kernels)?;
            probe.see(&format!("G.up_{place}{}", if is_last { ".activated" } else { "" }), &x);
        }
        let mut logits = self.picture.forward(Input::new(&x), Finish::default())?;
        probe.spent(x, self.kernels)?;
        if self.shuffles {
            let shuffled = pixel_shuffle(&logits, 2, self.kernels)?;
            probe.spent(std::mem::replace(&mut logits, shuffled), self.kernels)?;
        }
        let picture = Activation::Sigmoid.forward(&logits)?;
        probe.spent(logits, self.kernels)?;
        probe.see("image", &picture);
        Ok(picture)
    }

    /// Bytes that its weights hold.
    pub fn bytes(&self) -> usize {
        let middle: usize = self.middle.iter().map(SpadeBlock::bytes).sum();
        let up: usize = self.up.iter().map(|(shared, block)| shared.bytes() + block.bytes()).sum();
        self.first.bytes() + self.middle_shared.bytes() + middle + up + self.picture.bytes()
    }
}
