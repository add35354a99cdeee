//! What a load reads besides tensors, read as a load reads it: tokenizers, preparation, voices, precisions.

use std::path::PathBuf;

use super::flux::FluxNetworks;
use super::load;
use crate::contract::ModelError;
use crate::models::bundle::Bundle;
use crate::models::error::of_load;
use crate::models::flux::files::FluxFiles;
use crate::models::flux::text::PromptTokenizer;
use crate::models::kokoro::config::KokoroConfig;
use crate::models::kokoro::voices::Voices;
use crate::types::ModelId;

/// A part of a model that is no network, by its role in the bundle, and what a load would say of it.
pub(super) type Part = (&'static str, Result<(), ModelError>);

/// All of `model`'s. What cannot be looked at because a configuration cannot be read is left to whoever reads that.
pub fn parts(bundle: &Bundle, model: ModelId) -> Vec<Part> {
    let all = match model {
        ModelId::Flux => flux(bundle),
        ModelId::Kokoro => vec![("voices", voices(bundle))],
        ModelId::LivePortrait => Vec::new(),
        ModelId::ClipB | ModelId::ClipL => {
            let read = load::clip_files(bundle, model).and_then(|files| files.read());
            vec![("tokenizer", read.map(drop))]
        }
    };
    all.into_iter().map(|(role, outcome)| (role, outcome.map_err(of_load))).collect()
}

fn flux(bundle: &Bundle) -> Vec<Part> {
    let files = match FluxFiles::of_bundle(bundle) {
        Ok(files) => files,
        Err(error) => return vec![("tokenizer", Err(error))],
    };
    let options = bundle.model(ModelId::Flux).map(load::flux_options);
    let opened = FluxNetworks::open(&files);
    let words =
        opened.as_ref().ok().map(|opened| (opened.configs.clip.vocab_size, opened.configs.t5.vocab_size));
    let read = |files: &[PathBuf], words: Option<usize>, encoder| {
        let tokenizer = PromptTokenizer::load(files, usize::MAX)?;
        words.map_or(Ok(()), |words| tokenizer.expect_within(words, encoder))
    };
    let mut parts = vec![
        ("tokenizer", read(&files.clip_tokenizer, words.map(|(clip, _)| clip), "CLIP")),
        ("tokenizer_2", read(&files.t5_tokenizer, words.map(|(_, t5)| t5), "T5")),
    ];
    if let (Ok(options), Ok(opened)) = (options, opened) {
        parts.push(("transformer", opened.keepable(&options)));
    }
    parts
}

fn voices(bundle: &Bundle) -> Result<(), ModelError> {
    let (text, name) = super::text(bundle, ModelId::Kokoro, "config")?;
    let config = KokoroConfig::parse(&text, &name)?;
    Voices::read(&bundle.paths(ModelId::Kokoro, "voices"), 2 * config.style_dim).map(drop)
}
