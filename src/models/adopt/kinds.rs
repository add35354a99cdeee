//! Which networks a list of tensors belongs to, by tensors that only they have, under any prefix and in any naming.

use super::contents::{Format, Source};

/// A network that a bundle has a place for, or the voices of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Flux's transformer, in Black Forest Labs' names or diffusers'.
    Transformer,
    /// Its autoencoder, in either naming.
    Autoencoder,
    /// CLIP's text tower.
    ClipText,
    /// T5's encoder, in Hugging Face's names or llama.cpp's.
    T5,
    /// Both towers of CLIP.
    Clip,
    /// The same in OpenAI's names, which open_clip kept.
    OpenClip,
    /// One of LivePortrait's files, by its place in [`PORTRAIT`].
    Portrait(usize),
    Kokoro,
    /// Kokoro's, one or many.
    Voices,
}

/// LivePortrait's roles, in the order of its files.
pub(super) use crate::models::liveportrait::networks::FILES as PORTRAIT;

/// Each network with names of its; one of them is enough.
const SIGNS: [(Kind, &[&str]); 12] = [
    (
        Kind::Transformer,
        &["double_blocks.0.img_attn.qkv.weight", "single_transformer_blocks.0.attn.to_q.weight"],
    ),
    (Kind::Autoencoder, &["decoder.up.0.block.0.conv1.weight", "decoder.up_blocks.0.resnets.0.conv1.weight"]),
    (Kind::ClipText, &["text_model.embeddings.token_embedding.weight"]),
    (Kind::T5, &["encoder.block.0.layer.0.SelfAttention.q.weight", "enc.blk.0.attn_q.weight"]),
    (Kind::Clip, &["vision_model.embeddings.patch_embedding.weight"]),
    (Kind::OpenClip, &["visual.transformer.resblocks.0.attn.in_proj_weight"]),
    (Kind::Portrait(0), &["resblocks_3d.3dr0.conv1.weight"]),
    (Kind::Portrait(1), &["detector.downsample_layers.0.0.weight", "detector.fc_kp.weight"]),
    (Kind::Portrait(2), &["dense_motion_network.compress.weight"]),
    (Kind::Portrait(3), &["G_middle_0.conv_0.weight_orig", "G_middle_0.conv_0.weight"]),
    (Kind::Portrait(4), &["retarget_shoulder.mlp.0.weight"]),
    (Kind::Kokoro, &["decoder.generator.conv_post.weight_v", "decoder.generator.conv_post.weight"]),
];

/// What else people have beside these models, with a part of a name that gives it away.
const OTHERS: [(&str, &str); 9] = [
    ("lora_", "a LoRA: changes to another network's weights, which are not merged here"),
    (".lokr_", "a LoKr: changes to another network's weights, which are not merged here"),
    ("controlnet", "a ControlNet"),
    ("input_blocks.0.0.weight", "the U-Net of Stable Diffusion"),
    ("joint_blocks.0.", "the transformer of Stable Diffusion 3"),
    ("down_blocks.0.attentions.0.transformer_blocks", "the U-Net of Stable Diffusion"),
    ("ip_adapter", "an IP-Adapter"),
    ("double_stream_modulation_img", "the transformer of FLUX.2"),
    ("decoder.block.0.layer.0.SelfAttention", "T5's decoder alone"),
];

/// Rows of a voice, at the least: shorter ones would be something else that has this shape.
const LEAST_ROWS: usize = 16;

/// Every network that `source` has tensors of.
pub(super) fn of(source: &Source) -> Vec<Kind> {
    if matches!(source.format, Format::Npz | Format::Raw) || is_voices(source) {
        return vec![Kind::Voices];
    }
    let stored = source.stored();
    let found = SIGNS.iter().filter(|(_, signs)| stored.has_below(signs)).map(|(kind, _)| *kind);
    found.collect()
}

/// Whether there is nothing but tensors [rows, 1, width] or [rows, width].
fn is_voices(source: &Source) -> bool {
    let is_voice = |shape: &[usize]| match shape {
        [rows, 1, width] | [rows, width] => *rows >= LEAST_ROWS && width.is_multiple_of(2),
        _ => false,
    };
    let is_small = source.tensors.len() <= 1000;
    let named_alone = source.tensors.iter().all(|tensor| !tensor.name.contains('.'));
    is_small && named_alone && !source.tensors.is_empty() && source.shapes().all(|(_, shape)| is_voice(shape))
}

/// What a source is that has tensors of no network here.
pub(super) fn strange(source: &Source) -> String {
    let has = |part: &str| source.tensors.iter().any(|tensor| tensor.name.contains(part));
    if let Some((_, what)) = OTHERS.iter().find(|(part, _)| has(part)) {
        return format!("{what}; no model here takes it");
    }
    let some: Vec<&str> = source.tensors.iter().take(3).map(|tensor| tensor.name.as_str()).collect();
    match source.tensors.len() {
        0 => "holds no tensors".to_owned(),
        count => format!("{count} tensors of none of the networks here, such as {}", some.join(", ")),
    }
}

/// What people call it.
pub(super) fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Transformer => "Flux's transformer",
        Kind::Autoencoder => "an autoencoder",
        Kind::ClipText => "CLIP's text encoder",
        Kind::T5 => "T5's encoder",
        Kind::Clip | Kind::OpenClip => "a CLIP",
        Kind::Portrait(place) => PORTRAIT.get(place).copied().unwrap_or("LivePortrait"),
        Kind::Kokoro => "Kokoro",
        Kind::Voices => "voices",
    }
}
