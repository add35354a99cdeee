//! The older files give the same tokens as the `tokenizer.json` that was made of them.

use std::path::PathBuf;

use super::*;

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers").join(file)
}

fn json(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(file)).unwrap()).unwrap()
}

/// The recorded texts, and their tokens under `key`.
fn recorded(key: &str) -> Vec<(String, Vec<u32>)> {
    let ids =
        |value: &Value| value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    let texts = json("texts.json");
    texts
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["text"].as_str().unwrap().to_owned(), ids(&it[key])))
        .collect()
}

fn assert_tokens(files: &[PathBuf], texts: &[(String, Vec<u32>)]) {
    assert!(texts.len() > 5, "only {} texts", texts.len());
    let tokenizer = open(files).unwrap();
    for (text, expected) in texts {
        assert_eq!(tokenizer.encode(text.as_str(), true).unwrap().get_ids(), expected, "{text:?}");
    }
}

#[test]
fn a_vocabulary_with_its_merges_gives_clips_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let [words, merges] = ["vocab.json", "merges.txt"].map(|name| folder.path().join(name));
    let mut model = json("tokenizer/tokenizer.json")["model"].take();
    let lines: Vec<String> = model["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| match pair {
            Value::String(text) => text.clone(),
            pair => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
        })
        .collect();
    std::fs::write(&merges, format!("#version: 0.2\n{}\n", lines.join("\n"))).unwrap();
    std::fs::write(&words, model["vocab"].to_string()).unwrap();
    let texts = recorded("clip_ids_raw");
    assert_tokens(&[words.clone(), merges.clone()], &texts);
    assert_tokens(&[fixture("tokenizer/tokenizer.json")], &texts);
    // As published, the bounds are words of the vocabulary.
    for (name, id) in [("<|startoftext|>", 641), ("<|endoftext|>", 642)] {
        model["vocab"][name] = id.into();
    }
    std::fs::write(&words, model["vocab"].to_string()).unwrap();
    assert_tokens(&[merges.clone(), words.clone()], &texts);

    let error = open(&[words]).unwrap_err().to_string();
    assert!(error.contains("vocab.json") && error.contains("merges.txt"), "{error}");
    let error = open(&[merges]).unwrap_err().to_string();
    assert!(error.contains("accepted: tokenizer.json; vocab.json with merges.txt"), "{error}");
}

/// A protobuf field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
    out
}

fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
    field(
        1,
        &[field(1, text.as_bytes()), vec![2 << 3 | 5], score.to_le_bytes().to_vec(), vec![3 << 3, kind]]
            .concat(),
    )
}

#[test]
fn a_sentencepiece_model_gives_t5s_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spiece.model");
    let vocab = json("tokenizer_2/tokenizer.json")["model"]["vocab"].take();
    let mut model = Vec::new();
    for (id, entry) in vocab.as_array().unwrap().iter().enumerate() {
        let kind = [3, 3, 2].get(id).copied().unwrap_or(1);
        model.extend(piece(entry[0].as_str().unwrap(), entry[1].as_f64().unwrap() as f32, kind));
    }
    // What it was trained with: a name, and unigrams.
    model.extend(field(2, &[field(2, b"t5"), vec![3 << 3, 1]].concat()));
    std::fs::write(&file, &model).unwrap();
    // The fixture's own rules differ from T5's in white space, in case, and in having no special words.
    let is_plain = |text: &str| {
        !text.is_empty()
            && text.is_ascii()
            && text.split_whitespace().collect::<Vec<_>>().join(" ") == text
            && !text.contains(|c: char| c.is_ascii_uppercase() || c == '<')
    };
    let texts: Vec<_> = recorded("t5_ids_raw").into_iter().filter(|(text, _)| is_plain(text)).collect();
    assert_tokens(std::slice::from_ref(&file), &texts);
    let gap = open(std::slice::from_ref(&file)).unwrap().token_to_id("<extra_id_0>");
    assert_eq!(gap, Some(vocab.as_array().unwrap().len() as u32 + 99));

    // Another kind, a piece twice, nothing at all, and every cut: refused by name, and never more than that.
    let mut pairs = model.clone();
    pairs.extend(field(2, &[3 << 3, 2]));
    let mut twice = model.clone();
    twice.extend(piece("</s>", 0.0, 3));
    for (bytes, told) in
        [(pairs, "another kind than unigram"), (twice, "twice"), (Vec::new(), "no SentencePiece model")]
    {
        std::fs::write(&file, bytes).unwrap();
        let error = open(std::slice::from_ref(&file)).unwrap_err().chain();
        assert!(error.contains("spiece.model") && error.contains(told), "{error}");
    }
    for end in (0..model.len()).step_by(97) {
        std::fs::write(&file, &model[..end]).unwrap();
        let _ = open(std::slice::from_ref(&file));
    }
}
