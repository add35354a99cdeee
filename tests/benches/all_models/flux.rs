//! Flux' layers at full width: a double and a single block over 256 + 256 tokens, the decoder to 256×256, a layer of T5-XXL.
//! And the whole transformer's memory against its plan.

use candle_core::{DType, Device};
use serde_json::{Value, json};
use vortex_node::models::flux::config::{T5Config, TransformerConfig, VaeConfig};
use vortex_node::models::flux::files::Configs;
use vortex_node::models::flux::plan::{self, Stored, plan};
use vortex_node::models::flux::precision::Precision;
use vortex_node::models::flux::source::Source;
use vortex_node::models::flux::t5::T5Encoder;
use vortex_node::models::flux::transformer::{
    DoubleBlock, DoubleModulation, Layout, SingleBlock, Transformer, image_ids, rotation,
};
use vortex_node::models::flux::vae::Decoder;
use vortex_node::types::Bytes;

use crate::options::Options;
use crate::random;
use crate::rows::{Case, Ours};

const TEXT: usize = 256;
/// Tokens of a picture of 256×256.
const IMAGE: usize = 256;
const SIDE: usize = 256;

pub fn cases(options: &Options) -> Vec<(Case, &'static [&'static str])> {
    let seed = options.seed;
    let packed: &'static [&'static str] = &["f32", "bf16", "nf4", "q8_0"];
    let (config, pictures) = (TransformerConfig::schnell(), VaeConfig::flux());
    let block = |layer: &str| {
        json!({ "model": "flux", "layer": layer, "width": config.width, "heads": config.heads,
            "text": TEXT, "image": IMAGE })
    };
    let vae = json!({ "model": "vae", "channels": pictures.channels, "blocks": pictures.blocks,
        "latent": pictures.latent, "side": SIDE / pictures.factor() });
    let t5 = json!({ "model": "t5", "config": t5_config(), "tokens": TEXT });
    type Make = fn(&Source<'static>) -> Ours;
    let all: [(&str, Value, f64, &'static [&'static str], Make); 4] = [
        ("flux-double", block("double"), 119.2, packed, double),
        ("flux-single", block("single"), 119.2, packed, single),
        ("vae", vae, 620.0, &["f32"], vae_decoder),
        ("t5", t5, 99.86, &["f32", "bf16"], t5_layer),
    ];
    all.map(|(name, peer, gflop, precisions, make)| {
        let build = Box::new(move |precision: &str| make(&source(precision, seed)));
        let precisions_of = precisions.to_vec();
        let case =
            Case { name: name.to_owned(), peer, gflop, multiplied: 1.0, precisions: precisions_of, build };
        (case, precisions)
    })
    .into()
}

fn source(precision: &str, seed: u64) -> Source<'static> {
    let precision: Precision = precision.parse().unwrap_or_else(|error| panic!("{error}"));
    Source::dense(random::weights(seed), None).kept(precision, DType::F32)
}

fn double(source: &Source<'static>) -> Ours {
    let config = TransformerConfig::schnell();
    let block = DoubleBlock::new(&config, source, "double_blocks.0").unwrap();
    let turned = rotation(&config, TEXT, &image_ids(16, IMAGE / 16), &Device::Cpu).unwrap();
    let width = config.width;
    let (image, text) = (random::tensor(&[IMAGE, width]), random::tensor(&[TEXT, width]));
    let modulation = || random::tensor(&[6 * width]);
    let modulation = DoubleModulation { image: modulation(), text: modulation() };
    let bytes = block.size();
    Ours { run: Box::new(move || drop(block.forward(&image, &text, &modulation, &turned).unwrap())), bytes }
}

fn single(source: &Source<'static>) -> Ours {
    let config = TransformerConfig::schnell();
    let block = SingleBlock::new(&config, source, "single_blocks.0").unwrap();
    let turned = rotation(&config, TEXT, &image_ids(16, IMAGE / 16), &Device::Cpu).unwrap();
    let (x, modulation) =
        (random::tensor(&[TEXT + IMAGE, config.width]), random::tensor(&[3 * config.width]));
    let bytes = block.size();
    Ours { run: Box::new(move || drop(block.forward(&x, &modulation, &turned).unwrap())), bytes }
}

fn vae_decoder(source: &Source<'static>) -> Ours {
    let config = VaeConfig::flux();
    let decoder = Decoder::new(&config, source, Layout::BlackForestLabs).unwrap();
    let side = SIDE / config.factor();
    let latent = random::tensor(&[1, config.latent, side, side]);
    let bytes = decoder.size();
    Ours { run: Box::new(move || drop(decoder.decode(&latent, &mut |_, _| Ok(())).unwrap())), bytes }
}

fn t5_config() -> Value {
    json!({ "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_heads": 64, "num_layers": 1, "vocab_size": 128,
        "feed_forward_proj": "gated-gelu" })
}

fn t5_layer(source: &Source<'static>) -> Ours {
    let encoder = T5Encoder::resident(&T5Config::from_json(&t5_config()).unwrap(), source).unwrap();
    let ids: Vec<u32> = (0..TEXT as u32).map(|i| i % 100).collect();
    let bytes = encoder.size();
    Ours { run: Box::new(move || drop(encoder.encode(&ids, &mut |_, _| Ok(())).unwrap())), bytes }
}

/// This process's own memory, `RssAnon`.
pub fn own_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a system with /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
}

/// Loads the published transformer with random weights, one matrix at a time, and sets what it holds beside its plan.
pub fn compare_with_plan(precision: &str) {
    let configs = Configs::schnell();
    let kept = precision.parse().unwrap_or_else(|error| panic!("{error}"));
    let options = plan::Options { precision: kept, ..plan::Options::default() };
    let parts = plan(&configs, &options, &Stored::published(), DType::F32).unwrap();
    let before = own_memory();
    let made =
        Transformer::new(&configs.transformer, &source(precision, 1), Layout::BlackForestLabs, &Device::Cpu);
    let made = made.unwrap();
    let held = Bytes::new(own_memory().saturating_sub(before));
    let sizes = [made.size(), made.modulators().size()].map(Bytes::of::<u8>);
    for (part, measured) in parts.iter().zip(sizes) {
        println!("{:20} planned {}, tensors made {measured}", part.name, part.bytes);
    }
    let planned: Bytes = parts[..2].iter().map(|part| part.bytes).sum();
    let off = held.as_f64() / planned.as_f64() - 1.0;
    println!("together             planned {planned}, process grew by {held} ({:+.2} %)", off * 100.0);
}
