use std::collections::HashMap;

use super::*;

fn write(path: &Path, tensors: &[(&str, Tensor)]) {
    let tensors: HashMap<String, Tensor> =
        tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn several_files_are_one_set_of_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.safetensors", "b.safetensors"].map(|name| folder.path().join(name));
    write(&a, &[("x", ones(&[2, 3])), ("position_ids", ones(&[7]))]);
    write(&b, &[("y", ones(&[4]))]);
    let weights = Weights::open([&a, &b]).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["position_ids", "x", "y"]);
    assert_eq!(weights.weight_names().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!((weights.parameters(), weights.size()), (10, Bytes::new(17 * 4)));
    assert_eq!(weights.find("y").unwrap().file, b);
}

#[test]
fn a_tensor_in_two_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.safetensors", "b.safetensors"].map(|name| folder.path().join(name));
    write(&a, &[("x", ones(&[2]))]);
    write(&b, &[("x", ones(&[2]))]);
    let error = Weights::open([&a, &b]).unwrap_err().to_string();
    assert!(
        error.contains("b.safetensors: tensor \"x\" is also in") && error.contains("a.safetensors"),
        "{error}"
    );
}

#[test]
fn an_index_brings_its_shards_and_must_tell_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("m-1.safetensors"), &[("x", ones(&[2]))]);
    write(&folder.path().join("m-2.safetensors"), &[("y", ones(&[2]))]);
    let index = folder.path().join("m.safetensors.index.json");
    let with = |map: &str| {
        std::fs::write(&index, format!(r#"{{"metadata":{{"total_size":16}},"weight_map":{map}}}"#)).unwrap();
        Weights::open([&index])
    };
    let sound = with(r#"{"x":"m-1.safetensors","y":"m-2.safetensors"}"#).unwrap();
    assert_eq!(sound.names().collect::<Vec<_>>(), ["x", "y"]);
    for (map, complaint) in [
        (r#"{"x":"m-2.safetensors","y":"m-2.safetensors"}"#, "tensor \"x\": expected it in"),
        (r#"{"x":"m-3.safetensors"}"#, "m-3.safetensors: cannot be read"),
        (r#"{"x":"../m-1.safetensors"}"#, "tensor \"x\": expected the name of a file beside the index"),
        (r#"{"x":"/etc/passwd"}"#, "tensor \"x\": expected the name of a file beside the index"),
        (r#"{"x":""}"#, "tensor \"x\": expected the name of a file beside the index"),
        (r#"{"x":7}"#, "shard index: invalid type: integer `7`"),
        (r#"{}"#, "weight_map names no tensor"),
    ] {
        let error = with(map).unwrap_err().to_string();
        assert!(error.contains(complaint), "{map}: {error}");
    }
}

#[test]
fn tensors_get_the_names_that_a_network_asks_by_and_clashes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.safetensors");
    write(&file, &[("module.x", ones(&[2])), ("y", ones(&[2]))]);
    let spec =
        |name: &str| TensorSpec { name: name.into(), shape: 2.into(), init: candle_nn::Init::Const(0.0) };
    let asked = ["x", "y"].map(spec);
    let weights = Weights::open([&file]).unwrap().named_for(&asked, naming::no_aliases).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(weights.find("x").unwrap().stored, "module.x");
    let twice = folder.path().join("b.safetensors");
    write(&twice, &[("module.x", ones(&[2])), ("x", ones(&[2]))]);
    let clash = Weights::open([&twice]).unwrap().named_for(&asked, naming::no_aliases).unwrap_err();
    assert!(clash.to_string().contains("tensor \"x\" is also in"));
    let clash = Weights::open([&file]).unwrap().renamed(|_| Some("z".into())).unwrap_err();
    assert!(clash.to_string().contains("tensor \"z\" is also in"));
    let fewer = Weights::open([&file]).unwrap().renamed(|name| (name == "y").then(|| "w".into())).unwrap();
    assert_eq!(fewer.names().collect::<Vec<_>>(), ["w"]);
}

#[test]
fn what_is_no_file_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let error = Weights::open([folder.path()]).unwrap_err().to_string();
    assert!(error.contains("cannot be read: not a regular file"), "{error}");
    let error = Weights::open([folder.path().join("gone.safetensors")]).unwrap_err().to_string();
    assert!(error.contains("gone.safetensors: cannot be read"), "{error}");
}
