//! The bundles that ship, small: the same description but for hashes and sizes, the same files in the same layouts, with
//! random numbers of small networks in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use serde_json::{Value, json};
use toml::Table;
use vortex_node::models::bundle::Sha256;
use vortex_node::models::bundle::shipped::Shipped;
use vortex_node::models::flux::config::{ClipConfig, T5Config, TransformerConfig, VaeConfig};
use vortex_node::models::flux::tensors;
use vortex_node::models::flux::transformer::Layout;
use vortex_node::models::noise::Noise;
use vortex_node::models::synth::{self, Profile};
use vortex_node::models::weights::spec::TensorSpec;
use vortex_node::types::ModelId;

use super::layouts::llama;

/// A file in a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub repo: String,
    pub revision: String,
    pub path: String,
}

/// One of the shipped bundles in miniature.
pub struct StandIn {
    /// Its `bundle.toml`.
    pub description: String,
    /// What every path in it holds.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Where each is published, mirrors included.
    pub published: BTreeMap<Place, Vec<u8>>,
}

/// What the description says is nowhere but in the program.
pub const OF_THE_PROGRAM: &str = "liveportrait/models.json";

impl StandIn {
    /// Of the shipped bundle `name`.
    pub fn of(name: &str) -> Self {
        let mut description: Table = Shipped::find(name).unwrap().description.parse().unwrap();
        let contents = contents(name);
        let (mut files, mut published, mut mirrored) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for model in description["models"].as_table_mut().unwrap().iter_mut().map(|(_, model)| model) {
            let hub = model["hub"].clone();
            let roles = model["files"].as_table_mut().unwrap();
            for entry in roles.iter_mut().flat_map(|(_, files)| listed(files)) {
                let path = entry["path"].as_str().unwrap().to_owned();
                let content =
                    contents.get(&path).unwrap_or_else(|| panic!("{name}: nothing is made for {path}"));
                entry.insert("sha256".into(), Sha256::of(content).to_string().into());
                entry.insert("bytes".into(), (content.len() as i64).into());
                let remote = entry.get("remote").and_then(toml::Value::as_str);
                let remote = remote.map_or_else(|| path.split_once('/').unwrap().1.to_owned(), str::to_owned);
                let also = entry.get("also").and_then(toml::Value::as_array).cloned().unwrap_or_default();
                if path != OF_THE_PROGRAM {
                    published.insert(at(entry.get("hub").unwrap_or(&hub), &remote), content.clone());
                    mirrored.extend(also.iter().map(|place| (at(place, &remote), content.clone())));
                }
                files.insert(path, content.clone());
            }
        }
        // What is the same file as published may be another one in miniature: then it stays what it is for itself.
        for (place, content) in mirrored {
            published.entry(place).or_insert(content);
        }
        Self { description: description.to_string(), files, published }
    }

    /// What the program itself would write into `folder`: the description, and what no hub has.
    pub fn begin(&self, folder: &Path) {
        self.put(folder, OF_THE_PROGRAM);
        std::fs::write(folder.join("bundle.toml"), &self.description).unwrap();
    }

    /// All of it in `folder`, as after a pull.
    pub fn write(&self, folder: &Path) {
        self.files.keys().for_each(|path| self.put(folder, path));
        self.begin(folder);
    }

    fn put(&self, folder: &Path, path: &str) {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &self.files[path]).unwrap();
    }
}

fn listed(files: &mut toml::Value) -> Vec<&mut Table> {
    match files {
        toml::Value::Table(one) => vec![one],
        toml::Value::Array(many) => many.iter_mut().map(|file| file.as_table_mut().unwrap()).collect(),
        other => panic!("{other}"),
    }
}

fn at(place: &toml::Value, remote: &str) -> Place {
    let text = |key: &str| place.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let path = text("path").unwrap_or_else(|| remote.to_owned());
    Place { repo: text("repo").unwrap(), revision: text("revision").unwrap(), path }
}

/// A whole bundle of random weights in the plain layout: what differs little from the published files is taken from it.
static PLAIN: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    synth::write(folder.path(), &ModelId::ALL, Profile::Tiny, 5, |_| {}).unwrap();
    let path = folder.path().to_owned();
    (folder, path)
});

fn plain(path: &str) -> Vec<u8> {
    std::fs::read(PLAIN.1.join(path)).unwrap()
}

/// The sizes of a small Flux, in diffusers' words. Rows of 256: those of k-quants.
struct Sizes {
    transformer: Value,
    vae: Value,
    clip: Value,
    t5: Value,
}

fn sizes() -> Sizes {
    let mut clip: Value = serde_json::from_slice(&plain("flux/text_encoder/config.json")).unwrap();
    for (key, size) in [("hidden_size", 256), ("projection_dim", 256), ("intermediate_size", 256)] {
        clip[key] = json!(size);
    }
    let mut t5: Value = serde_json::from_slice(&plain("flux/text_encoder_2/config.json")).unwrap();
    for (key, size) in [("d_model", 256), ("d_kv", 64), ("num_heads", 4), ("d_ff", 512)] {
        t5[key] = json!(size);
    }
    Sizes {
        transformer: json!({"_class_name": "FluxTransformer2DModel", "attention_head_dim": 64, "guidance_embeds": false,
            "in_channels": 64, "joint_attention_dim": 256, "num_attention_heads": 4, "num_layers": 1,
            "num_single_layers": 1, "patch_size": 1, "pooled_projection_dim": 256, "axes_dims_rope": [16, 24, 24]}),
        vae: json!({"_class_name": "AutoencoderKL", "block_out_channels": [32, 32, 32, 32], "latent_channels": 16,
            "layers_per_block": 1, "norm_num_groups": 32, "out_channels": 3, "scaling_factor": 0.3611,
            "shift_factor": 0.1159, "mid_block_add_attention": true, "use_post_quant_conv": false}),
        clip,
        t5,
    }
}

/// Every file of the bundle `name` by its path.
fn contents(name: &str) -> BTreeMap<String, Vec<u8>> {
    let sizes = sizes();
    let mut all = BTreeMap::new();
    let mut put = |path: &str, content: Vec<u8>| drop(all.insert(path.to_owned(), content));
    let json = |value: &Value| value.to_string().into_bytes();
    put("flux/transformer/config.json", json(&sizes.transformer));
    put("flux/vae/config.json", json(&sizes.vae));
    put("flux/text_encoder/config.json", json(&sizes.clip));
    put("flux/text_encoder_2/config.json", json(&sizes.t5));
    put("flux/scheduler/scheduler_config.json", plain("flux/scheduler/scheduler_config.json"));
    put("flux/tokenizer_2/tokenizer.json", plain("flux/tokenizer_2/tokenizer.json"));
    flux(name, &sizes, &mut put);
    for folder in ["clip-b", "clip-l"] {
        for file in ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"] {
            put(&format!("{folder}/{file}"), plain(&format!("{folder}/{file}")));
        }
    }
    put("clip-l/tokenizer_config.json", br#"{"model_max_length": 77}"#.to_vec());
    put("kokoro/config.json", plain("kokoro/config.json"));
    // The conversion has no words of a training wrapper.
    let speech = renamed(&plain("kokoro/kokoro-v1_0.safetensors"), |name| name.replace(".module.", "."));
    put("kokoro/kokoro-v1_0.safetensors", speech);
    let (voices, voice) = (voices(name), plain("kokoro/voices/af_heart.safetensors"));
    voices.iter().for_each(|path| put(path, voice.clone()));
    put(OF_THE_PROGRAM, plain(OF_THE_PROGRAM));
    for network in ["appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator"] {
        let path = format!("liveportrait/{network}.safetensors");
        put(&path, plain(&path));
    }
    let stitching = "liveportrait/stitching_retargeting_module.safetensors";
    put(stitching, renamed(&plain(stitching), |name| name.replace(".module.", "_module.")));
    all
}

/// The paths of the voices of the shipped bundle `name`.
fn voices(name: &str) -> Vec<String> {
    let bundle = Shipped::find(name).unwrap().bundle(Path::new("")).unwrap();
    let voices = &bundle.models[&ModelId::Kokoro].files["voices"];
    voices.iter().map(|voice| voice.path.clone()).collect()
}

/// Flux' weights in the layouts of the bundle `name`.
fn flux(name: &str, sizes: &Sizes, put: &mut impl FnMut(&str, Vec<u8>)) {
    let transformer = TransformerConfig::from_json(&sizes.transformer).unwrap();
    let vae = VaeConfig::from_json(&sizes.vae).unwrap();
    let clip = random(&tensors::clip(&ClipConfig::from_json(&sizes.clip).unwrap()).unwrap(), 3);
    let t5 = random(&tensors::t5(&T5Config::from_json(&sizes.t5).unwrap()).unwrap(), 4);
    let of = |layout| random(&tensors::transformer(&transformer, layout).unwrap(), 1);
    let vae = |layout| random(&tensors::vae(&vae, layout).unwrap(), 2);
    if name == "schnell-full" {
        let shards = "flux/transformer/diffusion_pytorch_model";
        sharded(shards, 3, &of(Layout::Diffusers), put);
        sharded("flux/text_encoder_2/model", 2, &t5, put);
        let vae = saved(&vae(Layout::Diffusers), DType::BF16);
        put("flux/vae/diffusion_pytorch_model.safetensors", vae);
        put("flux/text_encoder/model.safetensors", saved(&clip, DType::BF16));
        return;
    }
    let transformer = of(Layout::BlackForestLabs);
    if name == "schnell-12gb" {
        put("flux/flux1-schnell-Q4_K_S.gguf", gguf(&transformer, str::to_owned, q4_k_s));
    } else {
        put("flux/flux1-schnell.safetensors", saved(&transformer, DType::BF16));
    }
    let mut vae = vae(Layout::BlackForestLabs);
    // Published with the encoder, which no job needs.
    vae.push(("encoder.conv_in.bias".to_owned(), Tensor::zeros(32, DType::F32, &Device::Cpu).unwrap()));
    put("flux/ae.safetensors", saved(&vae, DType::F32));
    let mut clip = clip;
    clip.push(("logit_scale".to_owned(), Tensor::new(4.6f32, &Device::Cpu).unwrap()));
    put("flux/text_encoder/clip_l.safetensors", saved(&clip, DType::F16));
    put("flux/text_encoder_2/t5-v1_1-xxl-encoder-Q5_K_M.gguf", gguf(&t5, llama, q5_k_m));
}

type Named = Vec<(String, Tensor)>;

/// Random numbers for what a network asks for, of the size that it would begin with.
fn random(specs: &[TensorSpec], stream: u64) -> Named {
    let mut noise = Noise::new(7, stream);
    let mut tensor = |spec: &TensorSpec| {
        let count = spec.shape.elem_count();
        let values: Vec<f32> = match spec.init {
            Init::Const(value) => vec![value as f32; count],
            Init::Randn { mean, stdev } => {
                noise.normals(count).iter().map(|v| (mean + stdev * f64::from(*v)) as f32).collect()
            }
            other => panic!("{}: {other:?}", spec.name),
        };
        Tensor::from_vec(values, spec.shape.clone(), &Device::Cpu).unwrap()
    };
    specs.iter().map(|spec| (spec.name.clone(), tensor(spec))).collect()
}

fn saved(tensors: &Named, dtype: DType) -> Vec<u8> {
    let all: Named = tensors.iter().map(|(name, it)| (name.clone(), it.to_dtype(dtype).unwrap())).collect();
    safetensors::serialize(all.iter().map(|(name, it)| (name, it)), None).unwrap()
}

/// The same tensors under other names.
fn renamed(file: &[u8], name: impl Fn(&str) -> String) -> Vec<u8> {
    let all = safetensors::SafeTensors::deserialize(file).unwrap();
    safetensors::serialize(all.iter().map(|(old, view)| (name(old), view)), None).unwrap()
}

/// Shards and the index of them.
fn sharded(stem: &str, count: usize, tensors: &Named, put: &mut impl FnMut(&str, Vec<u8>)) {
    let mut places = serde_json::Map::new();
    let base = stem.rsplit_once('/').unwrap().1;
    for (place, shard) in tensors.chunks(tensors.len().div_ceil(count)).enumerate() {
        let end = format!("-{:05}-of-{count:05}.safetensors", place + 1);
        places.extend(shard.iter().map(|(name, _)| (name.clone(), json!(format!("{base}{end}")))));
        put(&format!("{stem}{end}"), saved(&shard.to_vec(), DType::BF16));
    }
    let index = json!({"metadata": {}, "weight_map": places});
    put(&format!("{stem}.safetensors.index.json"), index.to_string().into_bytes());
}

/// A GGUF file, each tensor stored as `dtype` says of its name and shape.
fn gguf(
    tensors: &Named,
    name: impl Fn(&str) -> String,
    dtype: impl Fn(&str, &[usize]) -> GgmlDType,
) -> Vec<u8> {
    let packed: Vec<(String, QTensor)> = tensors
        .iter()
        .map(|(old, it)| (name(old), QTensor::quantize(it, dtype(old, it.dims())).unwrap()))
        .collect();
    let list: Vec<(&str, &QTensor)> = packed.iter().map(|(name, it)| (name.as_str(), it)).collect();
    let mut file = tempfile::tempfile().unwrap();
    gguf_file::write(&mut file, &[], &list).unwrap();
    let mut bytes = Vec::new();
    std::io::Seek::rewind(&mut file).unwrap();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    bytes
}

/// The small mixture with four bits: some matrices with more, the ends and what is no matrix as floats.
fn q4_k_s(name: &str, shape: &[usize]) -> GgmlDType {
    match shape {
        [_, cols] if !cols.is_multiple_of(256) => GgmlDType::F16,
        [_, _] if name.starts_with("final_layer.linear") => GgmlDType::BF16,
        [_, _] if name.contains("txt_mlp.2") => GgmlDType::Q5K,
        [_, _] => GgmlDType::Q4K,
        _ => GgmlDType::F32,
    }
}

/// The medium mixture with five bits.
fn q5_k_m(name: &str, shape: &[usize]) -> GgmlDType {
    match shape {
        [_, cols] if !cols.is_multiple_of(256) => GgmlDType::F32,
        [_, _] if name.ends_with("SelfAttention.v.weight") || name.ends_with("wo.weight") => GgmlDType::Q6K,
        [_, _] if name == "shared.weight" => GgmlDType::Q6K,
        [_, _] => GgmlDType::Q5K,
        _ => GgmlDType::F32,
    }
}
