//! One model in the four shapes that people have it in: each loads, and they agree.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor};
use vortex_node::models::flux::files::{Checkpoint, FluxFiles};
use vortex_node::models::flux::plan::Options;
use vortex_node::models::flux::precision::Precision;
use vortex_node::models::kernels::nf4::LEVELS;

use super::{as_stored, assert_whole, everything, sets};
use crate::support::{fixture_sets, max_difference};

fn relative(a: &Tensor, b: &Tensor) -> f64 {
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f32>().unwrap();
    f64::from(norm(&(a - b).unwrap()) / norm(b))
}

/// What the first step predicts, and the picture.
fn outcome(set: &Path, files: &FluxFiles, options: &Options) -> (Tensor, Tensor) {
    let sheet = everything(set, files, options);
    let ours = |name: &str| sheet.ours(name).unwrap().clone();
    (ours("flux.step0.pred"), ours("vae.decoded"))
}

/// The diffusers folders of the published layouts, each with the set whose weights it holds.
fn diffusers() -> Vec<(PathBuf, PathBuf)> {
    let folders = fixture_sets("Flux in diffusers' layout", |folder| {
        folder.join("transformer/diffusion_pytorch_model.safetensors").exists()
    });
    let root = crate::support::fixtures_root();
    // "published-layouts/X-diffusers" holds the weights of "X".
    let of = |folder: &PathBuf| {
        let name = folder.file_name()?.to_str()?.strip_suffix("-diffusers")?.to_owned();
        let beside = folder.parent()?.parent()?.join(&name);
        [beside, root.join(name)].into_iter().find(|set| set.join("io.safetensors").exists())
    };
    folders.iter().filter_map(|folder| Some((folder.clone(), of(folder)?))).collect()
}

#[test]
fn parity_of_diffusers_layout_with_the_references_outputs() {
    let pairs = diffusers();
    for (folder, set) in &pairs {
        let at = |network: &str| Checkpoint {
            weights: vec![folder.join(network).join("diffusion_pytorch_model.safetensors")],
            config: Some(folder.join(network).join("config.json")),
        };
        let files =
            FluxFiles { transformer: at("transformer"), vae: at("vae"), ..FluxFiles::find(set).unwrap() };
        // Its encoder has other names, and no job needs it.
        assert_whole(set, &everything(set, &files, &as_stored()), &["vae.encode"]);
    }
    assert!(sets().is_empty() || !pairs.is_empty(), "no diffusers folder belongs to a set");
}

fn tensors(set: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(set.join("flux1-schnell.safetensors"), &Device::Cpu).unwrap()
}

/// The set's transformer as a GGUF file, matrices in `dtype` where their rows divide into its blocks.
fn write_gguf(set: &Path, dtype: GgmlDType, to: &Path) {
    let packed: Vec<(String, QTensor)> = tensors(set)
        .into_iter()
        .map(|(name, tensor)| {
            let wide = tensor.to_dtype(DType::F32).unwrap();
            let divides = wide.rank() == 2 && wide.dim(1).unwrap().is_multiple_of(dtype.block_size());
            (name, QTensor::quantize(&wide, if divides { dtype } else { GgmlDType::F32 }).unwrap())
        })
        .collect();
    let list: Vec<(&str, &QTensor)> = packed.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut std::fs::File::create(to).unwrap(), &[], &list).unwrap();
}

/// The set's transformer as bitsandbytes stores it, by the format's description and none of our code.
fn write_nf4(set: &Path, to: &Path) {
    let mut out = HashMap::new();
    for (name, tensor) in tensors(set) {
        if tensor.rank() != 2 {
            out.insert(name, tensor);
            continue;
        }
        let values = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut absmax = Vec::new();
        let mut nibbles = Vec::new();
        for block in values.chunks(64) {
            let most = block.iter().fold(0f32, |most, value| most.max(value.abs()));
            absmax.push(most);
            nibbles.extend(block.iter().map(|value| {
                let near = |level: &f32| (f64::from(*level) - f64::from(*value) / f64::from(most)).abs();
                let best = (0..16).min_by(|a, b| near(&LEVELS[*a]).total_cmp(&near(&LEVELS[*b]))).unwrap();
                best as u8
            }));
        }
        let bytes: Vec<u8> =
            nibbles.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(7)).collect();
        let state = serde_json::json!({ "quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16",
            "shape": tensor.dims() });
        let count = bytes.len();
        let new = |values: Vec<f32>| Tensor::new(values, &Device::Cpu).unwrap();
        out.insert(format!("{name}.absmax"), new(absmax));
        out.insert(format!("{name}.quant_map"), new(LEVELS.to_vec()));
        let state = Tensor::new(state.to_string().into_bytes(), &Device::Cpu).unwrap();
        out.insert(format!("{name}.quant_state.bitsandbytes__nf4"), state);
        out.insert(name, Tensor::from_vec(bytes, (count, 1), &Device::Cpu).unwrap());
    }
    candle_core::safetensors::save(&out, to).unwrap();
}

fn with_transformer(set: &Path, weights: PathBuf) -> FluxFiles {
    let files = FluxFiles::find(set).unwrap();
    let config = files.transformer.config.clone();
    FluxFiles { transformer: Checkpoint { weights: vec![weights], config }, ..files }
}

#[test]
fn all_published_shapes_of_one_model_agree() {
    for set in sets() {
        let (exact, picture) = outcome(&set, &FluxFiles::find(&set).unwrap(), &as_stored());
        let folder = tempfile::tempdir().unwrap();

        // What an error in every weight becomes after four blocks: about three times the format's own.
        let stated = [
            (GgmlDType::F32, 1e-6),
            (GgmlDType::BF16, 1e-6),
            (GgmlDType::F16, 1e-3),
            (GgmlDType::Q8_0, 0.02),
            (GgmlDType::Q4_0, 0.30),
        ];
        for (dtype, most) in stated {
            let path = folder.path().join(format!("flux1-schnell-{dtype:?}.gguf"));
            write_gguf(&set, dtype, &path);
            let (flow, pixels) = outcome(&set, &with_transformer(&set, path), &as_stored());
            let error = relative(&flow, &exact);
            assert!(error <= most, "{dtype:?}: the flow is off by {error:.4}, stated {most}");
            assert!(relative(&pixels, &picture) <= 4.0 * most, "{dtype:?}: the picture");
        }

        let path = folder.path().join("nf4.safetensors");
        write_nf4(&set, &path);
        let (stored, _) = outcome(&set, &with_transformer(&set, path), &as_stored());
        let error = relative(&stored, &exact);
        assert!(error < 0.30 && error > 1e-3, "NF4 from its file: {error:.4}");
        let ours = Options { precision: Precision::Nf4 { nested: false }, ..as_stored() };
        let (quantised, _) = outcome(&set, &FluxFiles::find(&set).unwrap(), &ours);
        assert!(
            max_difference(&stored, &quantised) < 1e-5,
            "NF4 from its file and quantised while loading differ"
        );
        let nested = Options { precision: Precision::Nf4 { nested: true }, ..as_stored() };
        let (nested, _) = outcome(&set, &FluxFiles::find(&set).unwrap(), &nested);
        assert!(relative(&nested, &exact) < 0.35, "nested NF4: {:.4}", relative(&nested, &exact));
    }
}

#[test]
fn every_plain_precision_stays_within_its_rounding() {
    for set in sets() {
        let files = FluxFiles::find(&set).unwrap();
        let (exact, _) = outcome(&set, &files, &as_stored());
        for (precision, most) in [(Precision::F32, 1e-6), (Precision::Bf16, 1e-6), (Precision::F16, 1e-3)] {
            let (flow, _) = outcome(&set, &files, &Options { precision, ..as_stored() });
            assert!(relative(&flow, &exact) <= most, "{precision}: {:e}", relative(&flow, &exact));
        }
    }
}

#[test]
fn rows_that_do_not_divide_into_blocks_take_shorter_ones_or_are_refused_with_the_layers_name() {
    use candle_nn::VarBuilder;
    use vortex_node::models::flux::source::Source;

    let matrix = |cols: usize| Tensor::ones((3, cols), DType::F32, &Device::Cpu).unwrap();
    let tensors =
        HashMap::from([("even.weight".to_owned(), matrix(64)), ("odd.weight".to_owned(), matrix(40))]);
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let source = Source::dense(builder, None).kept(Precision::Gguf(GgmlDType::Q4K), DType::F32);
    // Three rows of 64 in Q8_0: two blocks of 34 bytes each.
    assert_eq!(source.linear("even", 64, &[3], false).unwrap().size(), 3 * 2 * 34);
    let error = source.linear("odd", 40, &[3], false).unwrap_err();
    let text = format!("{error:?} {error}");
    assert!(text.contains("odd.weight") && text.contains("rows of 40 values"), "{text}");
}
