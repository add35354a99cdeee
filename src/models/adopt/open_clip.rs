//! CLIP in OpenAI's own names, which open_clip's checkpoints have, and the same in Hugging Face's.
//!
//! The difference is more than names: open_clip keeps the three projections of an attention in one matrix, and both
//! projections into the common space the other way round (`transformers`, `convert_clip_original_pytorch_to_hf.py`).
//! Such a file is therefore rewritten; nothing here reads it as it is.

use std::io::Write;
use std::path::Path;

use safetensors::Dtype;

use super::contents::{Format, Source, Tensor};
use crate::contract::ModelError;
use crate::models::weights::pickle::Checkpoint;
use crate::models::weights::writer::{Entry, Written, write_safetensors};
use crate::models::weights::{Weights, WeightsError};

/// What becomes of a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// One of three equal parts of its rows.
    Third(usize),
    Transposed,
}

/// Where one of Hugging Face's tensors is in open_clip's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    name: String,
    from: usize,
    part: Part,
    shape: Vec<usize>,
}

/// `source` as it will be when it is rewritten: names and shapes.
pub(super) fn renamed(source: &Source) -> Source {
    let tensors = moves(&source.tensors);
    let tensors = tensors.into_iter().map(|moved| Tensor { name: moved.name, shape: moved.shape }).collect();
    Source { tensors, ..source.clone() }
}

fn moves(tensors: &[Tensor]) -> Vec<Move> {
    let mut moves = Vec::new();
    for (from, tensor) in tensors.iter().enumerate() {
        for (name, part) in names(&tensor.name) {
            let shape = match (part, tensor.shape.as_slice()) {
                (Part::Third(_), [rows, rest @ ..]) => [&[rows / 3][..], rest].concat(),
                (Part::Transposed, [a, b]) => vec![*b, *a],
                (_, shape) => shape.to_vec(),
            };
            moves.push(Move { name, from, part, shape });
        }
    }
    moves.sort_by(|a, b| a.name.cmp(&b.name));
    moves
}

/// Hugging Face's names for one of open_clip's; none for buffers.
fn names(name: &str) -> Vec<(String, Part)> {
    // Wrappers of training, and the name that newer classes give the whole text tower.
    let name = name.strip_prefix("module.").unwrap_or(name);
    let name = name.strip_prefix("text.").unwrap_or(name);
    let one = |name: &str| vec![(name.to_owned(), Part::Whole)];
    let (tower, rest) = match name.strip_prefix("visual.") {
        Some(rest) => ("vision_model", rest),
        None => ("text_model", name),
    };
    match (tower, rest) {
        ("vision_model", "proj") => return vec![("visual_projection.weight".to_owned(), Part::Transposed)],
        ("vision_model", "class_embedding") => return one("vision_model.embeddings.class_embedding"),
        ("vision_model", "conv1.weight") => return one("vision_model.embeddings.patch_embedding.weight"),
        ("text_model", "text_projection") => {
            return vec![("text_projection.weight".to_owned(), Part::Transposed)];
        }
        ("text_model", "text_projection.weight" | "logit_scale") => return one(rest),
        ("text_model", "token_embedding.weight") => {
            return one("text_model.embeddings.token_embedding.weight");
        }
        (_, "positional_embedding") => return one(&format!("{tower}.embeddings.position_embedding.weight")),
        _ => {}
    }
    if let Some((norm, kind)) = rest.split_once('.')
        && let Some(norm) = match norm {
            "ln_pre" => Some("pre_layrnorm"),
            "ln_post" => Some("post_layernorm"),
            "ln_final" => Some("final_layer_norm"),
            _ => None,
        }
    {
        return one(&format!("{tower}.{norm}.{kind}"));
    }
    let Some((layer, inside)) =
        rest.strip_prefix("transformer.resblocks.").and_then(|rest| rest.split_once('.'))
    else {
        return Vec::new();
    };
    let at = |inside: &str| format!("{tower}.encoder.layers.{layer}.{inside}");
    if let Some(kind) = inside.strip_prefix("attn.in_proj_") {
        let thirds = ["q_proj", "k_proj", "v_proj"].into_iter().enumerate();
        return thirds
            .map(|(place, name)| (at(&format!("self_attn.{name}.{kind}")), Part::Third(place)))
            .collect();
    }
    const LAYERS: [(&str, &str); 5] = [
        ("ln_1.", "layer_norm1."),
        ("ln_2.", "layer_norm2."),
        ("attn.out_proj.", "self_attn.out_proj."),
        ("mlp.c_fc.", "mlp.fc1."),
        ("mlp.c_proj.", "mlp.fc2."),
    ];
    let known = LAYERS.iter().find_map(|(theirs, ours)| Some((inside.strip_prefix(theirs)?, ours)));
    known.map_or_else(Vec::new, |(kind, ours)| one(&at(&format!("{ours}{kind}"))))
}

/// Rewrites `source` as `to`.
pub(super) fn convert(source: &Source, to: &Path) -> Result<Written, ModelError> {
    let moves = moves(&source.tensors);
    if source.format == Format::Pickle {
        let mut checkpoint = Checkpoint::open(source.path())?;
        let types: Vec<Dtype> = checkpoint.tensors().iter().map(|tensor| tensor.dtype).collect();
        return written(source, &moves, to, &types, |place| Ok(checkpoint.values(place)?));
    }
    let weights = Weights::open(&source.files)?;
    let found = |place: usize| {
        let name = source.tensors.get(place).map_or("", |tensor| tensor.name.as_str());
        weights.find(name).ok_or_else(|| weights.missing(name, None))
    };
    let types: Vec<Dtype> =
        (0..source.tensors.len()).map(|place| found(place).map(|it| it.dtype)).collect::<Result<_, _>>()?;
    written(source, &moves, to, &types, |place| Ok(found(place)?.bytes.to_vec()))
}

fn written(
    source: &Source,
    moves: &[Move],
    to: &Path,
    types: &[Dtype],
    mut values: impl FnMut(usize) -> Result<Vec<u8>, ModelError>,
) -> Result<Written, ModelError> {
    let type_of = |moved: &Move| types.get(moved.from).copied().unwrap_or(Dtype::F32);
    let entry =
        |moved: &Move| Entry { name: moved.name.clone(), dtype: type_of(moved), shape: moved.shape.clone() };
    let entries: Vec<Entry> = moves.iter().map(entry).collect();
    write_safetensors(to, &entries, |place, file: &mut dyn Write| {
        let Some(moved) = moves.get(place) else { return Ok(()) };
        let bytes = values(moved.from)?;
        let width = type_of(moved).bitsize() / 8;
        let shape = source.tensors.get(moved.from).map_or(&[][..], |tensor| tensor.shape.as_slice());
        let part = match (moved.part, shape) {
            (Part::Third(third), _) => {
                let size = bytes.len() / 3;
                bytes.get(third * size..(third + 1) * size).unwrap_or_default().to_vec()
            }
            (Part::Transposed, [rows, cols]) => transposed(&bytes, (*rows, *cols), width),
            _ => bytes,
        };
        let failed = |error| WeightsError::Unwritable { file: to.to_owned(), source: error };
        file.write_all(&part).map_err(failed)?;
        Ok(())
    })
}

fn transposed(bytes: &[u8], (rows, cols): (usize, usize), width: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for col in 0..cols {
        for row in 0..rows {
            let at = (row * cols + col) * width;
            out.extend_from_slice(bytes.get(at..at + width).unwrap_or_default());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_name_has_its_place() {
        let said = |name: &str| names(name).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
        for (theirs, ours) in [
            ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
            ("visual.ln_pre.bias", "vision_model.pre_layrnorm.bias"),
            (
                "visual.transformer.resblocks.3.mlp.c_fc.weight",
                "vision_model.encoder.layers.3.mlp.fc1.weight",
            ),
            ("module.transformer.resblocks.0.ln_1.weight", "text_model.encoder.layers.0.layer_norm1.weight"),
            ("text.token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
            ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
            ("ln_final.weight", "text_model.final_layer_norm.weight"),
            ("visual.proj", "visual_projection.weight"),
            ("text_projection", "text_projection.weight"),
            ("logit_scale", "logit_scale"),
            ("attn_mask", ""),
        ] {
            assert_eq!(said(theirs), ours, "{theirs}");
        }
        let three = said("transformer.resblocks.1.attn.in_proj_bias");
        let at = "text_model.encoder.layers.1.self_attn";
        assert_eq!(three, format!("{at}.q_proj.bias {at}.k_proj.bias {at}.v_proj.bias"));
    }

    #[test]
    fn a_matrix_is_turned_by_its_values() {
        assert_eq!(
            transposed(&[1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], (2, 3), 2),
            [1, 1, 4, 4, 2, 2, 5, 5, 3, 3, 6, 6]
        );
    }
}
