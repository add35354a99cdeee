//! Files of a slot into a folder, by the command.

use serde_json::{Value, json};

use super::FetchCommand;
use crate::api::views::{SlotState, SlotView};
use crate::cli::remote::testing::{Ran, parse, run};
use crate::client::fake::{Fake, ONE, artifact, file, reply, slot};
use crate::exit::Exit;

fn played() -> Fake {
    Fake::start(|seen| match seen.path.rsplit('/').next().unwrap() {
        "video.mp4" => file(seen, b"moving pictures", 99),
        "1.png" => file(seen, b"a picture", 4),
        "lie.txt" => file(seen, b"another", 99),
        _ => {
            let files = [
                ("video.mp4", &b"moving pictures"[..]),
                ("keyframes/1.png", b"a picture"),
                ("lie.txt", b"as said"),
            ];
            let artifacts = files.into_iter().map(|(name, content)| artifact(ONE, name, content)).collect();
            reply(200, &SlotView { artifacts, ..slot(ONE, SlotState::Completed) })
        }
    })
}

fn fetch(fake: &Fake, out: &std::path::Path, arguments: &[&str]) -> Ran {
    let there = ["--url", &fake.url, "--out", out.to_str().unwrap()];
    run::<FetchCommand>(&[&[ONE], arguments, &there].concat(), FetchCommand::run)
}

#[test]
fn files_come_by_name_or_folder_and_are_not_fetched_twice() {
    let (fake, folder) = (played(), tempfile::tempdir().unwrap());
    let ran = fetch(&fake, folder.path(), &["keyframes", "video.mp4"]);
    assert_eq!(ran.exit, Exit::Success, "{ran:?}");
    assert_eq!(std::fs::read(folder.path().join("keyframes/1.png")).unwrap(), b"a picture");
    assert!(ran.out.contains("ok     video.mp4") && ran.out.contains("2 files in "), "{}", ran.out);
    let ran = fetch(&fake, folder.path(), &["video.mp4", "--json"]);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&answer["ok"], &answer["files"][0]["resumed"]), (&json!(true), &json!(15)));
    assert_eq!(fake.asked().iter().filter(|asked| asked.ends_with("video.mp4")).count(), 1);
}

#[test]
fn one_that_is_wrong_does_not_keep_the_others() {
    let (fake, folder) = (played(), tempfile::tempdir().unwrap());
    let ran = fetch(&fake, folder.path(), &[]);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(ran.err.contains("lie.txt") && ran.err.contains("sha256"), "{}", ran.err);
    assert!(folder.path().join("video.mp4").exists() && !folder.path().join("lie.txt").exists());
}

#[test]
fn a_name_that_is_not_there_is_told_with_those_that_are() {
    let (fake, folder) = (played(), tempfile::tempdir().unwrap());
    let ran = fetch(&fake, folder.path(), &["vidoe.mp4"]);
    assert_eq!(ran.exit, Exit::BadInput);
    assert!(
        ran.err.contains("did you mean \"video.mp4\"") && ran.err.contains("keyframes/1.png"),
        "{}",
        ran.err
    );
    let open = Fake::start(|_| reply(200, &slot(ONE, SlotState::Running)));
    let ran = fetch(&open, folder.path(), &[]);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(ran.err.contains("once it has ended"), "{}", ran.err);
    assert!(parse::<FetchCommand>(&["x"]).is_err());
}
