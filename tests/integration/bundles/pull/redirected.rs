//! Large files lie at another host, as the real hub has them: the way there, its expiring addresses, its ranges.

use super::super::hub::{Hub, Ranges, Seen};
use super::{bundle, hub, large, pull};
use crate::bundles::{printed, text, weights_with};

const NAME: &str = "tokenizer.json";

fn requests(hub: &Hub) -> Vec<Seen> {
    hub.state.lock().unwrap().seen.iter().filter(|seen| seen.name == NAME).cloned().collect()
}

#[test]
fn a_large_file_comes_from_where_the_hub_points_and_the_token_stays_with_the_hub() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().token = Some("hf_right");
    let arguments = ["pull", text(folder.path()), "--endpoint", &hub.address, "--retries", "0"];
    let output = weights_with(&arguments, &[("HF_TOKEN", "hf_right")]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), large());
    let shape: Vec<(bool, String, Option<String>)> =
        requests(&hub).into_iter().map(|seen| (seen.is_store, seen.method, seen.authorization)).collect();
    let bearer = Some("Bearer hf_right".to_owned());
    assert_eq!(shape, [(false, "HEAD".to_owned(), bearer), (true, "GET".to_owned(), None)]);
    assert!(!printed(&output).contains("hf_right"));
}

#[test]
fn a_small_file_comes_from_the_hubs_own_cache_with_the_token() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().token = Some("hf_right");
    let arguments = ["pull", text(folder.path()), "--endpoint", &hub.address, "--retries", "0"];
    let output = weights_with(&arguments, &[("HF_TOKEN", "hf_right")]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let state = hub.state.lock().unwrap();
    let asked: Vec<(&str, bool)> = state
        .seen
        .iter()
        .filter(|seen| seen.name == "pre.json")
        .map(|seen| (seen.method.as_str(), seen.is_cache))
        .collect();
    assert_eq!(asked, [("HEAD", false), ("HEAD", true), ("GET", true)]);
    let bearer = Some("Bearer hf_right");
    assert!(state.seen.iter().all(|seen| seen.is_store || seen.authorization.as_deref() == bearer));
    // Nothing on the way may pack what is hashed and counted.
    assert!(state.seen.iter().all(|seen| seen.encoding.as_deref() == Some("identity")));
}

#[test]
fn the_token_is_found_in_the_file_of_the_hubs_own_tools() {
    let (folder, home, hub) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().token = Some("hf_filed");
    std::fs::write(home.path().join("token"), "hf_filed\n").unwrap();
    let arguments = ["pull", text(folder.path()), "--endpoint", &hub.address, "--retries", "0"];
    let output = weights_with(&arguments, &[("HF_HOME", text(home.path()))]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
}

#[test]
fn an_address_that_has_expired_is_asked_for_anew() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().expired = 1;
    let output = pull(folder.path(), &hub, "1");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let shape: Vec<(bool, String)> =
        requests(&hub).into_iter().map(|seen| (seen.is_store, seen.method)).collect();
    let [head, get] = ["HEAD", "GET"].map(str::to_owned);
    assert_eq!(shape, [(false, head.clone()), (true, get.clone()), (false, head), (true, get)]);
}

#[test]
fn whatever_a_server_does_to_ranges_the_file_is_whole_in_the_end() {
    for (ranges, starts) in [
        (Ranges::Kept, vec![1_000]),
        (Ranges::Ignored, vec![1_000]),
        (Ranges::FromTheStart, vec![1_000]),
        (Ranges::Unsaid, vec![1_000]),
        (Ranges::Shifted, vec![1_000, 0]),
        (Ranges::Lied, vec![1_000, 0]),
        (Ranges::Refused, vec![1_000, 0]),
    ] {
        let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
        bundle(folder.path(), None);
        hub.state.lock().unwrap().ranges = ranges;
        std::fs::create_dir_all(folder.path().join("clip")).unwrap();
        std::fs::write(folder.path().join("clip/tokenizer.json.part"), &large()[..1_000]).unwrap();
        let output = pull(folder.path(), &hub, "1");
        assert_eq!(output.status.code(), Some(0), "{ranges:?}: {}", printed(&output));
        assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), large(), "{ranges:?}");
        assert_eq!(hub.starts_of(NAME), starts, "{ranges:?}");
        assert!(!folder.path().join("clip/tokenizer.json.part").exists(), "{ranges:?}");
    }
}

#[test]
fn what_is_left_of_another_file_is_fetched_whole() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    std::fs::create_dir_all(folder.path().join("clip")).unwrap();
    for (part, starts) in [
        // The beginning of something else; something longer; something of the same length.
        (vec![1; 500_000], vec![500_000, 0]),
        (vec![1; 3_000_001], vec![0]),
        (vec![1; 3_000_000], vec![0]),
    ] {
        let before = hub.starts_of(NAME).len();
        std::fs::write(folder.path().join("clip/tokenizer.json.part"), part).unwrap();
        let output = pull(folder.path(), &hub, "0");
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        assert_eq!(hub.starts_of(NAME)[before..], starts);
        std::fs::remove_file(folder.path().join("clip/tokenizer.json")).unwrap();
    }
}

#[test]
fn a_file_that_changes_under_way_starts_over() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    {
        let mut state = hub.state.lock().unwrap();
        // A hub that says no hash beforehand; what it has first is another file of the same length.
        state.is_plain = true;
        state.files.insert(NAME.to_owned(), vec![7; large().len()]);
        state.changed.insert(NAME.to_owned(), large());
        state.cuts = (1, 1_000_000);
    }
    let output = pull(folder.path(), &hub, "3");
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(printed.contains("tokenizer.json: the hub has another file by now, starting over"), "{printed}");
    assert_eq!(hub.starts_of(NAME), [0, 0]);
    assert_eq!(std::fs::read(folder.path().join("clip/tokenizer.json")).unwrap(), large());
}

#[test]
fn a_range_is_asked_for_only_of_the_content_that_came_before() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    hub.state.lock().unwrap().cuts = (2, 1_000_000);
    let output = pull(folder.path(), &hub, "3");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let gets: Vec<Seen> = requests(&hub).into_iter().filter(|seen| seen.method == "GET").collect();
    assert!(gets.len() >= 2 && gets[0].if_range.is_none());
    let tag = format!("\"{}\"", &vortex_node::models::bundle::Sha256::of(&large()).to_string()[..40]);
    assert!(gets[1..].iter().all(|get| get.start > 0 && get.if_range.as_deref() == Some(&tag)), "{gets:?}");
}

#[test]
fn two_files_come_at_once() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub());
    bundle(folder.path(), None);
    // Neither of a pair is answered before the other is there.
    hub.state.lock().unwrap().at_once = 2;
    let output = pull(folder.path(), &hub, "0");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
}
