//! The configurations themselves. The full ones are the published ones, named at each; the tiny ones keep every
//! structural feature (heads, groups, up- and down-sampling, all kinds of block) and shrink every dimension.

use serde_json::{Value, json};

use crate::models::kokoro::config::KokoroConfig;
use crate::models::synth::{Profile, tokenizers};

/// openai/clip-vit-base-patch32.
pub(super) fn clip_b(profile: Profile) -> Value {
    match profile {
        Profile::Full => clip(512, 49_408, 77, [512, 8, 12], [768, 12, 12], (224, 32)),
        Profile::Tiny => clip(64, tokenizers::CLIP_LEAST, 77, [64, 2, 2], [64, 2, 2], (64, 32)),
    }
}

/// openai/clip-vit-large-patch14.
pub(super) fn clip_l(profile: Profile) -> Value {
    match profile {
        Profile::Full => clip(768, 49_408, 77, [768, 12, 12], [1024, 16, 24], (224, 14)),
        Profile::Tiny => clip(96, tokenizers::CLIP_LEAST, 77, [64, 2, 3], [96, 3, 3], (56, 14)),
    }
}

/// Widths are [hidden, heads, layers]; the picture is (side, patch).
fn clip(
    projection: usize,
    vocab: usize,
    positions: usize,
    text: [usize; 3],
    vision: [usize; 3],
    picture: (usize, usize),
) -> Value {
    let tower = |kind: &str, [hidden, heads, layers]: [usize; 3]| {
        json!({"model_type": kind, "hidden_size": hidden, "intermediate_size": 4 * hidden,
               "num_attention_heads": heads, "num_hidden_layers": layers, "projection_dim": projection,
               "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5})
    };
    let (mut text, mut vision) = (tower("clip_text_model", text), tower("clip_vision_model", vision));
    let (start, end) = tokenizers::clip_ends(vocab);
    let more = [
        ("vocab_size", vocab),
        ("max_position_embeddings", positions),
        ("bos_token_id", start),
        ("eos_token_id", end),
        ("pad_token_id", end),
    ];
    more.into_iter().for_each(|(key, value)| text[key] = json!(value));
    (vision["image_size"], vision["patch_size"]) = (json!(picture.0), json!(picture.1));
    json!({"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": projection,
           "logit_scale_init_value": 2.6592, "text_config": text, "vision_config": vision})
}

/// black-forest-labs/flux, `src/flux/util.py`: `flux-schnell`.
pub(super) fn flux(profile: Profile) -> Value {
    let (transformer, autoencoder) = match profile {
        Profile::Full => (
            json!({"in_channels": 64, "out_channels": 64, "vec_in_dim": 768, "context_in_dim": 4096,
                   "hidden_size": 3072, "mlp_ratio": 4.0, "num_heads": 24, "depth": 19,
                   "depth_single_blocks": 38, "axes_dim": [16, 56, 56], "theta": 10_000, "qkv_bias": true,
                   "guidance_embed": false}),
            json!({"resolution": 256, "in_channels": 3, "ch": 128, "out_ch": 3, "ch_mult": [1, 2, 4, 4],
                   "num_res_blocks": 2, "z_channels": 16, "scale_factor": 0.3611, "shift_factor": 0.1159}),
        ),
        Profile::Tiny => (
            json!({"in_channels": 64, "out_channels": 64, "vec_in_dim": 64, "context_in_dim": 64,
                   "hidden_size": 64, "mlp_ratio": 4.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 2,
                   "axes_dim": [8, 12, 12], "theta": 10_000, "qkv_bias": true, "guidance_embed": false}),
            json!({"resolution": 256, "in_channels": 3, "ch": 32, "out_ch": 3, "ch_mult": [1, 2, 2, 1],
                   "num_res_blocks": 1, "z_channels": 16, "scale_factor": 0.3611, "shift_factor": 0.1159}),
        ),
    };
    json!({"flux": transformer, "autoencoder": autoencoder})
}

/// black-forest-labs/FLUX.1-schnell, `scheduler/scheduler_config.json`.
pub(super) fn flux_scheduler() -> Value {
    json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "base_image_seq_len": 256, "base_shift": 0.5,
           "max_image_seq_len": 4096, "max_shift": 1.15, "num_train_timesteps": 1000, "shift": 1.0,
           "use_dynamic_shifting": false})
}

/// The same, `text_encoder/config.json`: CLIP ViT-L/14's text tower.
pub(super) fn flux_text_encoder(profile: Profile) -> Value {
    let (vocab, hidden, heads, layers) = match profile {
        Profile::Full => (49_408, 768, 12, 12),
        Profile::Tiny => (tokenizers::CLIP_LEAST, 64, 2, 2),
    };
    let (start, end) = tokenizers::clip_ends(vocab);
    json!({"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "hidden_size": hidden,
           "intermediate_size": 4 * hidden, "num_attention_heads": heads, "num_hidden_layers": layers,
           "vocab_size": vocab, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
           "projection_dim": hidden, "bos_token_id": start, "eos_token_id": end, "pad_token_id": end})
}

/// The same, `text_encoder_2/config.json`: T5 v1.1 XXL's encoder.
pub(super) fn t5(profile: Profile) -> Value {
    let (width, head, inner, heads, layers, vocab) = match profile {
        Profile::Full => (4096, 64, 10_240, 64, 24, 32_128),
        Profile::Tiny => (64, 16, 128, 4, 2, 128),
    };
    json!({"architectures": ["T5EncoderModel"], "model_type": "t5", "d_model": width, "d_kv": head, "d_ff": inner,
           "num_heads": heads, "num_layers": layers, "vocab_size": vocab, "feed_forward_proj": "gated-gelu",
           "dense_act_fn": "gelu_new", "is_gated_act": true, "is_encoder_decoder": true,
           "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128,
           "layer_norm_epsilon": 1e-6, "tie_word_embeddings": false, "pad_token_id": 0, "eos_token_id": 1})
}

/// hexgrad/Kokoro-82M, `config.json`.
pub(super) fn kokoro(profile: Profile) -> Value {
    // The release's symbols: whoever reads this configuration knows them already.
    let symbols = KokoroConfig::published().vocab;
    let vocabulary: Value = symbols.iter().map(|(symbol, id)| (symbol.to_string(), json!(id))).collect();
    let (hidden, style, rest) = match profile {
        Profile::Full => (
            512,
            128,
            json!({"dim_in": 64, "max_conv_dim": 512, "max_dur": 50,
                   "plbert": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 2048,
                              "max_position_embeddings": 512, "num_hidden_layers": 12, "dropout": 0.1}}),
        ),
        Profile::Tiny => (
            32,
            16,
            json!({"dim_in": 8, "max_conv_dim": 32, "max_dur": 50,
                   "plbert": {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 64,
                              "max_position_embeddings": 512, "num_hidden_layers": 2, "dropout": 0.1},
                   // The release's code fixes these widths; the loader reads smaller ones here.
                   "_tiny": {"decoder_hidden": 40, "decoder_out": 32, "asr_res": 8}}),
        ),
    };
    let mut config = json!({
        "istftnet": {"upsample_kernel_sizes": [20, 12], "upsample_rates": [10, 6], "gen_istft_hop_size": 5,
                     "gen_istft_n_fft": 20, "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
                     "resblock_kernel_sizes": [3, 7, 11], "upsample_initial_channel": hidden},
        "dropout": 0.2, "hidden_dim": hidden, "multispeaker": true, "n_layer": 3, "n_mels": 80, "n_token": 178,
        "style_dim": style, "text_encoder_kernel_size": 5, "vocab": vocabulary,
    });
    if let (Value::Object(config), Value::Object(rest)) = (&mut config, rest) {
        config.extend(rest);
    }
    config
}

/// KwaiVGI/LivePortrait, `src/config/models.yaml`.
pub(super) fn liveportrait(profile: Profile) -> Value {
    let heads = |points: usize, hidden: &[usize], eye: &[usize]| {
        let flat = 3 * points;
        json!({"stitching": {"input_size": 2 * flat, "hidden_sizes": hidden, "output_size": flat + 2},
               "lip": {"input_size": flat + 2, "hidden_sizes": hidden, "output_size": flat},
               "eye": {"input_size": flat + 3, "hidden_sizes": eye, "output_size": flat}})
    };
    let networks = match profile {
        Profile::Full => json!({
            "appearance_feature_extractor_params": {"image_channel": 3, "block_expansion": 64, "num_down_blocks": 2,
                "max_features": 512, "reshape_channel": 32, "reshape_depth": 16, "num_resblocks": 6},
            "motion_extractor_params": {"num_kp": 21, "backbone": "convnextv2_tiny"},
            "warping_module_params": {"num_kp": 21, "block_expansion": 64, "max_features": 512, "num_down_blocks": 2,
                "reshape_channel": 32, "estimate_occlusion_map": true,
                "dense_motion_params": {"block_expansion": 32, "max_features": 1024, "num_blocks": 5,
                    "reshape_depth": 16, "compress": 4}},
            "spade_generator_params": {"upscale": 2, "block_expansion": 64, "max_features": 512, "num_down_blocks": 2},
            "stitching_retargeting_module_params": heads(21, &[128, 128, 64], &[256, 256, 128, 128, 64]),
        }),
        // 21 keypoints here as well: the editing controls name them.
        Profile::Tiny => json!({
            "appearance_feature_extractor_params": {"image_channel": 3, "block_expansion": 4, "num_down_blocks": 2,
                "max_features": 16, "reshape_channel": 4, "reshape_depth": 4, "num_resblocks": 2},
            "motion_extractor_params": {"num_kp": 21, "backbone": "convnextv2_tiny", "depths": [1, 1, 2, 1],
                "dims": [8, 12, 16, 24]},
            "warping_module_params": {"num_kp": 21, "block_expansion": 1, "max_features": 16, "num_down_blocks": 2,
                "reshape_channel": 4, "estimate_occlusion_map": true,
                "dense_motion_params": {"block_expansion": 4, "max_features": 12, "num_blocks": 3,
                    "reshape_depth": 4, "compress": 2}},
            // Published hidden and last channels alone would cost a hundred times the rest.
            "spade_generator_params": {"upscale": 2, "block_expansion": 1, "max_features": 16, "num_down_blocks": 2,
                "nhidden": 8, "out_channels": 8},
            "stitching_retargeting_module_params": heads(21, &[16, 16, 12], &[20, 20, 16, 16, 12]),
        }),
    };
    match profile {
        Profile::Full => json!({"model_params": networks}),
        // A sixteenth of the published pixels: frames that mean nothing need not take long.
        Profile::Tiny => json!({"input_shape": [64, 64], "model_params": networks}),
    }
}
