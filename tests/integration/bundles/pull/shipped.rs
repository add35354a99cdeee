//! The bundles that ship with the program, fetched by name: as they are described, and small ones of the same layouts from
//! nothing to verified, through all that a hub does, killed at random moments.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use serde_json::Value;
use vortex_node::models::bundle::shipped::SHIPPED;
use vortex_node::models::bundle::{Bundle, Sha256, verify};

use super::super::hub::{Bell, Hub, Ranges, Seen, stalling};
use super::super::standins::StandIn;
use crate::bundles::{printed, text, weights};
use crate::support::random::Random;

fn hub_of(stand_in: &StandIn) -> Hub {
    let files = stand_in.published.iter();
    Hub::serve_all(
        files.map(|(at, bytes)| {
            ([at.repo.as_str(), at.revision.as_str(), at.path.as_str()], bytes.as_slice())
        }),
    )
}

fn pull_by_name(name: &str, folder: &Path, hub: &Hub) -> Output {
    weights(&["pull", name, "--into", text(folder), "--endpoint", &hub.address, "--retries", "5"])
}

/// Every file is there with its hash, the networks and all else are as a load asks, and nothing else is left.
fn assert_whole(folder: &Path, stand_in: &StandIn) {
    let output = weights(&["verify", text(folder)]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let mut there = files_below(folder);
    there.retain(|path| !path.ends_with(".pulled.json") && !path.ends_with("bundle.lock.toml"));
    let mut expected: Vec<PathBuf> = stand_in.files.keys().map(|path| folder.join(path)).collect();
    expected.push(folder.join("bundle.toml"));
    expected.sort();
    assert_eq!(there, expected);
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn what_ships_is_described_as_published_and_needs_no_hub_for_its_small_files() {
    // A hub that has nothing: all the same, what the program has is there.
    let hub = Hub::serve_all([]);
    for shipped in &SHIPPED {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new/weights");
        let output =
            weights(&["pull", shipped.name, "--into", text(&place), "--endpoint", &hub.address, "--dry-run"]);
        assert!(!place.exists(), "a dry run writes nothing: {}", printed(&output));
        let output = pull_by_name(shipped.name, &place, &hub);
        let told = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert_eq!(std::fs::read_to_string(place.join("bundle.toml")).unwrap(), shipped.description);
        assert!(std::fs::read_to_string(place.join("README.md")).unwrap().contains("licence"));
        let bundle = Bundle::open(&place).unwrap();
        let models: Vec<_> = bundle.models.keys().copied().collect();
        let sound = verify::files(&bundle, &models, |_| {})
            .into_iter()
            .filter(|file| matches!(file.standing, verify::Standing::Sound));
        assert_eq!(sound.count(), 6, "{told}");
        let rows = told.lines().filter(|line| line.contains("from the program")).count();
        assert_eq!(rows, 6, "{told}");
        // Everything is asked for by its commit.
        let state = hub.state.lock().unwrap();
        let pinned = |seen: &Seen| seen.name.split('/').any(|part| part.len() == 40);
        assert!(state.seen.iter().all(pinned), "{:?}", state.seen);
        drop(state);
        hub.state.lock().unwrap().seen.clear();
    }
}

#[test]
fn a_name_that_is_none_a_folder_of_another_bundle_and_a_rerun_are_told_apart() {
    let hub = Hub::serve_all([]);
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], expected: &str| {
        let output = weights(arguments);
        let told = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}");
    };
    let into = text(folder.path());
    refused(&["pull", "schnell-12g", "--into", into], "did you mean schnell-12gb?");
    refused(&["pull", "other", "--into", into], "those that do: schnell-12gb, schnell-nf4, schnell-full");
    refused(&["pull", "--into", into], "schnell-12gb, schnell-nf4, schnell-full");
    refused(&["pull", "schnell-nf4"], "weights pull schnell-nf4 --into DIR");
    assert!(files_below(folder.path()).is_empty());

    pull_by_name("schnell-nf4", folder.path(), &hub);
    refused(&["pull", "schnell-12gb", "--into", into], "describes another bundle, \"schnell-nf4\"");
    // The same name goes on, with what somebody has changed in it.
    let description = folder.path().join("bundle.toml");
    let mine = std::fs::read_to_string(&description).unwrap() + "\n# mine\n";
    std::fs::write(&description, &mine).unwrap();
    let told = printed(&pull_by_name("schnell-nf4", folder.path(), &hub));
    assert!(told.contains("is not the schnell-nf4 that ships with this version; it is kept"), "{told}");
    assert_eq!(std::fs::read_to_string(&description).unwrap(), mine);
}

#[test]
fn the_list_tells_what_each_takes_and_under_which_licence() {
    let output = weights(&["list"]);
    let told = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("schnell-12gb") && told.contains("13.94 GB") && told.contains("--into DIR"),
        "{told}"
    );
    let answer: Value = serde_json::from_slice(&weights(&["list", "--json"]).stdout).unwrap();
    let sizes: Vec<_> = answer["bundles"].as_array().unwrap().iter().map(|it| it["bytes"].as_u64()).collect();
    assert_eq!(sizes, [Some(13_937_276_913), Some(30_935_839_889), Some(36_906_122_598)]);
    assert!(answer["bundles"][0]["licences"]["liveportrait"].as_str().unwrap().contains("declares none"));
}

#[test]
fn each_shipped_bundle_comes_from_nothing_to_verified_through_all_that_a_hub_does() {
    for (shipped, ranges) in SHIPPED.iter().zip([Ranges::Shifted, Ranges::FromTheStart, Ranges::Lied]) {
        let (folder, stand_in) = (tempfile::tempdir().unwrap(), StandIn::of(shipped.name));
        let hub = hub_of(&stand_in);
        stand_in.begin(folder.path());
        {
            let mut state = hub.state.lock().unwrap();
            // Asked too often, lines that break, ranges that are not kept, and a licence that nobody accepted.
            state.refusals = vec![(429, "RateLimit: \"resolvers\";r=0;t=1\r\n"), (503, "")];
            (state.cuts, state.ranges) = ((4, 60_000), ranges);
            state.expired = 1;
            state.gated.insert("openai/clip-vit-base-patch32".to_owned());
        }
        // What is in no other repository stays away; the rest comes, by way of mirrors.
        let output = pull_by_name(shipped.name, folder.path(), &hub);
        let told = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("asking sentence-transformers/clip-ViT-B-32"), "{told}");
        assert!(told.contains("again in 1 s") && told.contains("gated"), "{told}");
        assert!(folder.path().join("clip-b/model.safetensors").exists(), "{told}");
        assert!(!folder.path().join("clip-b/config.json").exists());

        hub.state.lock().unwrap().gated.clear();
        let before = hub.starts().len();
        let output = pull_by_name(shipped.name, folder.path(), &hub);
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        let came: Vec<usize> = hub.starts().split_off(before);
        assert!(!came.is_empty() && came.len() <= 4, "only what was missing came: {came:?}");
        assert_whole(folder.path(), &stand_in);
        // Nobody but the hub was shown who asks, and the store was asked for every large file.
        let state = hub.state.lock().unwrap();
        assert!(state.seen.iter().any(|seen| seen.is_store) && state.seen.iter().any(|seen| seen.is_cache));
    }
}

/// A soak test may be of a release build while the tests are not.
fn binary() -> PathBuf {
    std::env::var_os("VORTEX_SOAK_BINARY")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_vortex-node")), PathBuf::from)
}

fn begun(name: &str, folder: &Path, hub: &Hub) -> Child {
    Command::new(binary())
        .args(["weights", "pull", name, "--into", text(folder), "--endpoint", &hub.address, "--retries", "1"])
        .env_clear()
        .env("HF_HOME", "/nonexistent")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Nothing has its final name before it is whole.
fn assert_nothing_half_named(folder: &Path, stand_in: &StandIn) {
    for (path, content) in &stand_in.files {
        if let Ok(there) = std::fs::read(folder.join(path)) {
            assert_eq!(Sha256::of(&there), Sha256::of(content), "{path} is there and not whole");
        }
    }
}

#[test]
fn killed_at_random_moments_a_shipped_bundle_still_comes_whole() {
    let mut random = Random::seeded("pull");
    let kills: usize = std::env::var("VORTEX_SOAK_PULL_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let names: Vec<&str> = if std::env::var_os("VORTEX_SOAK_PULL_KILLS").is_some() {
        SHIPPED.iter().map(|shipped| shipped.name).collect()
    } else {
        vec!["schnell-12gb"]
    };
    for name in names {
        let (mut done, mut rounds, mut moments) = (0, 0, Vec::new());
        let stand_in = StandIn::of(name);
        let total: usize = stand_in.files.values().map(Vec::len).sum();
        while done < kills {
            rounds += 1;
            let (folder, hub) = (tempfile::tempdir().unwrap(), hub_of(&stand_in));
            stand_in.begin(folder.path());
            // Until it comes through, then from nothing again.
            while done < kills {
                let left = total.saturating_sub(hub.state.lock().unwrap().sent);
                let bell = if random.below(3) == 0 {
                    Bell::Requests(random.below(60) as usize)
                } else {
                    Bell::Bytes(random.below((left / 3).max(1000) as u64) as usize)
                };
                let (tell, told) = stalling();
                hub.state.lock().unwrap().bell = Some((bell, tell));
                let mut child = begun(name, folder.path(), &hub);
                if !rings(&told, &mut child) {
                    assert!(child.wait().unwrap().success(), "after {moments:?}");
                    break;
                }
                child.kill().unwrap();
                child.wait().unwrap();
                done += 1;
                moments.push(bell);
                assert_nothing_half_named(folder.path(), &stand_in);
            }
            hub.state.lock().unwrap().bell = None;
            let output = pull_by_name(name, folder.path(), &hub);
            assert_eq!(output.status.code(), Some(0), "after {moments:?}: {}", printed(&output));
            assert_whole_after_kills(folder.path(), &stand_in);
        }
        println!("{name}: {done} kills in {rounds} pulls");
    }
}

/// As [`assert_whole`]; a process that was killed while it wrote a small file aside leaves that.
fn assert_whole_after_kills(folder: &Path, stand_in: &StandIn) {
    for path in files_below(folder) {
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with(".tmp") || name.starts_with(".vortex-") {
            std::fs::remove_file(&path).unwrap();
        }
    }
    assert_whole(folder, stand_in);
}

/// Whether the bell rings before the process has ended.
fn rings(told: &std::sync::mpsc::Receiver<()>, child: &mut Child) -> bool {
    loop {
        match told.recv_timeout(Duration::from_millis(20)) {
            Ok(()) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) if child.try_wait().unwrap().is_some() => return false,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
