//! A tokenizer from the files that people have: `tokenizer.json`, or what came before it.
//!
//! `vocab.json` with `merges.txt` (CLIP's byte pairs) and SentencePiece's `spiece.model` (T5's unigrams) hold a
//! vocabulary; what is done to a text before and after it is not in them but in the code that came with the models
//! (Hugging Face's `CLIPTokenizer` and `T5Tokenizer`, `convert_slow_tokenizer.py`), and is stated here.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokenizers::Tokenizer;
use tokenizers::normalizers::Precompiled;

use super::sentencepiece::{Kind, Pieces};
use crate::contract::ModelError;

/// What would be accepted, for people whose files are something else.
const ACCEPTED: &str = "accepted: tokenizer.json; vocab.json with merges.txt, both under the same role; or a SentencePiece model (spiece.model)";

/// Where CLIP's texts begin and end.
const BOUNDS: [&str; 2] = ["<|startoftext|>", "<|endoftext|>"];

/// The tokenizer in `files`, all files of one role.
pub(crate) fn open(files: &[PathBuf]) -> Result<Tokenizer, ModelError> {
    let ends = |file: &&PathBuf, end: &str| file.extension().is_some_and(|extension| extension == end);
    if let [file] = files
        && ends(&file, "model")
    {
        return sentencepiece(file);
    }
    let merges = files.iter().find(|file| ends(file, "txt"));
    let Some(first) = files.iter().find(|file| ends(file, "json")) else {
        return Err(refused(files.first().map_or(Path::new("tokenizer"), PathBuf::as_path), ACCEPTED));
    };
    let bytes = read(first)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| unusable(first).because(error))?;
    match (value.get("model").filter(|model| model.is_object()), vocabulary(&value), merges) {
        (Some(_), _, None) => tokenizer(first, &value),
        (None, Some(_), Some(merges)) => byte_pairs(first, &value, merges),
        (None, Some(_), None) => {
            let why = "a vocabulary alone does not say how words are split: name the merges.txt that was published \
                       beside it under the same role, or use tokenizer.json";
            Err(refused(first, why))
        }
        _ => Err(refused(first, ACCEPTED)),
    }
}

fn unusable(file: &Path) -> ModelError {
    ModelError::own(format!("{}: cannot be used as a tokenizer", file.display()))
}

fn refused(file: &Path, why: &str) -> ModelError {
    ModelError::own(format!("{}: cannot be used as a tokenizer: {why}", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(file).map_err(|error| unusable(file).because(error))
}

fn tokenizer(file: &Path, description: &Value) -> Result<Tokenizer, ModelError> {
    Tokenizer::from_bytes(description.to_string()).map_err(|error| unusable(file).because(error))
}

/// Words and their numbers, where `value` is nothing but that.
fn vocabulary(value: &Value) -> Option<&serde_json::Map<String, Value>> {
    value.as_object().filter(|words| !words.is_empty() && words.values().all(Value::is_u64))
}

fn byte_pairs(file: &Path, vocabulary: &Value, merges_file: &Path) -> Result<Tokenizer, ModelError> {
    let text = read(merges_file)?;
    let text = String::from_utf8(text).map_err(|error| unusable(merges_file).because(error))?;
    let mut merges = Vec::new();
    // The first line may say the format's version.
    for (place, line) in text.lines().enumerate() {
        if line.trim().is_empty() || (place == 0 && line.starts_with("#version")) {
            continue;
        }
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [one, other] => merges.push(json!([one, other.trim_end()])),
            _ => return Err(refused(merges_file, &format!("line {} is no pair of words", place + 1))),
        }
    }
    let special = |name: &&str, next: u64| {
        let id = vocabulary[*name].as_u64().unwrap_or(next);
        (
            id,
            json!({"id": id, "content": name, "special": true, "normalized": false, "single_word": false,
                    "lstrip": false, "rstrip": false}),
        )
    };
    // Vocabularies that lack the bounds have them behind the last word, in this order.
    let next = vocabulary.as_object().map_or(0, |words| words.len() as u64);
    let (start, first) = special(&BOUNDS[0], next);
    let (end, second) = special(&BOUNDS[1], if start == next { next + 1 } else { next });
    let split = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    // Every byte is a word of a published vocabulary. Where one is not, it is left out: the end of the text, which
    // CLIP's own code puts in its place, would hide everything behind it.
    let description = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [first, second],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": [BOUNDS[1], end], "cls": [BOUNDS[0], start],
                           "trim_offsets": false, "add_prefix_space": false},
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary,
                  "merges": merges},
    });
    tokenizer(file, &description)
}

/// What closes a text.
const END: &str = "</s>";
/// Stand-ins for gaps that T5 was trained with; they follow the last piece, counting down.
const GAPS: usize = 100;

fn sentencepiece(file: &Path) -> Result<Tokenizer, ModelError> {
    let pieces = Pieces::parse(&read(file)?).map_err(|why| refused(file, &format!("{why}; {ACCEPTED}")))?;
    let mut vocab: Vec<Value> = pieces.all.iter().map(|piece| json!([piece.text, piece.score])).collect();
    let place = |kind: Kind| pieces.all.iter().position(|piece| piece.kind == kind);
    let Some(unknown) = place(Kind::Unknown) else {
        return Err(refused(file, &format!("it has no piece for what is unknown; {ACCEPTED}")));
    };
    let Some(end) = pieces.all.iter().position(|piece| piece.text == END) else {
        return Err(refused(file, &format!("it has no {END}, which closes a text; {ACCEPTED}")));
    };
    let added = |id: usize, text: &str, special: bool| {
        json!({"id": id, "content": text, "special": special, "normalized": false, "single_word": false,
               "lstrip": false, "rstrip": false})
    };
    let mut special = Vec::new();
    for (id, piece) in pieces.all.iter().enumerate() {
        match piece.kind {
            Kind::Unknown | Kind::Control => special.push(added(id, &piece.text, true)),
            Kind::UserDefined => special.push(added(id, &piece.text, false)),
            Kind::Normal | Kind::Unused | Kind::Byte => {}
        }
    }
    for gap in (0..GAPS).rev() {
        let text = format!("<extra_id_{gap}>");
        if pieces.all.iter().all(|piece| piece.text != text) {
            special.push(added(vocab.len(), &text, true));
            vocab.push(json!([text, 0.0]));
        }
    }
    let description = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": special,
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        ]},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END, "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {END: {"id": END, "ids": [end], "tokens": [END]}}},
        "decoder": null,
        "model": {"type": "Unigram", "unk_id": unknown, "vocab": vocab,
                  "byte_fallback": place(Kind::Byte).is_some()},
    });
    let mut tokenizer = tokenizer(file, &description)?;
    if !pieces.normalisation.is_empty() {
        let rules =
            Precompiled::from(&pieces.normalisation).map_err(|error| unusable(file).because(error))?;
        tokenizer.with_normalizer(Some(rules)).map_err(|error| unusable(file).because(error))?;
    }
    Ok(tokenizer)
}

#[cfg(test)]
mod tests;
