//! Kokoro out of what was found: its network, its configuration and its voices.

use std::collections::BTreeMap;

use serde_json::Value;

use super::choose::{Chooser, fit, sized};
use super::contents::{Format, Source};
use super::draft::{Draft, PUBLISHED, Piece, Sizes};
use super::kinds::Kind;
use super::npz;
use crate::models::catalog;
use crate::models::kokoro::config::KokoroConfig;
use crate::models::synth;
use crate::types::ModelId;

const MODEL: ModelId = ModelId::Kokoro;

/// The model, or what is missing of it.
pub(super) fn draft(chooser: &mut Chooser<'_>) -> Result<Draft, String> {
    let texts = &chooser.found.texts;
    let fits = |source: &Source, text: &str| {
        let mut config = KokoroConfig::parse(text, "config.json").map_err(|error| error.chain())?;
        config.take_widths(|name| source.shape_of(name));
        fit(source, &catalog::kokoro(&config).map_err(|error| error.chain())?)?;
        Ok(config)
    };
    let best = chooser.best((MODEL, "weights"), &[Kind::Kokoro], |source| {
        let by = |value: &Value| value.get("istftnet").map(|_| fits(source, &value.to_string()));
        sized(texts, source.path(), by, || {
            let text = synth::published(MODEL, "config").unwrap_or_default();
            let config = fits(source, &text)?;
            Ok((Sizes::Made { text, about: PUBLISHED }, config))
        })
    });
    let Some((source, (found, config))) = best else { return Err("without Kokoro's network".to_owned()) };
    let mut draft = Draft::new(synth::precision(MODEL));
    draft.weights("weights", source);
    draft.sizes("config", found);
    let voices = voices(chooser, 2 * config.style_dim, config.context());
    if voices.is_empty() {
        return Err(format!(
            "without a voice: none of the files is a tensor [{}, 1, {}]; hexgrad/Kokoro-82M has them under voices",
            config.context(),
            2 * config.style_dim
        ));
    }
    for piece in voices.into_values() {
        draft.put("voices", piece);
    }
    Ok(draft)
}

/// Every voice by name; of two that are called alike, the one that is read as it is.
fn voices(chooser: &mut Chooser<'_>, width: usize, rows: usize) -> BTreeMap<String, Piece> {
    let mut sources: Vec<&Source> = chooser.of(&[Kind::Voices]).collect();
    sources.sort_by_key(|source| (!source.is_direct(), source.path()));
    let mut voices: BTreeMap<String, (Piece, &Source)> = BTreeMap::new();
    for source in sources {
        let mut fitting = Vec::new();
        let mut wrong = None;
        for (place, tensor) in source.tensors.iter().enumerate() {
            match shaped(source, place, width, rows) {
                Ok(()) => fitting.push((place, name(source, &tensor.name))),
                Err(why) => wrong = Some(why),
            }
        }
        if let Some(why) = wrong {
            chooser.say(source, why);
        }
        for (place, name) in fitting {
            if let Some((_, other)) = voices.get(&name) {
                chooser.choices.push(super::Choice {
                    model: MODEL,
                    role: "voices",
                    taken: other.path().to_owned(),
                    left: source.path().to_owned(),
                    why: format!(
                        "both are the voice {name:?}; the first is read as it is, or comes first by name"
                    ),
                });
                let told = format!("the voice {name:?}, which {} is taken for", other.path().display());
                chooser.say(source, told);
                continue;
            }
            chooser.uses(source, (MODEL, "voices"));
            let piece = if source.format == Format::Safetensors && source.tensors.len() == 1 {
                Piece::File { path: source.path().to_owned(), suffix: Some("safetensors") }
            } else {
                Piece::Voice { from: source.clone(), tensor: place, name: name.clone(), width }
            };
            voices.insert(name, (piece, source));
        }
    }
    voices.into_iter().map(|(name, (piece, _))| (name, piece)).collect()
}

/// A voice that is alone in its file has the file's name, as Kokoro's loader reads it.
fn name(source: &Source, tensor: &str) -> String {
    if source.tensors.len() == 1 && !(source.format == Format::Npz && is_archive(source)) {
        return source.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    }
    // A name becomes a file's.
    tensor.replace(['/', '\\', ':'], "_")
}

fn is_archive(source: &Source) -> bool {
    source.path().extension().is_none_or(|suffix| suffix != "npy")
}

/// Fails unless the tensor can be a voice of this width.
fn shaped(source: &Source, place: usize, width: usize, rows: usize) -> Result<(), String> {
    let shape = source.tensors.get(place).map_or(&[][..], |tensor| tensor.shape.as_slice());
    match shape {
        [_, 1, columns] | [_, columns] if *columns == width => Ok(()),
        // Bare floats say nothing of themselves; the releases' voices have a row for each length, or one more.
        [values] if source.format == Format::Raw => {
            let is_whole = [rows, rows + 1].iter().any(|rows| rows * width == *values);
            let sane = |value: &f32| value.is_finite() && value.abs() < 100.0;
            let read = || raw(source).is_ok_and(|values| values.iter().all(sane));
            if is_whole && read() {
                return Ok(());
            }
            Err(format!(
                "{values} bare floats; a voice without a header would be [{rows}, 1, {width}] of small numbers"
            ))
        }
        other => Err(format!("a tensor {other:?}; a voice is [{rows}, 1, {width}]")),
    }
}

fn raw(source: &Source) -> Result<Vec<f32>, String> {
    let bytes = std::fs::read(source.path()).map_err(|error| format!("cannot be read: {error}"))?;
    Ok(bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

/// The values of a voice of `width` in numpy's form or as bare floats, and its shape as a loader wants it.
pub(super) fn values(source: &Source, place: usize, width: usize) -> Result<(Vec<f32>, Vec<usize>), String> {
    let Some(tensor) = source.tensors.get(place) else { return Err("has no such tensor".to_owned()) };
    let values =
        if source.format == Format::Npz { npz::values(source.path(), &tensor.name)? } else { raw(source)? };
    let rows = values.len() / width.max(1);
    Ok((values, vec![rows, 1, width]))
}
