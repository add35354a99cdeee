//! The files of each model in each size: configurations in the published form, and where weights go.

use safetensors::Dtype;
use serde_json::{Value, json};

use super::{Profile, tokenizers};
use crate::models::bundle::Precision;
use crate::types::{Bytes, ModelId};

mod sizes;

/// What one model's part of a bundle holds.
pub(super) struct Plan {
    pub precision: Precision,
    pub budget: Bytes,
    pub files: Vec<Planned>,
}

/// One file.
pub(super) struct Planned {
    pub role: &'static str,
    pub path: String,
    pub content: Content,
}

/// What is in it.
pub(super) enum Content {
    Text(String),
    /// Kokoro's style vectors, one row for each length of text.
    Voice {
        rows: usize,
        width: usize,
    },
    /// A network's tensors, stored as published.
    Weights(Dtype),
}

/// The voices of a synthetic bundle, some of the published ones: those that the shipped characters speak with.
pub const VOICES: [&str; 8] =
    ["af_heart", "af_nova", "af_sarah", "am_adam", "am_echo", "am_fenrir", "am_onyx", "am_puck"];

/// What `model` needs in this size.
pub(super) fn plan(model: ModelId, profile: Profile) -> Plan {
    // The origin's budgets; the tiny size stays far below any of them.
    let budget = |full: Bytes| if profile == Profile::Full { full } else { Bytes::mb(64) };
    match model {
        ModelId::Flux => {
            Plan { precision: Precision::Nf4, budget: budget(Bytes::gb(6)), files: flux(profile) }
        }
        ModelId::LivePortrait => {
            Plan { precision: Precision::F16, budget: budget(Bytes::mb(3_500)), files: liveportrait(profile) }
        }
        ModelId::Kokoro => {
            Plan { precision: Precision::F32, budget: budget(Bytes::mb(400)), files: kokoro(profile) }
        }
        ModelId::ClipB => {
            let files = clip("clip-b", &sizes::clip_b(profile));
            Plan { precision: Precision::Q8_0, budget: budget(Bytes::mb(300)), files }
        }
        ModelId::ClipL => {
            let files = clip("clip-l", &sizes::clip_l(profile));
            Plan { precision: Precision::Q8_0, budget: budget(Bytes::mb(600)), files }
        }
    }
}

fn text(role: &'static str, path: impl Into<String>, text: String) -> Planned {
    Planned { role, path: path.into(), content: Content::Text(text) }
}

fn config(role: &'static str, path: impl Into<String>, value: &Value) -> Planned {
    text(role, path, format!("{value:#}\n"))
}

fn weights(role: &'static str, path: impl Into<String>, dtype: Dtype) -> Planned {
    Planned { role, path: path.into(), content: Content::Weights(dtype) }
}

fn size_of(config: &Value, path: &str) -> usize {
    config.pointer(path).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok()).unwrap_or(0)
}

fn clip(folder: &str, sizes: &Value) -> Vec<Planned> {
    let side = size_of(sizes, "/vision_config/image_size");
    let vocab = size_of(sizes, "/text_config/vocab_size");
    vec![
        config("config", format!("{folder}/config.json"), sizes),
        text("tokenizer", format!("{folder}/tokenizer.json"), tokenizers::clip(vocab)),
        config("preprocessor", format!("{folder}/preprocessor_config.json"), &preprocessor(side)),
        weights("model", format!("{folder}/model.safetensors"), Dtype::F32),
    ]
}

/// CLIP's published preprocessing (openai/CLIP, `clip.py`): bicubic (PIL's number 3), centre crop, mean and deviation.
fn preprocessor(side: usize) -> Value {
    json!({
        "do_resize": true, "size": {"shortest_edge": side}, "resample": 3,
        "do_center_crop": true, "crop_size": {"height": side, "width": side},
        "do_rescale": true, "rescale_factor": 1.0 / 255.0, "do_convert_rgb": true,
        "do_normalize": true, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], "image_processor_type": "CLIPImageProcessor",
    })
}

fn flux(profile: Profile) -> Vec<Planned> {
    let text_encoder = sizes::flux_text_encoder(profile);
    let vocab = size_of(&text_encoder, "/vocab_size");
    vec![
        config("config", "flux/config.json", &sizes::flux(profile)),
        config("scheduler", "flux/scheduler/scheduler_config.json", &sizes::flux_scheduler()),
        config("text_encoder_config", "flux/text_encoder/config.json", &text_encoder),
        config("text_encoder_2_config", "flux/text_encoder_2/config.json", &sizes::t5(profile)),
        text("tokenizer", "flux/tokenizer/tokenizer.json", tokenizers::clip(vocab)),
        text("tokenizer_2", "flux/tokenizer_2/tokenizer.json", tokenizers::t5()),
        weights("transformer", "flux/flux1-schnell.safetensors", Dtype::BF16),
        weights("vae", "flux/ae.safetensors", Dtype::F32),
        weights("text_encoder", "flux/text_encoder/model.safetensors", Dtype::BF16),
        weights("text_encoder_2", "flux/text_encoder_2/model.safetensors", Dtype::BF16),
    ]
}

fn liveportrait(profile: Profile) -> Vec<Planned> {
    let networks = [
        "appearance_feature_extractor",
        "motion_extractor",
        "warping_module",
        "spade_generator",
        "stitching_retargeting_module",
    ];
    let mut files = vec![config("config", "liveportrait/models.json", &sizes::liveportrait(profile))];
    files.extend(networks.map(|role| weights(role, format!("liveportrait/{role}.safetensors"), Dtype::F32)));
    files
}

fn kokoro(profile: Profile) -> Vec<Planned> {
    let sizes = sizes::kokoro(profile);
    // Two positions of the longest text are its ends (hexgrad/Kokoro-82M: 512 positions, 510 rows).
    let rows = size_of(&sizes, "/plbert/max_position_embeddings").saturating_sub(2);
    let width = 2 * size_of(&sizes, "/style_dim");
    let voice = |name: &str| Planned {
        role: "voices",
        path: format!("kokoro/voices/{name}.safetensors"),
        content: Content::Voice { rows, width },
    };
    let mut files = vec![config("config", "kokoro/config.json", &sizes)];
    files.extend(VOICES.map(voice));
    files.push(weights("weights", "kokoro/kokoro-v1_0.safetensors", Dtype::F32));
    files
}
