use serde_json::json;

use super::*;

fn published() -> Value {
    json!({ "flux": { "in_channels": 64, "vec_in_dim": 768, "context_in_dim": 4096, "hidden_size": 3072,
        "mlp_ratio": 4.0, "num_heads": 24, "depth": 19, "depth_single_blocks": 38, "axes_dim": [16, 56, 56],
        "theta": 10000, "qkv_bias": true, "guidance_embed": false } })
}

#[test]
fn both_publishers_configurations_of_schnell_are_the_same() {
    let diffusers = json!({ "in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128,
        "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768, "out_channels": null,
        "guidance_embeds": false, "_class_name": "FluxTransformer2DModel" });
    assert_eq!(TransformerConfig::from_json(&published()).unwrap(), TransformerConfig::schnell());
    assert_eq!(TransformerConfig::from_json(&diffusers).unwrap(), TransformerConfig::schnell());
}

#[test]
fn sizes_that_contradict_each_other_are_refused_by_name() {
    for (field, value, told) in [
        ("num_heads", json!(7), "does not divide into 7 heads"),
        ("axes_dim", json!([16, 56, 55]), "position axes"),
        ("hidden_size", json!(0), "the width is 0"),
        ("in_channels", json!(62), "divisible by 4"),
        ("depth", json!("many"), "not as expected"),
    ] {
        let mut config = published();
        config["flux"][field] = value;
        let error = TransformerConfig::from_json(&config).unwrap_err().chain();
        assert!(error.contains(told), "{field}: {error}");
    }
}

#[test]
fn a_file_without_configuration_is_measured() {
    let full = TransformerConfig::schnell();
    let specs = crate::models::flux::tensors::transformer(
        &full,
        crate::models::flux::transformer::Layout::BlackForestLabs,
    )
    .unwrap();
    let shapes = specs.iter().map(|spec| (spec.name.as_str(), spec.shape.dims()));
    assert_eq!(TransformerConfig::from_shapes(shapes).unwrap(), full);
    let error =
        TransformerConfig::from_shapes([("img_in.weight", [3usize, 4].as_slice())].into_iter()).unwrap_err();
    assert!(error.to_string().contains("query_norm.scale"), "{error}");
}

#[test]
fn the_autoencoders_groups_come_from_its_configuration() {
    let mut config = json!({ "out_channels": 3, "latent_channels": 16, "block_out_channels": [32, 48],
        "layers_per_block": 2, "norm_num_groups": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159 });
    assert_eq!(VaeConfig::from_json(&config).unwrap().groups, 16);
    config["norm_num_groups"] = json!(32);
    assert!(
        VaeConfig::from_json(&config).unwrap_err().to_string().contains("48 channels do not divide into 32")
    );
    config["norm_num_groups"] = json!(0);
    assert!(VaeConfig::from_json(&config).unwrap_err().to_string().contains("groups is 0"));
}

#[test]
fn text_encoders_of_another_kind_are_refused() {
    let t5 = json!({ "d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2, "num_layers": 1, "vocab_size": 9,
        "feed_forward_proj": "relu" });
    assert!(T5Config::from_json(&t5).unwrap_err().to_string().contains("gated-gelu is understood"));
    let clip = json!({ "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1,
        "vocab_size": 9, "max_position_embeddings": 7, "hidden_act": "gelu" });
    assert!(ClipConfig::from_json(&clip).unwrap_err().to_string().contains("quick_gelu is understood"));
}
