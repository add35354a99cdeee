//! The multimodal diffusion transformer: text and picture tokens attend to each other, first with weights of their own
//! (double blocks), then with shared ones (single blocks). Black Forest Labs, FLUX.1, `flux/model.py`.
//!
//! candle-transformers' Flux is right in its arithmetic and wrong for this node: its blocks own their modulation layers
//! and evaluate them at every step, a quarter of all parameters on the device; its matrices are all of one type; and its
//! quantised twin is a second copy of the code. Here modulations depend on step and text alone and are computed once
//! per job, from weights that may stay in host memory.

mod blocks;
mod modulation;
mod position;

pub use blocks::{DoubleBlock, DoubleModulation, SingleBlock};
pub use modulation::{Modulations, Modulators};
pub use position::{image_ids, rotation};

use candle_core::{Device, Module, Result, Tensor};

use super::config::TransformerConfig;
use super::source::Source;
use crate::models::kernels::{Linear, Rotation, modulated};
use crate::profile::timed;

/// Under the root of every layer norm.
const EPS: f64 = 1e-6;

/// How a file orders the last modulation and names its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Black Forest Labs' names, as GGUF files have them too: shift before scale.
    BlackForestLabs,
    /// diffusers' names: scale before shift in the last one.
    Diffusers,
}

/// The whole network.
#[derive(Debug)]
pub struct Transformer {
    config: TransformerConfig,
    image_in: Linear,
    text_in: Linear,
    doubles: Vec<DoubleBlock>,
    singles: Vec<SingleBlock>,
    last: Linear,
    modulators: Modulators,
}

impl Transformer {
    /// From `source`; the modulation layers' weights are put on `host`.
    pub fn new(
        config: &TransformerConfig,
        source: &Source<'_>,
        layout: Layout,
        host: &Device,
    ) -> Result<Self> {
        let source = match layout {
            Layout::BlackForestLabs => source.clone(),
            Layout::Diffusers => source.clone().named(super::naming::diffusers_transformer),
        };
        let width = config.width;
        let image_in = source.linear("img_in", config.inputs, &[width], true)?;
        let text_in = source.linear("txt_in", config.context, &[width], true)?;
        let doubles = (0..config.doubles)
            .map(|index| DoubleBlock::new(config, &source, &format!("double_blocks.{index}")))
            .collect::<Result<_>>()?;
        let singles = (0..config.singles)
            .map(|index| SingleBlock::new(config, &source, &format!("single_blocks.{index}")))
            .collect::<Result<_>>()?;
        let last = source.linear("final_layer.linear", width, &[config.outputs], true)?;
        let modulators = Modulators::new(config, &source.on(host), layout)?;
        Ok(Self { config: config.clone(), image_in, text_in, doubles, singles, last, modulators })
    }

    /// Its sizes.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The layers that make modulations of step and text.
    pub fn modulators(&self) -> &Modulators {
        &self.modulators
    }

    /// Bytes it holds without the modulation layers.
    pub fn size(&self) -> usize {
        let ends = self.image_in.size() + self.text_in.size() + self.last.size();
        let doubles: usize = self.doubles.iter().map(DoubleBlock::size).sum();
        let singles: usize = self.singles.iter().map(SingleBlock::size).sum();
        ends + doubles + singles
    }

    /// Text [tokens, context] as the blocks take it, [tokens, width]; the same for all steps of a job.
    pub fn text(&self, context: &Tensor) -> Result<Tensor> {
        self.text_in.forward(context)
    }

    /// Picture tokens [tokens, inputs] as the blocks take them.
    pub fn image(&self, latents: &Tensor) -> Result<Tensor> {
        self.image_in.forward(latents)
    }

    /// The double blocks, in order.
    pub fn doubles(&self) -> &[DoubleBlock] {
        &self.doubles
    }

    /// The single blocks, in order.
    pub fn singles(&self) -> &[SingleBlock] {
        &self.singles
    }

    /// The flow at `latents` [tokens, inputs] in step `step`, given `text` as [`text`](Self::text) made it.
    ///
    /// `each` is called after every block and may stop the work.
    pub fn forward(
        &self,
        latents: &Tensor,
        text: &Tensor,
        (modulations, step): (&Modulations, usize),
        rotation: &Rotation,
        each: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Tensor> {
        timed!("transformer");
        let mut image = self.image(latents)?;
        let mut words = text.clone();
        for (block, modulation) in self.doubles.iter().zip(&modulations.doubles) {
            (image, words) = block.forward(&image, &words, &modulation.at(step)?, rotation)?;
            each()?;
        }
        let count = words.dim(0)?;
        let mut joint = Tensor::cat(&[words, image], 0)?;
        for (block, modulation) in self.singles.iter().zip(&modulations.singles) {
            joint = block.forward(&joint, &modulation.narrow(0, step, 1)?.squeeze(0)?, rotation)?;
            each()?;
        }
        let image = joint.narrow(0, count, joint.dim(0)? - count)?;
        self.finish(&image, modulations, step)
    }

    /// The flow from the last block's picture tokens.
    pub fn finish(&self, image: &Tensor, modulations: &Modulations, step: usize) -> Result<Tensor> {
        let (shift, scale) = modulations.last(step)?;
        self.last.forward(&modulated(image, &shift, &scale, EPS)?)
    }
}
