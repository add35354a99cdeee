//! Packed weights against the libraries that define their formats, bit by bit.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use vortex_node::models::flux::gguf::GgufFile;
use vortex_node::models::flux::nf4;
use vortex_node::models::flux::source::Source;
use vortex_node::models::kernels::nf4::Nf4;
use vortex_node::models::kernels::{Linear, Weight};

use crate::support::{fixture_sets, max_difference};

type Tensors = std::collections::HashMap<String, Tensor>;

fn read(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// Every matrix of every NF4 set: its io file's stem, and for plain and nested its tensors.
fn nf4_matrices() -> Vec<(PathBuf, String)> {
    let sets = fixture_sets("NF4", |folder| folder.join("a_plain.safetensors").exists());
    let mut found = Vec::new();
    for set in sets {
        for entry in std::fs::read_dir(&set).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(matrix) = name.strip_suffix("_io.safetensors") {
                found.push((set.clone(), matrix.to_owned()));
            }
        }
    }
    found
}

#[test]
fn parity_of_dequantised_nf4_bit_for_bit() {
    let matrices = nf4_matrices();
    for (set, matrix) in &matrices {
        let io = read(&set.join(format!("{matrix}_io.safetensors")));
        for mode in ["plain", "nested"] {
            let tensors = read(&set.join(format!("{matrix}_{mode}.safetensors")));
            let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
            let packed = nf4::read(&builder, "layer.weight", &Device::Cpu).unwrap().unwrap();
            let reference = io
                .get(&format!("{mode}.dequant_bf16"))
                .unwrap_or_else(|| &io[&format!("{mode}.dequant_f32")]);
            let what = format!("{}/{matrix} {mode}", set.display());
            assert_eq!(packed.dims(), reference.dims2().unwrap(), "{what}");
            assert!(
                bits(&packed.dequantise(DType::F32).unwrap()) == bits(reference),
                "{what}: values differ"
            );
            let absmax = Tensor::new(packed.host_absmax().unwrap(), &Device::Cpu).unwrap();
            assert!(bits(&absmax) == bits(&io[&format!("{mode}.absmax_f32")]), "{what}: magnitudes differ");

            let y = Linear::of_parts(vec![Weight::Nf4(packed)], None).unwrap().forward(&io["x"]).unwrap();
            let bound = bound_of(set, matrix, mode);
            let difference = max_difference(&y, &io[&format!("{mode}.y")]);
            assert!(difference <= bound, "{what}: y differs by {difference:e}, allowed {bound:e}");
        }
    }
    assert!(matrices.is_empty() || matrices.len() >= 4);
}

/// Thirty times what the recording says an f32 product is off by, as the rule for floats has it.
fn bound_of(set: &Path, matrix: &str, mode: &str) -> f64 {
    let meta: serde_json::Value =
        serde_json::from_slice(&std::fs::read(set.join("meta.json")).unwrap()).unwrap();
    30.0 * meta["matrices"][matrix][mode]["y_float32_matmul_vs_float64_max_abs"].as_f64().unwrap()
}

#[test]
fn parity_of_our_nf4_quantiser_with_the_library() {
    for (set, matrix) in nf4_matrices() {
        let io = read(&set.join(format!("{matrix}_io.safetensors")));
        let stored = read(&set.join(format!("{matrix}_plain.safetensors")));
        // Stored as f32 whatever it was; the quantiser sees the type that the library saw.
        let dtype = if io.contains_key("plain.dequant_bf16") { DType::BF16 } else { DType::F32 };
        let original = io["weight_original"].to_dtype(dtype).unwrap();
        let ours = Nf4::quantise(&original, false, &Device::Cpu).unwrap();
        let reference = io.get("plain.dequant_bf16").unwrap_or_else(|| &io["plain.dequant_f32"]);
        let (ours, reference) = (bits(&ours.dequantise(DType::F32).unwrap()), bits(reference));
        let equal = ours.iter().zip(&reference).filter(|(a, b)| a == b).count();
        // A value in the middle between two levels may fall either way.
        assert!(equal as f64 >= 0.999 * reference.len() as f64, "{matrix}: {equal} of {}", reference.len());
        assert_eq!(stored["layer.weight"].elem_count(), reference.len().div_ceil(2));
    }
}

#[test]
fn parity_of_dequantised_gguf_bit_for_bit() {
    for set in fixture_sets("GGUF", |folder| folder.join("model.gguf").exists()) {
        let file = Rc::new(GgufFile::open(&set.join("model.gguf")).unwrap());
        let io = read(&set.join("io.safetensors"));
        let meta: serde_json::Value =
            serde_json::from_slice(&std::fs::read(set.join("meta.json")).unwrap()).unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for (name, about) in meta["tensors"].as_object().unwrap() {
            let reference = &io[&format!("dequant/{name}")];
            let unpacked = file.tensor(name, reference.dims(), &Device::Cpu).unwrap();
            assert!(bits(&unpacked) == bits(reference), "{name}: values differ");
            kinds.insert(about["type"].as_str().unwrap().to_owned());
            let Some(x) = io.get(&format!("x/{name}")) else { continue };
            let (rows, cols) = reference.dims2().unwrap();
            let layer = name.strip_suffix(".weight").unwrap();
            let linear =
                Source::gguf(Rc::clone(&file), &Device::Cpu).linear(layer, cols, &[rows], false).unwrap();
            let difference = max_difference(&linear.forward(x).unwrap(), &io[&format!("y/{name}")]);
            let bound = 30.0 * about["y_float32_matmul_vs_float64_max_abs"].as_f64().unwrap();
            assert!(difference <= bound, "{name}: y differs by {difference:e}, allowed {bound:e}");
        }
        assert!(kinds.len() >= 5, "{}: only {kinds:?}", set.display());
    }
}
