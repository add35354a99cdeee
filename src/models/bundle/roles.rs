//! What the files of each model are for, and how a role is called in `bundle.toml`.

use crate::types::ModelId;

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tensors: safetensors, GGUF, or an index of shards.
    Weights,
    /// A configuration: JSON, or YAML where it is published so.
    Config,
    /// A tokenizer: `tokenizer.json`, `vocab.json` with `merges.txt`, or a SentencePiece model.
    Tokenizer,
    /// A voice: one tensor.
    Voice,
}

/// One role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    /// Its key under `files`.
    pub name: &'static str,
    /// What is in its files.
    pub kind: Kind,
    /// Whether a bundle may leave it out.
    pub optional: bool,
    /// Whether several files may fill it: shards, voices, a vocabulary with its merges.
    pub many: bool,
}

const fn one(name: &'static str, kind: Kind) -> Role {
    Role { name, kind, optional: false, many: false }
}

const fn many(name: &'static str, kind: Kind) -> Role {
    Role { name, kind, optional: false, many: true }
}

const fn optional(role: Role) -> Role {
    Role { optional: true, ..role }
}

/// Flux: the transformer may be BFL's file, diffusers' shards or GGUF; configs are missing where a layout has none.
const FLUX: [Role; 13] = [
    many("transformer", Kind::Weights),
    optional(one("transformer_config", Kind::Config)),
    many("vae", Kind::Weights),
    optional(one("vae_config", Kind::Config)),
    optional(one("config", Kind::Config)),
    many("text_encoder", Kind::Weights),
    optional(one("text_encoder_config", Kind::Config)),
    many("text_encoder_2", Kind::Weights),
    optional(one("text_encoder_2_config", Kind::Config)),
    optional(one("scheduler", Kind::Config)),
    many("tokenizer", Kind::Tokenizer),
    many("tokenizer_2", Kind::Tokenizer),
    optional(many("tokenizer_config", Kind::Config)),
];

/// Five networks and the sizes of all of them (`models.yaml`, or the same as JSON).
const LIVEPORTRAIT: [Role; 6] = [
    one("config", Kind::Config),
    one("appearance_feature_extractor", Kind::Weights),
    one("motion_extractor", Kind::Weights),
    one("warping_module", Kind::Weights),
    one("spade_generator", Kind::Weights),
    one("stitching_retargeting_module", Kind::Weights),
];

const KOKORO: [Role; 3] =
    [one("config", Kind::Config), one("weights", Kind::Weights), many("voices", Kind::Voice)];

const CLIP: [Role; 5] = [
    one("config", Kind::Config),
    many("model", Kind::Weights),
    many("tokenizer", Kind::Tokenizer),
    one("preprocessor", Kind::Config),
    optional(many("tokenizer_config", Kind::Config)),
];

/// Every role of `model`.
pub(crate) const fn of(model: ModelId) -> &'static [Role] {
    match model {
        ModelId::Flux => &FLUX,
        ModelId::LivePortrait => &LIVEPORTRAIT,
        ModelId::Kokoro => &KOKORO,
        ModelId::ClipB | ModelId::ClipL => &CLIP,
    }
}

/// The role of that name.
pub(crate) fn find(model: ModelId, name: &str) -> Option<&'static Role> {
    of(model).iter().find(|role| role.name == name)
}
