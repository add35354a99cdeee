//! Files that come in pieces, change, lie about themselves, or want to lie elsewhere.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::client::fake::{Fake, ONE, artifact, file, problem};
use crate::client::names::part_of;
use crate::client::{ClientError, Fetched};

fn content() -> Vec<u8> {
    (0..10_000u32).flat_map(u32::to_le_bytes).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_stopped() {
    let fake = Fake::start(|seen| file(seen, &content(), 15_000));
    let folder = tempfile::tempdir().unwrap();
    let wanted = artifact(ONE, "keyframes/1.png", &content());
    let most = AtomicU64::new(0);
    let reached = |bytes: u64| {
        most.fetch_max(bytes, Ordering::Relaxed);
    };
    let came = fake.client().fetch(&wanted, folder.path(), &reached).await.unwrap();
    assert_eq!(came, Fetched::Came { resumed: 0 });
    assert_eq!(fs::read(folder.path().join("keyframes/1.png")).unwrap(), content());
    assert_eq!(names(&folder.path().join("keyframes")), ["1.png"], "nothing unfinished is left");
    assert_eq!(most.into_inner(), 40_000);
    let seen = fake.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].header("range"), "");
    assert_eq!(seen[1].header("range"), "bytes=15000-");
    assert_eq!(seen[1].header("if-range"), format!("\"{}\"", wanted.sha256));
    assert_eq!(seen[2].header("range"), "bytes=30000-");
    // What is there is not fetched again.
    assert_eq!(fake.client().fetch(&wanted, folder.path(), &|_| ()).await.unwrap(), Fetched::There);
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn what_an_earlier_run_left_is_gone_on_with() {
    let fake = Fake::start(|seen| file(seen, &content(), usize::MAX / 2));
    let folder = tempfile::tempdir().unwrap();
    let wanted = artifact(ONE, "video.mp4", &content());
    let part = part_of(&folder.path().join("video.mp4"), &wanted.sha256);
    fs::write(&part, &content()[..12_345]).unwrap();
    let came = fake.client().fetch(&wanted, folder.path(), &|_| ()).await.unwrap();
    assert_eq!(came, Fetched::Came { resumed: 12_345 });
    assert_eq!(fs::read(folder.path().join("video.mp4")).unwrap(), content());
    assert_eq!(fake.seen()[0].header("range"), "bytes=12345-");
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_sends_everything_again() {
    let fake = Fake::start(|seen| {
        let mut plain = seen.clone();
        plain.headers.clear();
        file(&plain, &content(), usize::MAX / 2)
    });
    let folder = tempfile::tempdir().unwrap();
    let wanted = artifact(ONE, "video.mp4", &content());
    let part = part_of(&folder.path().join("video.mp4"), &wanted.sha256);
    fs::write(&part, &content()[..12_345]).unwrap();
    fake.client().fetch(&wanted, folder.path(), &|_| ()).await.unwrap();
    assert_eq!(fs::read(folder.path().join("video.mp4")).unwrap(), content());
}

#[tokio::test]
async fn a_damaged_part_is_thrown_away_and_fetched_whole() {
    let fake = Fake::start(|seen| file(seen, &content(), usize::MAX / 2));
    let folder = tempfile::tempdir().unwrap();
    let wanted = artifact(ONE, "video.mp4", &content());
    let part = part_of(&folder.path().join("video.mp4"), &wanted.sha256);
    fs::write(&part, vec![7; 12_345]).unwrap();
    let came = fake.client().fetch(&wanted, folder.path(), &|_| ()).await.unwrap();
    assert_eq!(came, Fetched::Came { resumed: 0 });
    assert_eq!(fs::read(folder.path().join("video.mp4")).unwrap(), content());
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn what_has_another_hash_never_gets_its_name() {
    let fake = Fake::start(|seen| file(seen, &vec![1; 40_000], usize::MAX / 2));
    let folder = tempfile::tempdir().unwrap();
    let error = fake
        .client()
        .fetch(&artifact(ONE, "video.mp4", &content()), folder.path(), &|_| ())
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Artifact(_)) && error.to_string().contains("sha256"), "{error}");
    assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
}

#[tokio::test]
async fn more_than_was_announced_is_not_kept() {
    let fake = Fake::start(|seen| file(seen, &vec![1; 400_000], usize::MAX / 2));
    let folder = tempfile::tempdir().unwrap();
    let error = fake
        .client()
        .fetch(&artifact(ONE, "video.mp4", &content()), folder.path(), &|_| ())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("more came than the 40000 bytes announced"), "{error}");
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn a_file_of_ones_own_is_left_alone() {
    let fake = Fake::start(|seen| file(seen, &content(), usize::MAX / 2));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("video.mp4"), "mine").unwrap();
    let error = fake
        .client()
        .fetch(&artifact(ONE, "video.mp4", &content()), folder.path(), &|_| ())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("move it away"), "{error}");
    assert_eq!(fs::read(folder.path().join("video.mp4")).unwrap(), b"mine");
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused_unasked() {
    let fake = Fake::start(|seen| file(seen, b"x", 1));
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("in");
    for name in ["../x", "/tmp/x", "a/../../x", "a\\..\\x", "C:x", ".ssh/authorized_keys", ""] {
        let wanted = crate::api::views::ArtifactView { name: name.to_owned(), ..artifact(ONE, "x", b"x") };
        let error = fake.client().fetch(&wanted, &inside, &|_| ()).await.unwrap_err();
        assert!(error.to_string().contains("refused as a file's name"), "{name}: {error}");
    }
    assert!(fake.asked().is_empty());
    assert!(names(folder.path()).is_empty(), "nothing was made");
    let no_hash =
        crate::api::views::ArtifactView { sha256: "../../x".to_owned(), ..artifact(ONE, "x", b"x") };
    assert!(
        fake.client().fetch(&no_hash, &inside, &|_| ()).await.unwrap_err().to_string().contains("no sha256")
    );
}

#[tokio::test]
async fn a_store_gets_no_token_and_a_refusal_is_told() {
    let store = Fake::start(|seen| file(seen, &content(), usize::MAX / 2));
    let node = Fake::start(|_| problem(410, "gone", "it has expired", 0, json!({})));
    let folder = tempfile::tempdir().unwrap();
    let mut wanted = artifact(ONE, "video.mp4", &content());
    let error = node.client().fetch(&wanted, folder.path(), &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("it has expired"), "{error}");
    assert_eq!(node.asked().len(), 1);
    wanted.url = format!("{}/bucket/video.mp4?signature=abc", store.url);
    node.client().fetch(&wanted, folder.path(), &|_| ()).await.unwrap();
    assert_eq!(store.seen()[0].header("authorization"), "", "a presigned address is its own permission");
    assert_eq!(store.seen()[0].query, "signature=abc");
    // What begins with two slashes is another host, whatever it looks like.
    wanted.url = "//elsewhere.example/x".to_owned();
    let folder = tempfile::tempdir().unwrap();
    assert!(
        node.client()
            .fetch(&wanted, folder.path(), &|_| ())
            .await
            .unwrap_err()
            .to_string()
            .contains("no address")
    );
}

#[tokio::test]
async fn an_empty_file_is_one() {
    let fake = Fake::start(|seen| file(seen, b"", 1));
    let folder = tempfile::tempdir().unwrap();
    fake.client().fetch(&artifact(ONE, "empty.txt", b""), folder.path(), &|_| ()).await.unwrap();
    assert_eq!(fs::read(folder.path().join("empty.txt")).unwrap(), b"");
}
