//! Flux out of what was found: transformer, autoencoder, both text encoders and their tokenizers.

use std::path::PathBuf;

use candle_core::quantized::GgmlDType;
use serde_json::Value;

use super::choose::{Chooser, fit, sized};
use super::contents::{Format, Source};
use super::draft::{Draft, FROM_TENSORS, Piece, Sizes};
use super::kinds::Kind;
use super::texts::{What, Words};
use super::{embedded, sizes};
use crate::models::bundle::Precision;
use crate::models::catalog::flux as rows;
use crate::models::flux::config::{ClipConfig, T5Config, TransformerConfig, VaeConfig};
use crate::models::flux::gguf::GgufFile;
use crate::models::flux::transformer::Layout;
use crate::models::synth;
use crate::types::ModelId;

const MODEL: ModelId = ModelId::Flux;
/// Channels of Flux's latent pictures.
const LATENT: usize = 16;

/// The model, or what is missing of it.
pub(super) fn draft(chooser: &mut Chooser<'_>) -> Result<Draft, String> {
    let texts = &chooser.found.texts;
    let mut draft = Draft::new(synth::precision(MODEL));
    let mut missing = Vec::new();

    let transformer = chooser.best((MODEL, "transformer"), &[Kind::Transformer], |source| {
        sized(texts, source.path(), |value| transformer_by(source, value), || transformer(source))
    });
    let wanted = transformer.as_ref().map(|(_, (_, config))| (config.pooled, config.context));
    match transformer {
        Some((source, (found, _))) => {
            draft.precision = precision(source).unwrap_or(draft.precision);
            draft.weights("transformer", source);
            draft.sizes("transformer_config", found);
            if let Some(path) = scheduler(chooser, source) {
                draft.put("scheduler", Piece::File { path, suffix: None });
            }
        }
        None => missing.push("a transformer".to_owned()),
    }
    let vae = chooser.best((MODEL, "vae"), &[Kind::Autoencoder], |source| {
        sized(texts, source.path(), |value| vae_by(source, value), || vae(source))
    });
    match vae {
        Some((source, (found, ()))) => {
            draft.weights("vae", source);
            draft.sizes("vae_config", found);
        }
        None => missing.push("an autoencoder".to_owned()),
    }
    let clip = chooser.best((MODEL, "text_encoder"), &[Kind::ClipText], |source| {
        let width =
            source.shape_of("text_model.embeddings.token_embedding.weight").and_then(|it| it.get(1).copied());
        as_wide("pooled text", width, wanted.map(|(pooled, _)| pooled))?;
        sized(texts, source.path(), |value| clip_by(source, value), || clip(source))
    });
    match clip {
        Some((source, (found, vocabulary))) => {
            draft.weights("text_encoder", source);
            draft.sizes("text_encoder_config", found);
            match texts.tokenizer(source.path(), Words::Clip, vocabulary) {
                Some(files) => draft.tokenizer("tokenizer", files),
                None => missing.push(no_words("CLIP's", vocabulary, CLIP_WORDS)),
            }
        }
        None => missing.push("CLIP's text encoder".to_owned()),
    }
    let t5 = chooser.best((MODEL, "text_encoder_2"), &[Kind::T5], |source| {
        let names = ["shared.weight", "encoder.embed_tokens.weight", "token_embd.weight"];
        let width = names.iter().find_map(|name| source.shape_of(name)?.get(1).copied());
        as_wide("context", width, wanted.map(|(_, context)| context))?;
        sized(texts, source.path(), |value| t5_by(source, value), || t5(source))
    });
    match t5 {
        Some((source, (found, vocabulary))) => {
            draft.weights("text_encoder_2", source);
            draft.sizes("text_encoder_2_config", found);
            match texts.tokenizer(source.path(), Words::T5, vocabulary) {
                Some(files) => draft.tokenizer("tokenizer_2", files),
                None => match embedded::tokenizer(source) {
                    Some(bytes) => {
                        let about = "the tokenizer inside the GGUF file of T5";
                        draft.put("tokenizer_2", Piece::Made { name: "spiece.model", bytes, about });
                    }
                    None => missing.push(no_words("T5's", vocabulary, T5_WORDS)),
                },
            }
        }
        None => missing.push("T5's encoder".to_owned()),
    }
    if missing.is_empty() { Ok(draft) } else { Err(format!("without {}", missing.join(", "))) }
}

const CLIP_WORDS: &str = "tokenizer.json, or vocab.json with merges.txt: openai/clip-vit-large-patch14 has them, and \
                          ComfyUI under comfy/sd1_tokenizer";
const T5_WORDS: &str = "tokenizer.json or spiece.model: FLUX.1-schnell's tokenizer_2 has them, and ComfyUI under \
                        comfy/text_encoders/t5_tokenizer";

pub(super) fn no_words(whose: &str, vocabulary: usize, accepted: &str) -> String {
    format!("{whose} tokenizer for {vocabulary} words ({accepted}; name that folder too)")
}

pub(super) const CLIP_TOKENIZER: &str = CLIP_WORDS;

fn layout(source: &Source, sign: &str) -> Layout {
    if source.stored().has_below(&[sign]) { Layout::Diffusers } else { Layout::BlackForestLabs }
}

fn transformer_layout(source: &Source) -> Layout {
    layout(source, "x_embedder.weight")
}

/// Fails where a text encoder gives vectors of another width than the transformer takes.
fn as_wide(what: &str, width: Option<usize>, wanted: Option<usize>) -> Result<(), String> {
    match (width, wanted) {
        (Some(width), Some(wanted)) if width != wanted => {
            Err(format!("its width is {width}, and the transformer's {what} {wanted}"))
        }
        _ => Ok(()),
    }
}

/// How `source` fits a configuration; `None` of one that is for something else.
fn transformer_by(source: &Source, value: &Value) -> Option<Result<TransformerConfig, String>> {
    let inner = value.get("flux").unwrap_or(value);
    let is_ours = inner.get("num_single_layers").or(inner.get("depth_single_blocks")).is_some();
    is_ours.then(|| {
        let config = TransformerConfig::from_json(value).map_err(|error| error.chain())?;
        if config.guidance != sizes::is_guided(source) {
            return Err("the configuration is of a transformer with another kind of guidance".to_owned());
        }
        fit(source, &rows::transformer(&config, transformer_layout(source)).map_err(|error| error.chain())?)?;
        Ok(config)
    })
}

fn transformer(source: &Source) -> Result<(Sizes, TransformerConfig), String> {
    let layout = transformer_layout(source);
    let (found, config) = if layout == Layout::Diffusers {
        let value = sizes::transformer(source).ok_or_else(|| {
            "no config.json says its sizes, and heads that are not 128 wide do not tell how positions divide them"
                .to_owned()
        })?;
        let config = TransformerConfig::from_json(&value).map_err(|error| error.chain())?;
        (Sizes::Made { text: format!("{value:#}\n"), about: FROM_TENSORS }, config)
    } else {
        let stored = source.stored();
        let shapes = stored.below(&["img_in.weight"]);
        (Sizes::Known, TransformerConfig::from_shapes(shapes.into_iter()).map_err(|error| error.chain())?)
    };
    fit(source, &rows::transformer(&config, layout).map_err(|error| error.chain())?)?;
    Ok((found, config))
}

fn vae_layout(source: &Source) -> Layout {
    layout(source, "decoder.conv_norm_out.weight")
}

fn vae_by(source: &Source, value: &Value) -> Option<Result<(), String>> {
    let inner = value.get("autoencoder").unwrap_or(value);
    inner.get("block_out_channels").or(inner.get("ch_mult")).is_some().then(|| {
        let config = VaeConfig::from_json(value).map_err(|error| error.chain())?;
        fit(source, &rows::vae(&config, vae_layout(source)).map_err(|error| error.chain())?)
    })
}

fn vae(source: &Source) -> Result<(Sizes, ()), String> {
    if let Some([_, latent, ..]) = source.shape_of("decoder.conv_in.weight").as_deref()
        && *latent != LATENT
    {
        return Err(format!(
            "its latent pictures have {latent} channels, Flux's have {LATENT} (Stable Diffusion's have 4)"
        ));
    }
    fit(source, &rows::vae(&VaeConfig::flux(), vae_layout(source)).map_err(|error| error.chain())?)?;
    Ok((Sizes::Known, ()))
}

fn clip_by(source: &Source, value: &Value) -> Option<Result<usize, String>> {
    let inner = value.get("text_config").unwrap_or(value);
    let is_ours = inner.get("hidden_size").is_some() && inner.get("max_position_embeddings").is_some();
    is_ours.then(|| {
        let config = ClipConfig::from_json(value).map_err(|error| error.chain())?;
        fit(source, &rows::text_encoder(&config).map_err(|error| error.chain())?)?;
        Ok(config.vocab_size)
    })
}

fn clip(source: &Source) -> Result<(Sizes, usize), String> {
    let published = ClipConfig::large();
    let why = match fit(source, &rows::text_encoder(&published).map_err(|error| error.chain())?) {
        Ok(()) => return Ok((Sizes::Known, published.vocab_size)),
        Err(why) => why,
    };
    let value = sizes::clip_text(source).ok_or(why)?;
    let config = ClipConfig::from_json(&value).map_err(|error| error.chain())?;
    fit(source, &rows::text_encoder(&config).map_err(|error| error.chain())?)?;
    Ok((Sizes::Made { text: format!("{value:#}\n"), about: FROM_TENSORS }, config.vocab_size))
}

fn t5_by(source: &Source, value: &Value) -> Option<Result<usize, String>> {
    (value.get("d_kv").is_some() && value.get("d_ff").is_some()).then(|| {
        let config = T5Config::from_json(value).map_err(|error| error.chain())?;
        fit(source, &rows::text_encoder_2(&config).map_err(|error| error.chain())?)?;
        Ok(config.vocab_size)
    })
}

fn t5(source: &Source) -> Result<(Sizes, usize), String> {
    let published = T5Config::xxl();
    let why = match fit(source, &rows::text_encoder_2(&published).map_err(|error| error.chain())?) {
        Ok(()) => return Ok((Sizes::Known, published.vocab_size)),
        Err(why) => why,
    };
    let value = sizes::t5(source).ok_or(why)?;
    let config = T5Config::from_json(&value).map_err(|error| error.chain())?;
    fit(source, &rows::text_encoder_2(&config).map_err(|error| error.chain())?)?;
    Ok((Sizes::Made { text: format!("{value:#}\n"), about: FROM_TENSORS }, config.vocab_size))
}

/// The noise levels that belong to a transformer: beside it, or in the folder beside its own.
fn scheduler(chooser: &Chooser<'_>, source: &Source) -> Option<PathBuf> {
    let own = source.path().parent()?;
    let near =
        chooser.found.texts.near(source.path(), |text| matches!(text.what, What::Scheduler).then_some(()));
    let belongs = |path: &std::path::Path| {
        let folder = path.parent();
        folder == Some(own) || folder.and_then(|folder| folder.parent()) == own.parent()
    };
    near.into_iter().map(|(path, ())| path).find(|path| belongs(path)).map(std::path::Path::to_owned)
}

/// The precision that a transformer has already, where it is packed.
fn precision(source: &Source) -> Option<Precision> {
    let has = |end: &str| source.tensors.iter().any(|tensor| tensor.name.ends_with(end));
    if has(".quant_state.bitsandbytes__nf4") {
        return Some(if has(".nested_absmax") { Precision::Nf4Nested } else { Precision::Nf4 });
    }
    if source.format != Format::Gguf {
        return None;
    }
    let file = GgufFile::open(source.path()).ok()?;
    Some(match file.main_type()? {
        GgmlDType::F32 => Precision::F32,
        GgmlDType::F16 => Precision::F16,
        GgmlDType::BF16 => Precision::Bf16,
        GgmlDType::Q4K => Precision::Q4K,
        GgmlDType::Q6K => Precision::Q6K,
        // A name for the budget only, the next larger: a GGUF part stays as its file has it.
        GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5K => Precision::Q5K,
        GgmlDType::Q5_1 => Precision::Q6K,
        GgmlDType::Q4_0 | GgmlDType::Q2K | GgmlDType::Q3K => Precision::Q4_0,
        _ => Precision::Q8_0,
    })
}
