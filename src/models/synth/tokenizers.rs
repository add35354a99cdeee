//! Tokenizers that spell every word letter by letter: any text has tokens, and no vocabulary had to be learned.

use serde_json::{Value, json};

/// The two ends of a CLIP text, the last of the vocabulary as published.
pub(super) const fn clip_ends(vocab_size: usize) -> (usize, usize) {
    (vocab_size - 2, vocab_size - 1)
}

/// The least vocabulary that [`clip`] fits into: every byte, inside and at the end of a word, and the two ends.
pub(super) const CLIP_LEAST: usize = 514;

/// Byte-level BPE without merges, in the published form (openai/CLIP, `simple_tokenizer.py`, as `tokenizer.json`).
pub(super) fn clip(vocab_size: usize) -> String {
    const START: &str = "<|startoftext|>";
    const END: &str = "<|endoftext|>";
    let (start, end) = clip_ends(vocab_size);
    let mut vocab = serde_json::Map::new();
    for (id, letter) in letters().into_iter().enumerate() {
        vocab.insert(letter.to_string(), json!(id));
        vocab.insert(format!("{letter}</w>"), json!(256 + id));
    }
    vocab.insert(START.to_owned(), json!(start));
    vocab.insert(END.to_owned(), json!(end));
    let special = |id: usize, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let words = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(start, START), special(end, END)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
            {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": words}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
        "post_processor": {"type": "RobertaProcessing", "sep": [END, end], "cls": [START, start],
                           "trim_offsets": false, "add_prefix_space": false},
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": Value::Object(vocab), "merges": []},
    })
    .to_string()
}

/// The letters that stand for the 256 bytes: itself where it prints, else the next from U+0100 (GPT-2, `encoder.py`).
fn letters() -> Vec<char> {
    let prints = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut spare = 256;
    (0..256)
        .filter_map(|byte| {
            if prints(byte) {
                return char::from_u32(byte);
            }
            spare += 1;
            char::from_u32(spare - 1)
        })
        .collect()
}

/// A unigram vocabulary of printable ASCII, in the form that T5 is published in.
pub(super) fn t5() -> String {
    let mut vocab =
        vec![json!(["<pad>", 0.0]), json!(["</s>", 0.0]), json!(["<unk>", 0.0]), json!(["▁", -2.0])];
    vocab.extend((33u8..127).map(|byte| json!([char::from(byte).to_string(), -5.0])));
    let end = json!({"SpecialToken": {"id": "</s>", "type_id": 0}});
    let text = |id: &str, kind: u8| json!({"Sequence": {"id": id, "type_id": kind}});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "post_processor": {"type": "TemplateProcessing", "single": [text("A", 0), end],
                           "pair": [text("A", 0), text("B", 1)],
                           "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": false},
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use ::tokenizers::Tokenizer;

    use super::*;

    #[test]
    fn any_text_has_tokens_below_the_vocabularys_size() {
        for size in [CLIP_LEAST, 49_408] {
            let tokenizer = Tokenizer::from_bytes(clip(size)).unwrap();
            let ids = tokenizer.encode("A Green alien's 3 eyes, ☃", true).unwrap().get_ids().to_vec();
            let (start, end) = clip_ends(size);
            assert_eq!((ids[0] as usize, *ids.last().unwrap() as usize), (start, end));
            assert!(ids.len() > 10 && ids[1..ids.len() - 1].iter().all(|id| *id < 512), "{ids:?}");
        }
        let ids = Tokenizer::from_bytes(t5()).unwrap().encode("a red hat", true).unwrap().get_ids().to_vec();
        assert_eq!((ids.len(), ids.last()), (11, Some(&1)));
        assert!(!ids.contains(&2), "a letter is unknown: {ids:?}");
    }
}
