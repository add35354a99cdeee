//! What adopting leaves over is told with its reason, what would serve too is told as a choice, and the command's codes.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::{printed, text, weights};
use super::written::{archive, bare_pickle, numbers, pickle};
use super::{CLIP, PLAIN, Stored, Tensors, of_floats, read, write};

const SPEECH: &str = "kokoro/kokoro-v1_0.safetensors";

fn answer(arguments: &[&str]) -> (i32, Value) {
    let output = weights(arguments);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    (output.status.code().unwrap(), value)
}

/// Kokoro as it was converted once, in a folder of its own.
fn kokoro(folder: &Path) {
    fs::create_dir_all(folder.join("voices")).unwrap();
    for file in ["kokoro-v1_0.safetensors", "config.json"] {
        fs::copy(PLAIN.1.folder.join("kokoro").join(file), folder.join(file)).unwrap();
    }
    bare_pickle(&folder.join("voices/af_one.pt"), &numbers(&[510, 1, 32], 1));
}

#[test]
fn a_folder_becomes_a_bundle_in_place_that_verifies_and_loads() {
    let folder = TempDir::new().unwrap();
    kokoro(folder.path());
    let place = text(folder.path());
    let (code, told) = answer(&["adopt", place, "--json"]);
    assert_eq!((code, &told["ok"]), (0, &json!(true)), "{told:#}");
    let ways: Vec<&str> =
        told["files"].as_array().unwrap().iter().map(|file| file["way"].as_str().unwrap()).collect();
    assert_eq!(ways, ["there", "there", "converted"]);
    assert!(told["left_out"].as_array().unwrap().iter().any(|out| out["model"] == "flux"));
    for command in ["verify", "load"] {
        let output = weights(&[command, place]);
        assert!(output.status.success(), "{command}: {}", printed(&output));
    }
    // Once more: refused, unless it is asked for.
    let again = weights(&["adopt", place]);
    assert_eq!(again.status.code(), Some(2));
    assert!(printed(&again).contains("bundle.toml is there already"), "{}", printed(&again));
    let replaced = weights(&["adopt", place, "--replace"]);
    assert!(replaced.status.success(), "{}", printed(&replaced));
    assert!(weights(&["verify", place]).status.success());
    // What is asked for and not there is exit code 1, a folder that is not there 2.
    let into = folder.path().join("other");
    assert_eq!(weights(&["adopt", place, "--into", text(&into), "--models", "flux"]).status.code(), Some(1));
    assert!(!into.join("bundle.toml").exists());
    assert_eq!(weights(&["adopt", text(&folder.path().join("gone"))]).status.code(), Some(2));
}

#[test]
fn what_cannot_be_used_is_told_with_its_reason() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    kokoro(root);
    let one = |name: &str, shape: &[usize]| Tensors::from([(name.to_owned(), numbers(shape, 1))]);
    write(&root.join("lora.safetensors"), &one("double_blocks.0.img_attn.qkv.lora_A.weight", &[4, 4]));
    write(&root.join("sd.safetensors"), &one("model.diffusion_model.input_blocks.0.0.weight", &[4, 4]));
    let mut autoencoder = one("decoder.up.0.block.0.conv1.weight", &[4, 4, 3, 3]);
    autoencoder.extend(one("decoder.conv_in.weight", &[8, 4, 3, 3]));
    write(&root.join("sd-vae.safetensors"), &autoencoder);
    fs::write(root.join("landmark.onnx"), "x").unwrap();
    fs::write(root.join("pointer.bin"), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    let whole = fs::read(PLAIN.1.folder.join(SPEECH)).unwrap();
    fs::write(root.join("cut.safetensors"), &whole[..whole.len() - 8]).unwrap();
    archive(&root.join("code.pth"), b"\x80\x02cposix\nsystem\n(X\x04\x00\x00\x00exittR.", &[]);
    write(&root.join("m-00002-of-00003.safetensors"), &one("a", &[1]));
    let mut short = read(SPEECH);
    short.remove("decoder.module.encode.conv1.bias").unwrap();
    pickle(&root.join("short.pth"), &short);
    fs::copy(PLAIN.1.folder.join(CLIP), root.join("clip_l.safetensors")).unwrap();
    fs::write(root.join("notes.txt"), "nothing to do with it").unwrap();

    let into = TempDir::new().unwrap();
    let (code, told) = answer(&["adopt", text(root), "--into", text(into.path()), "--json"]);
    assert_eq!(code, 0, "{told:#}");
    let why = |file: &str| {
        let unused = told["unused"].as_array().unwrap();
        let of = unused.iter().find(|it| it["path"].as_str().unwrap().ends_with(file));
        of.unwrap_or_else(|| panic!("{file} is not told of: {told:#}"))["why"].as_str().unwrap().to_owned()
    };
    for (file, reason) in [
        ("lora.safetensors", "a LoRA"),
        ("sd.safetensors", "the U-Net of Stable Diffusion"),
        ("sd-vae.safetensors", "have 4 channels"),
        ("landmark.onnx", "ONNX, which is not read"),
        ("pointer.bin", "zip archive"),
        ("cut.safetensors", "truncated"),
        ("code.pth", "nothing was executed"),
        ("m-00002-of-00003.safetensors", "one of 3 shards"),
        ("short.pth", "decoder.module.encode.conv1.bias"),
    ] {
        assert!(why(file).contains(reason), "{file}: {}", why(file));
    }
    assert!(!told.to_string().contains("notes.txt"));
    // A model that is not whole: what is there of it is told, and what is missing.
    let out = told["left_out"].as_array().unwrap().iter().find(|out| out["model"] == "flux").unwrap();
    let missing = "without a transformer, an autoencoder, CLIP's tokenizer for 514 words";
    assert!(out["why"].as_str().unwrap().starts_with(missing), "{out}");
    assert_eq!(why("clip_l.safetensors"), "would serve as flux.text_encoder, but flux is left out");
    let verified = weights(&["verify", text(into.path())]);
    assert!(verified.status.success(), "{}", printed(&verified));
}

#[test]
fn where_two_files_serve_the_better_is_taken_and_both_are_told() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    kokoro(root);
    pickle(&root.join("the-same.pth"), &read(SPEECH));
    // A voice of the same name, which needs no conversion.
    let voice = Tensors::from([("voice".to_owned(), numbers(&[510, 1, 32], 2))]);
    fs::create_dir(root.join("other")).unwrap();
    write(&root.join("other/af_one.safetensors"), &voice);
    let (code, told) = answer(&["adopt", text(root), "--json"]);
    assert_eq!(code, 0, "{told:#}");
    let choices = told["choices"].as_array().unwrap();
    let of = |role: &str| choices.iter().find(|choice| choice["role"] == role).unwrap();
    assert!(of("weights")["taken"].as_str().unwrap().ends_with("kokoro-v1_0.safetensors"));
    assert_eq!(of("weights")["why"], "the other would have to be converted");
    assert!(of("voices")["taken"].as_str().unwrap().ends_with("other/af_one.safetensors"));
    assert!(of("voices")["left"].as_str().unwrap().ends_with("af_one.pt"));
}

#[test]
fn a_bomb_and_floats_without_a_header_are_refused() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    kokoro(root);
    // As long as a voice, and no voice's numbers.
    let wild: Vec<f32> = (0..510 * 32).map(|at| at as f32).collect();
    let Stored { bytes, .. } = of_floats(&[510 * 32], &wild);
    fs::write(root.join("voices/wild.bin"), bytes).unwrap();
    let zip = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut bomb = zip::ZipWriter::new(fs::File::create(root.join("bomb.pth")).unwrap());
    bomb.start_file("archive/data.pkl", zip).unwrap();
    std::io::Write::write_all(&mut bomb, &vec![b')'; 9 << 20]).unwrap();
    bomb.finish().unwrap();
    let (code, told) = answer(&["adopt", text(root), "--json"]);
    assert_eq!(code, 0, "{told:#}");
    let said = told["unused"].to_string();
    assert!(said.contains("bare floats") && said.contains("expected at most 8388608 bytes"), "{said}");
}

/// A safetensors file of these tensors whose values are a hole: nothing but the header takes room.
fn hollow(file: &Path, specs: &[vortex_node::models::weights::spec::TensorSpec]) {
    let (mut listed, mut end) = (serde_json::Map::new(), 0);
    for spec in specs {
        let start = end;
        end += 4 * spec.shape.elem_count();
        let entry = json!({"dtype": "F32", "shape": spec.shape.dims(), "data_offsets": [start, end]});
        listed.insert(spec.name.clone(), entry);
    }
    let header = Value::Object(listed).to_string();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()).unwrap();
    let length = 8 + header.len() + end;
    fs::OpenOptions::new().append(true).open(file).unwrap().set_len(length as u64).unwrap();
}

#[test]
fn networks_of_the_published_sizes_need_no_configuration() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let config = vortex_node::models::kokoro::config::KokoroConfig::published();
    hollow(&root.join("k.safetensors"), &vortex_node::models::catalog::kokoro(&config).unwrap().specs);
    bare_pickle(&root.join("af_one.pt"), &numbers(&[510, 1, 256], 1));
    let into = TempDir::new().unwrap();
    let (code, told) = answer(&["adopt", text(root), "--into", text(into.path()), "--json"]);
    assert_eq!(code, 0, "{told:#}");
    let files = told["files"].as_array().unwrap();
    let supplied: Vec<&Value> = files.iter().filter(|file| file["way"] == "supplied").collect();
    assert_eq!(supplied.len(), 1, "{told:#}");
    assert_eq!(
        (&supplied[0]["role"], &supplied[0]["about"]),
        (&json!("config"), &json!("the published sizes"))
    );
    let verified = weights(&["verify", text(into.path()), "--no-hash"]);
    assert!(verified.status.success(), "{}", printed(&verified));
}
