//! The two CLIPs out of what was found: which of them a file is, its sizes, its tokenizer and its preparation.

use serde_json::{Value, json};

use super::choose::{Chooser, fit, sized};
use super::contents::Source;
use super::draft::{Draft, FROM_TENSORS, PUBLISHED, Piece, Sizes};
use super::flux::{CLIP_TOKENIZER, no_words};
use super::kinds::Kind;
use super::texts::{Texts, What, Words};
use super::{open_clip, sizes};
use crate::models::catalog;
use crate::models::clip::ClipConfig;
use crate::models::clip::preprocess::Preprocess;
use crate::models::synth;
use crate::types::ModelId;

/// Side of a patch by which the two are told apart: ViT-B/32 and ViT-L/14.
fn patch(model: ModelId) -> usize {
    if model == ModelId::ClipB { 32 } else { 14 }
}

/// Features of a patch from which on it is a larger model than ViT-L.
const LARGER: usize = 1280;

/// The model, or what is missing of it.
pub(super) fn draft(chooser: &mut Chooser<'_>, model: ModelId) -> Result<Draft, String> {
    let texts = &chooser.found.texts;
    let role = (model, "model");
    let best = chooser.best(role, &[Kind::Clip, Kind::OpenClip], |source| described(texts, source, model));
    let Some((source, (found, config))) = best else {
        return Err(format!("without a CLIP of patches of {}", patch(model)));
    };
    let mut draft = Draft::new(synth::precision(model));
    if is_open_clip(source) {
        draft.put("model", Piece::OpenClip { source: source.clone() });
    } else {
        draft.weights("model", source);
    }
    draft.sizes("config", found);
    let side = config.vision_config.image_size;
    draft.entries.push(super::draft::Entry {
        role: "preprocessor",
        folder: "preprocessor",
        piece: preprocessor(texts, source, side),
    });
    let vocabulary = config.text_config.vocab_size;
    match texts.tokenizer(source.path(), Words::Clip, vocabulary) {
        Some(files) => draft.tokenizer("tokenizer", files),
        None => return Err(format!("without {}", no_words("CLIP's", vocabulary, CLIP_TOKENIZER))),
    }
    Ok(draft)
}

fn is_open_clip(source: &Source) -> bool {
    super::kinds::of(source).contains(&Kind::OpenClip)
}

/// The sizes of `source`, where it is `model`.
fn described(texts: &Texts, source: &Source, model: ModelId) -> Result<(Sizes, ClipConfig), String> {
    let renamed;
    let (source, is_renamed) = if is_open_clip(source) {
        renamed = open_clip::renamed(source);
        (&renamed, true)
    } else {
        (source, false)
    };
    let shape = source.shape_of("vision_model.embeddings.patch_embedding.weight").unwrap_or_default();
    let &[features, _, side, _] = shape.as_slice() else {
        return Err(format!("its patches have shape {shape:?}, expected four dimensions"));
    };
    if side != patch(model) || features >= LARGER {
        return Err(format!(
            "a vision tower of {features} features on patches of {side}; {model} is {}",
            if model == ModelId::ClipB { "ViT-B/32" } else { "ViT-L/14" }
        ));
    }
    let fits = |config: &ClipConfig| {
        let network = catalog::clip(config).map_err(|error| error.chain())?;
        if is_renamed {
            let lacking = network.lacking(source.shapes());
            return lacking.map_or(Ok(()), |(first, _)| Err(format!("in Hugging Face's names, {first}")));
        }
        fit(source, &network)
    };
    let by = |value: &Value| {
        value.get("vision_config").map(|_| {
            let config = ClipConfig::from_json(&value.to_string()).map_err(|error| error.chain())?;
            fits(&config)?;
            Ok(config)
        })
    };
    sized(texts, source.path(), by, || {
        let made = |value: Value, about| {
            let text = format!("{value:#}\n");
            let config = ClipConfig::from_json(&text).map_err(|error| error.chain())?;
            fits(&config)?;
            Ok((Sizes::Made { text, about }, config))
        };
        if is_renamed {
            let act = activation(texts, source);
            let value = sizes::clip(source, act).ok_or("its sizes cannot be told from its tensors")?;
            return made(value, if act == "gelu" { OPEN_CLIP } else { FROM_TENSORS });
        }
        let published = synth::published(model, "config").and_then(|text| serde_json::from_str(&text).ok());
        match made(published.unwrap_or(Value::Null), PUBLISHED) {
            Ok(found) => Ok(found),
            Err(why) => made(sizes::clip(source, "quick_gelu").ok_or(why)?, FROM_TENSORS),
        }
    })
}

/// What a configuration of open_clip's names says where its activation is the usual one.
const OPEN_CLIP: &str = "sizes read from the tensors, GELU as open_clip has it";

/// The activation of a checkpoint in open_clip's names, which is in no tensor: `quick_gelu` where the configuration
/// beside it says so, else open_clip's own.
fn activation(texts: &Texts, source: &Source) -> &'static str {
    let said = texts.configs(source.path()).into_iter().find_map(|(path, value)| {
        (path.parent() == source.path().parent()).then_some(())?;
        value.pointer("/model_cfg/quick_gelu")?.as_bool()
    });
    if said == Some(true) { "quick_gelu" } else { "gelu" }
}

/// How pictures are prepared: as a file beside the weights says, else as OpenAI published it.
fn preprocessor(texts: &Texts, source: &Source, side: usize) -> Piece {
    let near = texts.near(source.path(), |text| match &text.what {
        What::Preprocessor(text) => Some(text),
        _ => None,
    });
    let fits = |text: &str| Preprocess::from_json(text).is_ok_and(|read| read.output() == (side, side));
    if let Some((path, _)) = near.into_iter().find(|(_, text)| fits(text)) {
        return Piece::File { path: path.to_owned(), suffix: None };
    }
    let value = json!({"do_resize": true, "size": {"shortest_edge": side}, "resample": 3, "do_center_crop": true,
                       "crop_size": {"height": side, "width": side}, "do_rescale": true,
                       "rescale_factor": 1.0 / 255.0, "do_normalize": true,
                       "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
                       "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11]});
    let bytes = format!("{value:#}\n").into_bytes();
    Piece::Made { name: "preprocessor_config.json", bytes, about: "OpenAI's preparation of pictures" }
}
