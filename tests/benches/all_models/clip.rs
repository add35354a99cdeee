//! CLIP's towers at full size.

use std::rc::Rc;

use serde_json::{Value, json};
use vortex_node::models::clip::config::TowerConfig;
use vortex_node::models::clip::{Clip, ClipConfig};
use vortex_node::models::kernels::Precision;

use crate::options::Options;
use crate::random;
use crate::rows::{Case, Ours};

/// Name and config.json of each, and operations of one picture and of one text.
fn models() -> [(&'static str, Value, [f64; 2]); 2] {
    let wide = |hidden: usize, heads: usize| json!({ "hidden_size": hidden, "intermediate_size": 4 * hidden, "num_attention_heads": heads });
    let mut text = wide(768, 12);
    text["eos_token_id"] = json!(49407);
    let mut vision = wide(1024, 16);
    (vision["num_hidden_layers"], vision["patch_size"]) = (json!(24), json!(14));
    let small =
        json!({ "projection_dim": 512, "text_config": { "eos_token_id": 49407 }, "vision_config": {} });
    let large = json!({ "projection_dim": 768, "text_config": text, "vision_config": vision });
    [("b32", small, [8.82, 5.96]), ("l14", large, [162.0, 13.3])]
}

pub fn cases(options: &Options) -> Vec<(Case, &'static [&'static str])> {
    let seed = options.seed;
    let mut cases = Vec::new();
    for (name, config, gflop) in models() {
        for (tower, gflop) in ["image", "text"].into_iter().zip(gflop) {
            for batch in [1, 5] {
                let peer = json!({ "model": "clip", "config": &config, "tower": tower, "batch": batch });
                let config = Rc::new(ClipConfig::from_json(&config.to_string()).unwrap());
                let case = Case {
                    name: format!("clip-{name}-{tower}-{batch}"),
                    peer,
                    gflop: gflop * batch as f64,
                    multiplied: 1.0,
                    precisions: vec!["f32", "f16", "q8_0"],
                    build: Box::new(move |precision| build(&config, precision, tower, batch, seed)),
                };
                cases.push((case, ["f32"].as_slice()));
            }
        }
    }
    cases
}

fn build(config: &ClipConfig, precision: &str, tower: &'static str, batch: usize, seed: u64) -> Ours {
    let (precision, width) = match precision {
        "f32" => (Precision::F32, 4.0),
        "f16" => (Precision::F16, 2.0),
        _ => (Precision::Q8_0, 34.0 / 32.0),
    };
    let clip = Clip::new(config, precision, &random::weights(seed)).unwrap();
    let (text, vision) = (&config.text_config, &config.vision_config);
    let (length, side) = (text.max_position_embeddings, vision.image_size);
    let pixels = random::tensor(&[batch, 3, side, side]);
    let ids: Vec<u32> = (0..batch * length).map(|i| (i * 31 % 1000) as u32).collect();
    let weights = if tower == "image" { weights(&vision.tower()) } else { weights(&text.tower()) };
    let run = move || {
        let features = match tower {
            "image" => clip.image_features(&pixels, &mut |_, _, _| {}),
            _ => clip.text_features(&ids, length, &mut |_, _, _| {}),
        };
        assert_eq!(features.unwrap().dim(0).unwrap(), batch);
    };
    Ours { run: Box::new(run), bytes: (weights as f64 * width) as usize }
}

fn weights(tower: &TowerConfig) -> usize {
    tower.layers * (4 * tower.hidden * tower.hidden + 2 * tower.hidden * tower.intermediate)
}
