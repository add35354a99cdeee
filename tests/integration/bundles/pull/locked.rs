//! Bundles that leave hashes to a lock: who is believed, what is written, and what is held to it later.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use vortex_node::models::bundle::{Bundle, Lock, Sha256};
use vortex_node::types::{Bytes, GitHash, ModelId};

use super::super::hub::{Hub, stalling};
use super::{bundle, hub, large, pull};
use crate::bundles::{printed, text, weights};

const FILES: [(&str, &str); 4] = [
    ("config", "config.json"),
    ("model", "deep/model.safetensors"),
    ("preprocessor", "pre.json"),
    ("tokenizer", "tokenizer.json"),
];

/// The bundle of the other tests with no hash in it; `more` is said of its tokenizer.
fn unlocked(folder: &Path, more: &str) {
    let entries = FILES.map(|(role, path)| {
        let more = if role == "tokenizer" { more } else { "" };
        format!("{role} = {{ path = \"clip/{path}\"{more} }}\n")
    });
    let text = format!(
        "name = \"x\"\n[models.clip_b]\nprecision = \"f32\"\nbudget = \"1MB\"\n\
         hub = {{ repo = \"owner/name\", revision = \"v1\" }}\n[models.clip_b.files]\n{}",
        entries.concat()
    );
    std::fs::write(folder.join("bundle.toml"), text).unwrap();
}

fn trusting(folder: &Path, hub: &Hub) -> Output {
    weights(&["pull", text(folder), "--endpoint", &hub.address, "--retries", "0", "--trust-hub"])
}

fn lock(folder: &Path) -> Lock {
    Bundle::open(folder).unwrap().lock.expect("a lock")
}

#[test]
fn without_a_hash_and_a_lock_nothing_is_fetched_unless_the_hub_is_trusted() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    unlocked(folder.path(), "");
    let output = pull(folder.path(), &hub, "0");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in
        ["clip/config.json, clip/deep/model.safetensors", "and 1 more", "--trust-hub", "bundle.lock.toml"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(hub.state.lock().unwrap().seen.is_empty());
    assert!(!folder.path().join("bundle.lock.toml").exists());
}

#[test]
fn what_a_trusted_hub_says_is_written_down_and_kept() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    unlocked(folder.path(), &format!(", bytes = {}", large().len()));
    let output = trusting(folder.path(), &hub);
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("taking the hub's word for 4 files"), "{told}");
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), large());
    let locked = lock(folder.path());
    let tokenizer = locked.of("clip/tokenizer.json").unwrap();
    assert_eq!((tokenizer.repo.as_str(), tokenizer.published.as_str()), ("owner/name", "tokenizer.json"));
    assert_eq!((tokenizer.revision.as_deref(), tokenizer.commit.to_string()), (Some("v1"), "0".repeat(40)));
    assert_eq!((tokenizer.bytes, tokenizer.sha256), (Bytes::new(3_000_000), Sha256::of(&large())));
    assert_eq!((tokenizer.git_blob, tokenizer.converted), (None, None));
    let small = locked.of("clip/deep/model.safetensors").unwrap();
    assert_eq!((small.published.as_str(), small.sha256), ("deep/model.safetensors", Sha256::of(b"weights")));
    assert_eq!(small.git_blob, Some(GitHash::of_blob(7, &b"weights"[..]).unwrap()));
    // Folders are asked for once, page by page: two of them, the first of three pages.
    let lists =
        |hub: &Hub| hub.state.lock().unwrap().seen.iter().filter(|seen| seen.name.contains("/tree/")).count();
    assert_eq!(lists(&hub), 4);

    // From now on nobody has to be trusted, and nobody is asked.
    let asked = hub.state.lock().unwrap().seen.len();
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
    assert_eq!(hub.state.lock().unwrap().seen.len(), asked);
    std::fs::remove_file(folder.path().join("clip/tokenizer.json")).unwrap();
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
    assert_eq!((lists(&hub), lock(folder.path())), (4, locked));
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), large());
}

#[test]
fn a_bundle_with_its_hashes_gets_a_lock_too_and_trusts_nobody() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
    let locked = lock(folder.path());
    assert_eq!(locked.of("clip/tokenizer.json").unwrap().commit.to_string(), "0".repeat(40));
    assert!(locked.of("clip/pre.json").unwrap().git_blob.is_some());
    assert!(!hub.state.lock().unwrap().seen.iter().any(|seen| seen.name.contains("/tree/")));
}

#[test]
fn what_changes_at_the_hub_is_refused_with_both_sides() {
    for (name, is_small) in [("tokenizer.json", false), ("pre.json", true)] {
        let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
        unlocked(folder.path(), "");
        assert_eq!(trusting(folder.path(), &hub).status.code(), Some(0));
        std::fs::remove_file(folder.path().join("clip").join(name)).unwrap();
        let mut other = hub.state.lock().unwrap().files[name].clone();
        other[1] ^= 1;
        let was = hub.state.lock().unwrap().files.insert(name.to_owned(), other.clone()).unwrap();
        let output = trusting(folder.path(), &hub);
        let told = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let git = |bytes: &[u8]| GitHash::of_blob(bytes.len() as u64, bytes).unwrap();
        let both = if is_small {
            format!("expected git blob {}, found {}", git(&was), git(&other))
        } else {
            format!("expected sha256 {}, found {}", Sha256::of(&was), Sha256::of(&other))
        };
        assert!(told.contains(&both), "{both}\n{told}");
        assert!(told.contains("as the lock has it of commit 0000"), "{told}");
        assert!(!folder.path().join("clip").join(name).exists());
    }
}

#[test]
fn a_branch_that_moved_on_is_held_to_its_commit_and_one_that_lost_it_is_told_with_both() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    unlocked(folder.path(), "");
    assert_eq!(trusting(folder.path(), &hub).status.code(), Some(0));
    std::fs::remove_file(folder.path().join("clip/pre.json")).unwrap();
    hub.state.lock().unwrap().commit = "1".repeat(40);
    let output = pull(folder.path(), &hub, "0");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let both = format!(
        "the lock holds v1 to commit {}, and at the hub it is {} by now",
        "0".repeat(40),
        "1".repeat(40)
    );
    assert!(told.contains(&both) && told.contains("has no revision 0000"), "{told}");
}

#[test]
fn a_hub_that_contradicts_its_own_list_or_has_none_is_not_believed() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    unlocked(folder.path(), "");
    let lie = Sha256::of(b"lie");
    for (listed, both) in [
        ((lie, 3_000_000), format!("expected sha256 {lie}, found {}", Sha256::of(&large()))),
        ((Sha256::of(&large()), 7), "expected bytes 7, found 3000000".to_owned()),
    ] {
        hub.state.lock().unwrap().lists.insert("tokenizer.json".to_owned(), listed);
        let output = trusting(folder.path(), &hub);
        let told = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("what the hub sends is not what its list of files describes"), "{told}");
        assert!(told.contains(&both), "{both}\n{told}");
        assert!(hub.starts_of("tokenizer.json").is_empty());
    }
    assert!(lock(folder.path()).of("clip/tokenizer.json").is_none(), "the others came, and are locked");
    assert!(lock(folder.path()).of("clip/pre.json").is_some());
    {
        let mut state = hub.state.lock().unwrap();
        (state.is_without_lists, state.lists) = (true, Default::default());
    }
    let output = trusting(folder.path(), &hub);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(hub.starts_of("tokenizer.json").is_empty());
}

#[test]
fn another_size_than_described_is_refused_with_both() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    unlocked(folder.path(), ", bytes = 2999999");
    let output = trusting(folder.path(), &hub);
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(
        "what the hub has is not what the bundle describes: expected bytes 2999999, found 3000000"
    ));
}

#[test]
fn a_file_that_is_there_already_is_compared_with_the_hubs() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    unlocked(folder.path(), "");
    let clip = folder.path().join("clip");
    std::fs::create_dir_all(&clip).unwrap();
    std::fs::write(clip.join("tokenizer.json"), large()).unwrap();
    std::fs::write(clip.join("pre.json"), "{}").unwrap();
    let output = trusting(folder.path(), &hub);
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(hub.starts_of("tokenizer.json").is_empty() && hub.starts_of("pre.json").is_empty());
    assert_eq!(lock(folder.path()).of("clip/tokenizer.json").unwrap().sha256, Sha256::of(&large()));
    let git = |bytes: &[u8]| GitHash::of_blob(bytes.len() as u64, bytes).unwrap();
    let both = format!("expected git blob {}, found {}; move it away", git(b"[]"), git(b"{}"));
    assert!(told.contains(&both), "{both}\n{told}");
    assert_eq!(std::fs::read(clip.join("pre.json")).unwrap(), b"{}", "it may be somebody's only copy");
    assert!(lock(folder.path()).of("clip/pre.json").is_none());
}

#[test]
fn an_interrupted_pull_leaves_a_lock_of_what_came() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    unlocked(folder.path(), "");
    let (tell, told) = stalling();
    hub.state.lock().unwrap().stall = Some((1_000_000, tell));
    let child = Command::new(env!("CARGO_BIN_EXE_vortex-node"))
        .args(["weights", "pull", text(folder.path()), "--endpoint", &hub.address, "--trust-hub"])
        .env_clear()
        .env("HF_HOME", "/nonexistent")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    told.recv().unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", printed(&output));
    let left = Bundle::open(folder.path()).unwrap().lock.unwrap_or_default();
    assert!(left.of("clip/tokenizer.json").is_none());
    for (_, path) in FILES {
        let path = format!("clip/{path}");
        // Between a file's last byte and its entry there is a moment; the other way round there is none.
        assert!(left.of(&path).is_none() || folder.path().join(&path).exists(), "{path}");
    }
    assert_eq!(trusting(folder.path(), &hub).status.code(), Some(0));
    assert!(FILES.iter().all(|(_, path)| lock(folder.path()).of(&format!("clip/{path}")).is_some()));
}

#[test]
fn a_dry_run_tells_of_what_has_no_hash_and_of_licences_and_writes_nothing() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    unlocked(folder.path(), ", gated = true");
    let output = weights(&["pull", text(folder.path()), "--endpoint", &hub.address, "--dry-run"]);
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("4 files without a hash in the bundle or its lock: a pull asks for --trust-hub"));
    let line = told.lines().find(|line| line.contains("tokenizer.json")).unwrap();
    assert!(line.ends_with("(3.0 MB, its licence to be accepted at the hub's page)"), "{told}");
    assert!(!folder.path().join("bundle.lock.toml").exists());

    // Where the hub says no without saying why, the bundle knows.
    hub.state.lock().unwrap().token = Some("hf_right");
    let told = printed(&trusting(folder.path(), &hub));
    let page = format!("its licence has to be accepted at {}/owner/name first", hub.address);
    assert!(told.contains(&page), "{told}");
}

#[test]
fn a_lock_that_contradicts_the_description_is_refused_by_every_command() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    unlocked(folder.path(), "");
    assert_eq!(trusting(folder.path(), &hub).status.code(), Some(0));
    let other = Sha256::of(b"other");
    unlocked(folder.path(), &format!(", sha256 = \"{other}\""));
    for command in ["pull", "verify", "load", "info"] {
        let output = weights(&[command, text(folder.path())]);
        let told = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{command}: {told}");
        let both = format!("{other} in the description and {} in the lock", Sha256::of(&large()));
        assert!(told.contains(&both), "{command}: {told}");
    }
}

/// A bundle of one Kokoro whose voice is converted.
fn voiced(folder: &Path) {
    let text = "name = \"k\"\n[models.kokoro]\nprecision = \"f32\"\nbudget = \"1GB\"\n\
                hub = { repo = \"owner/name\", revision = \"v1\" }\n[models.kokoro.files]\n\
                config = { path = \"kokoro/config.json\" }\nweights = { path = \"kokoro/k.safetensors\" }\n\
                voices = { path = \"kokoro/v.safetensors\", remote = \"voices/v.pt\" }\n";
    std::fs::write(folder.join("bundle.toml"), text).unwrap();
}

#[test]
fn a_conversion_is_locked_with_its_converter_and_held_to_it() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/safetensors-order");
    let read = |name: &str| std::fs::read(fixtures.join(name)).unwrap();
    let (pickle, expected) = (read("voice.pt"), read("voice.safetensors"));
    let hub = Hub::serve(&[("voices/v.pt", &pickle), ("config.json", b"{}"), ("k.safetensors", b"k")]);
    let folder = tempfile::tempdir().unwrap();
    voiced(folder.path());
    let output = trusting(folder.path(), &hub);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let voice = folder.path().join("kokoro/v.safetensors");
    assert_eq!(std::fs::read(&voice).unwrap(), expected);
    let locked = lock(folder.path()).of("kokoro/v.safetensors").cloned().unwrap();
    let converted = locked.converted.unwrap();
    assert_eq!((locked.published.as_str(), locked.sha256), ("voices/v.pt", Sha256::of(&pickle)));
    assert_eq!(
        (converted.sha256, converted.bytes),
        (Sha256::of(&expected), Bytes::new(expected.len() as u64))
    );
    let bundle = Bundle::open(folder.path()).unwrap();
    let file = &bundle.models[&ModelId::Kokoro].files["voices"][0];
    assert_eq!(bundle.hash_of(file), Some(Sha256::of(&expected)));

    std::fs::remove_file(&voice).unwrap();
    assert_eq!(pull(folder.path(), &hub, "0").status.code(), Some(0));
    assert_eq!(std::fs::read(&voice).unwrap(), expected);

    // What an older converter wrote.
    let mut older = lock(folder.path());
    let mut entry = locked;
    entry.converted.as_mut().unwrap().converter = 1;
    entry.converted.as_mut().unwrap().sha256 = Sha256::of(b"older");
    older.put(entry);
    older.write(&folder.path().join("bundle.lock.toml")).unwrap();
    std::fs::remove_file(&voice).unwrap();
    let output = pull(folder.path(), &hub, "0");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let both = format!("expected sha256 {}, found {}", Sha256::of(b"older"), Sha256::of(&expected));
    assert!(told.contains(&both), "{told}");
    assert!(told.contains("the lock's was written by converter 1, this is converter 2"), "{told}");
    assert!(!voice.exists());
}
