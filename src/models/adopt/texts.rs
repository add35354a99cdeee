//! Descriptions that lie beside weights: configurations, tokenizers, preparations, told by what stands in them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::models::liveportrait::config::Config as PortraitConfig;
use crate::models::tokenizer;

/// The largest published tokenizer has 4 MB; other JSON of such a size is none of ours.
const LARGEST: u64 = 32 << 20;

/// Whose words a tokenizer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Clip,
    T5,
}

/// What a description says.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Sizes of one or several networks.
    Config(Value),
    /// LivePortrait's, which may be YAML.
    Portrait(String),
    /// A tokenizer, in one file or two, and the largest number that it gives.
    Tokenizer { words: Words, files: Vec<PathBuf>, largest: usize },
    /// CLIP's preparation of pictures.
    Preprocessor(String),
    /// Flux's noise levels.
    Scheduler,
}

/// One description.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub path: PathBuf,
    pub what: What,
}

/// What the file at `path` describes; an error where it is meant for us and cannot be used.
pub(super) fn of(path: &Path, suffix: &str, size: u64) -> Result<Option<Text>, String> {
    if size > LARGEST {
        return Ok(None);
    }
    let what = match suffix {
        "json" => json(path)?,
        "yaml" | "yml" => std::fs::read_to_string(path)
            .ok()
            .filter(|text| PortraitConfig::parse(text).is_ok())
            .map(What::Portrait),
        "model" => Some(tokenizer_of(Words::T5, vec![path.to_owned()])?),
        _ => None,
    };
    Ok(what.map(|what| Text { path: path.to_owned(), what }))
}

fn json(path: &Path) -> Result<Option<What>, String> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return Ok(None) };
    let has = |keys: &[&str]| keys.iter().all(|key| value.get(key).is_some());
    let words = value.pointer("/model/vocab");
    if let Some(words) = words {
        let known = if words.get("<|endoftext|>").is_some() {
            Words::Clip
        } else if words.as_array().is_some_and(|pieces| pieces.iter().any(|piece| piece[0] == "</s>")) {
            Words::T5
        } else {
            return Ok(None);
        };
        return tokenizer_of(known, vec![path.to_owned()]).map(Some);
    }
    if value.get("<|endoftext|>").is_some_and(Value::is_u64) {
        let merges = path.with_file_name("merges.txt");
        if !merges.is_file() {
            return Err("a vocabulary without the merges.txt that says how words are split".to_owned());
        }
        return tokenizer_of(Words::Clip, vec![path.to_owned(), merges]).map(Some);
    }
    if PortraitConfig::parse(&text).is_ok() {
        return Ok(Some(What::Portrait(text)));
    }
    if has(&["image_mean", "image_std"]) {
        return Ok(Some(What::Preprocessor(text)));
    }
    if has(&["num_train_timesteps", "shift"]) {
        return Ok(Some(What::Scheduler));
    }
    const SIZES: [&[&str]; 9] = [
        &["flux"],
        &["autoencoder"],
        &["num_single_layers"],
        &["depth_single_blocks"],
        &["block_out_channels"],
        &["hidden_size", "num_hidden_layers"],
        &["d_kv", "d_ff"],
        &["vision_config"],
        &["model_cfg"],
    ];
    let is_config =
        SIZES.iter().any(|keys| has(keys)) || has(&["istftnet", "plbert"]) || has(&["text_config"]);
    Ok(is_config.then_some(What::Config(value)))
}

fn tokenizer_of(words: Words, files: Vec<PathBuf>) -> Result<What, String> {
    let opened = tokenizer::files::open(&files).map_err(|error| error.chain())?;
    let largest = opened.get_vocab(true).into_values().max().unwrap_or(0) as usize;
    Ok(What::Tokenizer { words, files, largest })
}

/// All descriptions that were found.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub all: Vec<Text>,
}

impl Texts {
    /// Those of one kind, the nearest to `place` first: in its folder, then by how much of the way they share.
    pub(super) fn near<'a, T>(
        &'a self,
        place: &Path,
        pick: impl Fn(&'a Text) -> Option<T>,
    ) -> Vec<(&'a Path, T)> {
        let shared = |path: &Path| {
            let (one, other) = (path.components(), place.components());
            one.zip(other).take_while(|(a, b)| a == b).count()
        };
        let mut found: Vec<_> =
            self.all.iter().filter_map(|text| Some((text.path.as_path(), pick(text)?))).collect();
        // A sort that keeps the order of names where two are as near.
        found.sort_by_key(|(path, _)| std::cmp::Reverse((path.parent() == place.parent(), shared(path))));
        found
    }

    /// Configurations, the nearest first.
    pub(super) fn configs<'a>(&'a self, place: &Path) -> Vec<(&'a Path, &'a Value)> {
        self.near(place, |text| match &text.what {
            What::Config(value) => Some(value),
            _ => None,
        })
    }

    /// The nearest tokenizer of `words` that gives no number from `vocabulary` on.
    pub(super) fn tokenizer(&self, place: &Path, words: Words, vocabulary: usize) -> Option<&[PathBuf]> {
        let fitting = self.near(place, |text| match &text.what {
            What::Tokenizer { words: of, files, largest } if *of == words && *largest < vocabulary => {
                Some(files.as_slice())
            }
            _ => None,
        });
        fitting.into_iter().next().map(|(_, files)| files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_description_comes_first() {
        let text = |path: &str| Text { path: path.into(), what: What::Config(Value::Null) };
        let texts =
            Texts { all: ["/a/z.json", "/m/flux/vae/c.json", "/m/flux/unet/c.json"].map(text).into() };
        let order: Vec<&Path> =
            texts.configs(Path::new("/m/flux/unet/x")).into_iter().map(|(path, _)| path).collect();
        assert_eq!(order, ["/m/flux/unet/c.json", "/m/flux/vae/c.json", "/a/z.json"].map(Path::new));
    }

    #[test]
    fn descriptions_are_told_by_what_stands_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let said = |text: &str| {
            let path = folder.path().join("any-name.json");
            std::fs::write(&path, text).unwrap();
            of(&path, "json", text.len() as u64)
        };
        let config = |text: &str| matches!(said(text), Ok(Some(Text { what: What::Config(_), .. })));
        assert!(config(r#"{"num_single_layers": 38}"#) && config(r#"{"d_kv": 64, "d_ff": 10240}"#));
        assert!(config(r#"{"istftnet": {}, "plbert": {}}"#));
        let prepared = said(r#"{"image_mean": [], "image_std": []}"#).unwrap().unwrap();
        assert!(matches!(prepared.what, What::Preprocessor(_)));
        assert!(said(r#"{"anything": "else"}"#).unwrap().is_none() && said("[").unwrap().is_none());
        let alone = said(r#"{"<|endoftext|>": 1}"#).unwrap_err();
        assert!(alone.contains("without the merges.txt"), "{alone}");
    }
}
