use super::*;
use crate::models::bundle::{Bundle, FILE_NAME};
use crate::types::ModelId;

const COMMIT: &str = "f3ff3571791e39611d31c381e3a41a3af07b4987";

fn locked(path: &str) -> Locked {
    Locked {
        path: path.to_owned(),
        repo: "o/n".to_owned(),
        revision: None,
        commit: COMMIT.parse().unwrap(),
        published: "config.json".to_owned(),
        bytes: Bytes::new(2),
        sha256: Sha256::of(b"{}"),
        git_blob: None,
        converted: None,
    }
}

/// Three files at a hub, of which the weights are converted.
fn described(config: &str, weights: &str) -> String {
    let hash = Sha256::of(b"v");
    format!(
        "name = \"k\"\n[models.kokoro]\nprecision = \"f32\"\nbudget = \"1GB\"\n\
         hub = {{ repo = \"o/n\", revision = \"{COMMIT}\" }}\n[models.kokoro.files]\n\
         config = {{ path = \"kokoro/config.json\"{config} }}\n\
         voices = {{ path = \"kokoro/v.safetensors\", sha256 = \"{hash}\" }}\n\
         weights = {{ path = \"kokoro/k.safetensors\", remote = \"k.pth\"{weights} }}\n"
    )
}

fn open(description: &str, lock: &Lock) -> Result<Bundle, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE_NAME), description).unwrap();
    lock.write(&folder.path().join("bundle.lock.toml")).unwrap();
    Bundle::open(folder.path()).map_err(|error| error.to_string())
}

fn lock_of(entries: impl IntoIterator<Item = Locked>) -> Lock {
    let mut lock = Lock::default();
    entries.into_iter().for_each(|entry| lock.put(entry));
    lock
}

fn weights() -> Locked {
    let converted = ConvertedFile { converter: 2, bytes: Bytes::new(7), sha256: Sha256::of(b"rewritten") };
    Locked {
        published: "k.pth".to_owned(),
        sha256: Sha256::of(b"pickle"),
        converted: Some(converted),
        ..locked("kokoro/k.safetensors")
    }
}

#[test]
fn what_is_written_reads_back_in_order_of_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.lock.toml");
    assert_eq!(Lock::read(&file).unwrap(), None);
    let small = Locked {
        revision: Some("main".into()),
        git_blob: Some(GitHash::of_blob(2, &b"{}"[..]).unwrap()),
        ..locked("b")
    };
    let lock = lock_of([weights(), small.clone(), locked("a")]);
    lock.write(&file).unwrap();
    assert_eq!(Lock::read(&file).unwrap(), Some(lock.clone()));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# Written by") && text.contains("\nversion = 1\n"), "{text}");
    let paths: Vec<&str> = text.lines().filter(|line| line.starts_with("path = ")).collect();
    assert_eq!(paths, ["path = \"a\"", "path = \"b\"", "path = \"kokoro/k.safetensors\""]);
    assert_eq!((lock.of("b"), lock.of("c")), (Some(&small), None));
}

#[test]
fn a_later_entry_replaces_an_earlier_one_and_what_is_not_described_is_dropped() {
    let mut lock = lock_of([locked("a"), locked("b"), Locked { bytes: Bytes::new(9), ..locked("a") }]);
    assert_eq!(lock.of("a").unwrap().bytes, Bytes::new(9));
    assert!(lock.keep(|path| path == "a") && !lock.keep(|path| path == "a"));
    assert_eq!(lock.of("b"), None);
}

#[test]
fn what_is_no_lock_is_refused_with_the_reason() {
    let good = lock_of([locked("a")]).to_toml().unwrap();
    let entry = good.split_once("[[file]]").unwrap().1;
    for (text, why) in [
        ("version = [", "no lock of a bundle"),
        ("", "missing field `version`"),
        ("version = 2", "version 2, and this program reads version 1"),
        (&good.replace("bytes = 2", "bytes = -2"), "bytes"),
        (&good.replace(COMMIT, "main"), "\"main\" is not 40 hexadecimal digits"),
        (&good.replace("repo", "repository"), "unknown field `repository`"),
        (&format!("{good}[[file]]{entry}"), "two entries for \"a\""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle.lock.toml");
        std::fs::write(&file, text).unwrap();
        let told = Lock::read(&file).unwrap_err().to_string();
        assert!(told.contains(why) && told.contains("bundle.lock.toml"), "{why}\n{told}");
    }
}

#[test]
fn the_lock_says_what_the_description_leaves_open() {
    let lock = lock_of([locked("kokoro/config.json"), weights()]);
    let bundle = open(&described("", ""), &lock).unwrap();
    let hash = |role: &str| bundle.hash_of(&bundle.models[&ModelId::Kokoro].files[role][0]);
    assert_eq!(hash("config"), Some(Sha256::of(b"{}")));
    assert_eq!(hash("voices"), Some(Sha256::of(b"v")));
    assert_eq!(hash("weights"), Some(Sha256::of(b"rewritten")));
    let without = open(&described("", ""), &Lock::default()).unwrap();
    assert_eq!(without.hash_of(&without.models[&ModelId::Kokoro].files["config"][0]), None);
}

#[test]
fn whatever_both_say_must_be_the_same_and_both_are_shown() {
    let other = Sha256::of(b"other");
    let config = || locked("kokoro/config.json");
    let (pickle, rewritten) = (Sha256::of(b"pickle"), Sha256::of(b"rewritten"));
    let all = format!(", sha256 = \"{rewritten}\", remote_sha256 = \"{pickle}\", bytes = 2");
    open(&described(", bytes = 2, gated = true", &all), &lock_of([config(), weights()])).unwrap();
    for (config, weights, lock, parts) in [
        (
            format!(", sha256 = \"{other}\""),
            String::new(),
            config(),
            vec![
                "kokoro/config.json: sha256 is ",
                &format!("{other} in the description and {} in the lock", Sha256::of(b"{}")),
            ],
        ),
        (
            ", bytes = 3".to_owned(),
            String::new(),
            config(),
            vec!["bytes is 3 in the description and 2 in the lock"],
        ),
        (
            String::new(),
            format!(", remote_sha256 = \"{other}\""),
            weights(),
            vec!["remote_sha256 is ", &format!("{other} in the description and {pickle} in the lock")],
        ),
        (
            String::new(),
            format!(", sha256 = \"{other}\""),
            weights(),
            vec!["k.safetensors: sha256 is ", &format!("{rewritten} in the lock")],
        ),
        (
            String::new(),
            String::new(),
            Locked { repo: "o/renamed".into(), ..config() },
            vec![&format!(
                "its place is config.json of o/n at {COMMIT} in the description and config.json of o/renamed"
            )],
        ),
        (
            String::new(),
            String::new(),
            Locked { revision: Some("v1".into()), ..config() },
            vec![&format!(
                "config.json of o/n at {COMMIT} in the description and config.json of o/n at v1 in the lock"
            )],
        ),
        (
            String::new(),
            String::new(),
            Locked { published: "other.json".into(), ..config() },
            vec!["and other.json of o/n"],
        ),
        (
            String::new(),
            String::new(),
            Locked { converted: None, ..weights() },
            vec!["the file is converted in the description and as it is published in the lock"],
        ),
    ] {
        let told = open(&described(&config, &weights), &lock_of([lock])).unwrap_err();
        assert!(told.contains("bundle.toml and ") && told.contains("bundle.lock.toml disagree"), "{told}");
        for part in parts {
            assert!(told.contains(part), "{part}\n{told}");
        }
    }
}

#[test]
fn a_file_may_be_locked_at_one_of_its_mirrors() {
    let commit = COMMIT.to_uppercase();
    let also = format!(", also = [{{ repo = \"m/n\", revision = \"{commit}\", path = \"c.json\" }}]");
    let mirrored = Locked { repo: "m/n".into(), published: "c.json".into(), ..locked("kokoro/config.json") };
    open(&described(&also, ""), &lock_of([mirrored.clone()])).unwrap();
    let told = open(&described("", ""), &lock_of([mirrored])).unwrap_err();
    assert!(told.contains("its place"), "{told}");
}
