//! T5's tokenizer inside a GGUF file, as llama.cpp's converter keeps it, written as a SentencePiece model.
//!
//! Keys and their meaning are ggml's (`docs/gguf.md`, "Tokenizer"); the message written is `sentencepiece_model.proto`'s.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;

use candle_core::quantized::gguf_file::{Content, Value};

use super::contents::{Format, Source};

/// The tokenizer in `source` as a `spiece.model`; `None` where there is none, or none of T5's.
pub(super) fn tokenizer(source: &Source) -> Option<Vec<u8>> {
    if source.format != Format::Gguf {
        return None;
    }
    // The header was read once already, by a reader that lets nothing wild through.
    let content = Content::read(&mut BufReader::new(File::open(source.path()).ok()?)).ok()?;
    written(&content.metadata)
}

fn written(metadata: &HashMap<String, Value>) -> Option<Vec<u8>> {
    let entry = |key: &str| metadata.get(&format!("tokenizer.ggml.{key}"));
    let list = |key: &str| match entry(key) {
        Some(Value::Array(list)) => Some(list.as_slice()),
        _ => None,
    };
    if !matches!(entry("model"), Some(Value::String(model)) if model == "t5") {
        return None;
    }
    let (tokens, scores, kinds) = (list("tokens")?, list("scores")?, list("token_type")?);
    if tokens.len() != scores.len() || tokens.len() != kinds.len() {
        return None;
    }
    let mut pieces = Vec::with_capacity(tokens.len());
    for ((token, score), kind) in tokens.iter().zip(scores).zip(kinds) {
        let (Value::String(token), Value::F32(score)) = (token, score) else { return None };
        let kind = match kind {
            Value::I32(kind) => u64::try_from(*kind).ok()?,
            Value::U32(kind) => u64::from(*kind),
            _ => return None,
        };
        pieces.push((token, *score, kind));
    }
    // The converter fills the vocabulary up to the model's size; what T5 has behind its pieces is added by the reader.
    while pieces
        .last()
        .is_some_and(|(token, ..)| token.starts_with("[PAD") || token.starts_with("<extra_id_"))
    {
        pieces.pop();
    }
    let mut model = Vec::new();
    for (token, score, kind) in pieces {
        let mut piece = Vec::new();
        bytes(&mut piece, 1, token.as_bytes());
        piece.push(2 << 3 | 5);
        piece.extend(score.to_le_bytes());
        piece.push(3 << 3);
        number(&mut piece, kind);
        bytes(&mut model, 1, &piece);
    }
    if let Some(rules) = list("precompiled_charsmap") {
        let rules: Option<Vec<u8>> = rules
            .iter()
            .map(|byte| match byte {
                Value::U8(byte) => Some(*byte),
                Value::I8(byte) => Some(byte.cast_unsigned()),
                _ => None,
            })
            .collect();
        let mut normaliser = Vec::new();
        bytes(&mut normaliser, 2, &rules?);
        bytes(&mut model, 3, &normaliser);
    }
    Some(model)
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    number(out, value.len() as u64);
    out.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::tokenizer;

    fn metadata() -> HashMap<String, Value> {
        let pieces = [("<pad>", 0.0, 3), ("</s>", 0.0, 3), ("<unk>", 0.0, 2), ("▁", -2.0, 1), ("a", -3.0, 1)];
        let padding = [("[PAD5]", -1e3, 5), ("[PAD6]", -1e3, 5)];
        let all: Vec<_> = pieces.into_iter().chain(padding).collect();
        let array = |of: &dyn Fn(&(&str, f32, i32)) -> Value| Value::Array(all.iter().map(of).collect());
        [
            ("model", Value::String("t5".to_owned())),
            ("tokens", array(&|(token, ..)| Value::String((*token).to_owned()))),
            ("scores", array(&|(_, score, _)| Value::F32(*score))),
            ("token_type", array(&|(_, _, kind)| Value::I32(*kind))),
        ]
        .into_iter()
        .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value))
        .collect()
    }

    #[test]
    fn the_pieces_become_a_tokenizer_of_the_same_numbers() {
        let file = tempfile::Builder::new().suffix(".model").tempfile().unwrap();
        std::fs::write(file.path(), written(&metadata()).unwrap()).unwrap();
        let read = tokenizer::files::open(&[file.path().to_owned()]).unwrap();
        assert_eq!(read.encode("aa", true).unwrap().get_ids(), [3, 4, 4, 1]);
        // The five pieces, and the hundred gaps that T5 has behind them.
        assert_eq!(read.get_vocab(true).into_values().max(), Some(104));
    }

    #[test]
    fn other_tokenizers_are_left_alone() {
        let mut other = metadata();
        other.insert("tokenizer.ggml.model".to_owned(), Value::String("gpt2".to_owned()));
        assert!(written(&other).is_none());
        let mut short = metadata();
        short.insert("tokenizer.ggml.scores".to_owned(), Value::Array(Vec::new()));
        assert!(written(&short).is_none());
        assert!(written(&HashMap::new()).is_none());
    }
}
