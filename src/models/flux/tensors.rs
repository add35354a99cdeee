//! Which tensors each file of a model has: names and shapes, learned by building the network on nothing.

use candle_core::DType;

use super::config::{ClipConfig, T5Config, TransformerConfig, VaeConfig};
use super::source::Source;
use super::t5::T5Encoder;
use super::transformer::{Layout, Transformer};
use super::vae::Decoder;
use crate::contract::ModelError;
use crate::models::clip::text::TextTower;
use crate::models::error::Context;
use crate::models::weights::spec::{TensorSpec, record};

/// The transformer's, in the names of `layout`.
pub fn transformer(config: &TransformerConfig, layout: Layout) -> Result<Vec<TensorSpec>, ModelError> {
    record(DType::F32, |vb| Transformer::new(config, &Source::listing(vb), layout, &candle_core::Device::Cpu))
        .context(|| "listing the transformer's tensors".to_owned())
}

/// The autoencoder's, as far as painting needs them: the decoder.
pub fn vae(config: &VaeConfig, layout: Layout) -> Result<Vec<TensorSpec>, ModelError> {
    record(DType::F32, |vb| Decoder::new(config, &Source::listing(vb), layout))
        .context(|| "listing the autoencoder's tensors".to_owned())
}

/// T5's, in Hugging Face's names.
pub fn t5(config: &T5Config) -> Result<Vec<TensorSpec>, ModelError> {
    record(DType::F32, |vb| T5Encoder::list(config, &Source::listing(vb)))
        .context(|| "listing T5's tensors".to_owned())
}

/// CLIP's text encoder's.
pub fn clip(config: &ClipConfig) -> Result<Vec<TensorSpec>, ModelError> {
    record(DType::F32, |vb| TextTower::new(&config.tower(), &Source::listing(vb)))
        .context(|| "listing CLIP's tensors".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(specs: &[TensorSpec]) -> f64 {
        specs.iter().map(|spec| spec.shape.elem_count() as f64).sum()
    }

    #[test]
    fn the_published_models_have_the_published_numbers_of_parameters() {
        let count = |layout| parameters(&transformer(&TransformerConfig::schnell(), layout).unwrap());
        assert_eq!(count(Layout::BlackForestLabs), 11_891_178_560.0);
        assert_eq!(count(Layout::Diffusers), 11_891_178_560.0);
        assert_eq!(parameters(&t5(&T5Config::xxl()).unwrap()), 4_762_310_656.0);
        assert_eq!(parameters(&clip(&ClipConfig::large()).unwrap()), 123_060_480.0);
        // The decoder alone, without the encoder's 34 million.
        assert_eq!(parameters(&vae(&VaeConfig::flux(), Layout::BlackForestLabs).unwrap()), 49_545_475.0);
    }
}
