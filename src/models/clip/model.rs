//! CLIP as a resident model: answers `Score` jobs.
//!
//! Owns preparation, batches, the cache of text embeddings, and what is refused; the numbers are the network's.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::cache::{Known, TextCache};
use super::canary::{self, Outcome};
use super::config::ClipConfig;
use super::network::Clip;
use super::preprocess::Preprocess;
use crate::contract::{Model, ModelError, Progress, Run, Score, Scores, Unit, UnitEmbedding, Warning};
use crate::models::catalog;
use crate::models::device;
use crate::models::error::Context;
use crate::models::kernels::Precision;
use crate::models::tokenizer::TextTokenizer;
use crate::models::weights::{Options, Weights, load};
use crate::profile::timed;
use crate::types::{Bytes, RgbImage};

#[cfg(test)]
mod tests;

/// Pictures or texts that go through a tower together: all five keyframes, or the concepts of a usual recipe. More
/// would not be faster and need more memory.
const BATCH: usize = 8;

/// Texts whose embeddings are kept: some hundred recipes' concepts, below 1 MB.
const CACHED_TEXTS: usize = 256;

/// Where a CLIP lies on disk.
#[derive(Clone, Debug)]
pub struct ClipFiles {
    /// `model.safetensors`, or its shards.
    pub model: Vec<PathBuf>,
    /// `config.json`.
    pub config: PathBuf,
    /// `preprocessor_config.json`.
    pub preprocessor: PathBuf,
    /// `tokenizer.json`, or what stands in for it.
    pub tokenizer: Vec<PathBuf>,
}

/// What the files say besides the weights.
pub(in crate::models) struct Described {
    config: ClipConfig,
    preprocess: Preprocess,
    tokenizer: TextTokenizer,
}

impl ClipFiles {
    /// Reads everything but the weights and looks whether it fits together.
    pub(in crate::models) fn read(&self) -> Result<Described, ModelError> {
        let files = self;
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| {
                ModelError::own(format!("{}: cannot be read", path.display())).because(error)
            })
        };
        let in_file = |path: &PathBuf| {
            let path = path.display().to_string();
            move |error: ModelError| ModelError::own(path).because(error)
        };
        let config = ClipConfig::from_json(&read(&files.config)?).map_err(in_file(&files.config))?;
        let preprocess =
            Preprocess::from_json(&read(&files.preprocessor)?).map_err(in_file(&files.preprocessor))?;
        let side = config.vision_config.image_size;
        if preprocess.output() != (side, side) {
            let (width, height) = preprocess.output();
            return Err(ModelError::own(format!(
                "{}: crop_size is {width}x{height}, expected {side}x{side} as in {}",
                files.preprocessor.display(),
                files.config.display()
            )));
        }
        let tokenizer = TextTokenizer::load(&files.tokenizer, None)?;
        let named = files.tokenizer.first().map_or(Path::new("tokenizer"), PathBuf::as_path);
        let words = config.text_config.vocab_size;
        if tokenizer.vocabulary() > words {
            return Err(ModelError::own(format!(
                "{}: has {} tokens, expected at most the {words} of {}",
                named.display(),
                tokenizer.vocabulary(),
                files.config.display()
            )));
        }
        let ends = tokenizer.encode(canary::TEXT, config.text_config.max_position_embeddings)?.ids;
        let end = config.text_config.eos_token_id;
        if !config.text_config.pools_at_largest() && !ends.contains(&end) {
            return Err(ModelError::own(format!(
                "{}: eos_token_id is {end}, which {} gives to no text: expected the id of its end token",
                files.config.display(),
                named.display()
            )));
        }
        Ok(Described { config, preprocess, tokenizer })
    }
}

/// A loaded CLIP.
#[derive(Debug)]
pub struct ClipModel {
    network: Clip,
    config: ClipConfig,
    preprocess: Preprocess,
    tokenizer: TextTokenizer,
    device: Device,
    dtype: DType,
    cache: TextCache,
    first: Outcome,
}

impl ClipModel {
    /// Loads a CLIP onto `device`, its matrices kept as `precision` says, and makes the canary's first inference.
    ///
    /// Every weight is looked at: NaN and infinite ones are refused by name. After an error nothing stays in memory.
    pub fn load(
        files: &ClipFiles,
        precision: Precision,
        device: &Device,
        run: &Run,
    ) -> Result<Self, ModelError> {
        let Described { config, preprocess, tokenizer } = files.read()?;
        let dtype = precision.activations(device);
        let weights = catalog::clip(&config)?.sound_weights(Weights::open(&files.model)?)?;
        let (network, _) =
            load(&weights, &Options::new(dtype, device), run, |vb| Clip::new(&config, precision, &vb))?;
        Self::new(network, config, preprocess, tokenizer, device.clone(), dtype)
    }

    fn new(
        network: Clip,
        config: ClipConfig,
        preprocess: Preprocess,
        tokenizer: TextTokenizer,
        device: Device,
        dtype: DType,
    ) -> Result<Self, ModelError> {
        let nothing = UnitEmbedding::normalise(vec![1.0])
            .ok_or_else(|| ModelError::own("a number of one has no direction"))?;
        let first = Outcome { images: Vec::new(), text: nothing };
        let cache = TextCache::new(CACHED_TEXTS);
        let mut model = Self { network, config, preprocess, tokenizer, device, dtype, cache, first };
        model.first = model.outcome()?;
        canary::plausible(&model.first)?;
        Ok(model)
    }

    fn outcome(&self) -> Result<Outcome, ModelError> {
        let pictures: Vec<RgbImage> = [false, true].into_iter().filter_map(canary::picture).collect();
        let images = self.embed_images(&pictures)?;
        let text = self.embed_texts(&[canary::TEXT])?.pop();
        let text = text.ok_or_else(|| ModelError::own("CLIP's canary: no text embedding"))?.embedding;
        Ok(Outcome { images, text })
    }

    /// One batch of pictures to unit embeddings.
    fn embed_images(&self, images: &[RgbImage]) -> Result<Vec<UnitEmbedding>, ModelError> {
        timed!("clip pictures", count = images.len());
        let mut pixels = Vec::new();
        for image in images {
            self.preprocess.normalise(&self.preprocess.crop(image)?, &mut pixels);
        }
        let (width, height) = self.preprocess.output();
        let features = Tensor::from_vec(pixels, (images.len(), 3, height, width), &Device::Cpu)
            .and_then(|pixels| pixels.to_device(&self.device)?.to_dtype(self.dtype))
            .and_then(|pixels| self.network.image_features(&pixels, &mut |_, _, _| {}))
            .context(|| format!("encoding {} pictures", images.len()))?;
        units(&features, "picture")
    }

    /// One batch of texts to unit embeddings; as long as the longest of them, since nothing looks at what follows.
    fn embed_texts(&self, texts: &[&str]) -> Result<Vec<Known>, ModelError> {
        timed!("clip texts", count = texts.len());
        let most = self.config.text_config.max_position_embeddings;
        let encoded =
            texts.iter().map(|text| self.tokenizer.encode(text, most)).collect::<Result<Vec<_>, _>>()?;
        let length = encoded.iter().map(|text| text.ids.len()).max().unwrap_or(0);
        let ids: Vec<u32> =
            encoded.iter().flat_map(|text| text.padded(length, self.tokenizer.pad())).collect();
        let features = self
            .network
            .text_features(&ids, length, &mut |_, _, _| {})
            .context(|| format!("encoding {} texts", texts.len()))?;
        let warning = |text: &str, whole: usize| {
            let beginning: String = text.chars().take(40).collect();
            Warning::new(
                "text_truncated",
                format!("{beginning:?}… has {whole} tokens; CLIP sees the first {most}"),
            )
        };
        let known = units(&features, "text")?.into_iter().zip(texts).zip(encoded);
        Ok(known
            .map(|((embedding, text), encoded)| {
                let warning = encoded.is_truncated().then(|| warning(text, encoded.whole_length));
                Known { embedding, warning }
            })
            .collect())
    }

    /// The embeddings of `texts` in order; those seen before come from the cache.
    fn texts(&mut self, texts: &[String], run: &Run, images: u32) -> Result<Vec<Known>, ModelError> {
        let mut found: Vec<Option<Known>> = texts.iter().map(|text| self.cache.get(text).cloned()).collect();
        let mut missing: Vec<&str> = texts
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(text, _)| text.as_str())
            .collect();
        missing.sort_unstable();
        missing.dedup();
        let mut new = std::collections::HashMap::new();
        for batch in missing.chunks(BATCH) {
            run.step(Progress::new(Unit::Images, 0, images))?;
            for (text, known) in batch.iter().zip(self.embed_texts(batch)?) {
                self.cache.insert((*text).to_owned(), known.clone());
                new.insert(*text, known);
            }
        }
        for (found, text) in found.iter_mut().zip(texts) {
            if found.is_none() {
                *found = new.get(text.as_str()).cloned();
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn score(&mut self, job: &Score, run: &Run) -> Result<Scores, ModelError> {
        check(job)?;
        let total = u32::try_from(job.keyframes.len()).unwrap_or(u32::MAX);
        let texts = self.texts(&job.texts, run, total)?;
        let mut image_embeddings = Vec::with_capacity(job.keyframes.len());
        for batch in job.keyframes.chunks(BATCH) {
            run.step(Progress::new(Unit::Images, image_embeddings.len() as u32, total))?;
            image_embeddings.extend(self.embed_images(batch)?);
        }
        run.step(Progress::new(Unit::Images, total, total))?;
        let cosines = image_embeddings
            .iter()
            .map(|image| texts.iter().map(|text| image.cosine(&text.embedding) as f32).collect())
            .collect();
        let warnings = texts.iter().filter_map(|text| text.warning.clone()).collect();
        let text_embeddings = texts.into_iter().map(|text| text.embedding).collect();
        let logit_scale = self.network.logit_scale();
        Ok(Scores { image_embeddings, text_embeddings, cosines, logit_scale, warnings })
    }
}

/// Rows of `features` as unit embeddings; a row without a direction is an error.
fn units(features: &Tensor, of: &str) -> Result<Vec<UnitEmbedding>, ModelError> {
    let rows = features
        .to_dtype(DType::F32)
        .and_then(|features| features.to_vec2::<f32>())
        .context(|| format!("reading the features of a {of}"))?;
    let unit = |(index, row): (usize, Vec<f32>)| {
        UnitEmbedding::normalise(row).ok_or_else(|| {
            ModelError::own(format!(
                "the features of {of} {index} are zero or not finite, so they have no direction"
            ))
        })
    };
    rows.into_iter().enumerate().map(unit).collect()
}

/// Fails for jobs that have no answer.
fn check(job: &Score) -> Result<(), ModelError> {
    let Some(first) = job.keyframes.first() else {
        return Err(ModelError::own("no keyframes to score: expected at least one"));
    };
    let size = first.resolution();
    if let Some((index, other)) =
        job.keyframes.iter().enumerate().find(|(_, image)| image.resolution() != size)
    {
        return Err(ModelError::own(format!(
            "keyframe {index} is {}, expected {size} as keyframe 0",
            other.resolution()
        )));
    }
    if job.texts.is_empty() {
        return Err(ModelError::own("no texts to compare keyframes with: expected at least one"));
    }
    match job.texts.iter().position(|text| text.trim().is_empty()) {
        Some(index) => Err(ModelError::own(format!(
            "text {index} is {:?}, expected a prompt or concept of at least one letter",
            job.texts[index]
        ))),
        None => Ok(()),
    }
}

/// An upper estimate of what scoring so many pictures and texts takes beyond the weights.
pub fn workspace(config: &ClipConfig, images: usize, texts: usize) -> Bytes {
    let (text, vision) = (&config.text_config, &config.vision_config);
    let batch = |tokens: usize, tower: super::config::TowerConfig, items: usize| {
        // The residual, its norm, the joined projection, what attention saw, and both sides of the feed-forward
        // layer; twice, since candle frees a step's inputs after its output exists. Scores and their softmax where
        // attention is made of operations.
        let features = 2 * (6 * tower.hidden + tower.intermediate);
        let scores = 3 * tower.heads * tokens;
        Bytes::of::<f32>(items.min(BATCH) * tokens * (features + scores))
    };
    let pixels = Bytes::of::<f32>(3 * 3 * images.min(BATCH) * vision.image_size.pow(2));
    let seen = batch(vision.tokens(), vision.tower(), images);
    let read = batch(text.max_position_embeddings, text.tower(), texts);
    seen.saturating_add(pixels).max(read)
}

impl Model for ClipModel {
    type Job = Score;
    type Output = Scores;

    fn resident(&self) -> Bytes {
        Bytes::of::<u8>(self.network.size())
    }

    fn workspace(&self, job: &Score) -> Bytes {
        workspace(&self.config, job.keyframes.len(), job.texts.len())
    }

    fn run(&mut self, job: Score, run: &Run) -> Result<Scores, ModelError> {
        timed!("clip");
        let result = self.score(&job, run);
        device::settled(&self.device, result)
    }

    fn canary(&mut self, run: &Run) -> Result<(), ModelError> {
        run.step(Progress::new(Unit::Images, 0, 2))?;
        let found = self.outcome()?;
        run.step(Progress::new(Unit::Images, 2, 2))?;
        canary::compare(&self.first, &found)
    }

    /// Forgets texts. They lie in host memory, so on a card only what its pool holds unused comes free.
    fn trim(&mut self) -> Bytes {
        let freed = self.cache.clear();
        if self.device.is_cpu() { freed } else { device::trim(&self.device) }
    }
}
