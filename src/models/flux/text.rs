//! From a prompt to the token numbers that a text encoder takes, always as many as its context has.
//!
//! A longer text keeps its first tokens and the end token; a shorter one is padded. Owns the tokenizer, not the encoder.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::Tokenizer;

use super::config::read_json;
use crate::contract::ModelError;
use crate::models::tokenizer;

/// The longest prompt that is read: far more than 256 tokens, far less than would hold a node up.
pub(crate) const LONGEST_PROMPT: usize = 1 << 16;

/// A tokenizer with a fixed number of tokens.
pub(crate) struct PromptTokenizer {
    file: PathBuf,
    tokenizer: Tokenizer,
    context: usize,
    end: u32,
    pad: u32,
}

/// A prompt's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// As many as the context has.
    pub ids: Vec<u32>,
    /// How many the prompt had, its marks included.
    pub found: usize,
}

impl Tokens {
    /// Whether some of the prompt is not seen.
    pub(crate) fn truncated(&self) -> bool {
        self.found > self.ids.len()
    }
}

impl PromptTokenizer {
    /// From its files and, where there is one, the `tokenizer_config.json` beside the first; `context` is lowered to
    /// what that says.
    pub(crate) fn load(files: &[PathBuf], context: usize) -> Result<Self, ModelError> {
        let mut tokenizer = tokenizer::files::open(files)?;
        let file = files.first().map_or(Path::new("tokenizer"), PathBuf::as_path);
        let fail = |why: &str| ModelError::own(format!("{}: {why}", file.display()));
        // Both are done here: a file may or may not carry its own, set for another use.
        tokenizer.with_truncation(None).map_err(|error| fail(&error.to_string()))?;
        tokenizer.with_padding(None);
        let beside = file.with_file_name("tokenizer_config.json");
        let config = if beside.exists() { read_json(&beside)? } else { Value::Null };
        let special = |field: &str, usual: &[&str]| {
            let named = match &config[field] {
                Value::String(token) => Some(token.as_str()),
                other => other["content"].as_str(),
            };
            named
                .into_iter()
                .chain(usual.iter().copied())
                .find_map(|token| tokenizer.token_to_id(token))
                .ok_or_else(|| fail(&format!("no {field}; looked for {named:?} and {usual:?}")))
        };
        let end = special("eos_token", &["<|endoftext|>", "</s>"])?;
        let pad = special("pad_token", &["<pad>", "<|endoftext|>"])?;
        // Unbounded tokenizers say 1e30.
        let longest = config["model_max_length"].as_f64().unwrap_or(f64::INFINITY);
        let context = if longest >= 2.0 && longest < context as f64 { longest as usize } else { context };
        Ok(Self { file: file.to_owned(), tokenizer, context, end, pad })
    }

    /// Refuses a tokenizer that gives ids of which `encoder`, with embeddings for `words`, has none.
    pub(crate) fn expect_within(&self, words: usize, encoder: &str) -> Result<(), ModelError> {
        let largest = self.tokenizer.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if largest < words {
            return Ok(());
        }
        Err(ModelError::own(format!(
            "{}: has a token with the id {largest}, expected ids below the {words} of {encoder}'s vocab_size",
            self.file.display()
        )))
    }

    /// Tokens in its context.
    pub(crate) fn context(&self) -> usize {
        self.context
    }

    /// The tokens of `prompt`, which is no longer than [`LONGEST_PROMPT`].
    pub(crate) fn encode(&self, prompt: &str) -> Result<Tokens, ModelError> {
        if prompt.len() > LONGEST_PROMPT {
            return Err(ModelError::own(format!(
                "the prompt has {} bytes; at most {LONGEST_PROMPT} are read",
                prompt.len()
            )));
        }
        let encoding = self.tokenizer.encode(prompt, true).map_err(|error| {
            ModelError::own(format!("{} cannot read the prompt: {error}", self.file.display()))
        })?;
        let mut ids = encoding.get_ids().to_vec();
        let found = ids.len();
        if found > self.context {
            ids.truncate(self.context - 1);
            ids.push(self.end);
        }
        ids.resize(self.context, self.pad);
        Ok(Tokens { ids, found })
    }
}
