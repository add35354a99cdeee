//! `weights pull` against a hub on a local port: interruptions, wrong hashes, conversions.

mod ended;
mod locked;
mod redirected;
mod refused;
mod remembered;
mod shipped;

use std::path::Path;
use std::process::Output;

use vortex_node::models::bundle::Sha256;

use super::hub::{Hub, Ranges};
use super::{printed, text, weights};

/// Large enough that a cut answer leaves part of it on disk.
fn large() -> Vec<u8> {
    (0..3_000_000u32).map(|i| (i * 7 % 251) as u8).collect()
}

/// A bundle of one CLIP whose tokenizer is the large file; `lie` is taken for its hash.
fn bundle(folder: &Path, lie: Option<&[u8]>) {
    let entry = |path: &str, bytes: &[u8]| {
        format!("{{ path = \"clip/{path}\", sha256 = \"{}\" }}", Sha256::of(bytes))
    };
    let large = large();
    let text = format!(
        "name = \"x\"\n[models.clip_b]\nprecision = \"f32\"\nbudget = \"1MB\"\n\
         hub = {{ repo = \"owner/name\", revision = \"v1\" }}\n[models.clip_b.files]\n\
         config = {}\nmodel = {}\npreprocessor = {}\ntokenizer = {}\n",
        entry("config.json", b"{}"),
        entry("deep/model.safetensors", b"weights"),
        entry("pre.json", b"[]"),
        entry("tokenizer.json", lie.unwrap_or(&large)),
    );
    std::fs::write(folder.join("bundle.toml"), text).unwrap();
}

fn hub() -> Hub {
    Hub::serve(&[
        ("config.json", b"{}"),
        ("deep/model.safetensors", b"weights"),
        ("pre.json", b"[]"),
        ("tokenizer.json", &large()),
    ])
}

fn pull(folder: &Path, hub: &Hub, retries: &str) -> Output {
    weights(&["pull", text(folder), "--endpoint", &hub.address, "--retries", retries])
}

#[test]
fn everything_comes_with_its_hash_and_nothing_comes_twice() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), large());
    assert_eq!(std::fs::read(folder.path().join("clip/deep/model.safetensors")).unwrap(), b"weights");
    let requests = hub.state.lock().unwrap().seen.len();
    let output = pull(folder.path(), &hub, "0");
    assert!(output.status.success() && printed(&output).contains("there"), "{}", printed(&output));
    assert_eq!(hub.state.lock().unwrap().seen.len(), requests, "files that are there were asked for again");
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_ended() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    // Small files come whole within these bytes, so the cuts hit the large one.
    hub.state.lock().unwrap().cuts = (6, 1_000_000);
    let output = pull(folder.path(), &hub, "2");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), large());
    let starts: Vec<usize> = hub.starts().into_iter().filter(|start| *start > 0).collect();
    assert!(starts.len() >= 2 && starts.is_sorted(), "{starts:?}");
    assert!(hub.state.lock().unwrap().sent < 2 * large().len(), "bytes came again that were there");
}

#[test]
fn a_later_run_goes_on_with_what_an_earlier_one_left() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    // The line goes dead for good within the large file, which is the last.
    hub.state.lock().unwrap().left = Some(1_200_000);
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    let (path, part) = ("clip/tokenizer.json", folder.path().join("clip/tokenizer.json.part"));
    let kept = std::fs::metadata(&part).unwrap().len() as usize;
    assert!(kept > 1_000_000 && !folder.path().join(path).exists(), "{kept}");
    hub.state.lock().unwrap().left = None;
    let first_starts = hub.starts_of("tokenizer.json");
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(hub.starts_of("tokenizer.json"), [first_starts, vec![kept]].concat());
    assert_eq!(std::fs::read(folder.path().join(path)).unwrap(), large());
    assert!(!part.exists());
}

#[test]
fn a_hub_that_never_delivers_is_given_up_with_the_part_kept() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().cuts = (usize::MAX, 0);
    std::fs::create_dir_all(folder.path().join("clip")).unwrap();
    std::fs::write(folder.path().join("clip/tokenizer.json.part"), &large()[..10]).unwrap();
    let output = pull(folder.path(), &hub, "1");
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("tokenizer.json of owner/name: given up after 10 B"), "{printed}");
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json.part")).unwrap(), large()[..10]);
    assert!(!folder.path().join("clip/tokenizer.json").exists());
}

#[test]
fn a_hub_without_ranges_sends_everything_again() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().ranges = Ranges::Ignored;
    std::fs::create_dir_all(folder.path().join("clip")).unwrap();
    std::fs::write(folder.path().join("clip/tokenizer.json.part"), &large()[..1_000]).unwrap();
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), large());
}

#[test]
fn a_wrong_hash_is_refused_and_leaves_nothing_under_the_final_name() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), Some(b"something else"));
    let output = pull(folder.path(), &hub, "0");
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains(&format!("found {}", Sha256::of(&large()))), "{printed}");
    let left: Vec<_> =
        std::fs::read_dir(folder.path().join("clip")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("tokenizer")), "{left:?}");
}

#[test]
fn a_file_that_is_there_with_another_hash_is_left_alone() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    std::fs::create_dir_all(folder.path().join("clip")).unwrap();
    std::fs::write(folder.path().join("clip/tokenizer.json"), "mine").unwrap();
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("move it away"), "{}", printed(&output));
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), b"mine");
}

#[test]
fn what_the_hub_does_not_have_is_named_without_trying_again() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().files.remove("tokenizer.json");
    let output = pull(folder.path(), &hub, "5");
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("tokenizer.json of owner/name"), "{printed}");
    let state = hub.state.lock().unwrap();
    assert_eq!(state.seen.iter().filter(|seen| seen.name == "tokenizer.json").count(), 1);
}

#[test]
fn a_published_pickle_is_checked_converted_and_checked_again() {
    let sets =
        crate::support::fixture_sets("Kokoro as published", |set| set.join("kokoro-v1_0.pth").exists());
    let Some(set) = sets.first() else { return };
    let published = std::fs::read(set.join("kokoro-v1_0.pth")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let converted = scratch.path().join("k.safetensors");
    let run = vortex_node::contract::Run::unobserved();
    let written =
        vortex_node::models::weights::pickle::convert(&set.join("kokoro-v1_0.pth"), &converted, &run)
            .unwrap()
            .written;
    let hub = Hub::serve(&[("kokoro-v1_0.pth", &published), ("config.json", b"{}"), ("voices/v.pt", b"v")]);
    for (expected, is_good) in [(written.sha256, true), (Sha256::of(b"another"), false)] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "name = \"k\"\n[models.kokoro]\nprecision = \"f32\"\nbudget = \"1GB\"\n\
             hub = {{ repo = \"owner/name\", revision = \"v1\" }}\n[models.kokoro.files]\n\
             config = {{ path = \"kokoro/config.json\", sha256 = \"{}\" }}\n\
             voices = {{ path = \"kokoro/voices/v.pt\", sha256 = \"{}\" }}\n\
             weights = {{ path = \"kokoro/kokoro.safetensors\", sha256 = \"{expected}\", remote = \"kokoro-v1_0.pth\", \
             remote_sha256 = \"{}\" }}\n",
            Sha256::of(b"{}"),
            Sha256::of(b"v"),
            Sha256::of(&published),
        );
        std::fs::write(folder.path().join("bundle.toml"), text).unwrap();
        let output = pull(folder.path(), &hub, "0");
        assert_eq!(output.status.success(), is_good, "{}", printed(&output));
        assert_eq!(folder.path().join("kokoro/kokoro.safetensors").exists(), is_good);
        assert!(!folder.path().join("kokoro/kokoro.safetensors.part").exists());
    }
}

#[test]
fn a_pickle_under_a_safetensors_name_is_refused_whatever_its_hash() {
    let pickle: &[u8] = b"PK\x03\x04\x00\x00\x08\x08\x00\x00 and what else an archive has";
    let hub = Hub::serve(&[
        ("config.json", b"{}"),
        ("deep/model.safetensors", pickle),
        ("pre.json", b"[]"),
        ("tokenizer.json", &large()),
    ]);
    let folder = tempfile::tempdir().unwrap();
    bundle(folder.path(), None);
    let description = folder.path().join("bundle.toml");
    let described = std::fs::read_to_string(&description).unwrap();
    let (weights, hash) = (Sha256::of(b"weights").to_string(), Sha256::of(pickle).to_string());
    std::fs::write(&description, described.replace(&weights, &hash)).unwrap();
    let model = folder.path().join("clip/deep/model.safetensors");
    let aside = folder.path().join("clip/deep/model.safetensors.pickle");

    let output = pull(folder.path(), &hub, "0");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("is a pickle, now ") && told.contains("remote_sha256"), "{told}");
    assert!(!model.exists());
    assert_eq!(std::fs::read(&aside).unwrap(), pickle);

    // One that an earlier version called good.
    std::fs::rename(&aside, &model).unwrap();
    let output = pull(folder.path(), &hub, "0");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("is a pickle under a safetensors name"), "{told}");
    assert_eq!(std::fs::read(&model).unwrap(), pickle, "it may be somebody's only copy");
    let verified = super::weights(&["verify", text(folder.path())]);
    let told = printed(&verified);
    assert_eq!(verified.status.code(), Some(1), "{told}");
    assert!(told.contains("PyTorch checkpoint"), "{told}");
}
