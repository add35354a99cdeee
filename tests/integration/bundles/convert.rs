//! Published pickles become the tensors that the fixtures have as safetensors.

use std::path::{Path, PathBuf};

use vortex_node::contract::Run;
use vortex_node::models::weights::{Weights, pickle};

use super::{printed, text, weights};
use crate::support::{fixtures_root, skip};

fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, extensions, found);
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
        {
            found.push(path);
        }
    }
    found.sort();
}

/// Whether both have the same tensors, bit for bit.
fn equal(a: &Weights, b: &Weights) -> bool {
    a.names().eq(b.names())
        && a.names().all(|name| {
            let (a, b) = (a.find(name).unwrap(), b.find(name).unwrap());
            a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes
        })
}

#[test]
fn parity_converted_checkpoints_equal_the_fixtures() {
    let (mut published, mut reference) = (Vec::new(), Vec::new());
    files(&fixtures_root(), &["pth", "pt"], &mut published);
    files(&fixtures_root(), &["safetensors"], &mut reference);
    if published.is_empty() {
        return skip("a published .pth under the fixtures");
    }
    let folder = tempfile::tempdir().unwrap();
    for (place, file) in published.iter().enumerate() {
        let out = folder.path().join(format!("{place}.safetensors"));
        let converted = pickle::convert(file, &out, &Run::unobserved()).unwrap();
        let ours = Weights::open([&out]).unwrap();
        assert_eq!(converted.tensors, ours.names().count());
        // The same checkpoint as safetensors: by its name, a voice's being the same in every set.
        let is_voice = file.extension().is_some_and(|extension| extension == "pt");
        let stem = if is_voice { Path::new("voice").as_os_str() } else { file.file_stem().unwrap() };
        let same_name: Vec<&PathBuf> =
            reference.iter().filter(|path| path.file_stem() == Some(stem)).collect();
        assert!(!same_name.is_empty(), "{} has no counterpart", file.display());
        let found = same_name.iter().any(|path| equal(&ours, &Weights::open([path]).unwrap()));
        assert!(found, "{} differs from each of {same_name:?}", file.display());
    }
}

#[test]
fn the_same_checkpoint_gives_the_same_bytes() {
    let mut published = Vec::new();
    files(&fixtures_root(), &["pth", "pt"], &mut published);
    let Some(file) = published.first() else { return skip("a published .pth under the fixtures") };
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    for out in [&a, &b] {
        pickle::convert(file, out, &Run::unobserved()).unwrap();
    }
    assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
}

#[test]
fn the_command_converts_whole_folders_and_names_what_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let (from, out) = (folder.path().join("from"), folder.path().join("out"));
    std::fs::create_dir_all(from.join("deep")).unwrap();
    let mut published = Vec::new();
    files(&fixtures_root(), &["pth"], &mut published);
    let Some(file) = published.first() else { return skip("a published .pth under the fixtures") };
    std::fs::copy(file, from.join("deep/good.pth")).unwrap();
    std::fs::write(from.join("evil.pt"), b"\x80\x02cposix\nsystem\n.").unwrap();
    let output = weights(&["convert", text(&from), "-o", text(&out)]);
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(
        out.join("deep/good.safetensors").exists() && !out.join("evil.safetensors").exists(),
        "{printed}"
    );
    assert!(printed.contains("evil.pt: checkpoint: a bare pickle"), "{printed}");
}

#[test]
fn a_folder_with_nothing_to_convert_is_an_error_that_says_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let convert = || weights(&["convert", text(folder.path())]);
    let empty = convert();
    assert_eq!(empty.status.code(), Some(2));
    assert!(printed(&empty).contains("looked for files named *.pth, *.pt"), "{}", printed(&empty));

    std::fs::write(folder.path().join("model.safetensors"), "{}").unwrap();
    let converted = convert();
    assert_eq!(converted.status.code(), Some(2));
    assert!(
        printed(&converted).contains("model.safetensors: safetensors already"),
        "{}",
        printed(&converted)
    );

    std::fs::write(folder.path().join("pytorch_model.bin"), b"PK\x03\x04 and more").unwrap();
    let other_name = convert();
    assert_eq!(other_name.status.code(), Some(2));
    let told = printed(&other_name);
    assert!(
        told.contains("pytorch_model.bin may be checkpoints by other names: name each file itself"),
        "{told}"
    );
}
