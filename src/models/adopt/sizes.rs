//! The sizes of a network for which no configuration was found, as far as its tensors tell them.

use serde_json::{Value, json};

use super::contents::Source;
use crate::models::flux::naming::llama_t5_tensor;

/// How many layers there are whose names begin with `prefix`, below any prefix of their own.
fn count(source: &Source, prefix: &str) -> usize {
    let index = |name: &str| {
        let (before, rest) = name.split_once(prefix)?;
        let is_whole = before.is_empty() || before.ends_with('.');
        rest.split('.').next()?.parse::<usize>().ok().filter(|index| is_whole && *index < 10_000)
    };
    source.tensors.iter().filter_map(|tensor| index(&tensor.name)).max().map_or(0, |last| last + 1)
}

fn dims<const N: usize>(source: &Source, name: &str) -> Option<[usize; N]> {
    source.shape_of(name)?.try_into().ok()
}

/// Width of one head of every published CLIP.
const CLIP_HEAD: usize = 64;
/// Width of one head of Flux, and how positions divide it; in no tensor.
const FLUX_HEAD: usize = 128;
const FLUX_AXES: [usize; 3] = [16, 56, 56];

/// diffusers' configuration of a Flux transformer in its names.
pub(super) fn transformer(source: &Source) -> Option<Value> {
    let [width, inputs] = dims(source, "x_embedder.weight")?;
    let [_, context] = dims(source, "context_embedder.weight")?;
    let [_, pooled] = dims(source, "time_text_embed.text_embedder.linear_1.weight")?;
    let [head] = dims(source, "single_transformer_blocks.0.attn.norm_q.weight")?;
    (head == FLUX_HEAD && width.is_multiple_of(head)).then(|| {
        json!({"in_channels": inputs, "joint_attention_dim": context, "pooled_projection_dim": pooled,
               "num_attention_heads": width / head, "attention_head_dim": head, "axes_dims_rope": FLUX_AXES,
               "num_layers": count_of(source, "transformer_blocks."),
               "num_single_layers": count(source, "single_transformer_blocks."), "guidance_embeds": is_guided(source)})
    })
}

/// Blocks called `transformer_blocks`, which `single_transformer_blocks` end like.
fn count_of(source: &Source, prefix: &str) -> usize {
    let others = Source {
        tensors: source.tensors.iter().filter(|tensor| !tensor.name.contains("single_")).cloned().collect(),
        ..source.clone()
    };
    count(&others, prefix)
}

/// Whether a transformer was distilled to take a strength of guidance, as FLUX.1-dev was.
pub(super) fn is_guided(source: &Source) -> bool {
    const SIGNS: [&str; 2] =
        ["guidance_in.in_layer.weight", "time_text_embed.guidance_embedder.linear_1.weight"];
    source.stored().has_below(&SIGNS)
}

/// Hugging Face's configuration of CLIP's text tower.
pub(super) fn clip_text(source: &Source) -> Option<Value> {
    let [vocabulary, hidden] = dims(source, "text_model.embeddings.token_embedding.weight")?;
    let [positions, _] = dims(source, "text_model.embeddings.position_embedding.weight")?;
    let [intermediate, _] = dims(source, "text_model.encoder.layers.0.mlp.fc1.weight")?;
    hidden.is_multiple_of(CLIP_HEAD).then(|| {
        json!({"hidden_size": hidden, "intermediate_size": intermediate, "num_attention_heads": hidden / CLIP_HEAD,
               "num_hidden_layers": count(source, "text_model.encoder.layers."), "vocab_size": vocabulary,
               "max_position_embeddings": positions, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
               // As old configurations say "the largest id of a text", which every CLIP's end is.
               "eos_token_id": 2})
    })
}

/// Hugging Face's configuration of both towers, with the activation `act`.
pub(super) fn clip(source: &Source, act: &str) -> Option<Value> {
    let [hidden, _, patch, _] = dims(source, "vision_model.embeddings.patch_embedding.weight")?;
    let [tokens, _] = dims(source, "vision_model.embeddings.position_embedding.weight")?;
    let [intermediate, _] = dims(source, "vision_model.encoder.layers.0.mlp.fc1.weight")?;
    let [projection, _] = dims(source, "visual_projection.weight")?;
    let mut text = clip_text(source)?;
    text["hidden_act"] = act.into();
    let side = tokens.checked_sub(1)?.isqrt() * patch;
    hidden.is_multiple_of(CLIP_HEAD).then(|| {
        json!({"projection_dim": projection, "text_config": text,
               "vision_config": {"hidden_size": hidden, "intermediate_size": intermediate,
                                 "num_attention_heads": hidden / CLIP_HEAD, "patch_size": patch, "image_size": side,
                                 "num_hidden_layers": count(source, "vision_model.encoder.layers."),
                                 "hidden_act": act, "layer_norm_eps": 1e-5}})
    })
}

/// Hugging Face's configuration of T5's encoder, in any of its namings.
pub(super) fn t5(source: &Source) -> Option<Value> {
    let of = |name: &str| dims::<2>(source, name).or_else(|| dims(source, &llama_t5_tensor(name)));
    let [vocabulary, width] = of("shared.weight").or_else(|| dims(source, "encoder.embed_tokens.weight"))?;
    let [buckets, heads] = of("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")?;
    let [inner, _] = of("encoder.block.0.layer.0.SelfAttention.q.weight")?;
    let [feed_forward, _] = of("encoder.block.0.layer.1.DenseReluDense.wi_0.weight")?;
    let layers = count(source, "encoder.block.").max(count(source, "enc.blk."));
    Some(json!({"d_model": width, "d_kv": inner / heads.max(1), "d_ff": feed_forward, "num_heads": heads,
                "num_layers": layers, "vocab_size": vocabulary, "relative_attention_num_buckets": buckets,
                "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
                "feed_forward_proj": "gated-gelu"}))
}
