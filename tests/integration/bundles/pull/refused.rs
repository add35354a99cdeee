//! What a hub refuses or has otherwise than described: told with what to do, and nothing is fetched in vain.

use vortex_node::models::bundle::Sha256;

use super::{bundle, hub, large, pull};
use crate::bundles::{printed, text, weights, weights_with};

#[test]
fn a_repository_that_wants_a_licence_or_another_token_says_how_to_come_by_it() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    {
        let mut state = hub.state.lock().unwrap();
        (state.token, state.is_gated) = (Some("hf_right"), true);
    }
    let arguments = ["pull", text(folder.path()), "--endpoint", &hub.address, "--retries", "3"];
    let output = weights(&arguments);
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let page = format!("accept its licence at {}/owner/name", hub.address);
    assert!(told.contains("gated") && told.contains(&page) && told.contains("HF_TOKEN"), "{told}");

    let output = weights_with(&arguments, &[("HF_TOKEN", "hf_wrong")]);
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("does not accept the token from HF_TOKEN") && !told.contains("hf_wrong"), "{told}");
    // A question for each file and run, none of them again.
    assert_eq!(hub.state.lock().unwrap().seen.len(), 8);
    assert!(!folder.path().join("clip").exists());
}

#[test]
fn a_token_that_is_none_is_wrong_input() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    let arguments = ["pull", text(folder.path()), "--endpoint", &hub.address];
    let output = weights_with(&arguments, &[("HF_TOKEN", "two words")]);
    assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
    assert!(printed(&output).contains("HF_TOKEN holds no token") && !printed(&output).contains("two words"));
    assert!(hub.state.lock().unwrap().seen.is_empty());
}

#[test]
fn a_hash_that_changed_at_the_hub_is_refused_with_both_before_anything_comes() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), Some(b"what it was"));
    let output = pull(folder.path(), &hub, "5");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let [was, is] = [Sha256::of(b"what it was"), Sha256::of(&large())];
    assert!(
        told.contains(&format!(
            "what the hub has is not what the bundle describes: expected sha256 {was}, found {is}"
        )),
        "{told}"
    );
    assert_eq!(hub.starts_of("tokenizer.json"), Vec::<usize>::new());
    assert!(folder.path().join("clip/config.json").exists(), "the others came");
}

#[test]
fn a_hub_that_says_no_hash_is_held_to_it_all_the_same() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), Some(b"what it was"));
    hub.state.lock().unwrap().is_plain = true;
    let output = pull(folder.path(), &hub, "5");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let [was, is] = [Sha256::of(b"what it was"), Sha256::of(&large())];
    assert!(
        told.contains(&format!(
            "what came is not what the bundle describes: expected sha256 {was}, found {is}"
        )),
        "{told}"
    );
    assert_eq!(hub.starts_of("tokenizer.json"), [0]);
    assert!(!folder.path().join("clip/tokenizer.json").exists());
}

#[test]
fn a_revision_that_is_gone_and_a_commit_that_is_another_are_told() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    let file = folder.path().join("bundle.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"v1\"", "\"v2\"")).unwrap();
    let output = pull(folder.path(), &hub, "5");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("no revision v2: it was moved, renamed or taken away"), "{told}");

    // One that the hub answers with something else.
    let pinned = "1234567890123456789012345678901234567890";
    std::fs::write(&file, text.replace("\"v1\"", &format!("\"{pinned}\""))).unwrap();
    hub.state.lock().unwrap().revision = pinned;
    let output = pull(folder.path(), &hub, "5");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("another commit: expected {pinned}, found {}", "0".repeat(40))), "{told}");
    assert!(hub.starts().is_empty());
    hub.state.lock().unwrap().commit = pinned.to_owned();
    let output = pull(folder.path(), &hub, "5");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
}

#[test]
fn whoever_names_no_commit_is_no_hub() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().commit = String::new();
    let output = pull(folder.path(), &hub, "5");
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("is no model hub"), "{}", printed(&output));
    assert!(hub.starts().is_empty());
}

#[test]
fn a_hub_that_is_asked_too_often_gets_the_pause_that_it_asks_for() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().refusals =
        vec![(429, "RateLimit: \"resolvers\";r=0;t=1\r\n"), (503, "Retry-After: 1\r\n"), (502, "")];
    let output = pull(folder.path(), &hub, "3");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("asked too often") && told.contains("again in 1 s"), "{told}");
    assert!(told.contains("not available") && told.contains("fails: HTTP 502"), "{told}");
}

#[test]
fn a_pause_that_is_too_long_is_not_kept_but_told() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().refusals = vec![(429, "RateLimit: \"resolvers\";r=0;t=3600\r\n"); 4];
    let output = pull(folder.path(), &hub, "5");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("asks for a pause of 3600 s"), "{told}");
    assert_eq!(hub.state.lock().unwrap().seen.len(), 4, "nothing is asked again before that");
}

#[test]
fn where_a_repository_is_gated_the_bundles_mirror_is_asked() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    let file = folder.path().join("bundle.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // The only file of the model that is in a repository of its own, which asks for a licence.
    let own = "tokenizer = { hub = { repo = \"gated/name\" }, remote = \"elsewhere.json\", \
               also = [{ repo = \"gone/name\" }, { repo = \"owner/name\", revision = \"v1\", path = \"tokenizer.json\" }], ";
    std::fs::write(&file, text.replace("tokenizer = { ", own)).unwrap();
    let output = pull(folder.path(), &hub, "5");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("elsewhere.json of gated/name: the repository is gated"), "{told}");
    assert!(told.contains("asking gone/name") && told.contains("asking owner/name"), "{told}");
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), large());
    // A mirror with other bytes is none, and all that was tried is told.
    std::fs::remove_file(folder.path().join("clip/tokenizer.json")).unwrap();
    hub.state.lock().unwrap().files.insert("tokenizer.json".to_owned(), vec![1; 5_000]);
    let output = pull(folder.path(), &hub, "5");
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let found = Sha256::of(&[1; 5_000]);
    assert!(told.contains("is gated") && told.contains(&format!("found {found}")), "{told}");
}
