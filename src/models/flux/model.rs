//! The resident model: a `Paint` job in, a picture out, step by step.
//!
//! Owns the networks, the tokenizers and the embeddings of recent prompts. A job's own tensors live in its call and are
//! gone when it returns, however it returns.

mod cache;
mod canary;
mod check;
mod steps;

use std::path::PathBuf;

use candle_core::{Device, Tensor};

use self::cache::{Embedded, PromptCache};
use self::check::Size;
use self::steps::Steps;
use super::files::FluxFiles;
use super::latents;
use super::load::{Networks, networks};
use super::plan::{self, Options, Part, Place, workspace};
use super::text::PromptTokenizer;
use super::transformer::{Modulations, image_ids, rotation};
use super::vae::to_rgb;
use crate::contract::{Model, ModelError, Paint, Painting, Progress, Run, Unit, Warning};
use crate::models::device;
use crate::models::error::Context;
use crate::models::kernels::Rotation;
use crate::profile::timed;
use crate::types::{Bytes, RgbImage};

/// Flux-Schnell on a device.
pub struct FluxModel {
    networks: Networks,
    options: Options,
    device: Device,
    clip_tokenizer: PromptTokenizer,
    t5_tokenizer: PromptTokenizer,
    cache: PromptCache,
    /// What the first canary painted, which every later one must paint again.
    canary: Option<Vec<u8>>,
}

impl FluxModel {
    /// Loads everything that `files` name; `run` sees every tensor and can cancel.
    pub fn load(
        files: &FluxFiles,
        options: &Options,
        device: &Device,
        run: &Run,
    ) -> Result<Self, ModelError> {
        let tokenizer = |files: &[PathBuf], context| PromptTokenizer::load(files, context);
        // Tokenizers first: they are small, and a bundle without them is found out at once.
        let t5_tokenizer = tokenizer(&files.t5_tokenizer, options.t5_tokens)?;
        let mut clip_tokenizer = tokenizer(&files.clip_tokenizer, usize::MAX)?;
        let networks = networks(files, options, device, run)?;
        clip_tokenizer.expect_within(networks.configs.clip.vocab_size, "CLIP")?;
        t5_tokenizer.expect_within(networks.configs.t5.vocab_size, "T5")?;
        let context = networks.configs.clip.max_position_embeddings;
        if clip_tokenizer.context() > context {
            clip_tokenizer = tokenizer(&files.clip_tokenizer, context)?;
        }
        Ok(Self {
            networks,
            options: options.clone(),
            device: device.clone(),
            clip_tokenizer,
            t5_tokenizer,
            cache: PromptCache::new(options.cached_prompts),
            canary: None,
        })
    }

    /// What each part holds, as measured when it was loaded.
    pub fn parts(&self) -> &[Part] {
        &self.networks.parts
    }

    fn paint(&mut self, job: &Paint, run: &Run, remember: bool) -> Result<Painting, ModelError> {
        let size = Size::of(job, &self.networks.configs)?;
        let steps = job.steps as usize;
        let total = 1
            + self.networks.t5.layers()
            + self.networks.transformer.modulators().layers()
            + steps * self.blocks()
            + self.networks.decoder.stages();
        let progress = Steps::new(run, total);
        let prompt = self.embedded(&job.prompt, &progress, remember)?;

        let tokens = size.rows * size.columns;
        let levels = self.networks.configs.scheduler.levels(steps, tokens);
        let doing = || format!("painting {} in {steps} steps", job.resolution);
        let prepared = self.prepared(&prompt, &levels, &size, &progress);
        let (modulations, rotation, text) = progress.done(prepared, doing)?;

        let (channels, side) = (self.networks.configs.vae.latent, 2);
        let noise = latents::noise(job.seed, (channels, side * size.rows, side * size.columns), &self.device);
        let mut latent = noise.and_then(|noise| latents::pack(&noise)).context(doing)?;
        for (step, pair) in levels.windows(2).enumerate() {
            let moved =
                self.step(&latent, &text, (&modulations, step), &rotation, pair[1] - pair[0], &progress);
            latent = progress.done(moved, doing)?;
            run.step(Progress::new(Unit::Steps, step as u32 + 1, job.steps))?;
        }
        let image = progress.done(self.pixels(&latent, &size, &progress), doing)?;
        let image =
            RgbImage::new(job.resolution, image).map_err(|error| ModelError::own(doing()).because(error))?;
        Ok(Painting { image, warnings: prompt.warnings })
    }

    fn blocks(&self) -> usize {
        self.networks.transformer.doubles().len() + self.networks.transformer.singles().len()
    }

    /// The prompt's embeddings, remembered or made.
    fn embedded(
        &mut self,
        prompt: &str,
        progress: &Steps<'_>,
        remember: bool,
    ) -> Result<Embedded, ModelError> {
        if remember && let Some(found) = self.cache.find(prompt) {
            progress.skip(1 + self.networks.t5.layers());
            return Ok(found);
        }
        let for_clip = self.clip_tokenizer.encode(prompt)?;
        let for_t5 = self.t5_tokenizer.encode(prompt)?;
        let mut warnings = Vec::new();
        for (code, encoder, tokens) in
            [("clip_prompt_truncated", "CLIP", &for_clip), ("t5_prompt_truncated", "T5", &for_t5)]
        {
            if tokens.truncated() {
                let (found, seen) = (tokens.found, tokens.ids.len());
                let message =
                    format!("the prompt has {found} tokens, of which {encoder} sees the first {seen}");
                warnings.push(Warning::new(code, message));
            }
        }
        let encoded = (|| {
            let ids = &for_clip.ids;
            let pooled = self.networks.clip.forward(ids, ids.len(), &mut |_, _| ())?.pooled;
            progress.part()?;
            let text = self.networks.t5.encode(&for_t5.ids, &mut |_, _| progress.part())?;
            Ok((pooled, text))
        })();
        let (pooled, text) = progress.done(encoded, || "reading the prompt".to_owned())?;
        let embedded = Embedded { pooled, text, warnings };
        if remember {
            self.cache.keep(prompt, &embedded);
        }
        Ok(embedded)
    }

    /// What is the same in all steps: every step's modulations, the tokens' rotations, the text as the blocks take it.
    fn prepared(
        &self,
        prompt: &Embedded,
        levels: &[f64],
        size: &Size,
        progress: &Steps<'_>,
    ) -> candle_core::Result<(Modulations, Rotation, Tensor)> {
        let transformer = &self.networks.transformer;
        let modulators = transformer.modulators();
        let vectors =
            modulators.vectors(&levels[..levels.len() - 1], &prompt.pooled, self.options.guidance)?;
        let modulations = modulators.modulations(&vectors, &mut || progress.part())?;
        let words = prompt.text.dim(0)?;
        let ids = image_ids(size.rows, size.columns);
        let rotation = rotation(transformer.config(), words, &ids, &self.device)?;
        Ok((modulations, rotation, transformer.text(&prompt.text)?))
    }

    /// One Euler step. Latents stay f32 whatever the activations are: small steps would drown in bf16's rounding.
    fn step(
        &self,
        latent: &Tensor,
        text: &Tensor,
        modulations: (&Modulations, usize),
        rotation: &Rotation,
        change: f64,
        progress: &Steps<'_>,
    ) -> candle_core::Result<Tensor> {
        let input = latent.to_dtype(self.networks.compute)?;
        let transformer = &self.networks.transformer;
        let flow = transformer.forward(&input, text, modulations, rotation, &mut || progress.part())?;
        latent + (flow.to_dtype(latent.dtype())? * change)?
    }

    fn pixels(&self, latent: &Tensor, size: &Size, progress: &Steps<'_>) -> candle_core::Result<Vec<u8>> {
        let latent = latents::unpack(latent, size.rows, size.columns)?;
        // A sum meets every value: one that is not finite makes it so.
        let sum = latent.abs()?.sum_all()?.to_scalar::<f32>()?;
        if !sum.is_finite() {
            candle_core::bail!("the latent picture holds values that are not finite: weights are damaged")
        }
        let latent = latent.to_dtype(self.networks.compute)?;
        let pixels = self.networks.decoder.decode(&latent, &mut |_, _| progress.part())?;
        to_rgb(&pixels)
    }
}

impl Model for FluxModel {
    type Job = Paint;
    type Output = Painting;

    fn resident(&self) -> Bytes {
        let device = plan::total(&self.networks.parts, Place::Device);
        if !self.device.is_cpu() {
            return device;
        }
        device.saturating_add(plan::total(&self.networks.parts, Place::Host))
    }

    fn workspace(&self, job: &Paint) -> Bytes {
        let size = (job.resolution.width.get() as usize, job.resolution.height.get() as usize);
        workspace(&self.networks.configs, &self.options, self.networks.compute, size)
    }

    fn run(&mut self, job: Paint, run: &Run) -> Result<Painting, ModelError> {
        timed!("flux");
        let result = self.paint(&job, run, true);
        device::settled(&self.device, result)
    }

    fn canary(&mut self, run: &Run) -> Result<(), ModelError> {
        self.sing(run)
    }

    fn trim(&mut self) -> Bytes {
        self.cache.clear().saturating_add(device::trim(&self.device))
    }
}
