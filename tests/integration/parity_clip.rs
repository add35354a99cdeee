//! CLIP against transformers' own: networks, picture preparation and tokens, on every fixture set there is.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use vortex_node::models::clip::preprocess::Preprocess;
use vortex_node::models::clip::{Clip, ClipConfig, Tap, Tower, tensors};
use vortex_node::models::layers::Precision;
use vortex_node::models::tokenizer::TextTokenizer;
use vortex_node::types::{Resolution, RgbImage};

use crate::support::{Recorded, fixture_sets, max_difference};

fn has(folder: &Path, files: &[&str]) -> bool {
    files.iter().all(|file| folder.join(file).is_file())
}

fn clip_sets() -> Vec<std::path::PathBuf> {
    fixture_sets("CLIP", |folder| {
        has(folder, &["config.json", "model.safetensors", "io.safetensors", "meta.json"])
            && std::fs::read_to_string(folder.join("config.json"))
                .is_ok_and(|text| text.contains("vision_config") && text.contains("text_config"))
    })
}

fn config(folder: &Path) -> ClipConfig {
    ClipConfig::from_json(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
}

fn network(folder: &Path, precision: Precision) -> Clip {
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    Clip::new(&config(folder), precision, &VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
        .unwrap()
}

/// Every output that transformers records, by its recorded name.
fn outputs(network: &Clip, recorded: &Recorded) -> BTreeMap<String, Tensor> {
    let mut seen = BTreeMap::new();
    let mut look = |tower: Tower, tap: Tap, tensor: &Tensor| {
        let tower = if tower == Tower::Vision { "vision" } else { "text" };
        let what = match tap {
            Tap::Embeddings => "embeddings".to_owned(),
            Tap::PreNorm => "pre_layrnorm".to_owned(),
            Tap::Layer(index) => format!("layer{index}"),
            Tap::LastHidden => "last_hidden_state".to_owned(),
            Tap::Pooled => "pooled".to_owned(),
        };
        seen.insert(format!("{tower}.{what}"), tensor.clone());
    };
    let ids = recorded.input("input_ids");
    let flat = ids.flatten_all().unwrap().to_dtype(DType::U32).unwrap().to_vec1().unwrap();
    let texts = network.text_features(&flat, ids.dim(1).unwrap(), &mut look).unwrap();
    let images = network.image_features(&recorded.input("pixel_values"), &mut look).unwrap();
    let unit = |x: &Tensor| {
        x.broadcast_div(&x.sqr().unwrap().sum_keepdim(D::Minus1).unwrap().sqrt().unwrap()).unwrap()
    };
    let (image_embeds, text_embeds) = (unit(&images), unit(&texts));
    let scale = f64::from(network.logit_scale());
    let logits = (image_embeds.matmul(&text_embeds.t().unwrap()).unwrap() * scale).unwrap();
    let probabilities = candle_nn::ops::softmax(&logits, D::Minus1).unwrap();
    seen.extend([
        ("text_features".to_owned(), texts),
        ("image_features".to_owned(), images),
        ("text_embeds".to_owned(), text_embeds),
        ("image_embeds".to_owned(), image_embeds),
        ("logits_per_text".to_owned(), logits.t().unwrap()),
        ("logits_per_image".to_owned(), logits),
        ("probs_per_image".to_owned(), probabilities),
    ]);
    seen
}

#[test]
fn parity_every_stage_of_both_towers() {
    for folder in clip_sets() {
        let recorded = Recorded::read(&folder);
        let ours = outputs(&network(&folder, Precision::F32), &recorded);
        let names = recorded.output_names();
        assert!(!names.is_empty(), "{} records nothing", folder.display());
        for name in names {
            let ours = ours.get(name).unwrap_or_else(|| panic!("{}: nobody makes {name}", folder.display()));
            recorded.assert_matches(name, ours);
        }
    }
}

#[test]
fn parity_of_lower_precisions_is_close() {
    for folder in clip_sets() {
        let recorded = Recorded::read(&folder);
        // Rounding of 2^-11 and 1/254 of a block's largest weight, through a few layers, as a cosine's loss.
        for (precision, allowed) in [(Precision::F16, 1e-5), (Precision::Q8_0, 5e-3)] {
            let ours = outputs(&network(&folder, precision), &recorded);
            for name in ["image_embeds", "text_embeds"] {
                let cosine = (&ours[name] * recorded.output(name)).unwrap().sum(D::Minus1).unwrap();
                let loss = cosine.affine(-1.0, 1.0).unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(loss <= allowed, "{}: {name} at {precision:?} loses {loss}", folder.display());
            }
        }
    }
}

#[test]
fn parity_the_published_tensors_are_the_ones_asked_for() {
    for folder in clip_sets() {
        let published =
            candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let asked: BTreeMap<String, Vec<usize>> = tensors(&config(&folder))
            .unwrap()
            .into_iter()
            .map(|spec| (spec.name, spec.shape.into_dims()))
            .collect();
        let published: BTreeMap<String, Vec<usize>> = published
            .into_iter()
            .filter(|(name, _)| !name.ends_with("position_ids"))
            .map(|(name, tensor)| (name, tensor.dims().to_vec()))
            .collect();
        assert_eq!(asked, published, "{}", folder.display());
    }
}

#[test]
fn parity_pictures_are_prepared_as_published() {
    let sets = fixture_sets("CLIP preprocessing", |folder| {
        has(folder, &["preprocessor_config.json", "io.safetensors", "meta.json"])
    });
    for folder in sets {
        let recorded = Recorded::read(&folder);
        let text = std::fs::read_to_string(folder.join("preprocessor_config.json")).unwrap();
        let rules = Preprocess::from_json(&text).unwrap();
        let (width, height) = rules.output();
        for channel in 0..3 {
            let expected = recorded.tensor("lut").get(channel).unwrap();
            let ours = Tensor::new(rules.levels(channel), &Device::Cpu).unwrap();
            assert!(max_difference(&ours, &expected) < 1e-6, "levels of channel {channel}");
        }
        let images = recorded.meta()["images"].as_object().unwrap();
        assert!(!images.is_empty());
        for name in images.keys() {
            let input = recorded.tensor(&format!("in{name}"));
            let (rows, columns, _) = input.dims3().unwrap();
            let data = input.flatten_all().unwrap().to_vec1::<u8>().unwrap();
            let size = Resolution::new(columns as u32, rows as u32).unwrap();
            let same_size = (columns, rows) == (width, height);
            let expected = if same_size { input } else { recorded.tensor(&format!("crop_u8.{name}")) };
            let ours = rules.crop(&RgbImage::new(size, data).unwrap()).unwrap();
            let expected = expected.flatten_all().unwrap().to_vec1::<u8>().unwrap();
            assert!(ours == expected, "{}: picture {name} is not what Pillow makes", folder.display());
            let mut pixels = Vec::new();
            rules.normalise(&ours, &mut pixels);
            let sampled: Vec<f32> = pixels
                .iter()
                .enumerate()
                .filter(|(i, _)| i / width % height % 8 == 1 && i % width % 8 == 2)
                .map(|(_, value)| *value)
                .collect();
            let expected = recorded.tensor(&format!("pixel_values_sub8.{name}")).flatten_all().unwrap();
            let ours = Tensor::new(sampled.as_slice(), &Device::Cpu).unwrap();
            assert_eq!(ours.dims(), expected.dims());
            assert!(max_difference(&ours, &expected) < 1e-6, "{}: pixels of {name}", folder.display());
        }
    }
}

#[test]
fn parity_texts_become_the_published_tokens() {
    let sets =
        fixture_sets("tokenizers", |folder| has(folder, &["texts.json", "io.safetensors", "meta.json"]));
    for folder in sets {
        let recorded = Recorded::read(&folder);
        let texts: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("texts.json")).unwrap()).unwrap();
        for name in ["clip", "t5"] {
            let about = &recorded.meta()[name];
            let file = folder.join(about["file"].as_str().unwrap());
            let tokenizer =
                TextTokenizer::load(&file, Some(&file.with_file_name("tokenizer_config.json"))).unwrap();
            let ids = recorded.tensor(&format!("{name}.ids")).to_vec2::<i64>().unwrap();
            let lengths =
                recorded.tensor(&format!("{name}.length_before_truncation")).to_vec1::<i64>().unwrap();
            let masks = recorded.tensor(&format!("{name}.attention_mask")).to_vec2::<i64>().unwrap();
            let texts = texts.as_array().unwrap();
            assert_eq!(texts.len(), ids.len());
            for (index, text) in texts.iter().enumerate() {
                let text = text["text"].as_str().unwrap();
                let encoded = tokenizer.encode(text, ids[index].len()).unwrap();
                let ours: Vec<i64> = encoded
                    .padded(ids[index].len(), tokenizer.pad())
                    .iter()
                    .map(|id| i64::from(*id))
                    .collect();
                assert_eq!(ours, ids[index], "{name}: {text:?}");
                assert_eq!(encoded.whole_length as i64, lengths[index], "{name}: {text:?}");
                assert_eq!(encoded.ids.len() as i64, masks[index].iter().sum::<i64>(), "{name}: {text:?}");
                assert_eq!(encoded.is_truncated(), encoded.whole_length > ids[index].len());
            }
        }
    }
}
