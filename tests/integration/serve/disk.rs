//! A disk that is full and freed again, under load: what was accepted ends once, hand-ins learn why they are refused, and
//! the node goes on by itself.

use std::collections::BTreeSet;
use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::accounts::settled;
use super::id;
use crate::support::preload::{Faults, Room};
use crate::support::served::{LIMIT, Place, Served, recipe, scenario};

/// Hands in so many, all of which must be accepted.
async fn hand_in(service: &Served, numbers: std::ops::Range<u64>, accepted: &mut BTreeSet<String>) {
    for number in numbers {
        let recipe = recipe(number);
        let answer = service.put(&recipe).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
        accepted.insert(id(&recipe).to_owned());
    }
}

/// What `/readyz` says.
async fn readiness(service: &Served) -> (StatusCode, String) {
    let answer = service.ask(Method::GET, "/readyz").send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// Hands in until the disk refuses one, and sees that this is told; then no more is taken until `free` is called.
async fn full_and_freed(service: &Served, data: &std::path::Path, fill: impl FnOnce(), free: impl FnOnce()) {
    service.ready().await;
    let mut accepted = BTreeSet::new();
    hand_in(service, 0..30, &mut accepted).await;
    service.ended(id(&recipe(2))).await;
    fill();
    let mut number = 100;
    let refused = loop {
        let recipe = recipe(number);
        let answer = service.put(&recipe).await;
        match answer.status() {
            // It was on its way before the disk was full, or fits into what there is.
            StatusCode::ACCEPTED => accepted.insert(id(&recipe).to_owned()),
            _ => break answer,
        };
        number += 1;
        assert!(number < 20_000, "the disk is never full");
    };
    assert!(refused.headers().contains_key("retry-after"));
    let (status, problem) = (refused.status(), refused.json::<Value>().await.unwrap());
    // Where slots end for want of room, the node may be out of order first.
    let told = [
        (StatusCode::INSUFFICIENT_STORAGE, "/problems/storage"),
        (StatusCode::SERVICE_UNAVAILABLE, "/problems/not-ready"),
    ];
    let kind = problem["type"].as_str().unwrap();
    assert!(told.contains(&(status, kind)), "{status} {problem:#}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(status != StatusCode::INSUFFICIENT_STORAGE || detail.contains("make room"), "{detail}");
    let (status, why) = readiness(service).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(why.contains("the journal cannot be written"), "{why}");
    // Reading goes on, of open and of ended slots.
    let slot = service.get(&format!("/v1/slots/{}", id(&recipe(2)))).await;
    assert_eq!(slot["state"], "completed");
    assert!(service.get("/v1/slots?limit=500").await["slots"].as_array().unwrap().len() >= 30);
    free();
    // Nobody tells it; it finds out.
    tokio::time::timeout(LIMIT, service.ready()).await.unwrap();
    hand_in(service, 50_000..50_010, &mut accepted).await;
    let slots = settled(service, data, &accepted).await;
    let completed = slots.values().filter(|slot| slot["state"] == "completed").count();
    for slot in slots.values().filter(|slot| slot["state"] != "completed") {
        assert_eq!(slot["state"], "failed", "{slot:#}");
        assert!(slot["cause"] == "journal" || slot["message"].is_string(), "{slot:#}");
    }
    println!("{} accepted, {completed} completed, the rest failed for want of room", accepted.len());
    assert!(completed >= 13, "those before and after the fault");
}

#[tokio::test]
async fn a_disk_that_is_full_and_freed_loses_no_accepted_slot() {
    for room in [Room::Nothing, Room::InPlace] {
        let Some(faults) = Faults::new() else { return };
        let place = Place::new(&scenario("30ms", "[policy]\nqueue = 100000\n"));
        let service = place.serve_by(faults.of(place.command(&[]), &place.data()));
        let (fill, free) = (|| faults.room(room), || faults.room(Room::Plenty));
        full_and_freed(&service, &place.data(), fill, free).await;
        let (code, logs) = service.stop();
        assert_eq!(code, Some(0), "{room:?}: {logs}");
        // The next process has nothing to repair.
        let service = place.serve();
        assert_eq!(service.repaired, [""; 0], "{room:?}");
    }
}

/// The same on a real file system that is really full.
#[tokio::test]
#[ignore = "mounts a file system: tests/soak/run disk"]
async fn a_small_file_system_that_is_full_and_freed_loses_no_accepted_slot() {
    let place = Place::new(&scenario("30ms", "[policy]\nqueue = 100000\n"));
    let data = place.data();
    std::fs::create_dir(&data).unwrap();
    let mount = |words: &[&str]| {
        let done = Command::new(words[0]).args(&words[1..]).arg(&data).status().unwrap();
        assert!(done.success(), "{words:?}: mounting is not allowed here");
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs"]);
    let service = place.serve();
    let ballast = data.join("ballast");
    let fill = || {
        let mut file = std::fs::File::create(&ballast).unwrap();
        // Until there is no room for another page.
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    };
    let free = || std::fs::remove_file(&ballast).unwrap();
    full_and_freed(&service, &data, fill, free).await;
    let (code, logs) = service.stop();
    mount(&["umount"]);
    assert_eq!(code, Some(0), "{logs}");
}

/// A disk that is full when a process starts: it says so, and goes on where there is room again.
#[tokio::test]
async fn a_start_on_a_full_disk_says_so_and_loses_nothing() {
    let Some(faults) = Faults::new() else { return };
    let place = Place::new(&scenario("30ms", ""));
    let service = place.serve();
    service.ready().await;
    let mut accepted = BTreeSet::new();
    hand_in(&service, 0..4, &mut accepted).await;
    service.kill();
    faults.room(Room::Nothing);
    let run = faults.of(place.command(&[]), &place.data()).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") || said.contains("make room"), "{said}");
    let service = place.serve();
    assert_eq!(service.repaired, [""; 0]);
    settled(&service, &place.data(), &accepted).await;
}
