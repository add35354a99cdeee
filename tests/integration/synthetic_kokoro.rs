//! A Kokoro of any size with seeded weights, on disk as a bundle has it: for tests and benchmarks without a download.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use candle_nn::Init;
use vortex_node::models::kokoro::KokoroFiles;
use vortex_node::models::kokoro::config::KokoroConfig;
use vortex_node::models::kokoro::net::tensors;
use vortex_node::models::noise::Noise;

/// The release's vocabulary and vocoder rates at a fraction of its widths.
#[allow(dead_code, reason = "the benchmark runs the full size")]
pub fn small() -> KokoroConfig {
    let mut config = KokoroConfig::published();
    (config.hidden_dim, config.style_dim, config.n_layer) = (32, 16, 1);
    config.plbert.hidden_size = 32;
    config.plbert.num_attention_heads = 2;
    config.plbert.intermediate_size = 32;
    config.plbert.num_hidden_layers = 1;
    config.plbert.embedding_size = 16;
    config.istftnet.upsample_initial_channel = 32;
    config.istftnet.resblock_kernel_sizes = vec![3];
    config.istftnet.resblock_dilation_sizes = vec![vec![1, 3]];
    config.widths.decoder_hidden = 32;
    config.widths.asr_res = 8;
    config
}

/// Writes configuration, weights as the networks would initialise them, and packs for `voices` into `folder`.
pub fn write(config: &KokoroConfig, folder: &Path, voices: &[&str]) -> KokoroFiles {
    let mut tensors_by_name = HashMap::new();
    for (stream, spec) in tensors(config).unwrap().into_iter().enumerate() {
        let count = spec.shape.elem_count();
        let mut noise = Noise::new(1, stream as u64);
        let values: Vec<f32> = match spec.init {
            Init::Const(value) => vec![value as f32; count],
            Init::Randn { mean, stdev } => {
                noise.normals(count).iter().map(|n| (mean + stdev * f64::from(*n)) as f32).collect()
            }
            Init::Uniform { lo, up } => {
                (0..count).map(|_| (lo + (up - lo) * noise.uniform()) as f32).collect()
            }
            Init::Kaiming { .. } => panic!("{} asks for an initialisation that is not used here", spec.name),
        };
        tensors_by_name.insert(spec.name, Tensor::from_vec(values, spec.shape, &Device::Cpu).unwrap());
    }
    let files = KokoroFiles {
        config: folder.join("config.json"),
        weights: folder.join("kokoro-v1_0.safetensors"),
        voices: voices.iter().map(|voice| folder.join(format!("voices/{voice}.safetensors"))).collect(),
    };
    candle_core::safetensors::save(&tensors_by_name, &files.weights).unwrap();
    std::fs::write(&files.config, json(config).to_string()).unwrap();
    std::fs::create_dir_all(folder.join("voices")).unwrap();
    for (stream, file) in files.voices.iter().enumerate() {
        let (rows, width) = (config.context(), 2 * config.style_dim);
        let values = Noise::new(2, stream as u64).normals(rows * width);
        let pack = Tensor::from_vec(values, (rows, 1, width), &Device::Cpu).unwrap();
        candle_core::safetensors::save(&HashMap::from([("voice", pack)]), file).unwrap();
    }
    files
}

/// As the published `config.json` has it.
pub fn json(config: &KokoroConfig) -> serde_json::Value {
    let (bert, vocoder) = (&config.plbert, &config.istftnet);
    let vocab: serde_json::Map<String, serde_json::Value> =
        config.vocab.iter().map(|(symbol, id)| (symbol.to_string(), (*id).into())).collect();
    serde_json::json!({
        "hidden_dim": config.hidden_dim, "style_dim": config.style_dim, "n_layer": config.n_layer,
        "n_token": config.n_token, "max_dur": config.max_dur, "n_mels": 80, "dropout": 0.2,
        "text_encoder_kernel_size": config.text_encoder_kernel_size,
        "plbert": {
            "hidden_size": bert.hidden_size, "num_attention_heads": bert.num_attention_heads,
            "intermediate_size": bert.intermediate_size, "max_position_embeddings": bert.max_position_embeddings,
            "num_hidden_layers": bert.num_hidden_layers, "embedding_size": bert.embedding_size, "dropout": 0.1,
        },
        "istftnet": {
            "upsample_kernel_sizes": vocoder.upsample_kernel_sizes, "upsample_rates": vocoder.upsample_rates,
            "gen_istft_hop_size": vocoder.gen_istft_hop_size, "gen_istft_n_fft": vocoder.gen_istft_n_fft,
            "resblock_dilation_sizes": vocoder.resblock_dilation_sizes,
            "resblock_kernel_sizes": vocoder.resblock_kernel_sizes,
            "upsample_initial_channel": vocoder.upsample_initial_channel,
        },
        "vocab": vocab,
    })
}
