//! Texts to token ids, by a published `tokenizer.json` or what people have in its place (`files`).
//!
//! Owns the rule that every model here follows: the beginning and end that the file's own post-processor adds, then at
//! most `length` ids of which the last is the end, padded on the right. Says what it cut; knows no model.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokenizers::Tokenizer;

use crate::contract::ModelError;

pub(in crate::models) mod files;
mod sentencepiece;

/// A loaded tokenizer.
#[derive(Clone, Debug)]
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    pad: Option<u32>,
}

/// A text as ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// At most the length asked for; the last is the end of the text.
    pub ids: Vec<u32>,
    /// How many there would have been.
    pub whole_length: usize,
}

/// What matters of `tokenizer_config.json`.
#[derive(Deserialize)]
struct Config {
    pad_token: Option<Special>,
}

/// Tokens are given by their text or, in older files, as an object with it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Special {
    Text(String),
    Object { content: String },
}

impl TextTokenizer {
    /// Reads a tokenizer's files and, for the padding token that they may lack, `tokenizer_config.json`.
    pub(crate) fn load(files: &[PathBuf], config: Option<&Path>) -> Result<Self, ModelError> {
        let failed = |path: &Path, error: Box<dyn std::error::Error + Send + Sync>| {
            ModelError::own(format!("{}: cannot be used as a tokenizer", path.display())).because(error)
        };
        let mut tokenizer = files::open(files)?;
        let file = files.first().map_or(Path::new("tokenizer"), PathBuf::as_path);
        let mut pad = tokenizer.get_padding().map(|padding| padding.pad_id);
        if let Some(path) = config {
            let text = std::fs::read_to_string(path).map_err(|error| failed(path, error.into()))?;
            let config: Config = serde_json::from_str(&text).map_err(|error| failed(path, error.into()))?;
            if let Some(Special::Text(token) | Special::Object { content: token }) = config.pad_token {
                pad = tokenizer.token_to_id(&token);
                if pad.is_none() {
                    let message =
                        format!("{}: pad_token {token:?} is not in {}", path.display(), file.display());
                    return Err(ModelError::own(message));
                }
            }
        }
        // Cutting and padding are done here, by one rule for all files.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| failed(file, error))?;
        Ok(Self { tokenizer, pad })
    }

    /// The ids of `text` with its beginning and end, at most `length` of them.
    pub(crate) fn encode(&self, text: &str, length: usize) -> Result<Encoded, ModelError> {
        let encoding = self
            .tokenizer
            .encode(text, true)
            .map_err(|error| ModelError::own(format!("{text:?} cannot be tokenised")).because(error))?;
        let mut ids = encoding.get_ids().to_vec();
        let whole_length = ids.len();
        if whole_length > length {
            let end = ids.last().copied();
            ids.truncate(length.saturating_sub(1));
            ids.extend(end.filter(|_| length > 0));
        }
        Ok(Encoded { ids, whole_length })
    }

    /// What shorter texts are filled up with; the end of a text where no file names one.
    pub(crate) fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// Ids that exist.
    pub(crate) fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }
}

impl Encoded {
    /// Whether something was cut.
    pub(crate) fn is_truncated(&self) -> bool {
        self.whole_length > self.ids.len()
    }

    /// Filled up to `length` with `pad`, or with its own end.
    pub(crate) fn padded(&self, length: usize, pad: Option<u32>) -> Vec<u32> {
        let mut ids = self.ids.clone();
        let pad = pad.or(ids.last().copied()).unwrap_or(0);
        ids.resize(length.max(ids.len()), pad);
        ids
    }
}
