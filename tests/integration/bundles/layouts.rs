//! One bundle in every layout that people have its files in: what verifies loads, what loads verifies, and either way
//! the tensors are those of the plain layout.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::LazyLock;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use vortex_node::contract::{ErrorClass, Model, ModelError, Run};
use vortex_node::models::bundle::{Bundle, FileEntry, verify};
use vortex_node::models::catalog::{self, Opened, load};
use vortex_node::models::synth::{self, Profile};
use vortex_node::types::{ModelId, Sha256};

mod adopted;
mod leftovers;
mod scaled;
mod written;

const TRANSFORMER: &str = "flux/flux1-schnell.safetensors";
const VAE: &str = "flux/ae.safetensors";
const CLIP: &str = "flux/text_encoder/model.safetensors";
const T5: &str = "flux/text_encoder_2/model.safetensors";
const STITCHING: &str = "stitching_retargeting_module";

/// The plain layout: made once, never written to.
static PLAIN: LazyLock<(tempfile::TempDir, Bundle)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let bundle = synth::write(folder.path(), &ModelId::ALL, Profile::Tiny, 3, |_| {}).unwrap();
    (folder, bundle)
});

/// A stored tensor.
#[derive(Clone)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

type Tensors = BTreeMap<String, Stored>;

/// What a tensor is called elsewhere.
type Renaming<'a> = &'a dyn Fn(&str) -> String;

fn read(file: &str) -> Tensors {
    let bytes = std::fs::read(PLAIN.1.folder.join(file)).unwrap();
    let of = |view: TensorView<'_>| Stored {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    let all = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    all.tensors().into_iter().map(|(name, view)| (name, of(view))).collect()
}

fn write(file: &Path, tensors: &Tensors) {
    let views = tensors
        .iter()
        .map(|(name, it)| (name.clone(), TensorView::new(it.dtype, it.shape.clone(), &it.bytes).unwrap()));
    safetensors::serialize_to_file(views, None, file).unwrap();
}

fn wide(it: &Stored) -> Tensor {
    Tensor::from_raw_buffer(&it.bytes, it.dtype.try_into().unwrap(), &it.shape, &Device::Cpu)
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap()
}

fn of_floats(shape: &[usize], values: &[f32]) -> Stored {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Stored { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
}

fn renamed(tensors: &Tensors, name: impl Fn(&str) -> String) -> Tensors {
    tensors.iter().map(|(old, it)| (name(old), it.clone())).collect()
}

fn prefixed(file: &str, prefix: &str) -> Tensors {
    renamed(&read(file), |name| format!("{prefix}{name}"))
}

/// As a GGUF file, matrices of layers in eight bits.
fn write_gguf(file: &Path, tensors: &Tensors, name: impl Fn(&str) -> String) {
    let packed: Vec<(String, QTensor)> = tensors
        .iter()
        .map(|(old, it)| {
            let tensor = wide(it);
            let tensor = if tensor.rank() == 0 { tensor.reshape(1).unwrap() } else { tensor };
            let is_layer = tensor.rank() == 2 && !old.contains("embed") && !old.contains("relative");
            let divides = is_layer && tensor.dim(1).unwrap().is_multiple_of(32);
            let dtype = if divides { GgmlDType::Q8_0 } else { GgmlDType::F32 };
            (name(old), QTensor::quantize(&tensor, dtype).unwrap())
        })
        .collect();
    let list: Vec<(&str, &QTensor)> = packed.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut std::fs::File::create(file).unwrap(), &[], &list).unwrap();
}

/// llama.cpp's names, by its own table (`gguf-py/gguf/tensor_mapping.py`).
pub(super) fn llama(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["shared", "weight"] => "token_embd.weight".into(),
        ["encoder", "final_layer_norm", "weight"] => "enc.output_norm.weight".into(),
        ["encoder", "block", block, "layer", layer, rest @ .., "weight"] => {
            let part = match (*layer, *rest.last().unwrap()) {
                ("0", "layer_norm") => "attn_norm",
                ("0", "relative_attention_bias") => "attn_rel_b",
                ("0", "q") => "attn_q",
                ("0", "k") => "attn_k",
                ("0", "v") => "attn_v",
                ("0", "o") => "attn_o",
                ("1", "layer_norm") => "ffn_norm",
                ("1", "wi_0") => "ffn_gate",
                ("1", "wi_1") => "ffn_up",
                ("1", "wo") => "ffn_down",
                other => panic!("{other:?}"),
            };
            format!("enc.blk.{block}.{part}.weight")
        }
        _ => name.to_owned(),
    }
}

/// The plain bundle with other files in some roles.
fn bundle_with(model: ModelId, files: &[(&str, &Path)]) -> Bundle {
    let mut bundle = PLAIN.1.clone();
    let entry = bundle.models.get_mut(&model).unwrap();
    for (role, path) in files {
        // Joined to the bundle's folder, an absolute path stays what it is.
        let file = FileEntry::local(path.to_str().unwrap(), Sha256::of(b""));
        entry.files.insert((*role).to_owned(), vec![file]);
    }
    bundle
}

fn works<M: Model>(loaded: Result<M, ModelError>) -> Result<(), ModelError> {
    loaded?.canary(&Run::unobserved())
}

fn loads(bundle: &Bundle, model: ModelId) -> Result<(), ModelError> {
    let (run, device) = (Run::unobserved(), Device::Cpu);
    match model {
        ModelId::Flux => {
            let options = load::flux_options(bundle.model(model)?);
            works(load::flux(bundle, &options, &device, &run))
        }
        ModelId::LivePortrait => works(load::liveportrait(bundle, NonZeroU32::MIN, &device, &run)),
        ModelId::Kokoro => works(load::kokoro(bundle, &device, &run)),
        ModelId::ClipB | ModelId::ClipL => works(load::clip(bundle, model, &device, &run)),
    }
}

/// What is wrong by the check; empty where it is sound.
fn verified(bundle: &Bundle, model: ModelId) -> Vec<String> {
    let mut wrong = Vec::new();
    for network in verify::networks(bundle, &[model], false) {
        match network.outcome {
            Ok(misfits) => {
                wrong.extend(misfits.missing.iter().chain(&misfits.wrong).map(ToString::to_string));
            }
            Err(error) => wrong.push(error.chain()),
        }
    }
    for part in verify::parts(bundle, &[model]) {
        wrong.extend(part.outcome.err().map(|error| error.chain()));
    }
    wrong
}

/// Both doors agree; whether it is let in.
fn is_usable(what: &str, bundle: &Bundle, model: ModelId) -> bool {
    let (wrong, loaded) = (verified(bundle, model), loads(bundle, model));
    let told = loaded.as_ref().err().map(ModelError::chain);
    assert_eq!(wrong.is_empty(), loaded.is_ok(), "{what}: verify says {wrong:#?}, load says {told:?}");
    if let Err(error) = loaded {
        assert_eq!(error.class(), ErrorClass::Unusable, "{what}: {}", error.chain());
    }
    wrong.is_empty()
}

/// Every tensor that a network asks for, as f32 by the name it asks by.
fn seen(bundle: &Bundle, model: ModelId, role: &str) -> HashMap<String, Tensor> {
    let networks = catalog::networks(bundle, model).unwrap();
    let network = networks.iter().find(|network| network.role == role).unwrap();
    let opened = network.open(&bundle.weight_files(model, role)).unwrap();
    let tensor = |name: &str, shape: &[usize]| match &opened {
        Opened::Dense(weights) => weights.find(name).unwrap().to_tensor(DType::F32, &Device::Cpu).unwrap(),
        Opened::Gguf(file) => file.tensor(name, shape, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap(),
    };
    let all = network.specs.iter();
    all.map(|spec| (spec.name.clone(), tensor(&spec.name, spec.shape.dims()))).collect()
}

fn assert_equal(what: &str, a: &HashMap<String, Tensor>, b: &HashMap<String, Tensor>, tolerance: f32) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (name, a) in a {
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (a, b) = (values(a), values(&b[name]));
        let largest = b.iter().fold(0f32, |most, value| most.max(value.abs()));
        let apart = a.iter().zip(&b).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(
            a.len() == b.len() && apart <= tolerance * largest,
            "{what}: {name} is {apart} of {largest} off"
        );
    }
}

/// A layout of one role's weights in safetensors.
type Case = (&'static str, ModelId, &'static str, Tensors);

fn cases() -> Vec<Case> {
    let lp = |role: &str| format!("liveportrait/{role}.safetensors");
    let (flux, portrait, kokoro) = (ModelId::Flux, ModelId::LivePortrait, ModelId::Kokoro);
    let (clip_b, speech) = ("clip-b/model.safetensors", "kokoro/kokoro-v1_0.safetensors");
    let whole: Tensors = [
        prefixed(TRANSFORMER, "model.diffusion_model."),
        prefixed(VAE, "first_stage_model."),
        prefixed(CLIP, "text_encoders.clip_l.transformer."),
        prefixed(T5, "text_encoders.t5xxl.transformer."),
    ]
    .into_iter()
    .flatten()
    .collect();
    let tied = renamed(&read(T5), |name| match name {
        "shared.weight" => "encoder.embed_tokens.weight".to_owned(),
        other => other.to_owned(),
    });
    let newer = |name: &str| match (name.strip_suffix(".weight_g"), name.strip_suffix(".weight_v")) {
        (Some(layer), _) => format!("{layer}.parametrizations.weight.original0"),
        (_, Some(layer)) => format!("{layer}.parametrizations.weight.original1"),
        _ => name.to_owned(),
    };
    vec![
        ("an all-in-one's prefix", flux, "transformer", prefixed(TRANSFORMER, "model.diffusion_model.")),
        ("both prefixes", flux, "transformer", prefixed(TRANSFORMER, "module.model.diffusion_model.")),
        ("ComfyUI's prefix", flux, "vae", prefixed(VAE, "vae.")),
        ("Stability's prefix", flux, "vae", prefixed(VAE, "first_stage_model.")),
        (
            "a text encoder's prefix",
            flux,
            "text_encoder",
            prefixed(CLIP, "text_encoders.clip_l.transformer."),
        ),
        ("an older one", flux, "text_encoder", prefixed(CLIP, "cond_stage_model.transformer.")),
        ("T5's prefix", flux, "text_encoder_2", prefixed(T5, "text_encoders.t5xxl.transformer.")),
        ("T5's table where it is used", flux, "text_encoder_2", tied),
        ("llama.cpp's names", flux, "text_encoder_2", renamed(&read(T5), llama)),
        ("all in one, the transformer", flux, "transformer", whole.clone()),
        ("all in one, the autoencoder", flux, "vae", whole.clone()),
        ("all in one, CLIP", flux, "text_encoder", whole.clone()),
        ("all in one, T5", flux, "text_encoder_2", whole),
        ("no module.", portrait, STITCHING, renamed(&read(&lp(STITCHING)), |n| n.replace(".module.", "."))),
        (
            "_module.",
            portrait,
            STITCHING,
            renamed(&read(&lp(STITCHING)), |n| n.replace(".module.", "_module.")),
        ),
        ("module. twice", portrait, STITCHING, prefixed(&lp(STITCHING), "module.")),
        ("module.", portrait, "motion_extractor", prefixed(&lp("motion_extractor"), "module.")),
        (
            "a compiled network's names",
            portrait,
            "warping_module",
            prefixed(&lp("warping_module"), "_orig_mod."),
        ),
        ("module.", ModelId::ClipB, "model", prefixed(clip_b, "module.")),
        ("no module.", kokoro, "weights", renamed(&read(speech), |name| name.replace(".module.", "."))),
        ("module. in front", kokoro, "weights", prefixed(speech, "module.")),
        ("PyTorch's newer weight norm", kokoro, "weights", renamed(&read(speech), newer)),
    ]
}

#[test]
fn every_layout_of_names_verifies_and_loads_and_has_the_plain_layouts_tensors() {
    let folder = tempfile::tempdir().unwrap();
    for model in ModelId::ALL {
        assert!(is_usable("the plain layout", &PLAIN.1, model));
    }
    for (place, (what, model, role, tensors)) in cases().into_iter().enumerate() {
        let what = format!("{model} {role}: {what}");
        let file = folder.path().join(format!("{place}.safetensors"));
        write(&file, &tensors);
        let bundle = bundle_with(model, &[(role, &file)]);
        assert!(is_usable(&what, &bundle, model), "{what}");
        assert_equal(&what, &seen(&bundle, model, role), &seen(&PLAIN.1, model, role), 0.0);

        // The same without one tensor, wherever it is, T5's layers that are read while jobs run included.
        let mut lacking = tensors;
        let asked = catalog::networks(&bundle, model).unwrap();
        let asked = &asked.iter().find(|network| network.role == role).unwrap().specs;
        let names = catalog_names(&bundle, model, role);
        let last = &names[&asked.last().unwrap().name];
        lacking.remove(last).unwrap();
        write(&file, &lacking);
        assert!(!is_usable(&format!("{what}, without {last}"), &bundle, model));
    }
}

/// Under which name a file has what a network asks for.
fn catalog_names(bundle: &Bundle, model: ModelId, role: &str) -> HashMap<String, String> {
    let networks = catalog::networks(bundle, model).unwrap();
    let network = networks.iter().find(|network| network.role == role).unwrap();
    let Opened::Dense(weights) = network.open(&bundle.weight_files(model, role)).unwrap() else { panic!() };
    let stored = |name: &str| weights.find(name).unwrap().stored.to_owned();
    network.specs.iter().map(|spec| (spec.name.clone(), stored(&spec.name))).collect()
}

#[test]
fn gguf_files_in_either_naming_and_with_a_prefix_verify_and_load() {
    let folder = tempfile::tempdir().unwrap();
    // Eight bits in blocks of 32 are at most half a step of 1/127 off.
    let tolerance = 0.5 / 127.0 + 1e-3;
    let prefix = |name: &str| format!("model.diffusion_model.{name}");
    let names: [(&str, &str, &str, Renaming<'_>); 4] = [
        ("llama.cpp's names", "text_encoder_2", T5, &llama),
        ("Hugging Face's names", "text_encoder_2", T5, &str::to_owned),
        ("the plain names", "transformer", TRANSFORMER, &str::to_owned),
        ("a prefix", "transformer", TRANSFORMER, &prefix),
    ];
    for (place, (what, role, plain, name)) in names.into_iter().enumerate() {
        let file = folder.path().join(format!("{place}.gguf"));
        write_gguf(&file, &read(plain), name);
        let bundle = bundle_with(ModelId::Flux, &[(role, &file)]);
        assert!(is_usable(what, &bundle, ModelId::Flux), "{what}");
        let (seen, plain) = (seen(&bundle, ModelId::Flux, role), seen(&PLAIN.1, ModelId::Flux, role));
        assert_equal(what, &seen, &plain, tolerance);
    }
    // Nothing else reads GGUF, and nothing says that it does.
    let file = folder.path().join("clip.gguf");
    write_gguf(&file, &read("clip-b/model.safetensors"), str::to_owned);
    assert!(!is_usable("CLIP as GGUF", &bundle_with(ModelId::ClipB, &[("model", &file)]), ModelId::ClipB));
}
