//! Tensors in the files that other programs write: PyTorch's archives, numpy's, GGUF, and other programs' names.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use half::bf16;
use safetensors::tensor::Dtype;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::{Stored, Tensors, wide};

fn entry(zip: &mut zip::ZipWriter<File>, name: &str, bytes: &[u8]) {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file(name, stored).unwrap();
    zip.write_all(bytes).unwrap();
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn number(value: usize) -> Vec<u8> {
    [&b"J"[..], &(value as i32).to_le_bytes()].concat()
}

fn tuple(items: &[usize]) -> Vec<u8> {
    [&b"("[..], &items.iter().flat_map(|item| number(*item)).collect::<Vec<u8>>(), b"t"].concat()
}

/// What `torch.save` writes of one tensor whose storage has the key `key`.
fn rebuilt(tensor: &Stored, key: usize) -> Vec<u8> {
    let storage: &[u8] = match tensor.dtype {
        Dtype::F32 => b"FloatStorage",
        Dtype::BF16 => b"BFloat16Storage",
        Dtype::F16 => b"HalfStorage",
        other => panic!("{other}"),
    };
    let strides: Vec<usize> =
        (0..tensor.shape.len()).map(|at| tensor.shape[at + 1..].iter().product()).collect();
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        [b"ctorch\n", storage, b"\n"].concat(),
        text(&key.to_string()),
        text("cpu"),
        number(tensor.shape.iter().product()),
        b"tQ".to_vec(),
        number(0),
        tuple(&tensor.shape),
        tuple(&strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

/// A checkpoint of these tensors, as `torch.save` lays it out.
pub(super) fn pickle(file: &Path, tensors: &Tensors) {
    let pairs = tensors.iter().enumerate();
    let pairs: Vec<u8> =
        pairs.flat_map(|(key, (name, tensor))| [text(name), rebuilt(tensor, key)].concat()).collect();
    let whole = [&b"\x80\x02}("[..], &pairs, b"u."].concat();
    archive(file, &whole, &tensors.values().collect::<Vec<_>>());
}

/// The same of one tensor that is no dictionary.
pub(super) fn bare_pickle(file: &Path, tensor: &Stored) {
    archive(file, &[&b"\x80\x02"[..], &rebuilt(tensor, 0), b"."].concat(), &[tensor]);
}

pub(super) fn archive(file: &Path, pickle: &[u8], storages: &[&Stored]) {
    let mut zip = zip::ZipWriter::new(File::create(file).unwrap());
    entry(&mut zip, "archive/data.pkl", pickle);
    for (key, tensor) in storages.iter().enumerate() {
        entry(&mut zip, &format!("archive/data/{key}"), &tensor.bytes);
    }
    zip.finish().unwrap();
}

/// What `numpy.savez` writes.
pub(super) fn npz(file: &Path, arrays: &[(&str, &Stored)]) {
    let mut zip = zip::ZipWriter::new(File::create(file).unwrap());
    for (name, array) in arrays {
        let shape: Vec<String> = array.shape.iter().map(usize::to_string).collect();
        let mut header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", shape.join(", "));
        while (10 + header.len() + 1) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let length = (header.len() as u16).to_le_bytes();
        let bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &array.bytes].concat();
        entry(&mut zip, &format!("{name}.npy"), &bytes);
    }
    zip.finish().unwrap();
}

/// As GGUF in full precision, so that nothing is rounded.
pub(super) fn gguf(file: &Path, tensors: &Tensors, name: impl Fn(&str) -> String) {
    let of = |it: &Stored| {
        let tensor = wide(it);
        let tensor = if tensor.rank() == 0 { tensor.reshape(1).unwrap() } else { tensor };
        QTensor::quantize(&tensor, GgmlDType::F32).unwrap()
    };
    let all: Vec<(String, QTensor)> = tensors.iter().map(|(old, it)| (name(old), of(it))).collect();
    let list: Vec<(&str, &QTensor)> = all.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut File::create(file).unwrap(), &[], &list).unwrap();
}

/// Rows `from..to` of a tensor.
fn rows(it: &Stored, from: usize, to: usize) -> Stored {
    let row = it.bytes.len() / it.shape[0];
    let shape = [&[to - from][..], &it.shape[1..]].concat();
    Stored { dtype: it.dtype, shape, bytes: it.bytes[from * row..to * row].to_vec() }
}

/// diffusers' names of a transformer in Black Forest Labs' (diffusers, `scripts/convert_flux_to_diffusers.py`), with the
/// values as they are: nothing is turned that the script turns, since only places are compared.
pub(super) fn diffusers_transformer(tensors: &Tensors) -> Tensors {
    let mut out = Tensors::new();
    for (name, it) in tensors {
        let (layer, kind) = name.rsplit_once('.').unwrap();
        let parts: Vec<&str> = layer.split('.').collect();
        let mut put = |name: String, it: Stored| drop(out.insert(name, it));
        let mut one = |new: &str| put(format!("{new}.{kind}"), it.clone());
        match parts.as_slice() {
            ["img_in"] => one("x_embedder"),
            ["txt_in"] => one("context_embedder"),
            [part @ ("time_in" | "vector_in"), inner] => {
                let part = if *part == "time_in" { "timestep_embedder" } else { "text_embedder" };
                one(&format!("time_text_embed.{part}.linear_{}", if *inner == "in_layer" { 1 } else { 2 }));
            }
            ["final_layer", "linear"] => one("proj_out"),
            ["final_layer", "adaLN_modulation", "1"] => one("norm_out.linear"),
            ["double_blocks", block, rest @ ..] => {
                let at = format!("transformer_blocks.{block}");
                match rest {
                    ["img_mod", "lin"] => one(&format!("{at}.norm1.linear")),
                    ["txt_mod", "lin"] => one(&format!("{at}.norm1_context.linear")),
                    [stream, "qkv"] => {
                        let names = if *stream == "img_attn" {
                            ["to_q", "to_k", "to_v"]
                        } else {
                            ["add_q_proj", "add_k_proj", "add_v_proj"]
                        };
                        let third = it.shape[0] / 3;
                        for (place, name) in names.iter().enumerate() {
                            put(
                                format!("{at}.attn.{name}.{kind}"),
                                rows(it, place * third, (place + 1) * third),
                            );
                        }
                    }
                    ["img_attn", "proj"] => one(&format!("{at}.attn.to_out.0")),
                    ["txt_attn", "proj"] => one(&format!("{at}.attn.to_add_out")),
                    [stream, "norm", which] => {
                        let added = if *stream == "txt_attn" { "added_" } else { "" };
                        let letter = if *which == "query_norm" { "q" } else { "k" };
                        put(format!("{at}.attn.norm_{added}{letter}.weight"), it.clone());
                    }
                    [stream, "0"] => one(&format!("{at}.{}.net.0.proj", feed_forward(stream))),
                    [stream, "2"] => one(&format!("{at}.{}.net.2", feed_forward(stream))),
                    other => panic!("{other:?}"),
                }
            }
            ["single_blocks", block, rest @ ..] => {
                let at = format!("single_transformer_blocks.{block}");
                match rest {
                    ["modulation", "lin"] => one(&format!("{at}.norm.linear")),
                    ["linear1"] => {
                        // Three of the width, then the feed-forward layer, four times as wide.
                        let width = it.shape[0] / 7;
                        for (place, name) in ["to_q", "to_k", "to_v"].iter().enumerate() {
                            put(
                                format!("{at}.attn.{name}.{kind}"),
                                rows(it, place * width, (place + 1) * width),
                            );
                        }
                        put(format!("{at}.proj_mlp.{kind}"), rows(it, 3 * width, 7 * width));
                    }
                    ["linear2"] => one(&format!("{at}.proj_out")),
                    ["norm", which] => {
                        let letter = if *which == "query_norm" { "q" } else { "k" };
                        put(format!("{at}.attn.norm_{letter}.weight"), it.clone());
                    }
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }
    out
}

fn feed_forward(stream: &str) -> &'static str {
    if stream == "img_mlp" { "ff" } else { "ff_context" }
}

/// open_clip's names of a CLIP in Hugging Face's: the projections of an attention in one matrix, those into the common
/// space the other way round.
pub(super) fn open_clip(tensors: &Tensors) -> Tensors {
    let mut out = Tensors::new();
    for (name, it) in tensors {
        let (tower, rest) = match name.split_once('.') {
            Some(("vision_model", rest)) => ("visual.", rest),
            Some(("text_model", rest)) => ("", rest),
            _ => ("", name.as_str()),
        };
        let new = match rest {
            "visual_projection.weight" => "visual.proj".to_owned(),
            "text_projection.weight" => "text_projection".to_owned(),
            "logit_scale" => "logit_scale".to_owned(),
            "embeddings.class_embedding" => "visual.class_embedding".to_owned(),
            "embeddings.patch_embedding.weight" => "visual.conv1.weight".to_owned(),
            "embeddings.position_embedding.weight" => format!("{tower}positional_embedding"),
            "embeddings.token_embedding.weight" => "token_embedding.weight".to_owned(),
            _ => {
                let inner = rest
                    .strip_prefix("encoder.layers.")
                    .map_or_else(|| rest.to_owned(), |layer| format!("transformer.resblocks.{layer}"));
                let pairs = [
                    ("pre_layrnorm", "ln_pre"),
                    ("post_layernorm", "ln_post"),
                    ("final_layer_norm", "ln_final"),
                    ("layer_norm", "ln_"),
                    ("mlp.fc1", "mlp.c_fc"),
                    ("mlp.fc2", "mlp.c_proj"),
                    ("self_attn", "attn"),
                ];
                pairs.iter().fold(format!("{tower}{inner}"), |name, (old, new)| name.replace(old, new))
            }
        };
        if new.contains("q_proj") {
            let [k, v] = ["k_proj", "v_proj"].map(|part| &tensors[&name.replace("q_proj", part)]);
            let shape = [&[3 * it.shape[0]][..], &it.shape[1..]].concat();
            let bytes = [&it.bytes[..], &k.bytes, &v.bytes].concat();
            let fused = Stored { dtype: it.dtype, shape, bytes };
            out.insert(new.replace("q_proj.", "in_proj_"), fused);
        } else if name.ends_with("_projection.weight") {
            out.insert(new, turned(it));
        } else if !new.contains("k_proj") && !new.contains("v_proj") {
            out.insert(new, it.clone());
        }
    }
    out
}

fn turned(it: &Stored) -> Stored {
    let (rows, cols) = (it.shape[0], it.shape[1]);
    let width = it.bytes.len() / (rows * cols);
    let at = |row: usize, col: usize| &it.bytes[(row * cols + col) * width..][..width];
    let bytes = (0..cols).flat_map(|col| (0..rows).flat_map(move |row| at(row, col).to_vec())).collect();
    Stored { dtype: it.dtype, shape: vec![cols, rows], bytes }
}

/// `count` numbers that bf16 can hold, so that no file's type rounds them.
pub(super) fn numbers(shape: &[usize], seed: usize) -> Stored {
    let count: usize = shape.iter().product();
    let value = |at: usize| bf16::from_f32(((at * 31 + seed * 17) % 199) as f32 / 199.0 - 0.5).to_f32();
    super::of_floats(shape, &(0..count).map(value).collect::<Vec<_>>())
}
