use super::*;

fn json(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut value = serde_json::json!({
        "hidden_dim": 8, "style_dim": 4, "n_layer": 1, "n_token": 4, "max_dur": 5, "text_encoder_kernel_size": 5,
        "dropout": 0.2, "vocab": {"a": 1, "ˈ": 3},
        "plbert": {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8,
            "max_position_embeddings": 16, "num_hidden_layers": 2, "dropout": 0.1},
        "istftnet": {"upsample_kernel_sizes": [20, 12], "upsample_rates": [10, 6], "gen_istft_hop_size": 5,
            "gen_istft_n_fft": 20, "resblock_dilation_sizes": [[1, 3, 5]], "resblock_kernel_sizes": [3],
            "upsample_initial_channel": 16},
    });
    change(&mut value);
    value.to_string()
}

#[test]
fn the_published_sizes_pass_their_own_checks() {
    let config = KokoroConfig::published();
    assert_eq!(config.check(), Ok(()));
    assert_eq!((config.samples_per_frame(), config.context(), config.decoder_out()), (600, 510, 512));
    assert_eq!(config.vocab.len(), 114);
}

#[test]
fn unknown_keys_are_ignored_and_widths_default_to_the_release() {
    let config = KokoroConfig::parse(&json(|_| ()), "config.json").unwrap();
    assert_eq!((config.widths.decoder_hidden, config.widths.asr_res, config.decoder_out()), (1024, 64, 16));
}

#[test]
fn what_cannot_be_built_is_refused_with_key_and_value() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(Change, &str); 10] = [
        (|v| v["n_layer"] = 0.into(), "n_layer is 0"),
        (|v| v["hidden_dim"] = 7.into(), "hidden_dim is 7"),
        (|v| v["plbert"]["num_attention_heads"] = 3.into(), "does not divide into 3 heads"),
        (|v| v["plbert"]["max_position_embeddings"] = 2.into(), "max_position_embeddings is 2"),
        (|v| v["vocab"]["b"] = 4.into(), "the id 4, and n_token is 4"),
        (|v| v["vocab"]["b"] = 0.into(), "the id 0"),
        (|v| v["istftnet"]["upsample_rates"] = serde_json::json!([10]), "have 1 and 2 entries"),
        (|v| v["istftnet"]["resblock_kernel_sizes"] = serde_json::json!([4]), "a residual kernel of 4"),
        (|v| v["istftnet"]["gen_istft_hop_size"] = 11.into(), "a hop of 11"),
        (|v| v["istftnet"]["upsample_initial_channel"] = 2.into(), "2 channels cannot be halved 2 times"),
    ];
    for (change, part) in cases {
        let error = KokoroConfig::parse(&json(change), "the/config.json").unwrap_err().chain();
        assert!(error.contains(part) && error.contains("the/config.json"), "{error}");
    }
    let error = KokoroConfig::parse(&json(|v| v["vocab"] = serde_json::json!({"ab": 1})), "c").unwrap_err();
    assert!(error.chain().contains("c is not a Kokoro config: "), "{}", error.chain());
}
