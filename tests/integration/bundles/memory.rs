//! A load that fails leaves nothing in memory: counted at the allocator, on the loading thread.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vortex_node::contract::Run;
use vortex_node::models::weights::{Options, Weights, load};

use crate::support::allocations::held;

#[test]
fn a_failed_load_leaves_no_part_of_the_model_in_memory() {
    const EACH: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let whole = Tensor::zeros(EACH / 4, DType::F32, &Device::Cpu).unwrap();
    let broken = Tensor::new(f32::NAN, &Device::Cpu).unwrap();
    let mut tensors: HashMap<String, Tensor> = (0..8).map(|i| (format!("w{i}"), whole.clone())).collect();
    tensors.insert("w8".into(), broken);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    drop(tensors);

    let before = held();
    let mut at_most = 0;
    {
        let weights = Arc::new(Weights::open([&path]).unwrap());
        let options = Options::new(DType::F32, &Device::Cpu);
        let built = load(&weights, &options, &Run::unobserved(), |vb| {
            let mut network = Vec::new();
            for i in 0..8 {
                network.push(vb.get(EACH / 4, &format!("w{i}"))?);
                at_most = at_most.max(held() - before);
            }
            network.push(vb.get((), "w8")?);
            Ok(network)
        });
        let error = built.unwrap_err().chain();
        assert!(error.contains("tensor \"w8\": value 0 of 1 is NaN"), "{error}");
        assert!(held() - before < (EACH / 4) as isize, "{} bytes are still held", held() - before);
    }
    assert!(at_most >= 8 * EACH as isize, "the count sees no tensors: {at_most}");
    // The mapping is gone with the weights.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    assert!(!maps.contains(path.to_str().unwrap()), "the file is still mapped");
}
