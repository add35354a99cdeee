//! CLIP against transformers' own: networks, picture preparation and tokens, on every fixture set there is.

use std::collections::BTreeMap;

use candle_core::Device;
use vortex_node::models::clip::{ClipConfig, tensors};
use vortex_node::models::parity::sets::{Kind, Set};

use crate::support::{assert_parity, sets_of};

#[test]
fn parity_every_stage_of_both_towers_and_the_embeddings_of_lower_precisions() {
    assert_parity(Kind::Clip, 20);
}

#[test]
fn parity_the_published_tensors_are_the_ones_asked_for() {
    for Set { folder, .. } in sets_of(Kind::Clip) {
        let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
        let published =
            candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let asked: BTreeMap<String, Vec<usize>> = tensors(&ClipConfig::from_json(&text).unwrap())
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
    assert_parity(Kind::Pictures, 5);
}

#[test]
fn parity_texts_become_the_published_tokens() {
    assert_parity(Kind::Texts, 3);
}
