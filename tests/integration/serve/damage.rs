//! Files of the journal that go wrong between two processes: one alone costs nothing and is told; where nothing is left, it
//! is said what may be lost, and nothing is taken in until an operator knows.

use std::io;
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::id;
use crate::support::served::{LIMIT, Place, Served, recipe, scenario};

/// What is done to a file.
type Damage = fn(&Path) -> io::Result<()>;

/// The file itself, or the newest in a folder.
fn file(path: &Path) -> io::Result<std::path::PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let mut files: Vec<_> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|it| it.path())).collect::<Result<_, _>>()?;
    files.sort();
    files.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn deleted(path: &Path) -> io::Result<()> {
    if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}

fn truncated(path: &Path) -> io::Result<()> {
    let path = file(path)?;
    let length = path.metadata()?.len();
    std::fs::OpenOptions::new().write(true).open(path)?.set_len(length / 2)
}

/// One bit in each of several places, from the first byte to the last.
fn flipped(path: &Path) -> io::Result<()> {
    let path = file(path)?;
    let mut bytes = std::fs::read(&path)?;
    let length = bytes.len();
    for place in [0, length / 4, length / 2, length * 3 / 4, length - 1] {
        bytes[place] ^= 0x10;
    }
    std::fs::write(path, bytes)
}

/// A journal's file, what is done to it, and whether something is wrong after that in any case: what the main file says may
/// stand in the WAL again, and what the WAL says in the log.
const CASES: [(&str, Damage, bool); 9] = [
    ("index.sqlite3", deleted, true),
    ("index.sqlite3", truncated, false),
    ("index.sqlite3", flipped, false),
    ("index.sqlite3-wal", deleted, false),
    ("index.sqlite3-wal", truncated, false),
    ("index.sqlite3-wal", flipped, false),
    ("log", deleted, true),
    ("log", truncated, true),
    ("log", flipped, true),
];

#[tokio::test]
async fn a_damaged_file_of_the_journal_is_told_and_loses_no_accepted_slot() {
    let place = Place::new(&scenario("20ms", ""));
    let mut accepted = Vec::new();
    for (number, (file, damage, is_told)) in CASES.into_iter().enumerate() {
        let service = place.serve();
        service.ready().await;
        let recipe = recipe(number as u64);
        assert_eq!(service.put(&recipe).await.status(), StatusCode::ACCEPTED);
        accepted.push(recipe);
        service.kill();
        damage(&place.data().join("journal").join(file)).unwrap();
        let case = format!("case {number}, {file}");
        let service = place.serve();
        if is_told {
            assert!(!service.repaired.is_empty(), "{case}: nothing was told");
        }
        for recipe in &accepted {
            let ended = tokio::time::timeout(LIMIT, service.ended(id(recipe))).await.unwrap();
            assert_eq!(ended["state"], "completed", "{case}: {ended:#}");
        }
        let node = service.get("/v1/node").await;
        assert!(node["journal"]["lost_since"].is_null(), "{case}: {node:#}");
        assert_eq!(node["journal"]["repairs"].as_array().unwrap(), &service.repaired, "{case}");
        let (code, logs) = service.stop();
        assert_eq!(code, Some(0), "{case}: {logs}");
    }
}

/// Index and log are gone: with a backup or without one.
#[tokio::test]
async fn where_index_and_log_are_both_lost_nothing_is_taken_in_until_an_operator_acknowledges_it() {
    for has_backup in [true, false] {
        let place = Place::new(&scenario("20ms", ""));
        let service = place.serve();
        service.ready().await;
        let before = recipe(1);
        assert_eq!(service.put(&before).await.status(), StatusCode::ACCEPTED);
        service.ended(id(&before)).await;
        // A clean end makes a backup.
        let (code, logs) = service.stop();
        assert_eq!(code, Some(0), "{logs}");
        let backed_up = vortex_node::clock::unix_time().as_secs_f64();
        let service = place.serve();
        service.ready().await;
        let after = recipe(2);
        assert_eq!(service.put(&after).await.status(), StatusCode::ACCEPTED);
        service.kill();
        let journal = place.data().join("journal");
        for file in ["index.sqlite3", "index.sqlite3-wal", "log"] {
            deleted(&journal.join(file)).unwrap();
        }
        if !has_backup {
            deleted(&journal.join("backup")).unwrap();
        }

        let service = place.serve();
        let said = service.repaired.iter().map(|it| it.as_str().unwrap()).collect::<Vec<_>>().join("\n");
        assert!(said.contains("may be missing"), "{said}");
        let node = service.get("/v1/node").await;
        let since = node["journal"]["lost_since"].as_f64().unwrap();
        if has_backup {
            assert!(since > backed_up - 60.0 && since <= backed_up, "{since} and {backed_up}");
        } else {
            assert!(since == 0.0, "nothing tells since when: {since}");
        }
        // Whoever asks learns it, before and after the models are there.
        let unready = wait_for_models(&service).await;
        assert!(unready.contains("may be lost") && unready.contains("acknowledge"), "{unready}");
        let refused = service.put(&recipe(3)).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
        assert!(refused.text().await.unwrap().contains("may be lost"));
        // What folders told is there, and a slot that is known is answered as ever.
        let slot = service.ended(id(&before)).await;
        assert_eq!(slot["state"], "completed");
        assert_eq!(service.put(&before).await.status(), StatusCode::OK);

        let mut acknowledge = crate::support::lone_binary();
        acknowledge.args(["node", "acknowledge", "--json", "--data-dir"]).arg(place.data());
        let run = acknowledge.output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let answer: Value = serde_json::from_slice(&run.stdout).unwrap();
        assert_eq!(answer["acknowledged"], true);
        service.ready().await;
        assert_eq!(service.put(&recipe(3)).await.status(), StatusCode::ACCEPTED);
        // Once is enough, also for the processes after this one.
        let again = service.ask(Method::POST, "/v1/node/acknowledge").send().await.unwrap();
        assert_eq!(again.status(), StatusCode::CONFLICT);
        let (code, logs) = service.stop();
        assert_eq!(code, Some(0), "{logs}");
        let service = place.serve();
        service.ready().await;
        assert_eq!(service.repaired, [""; 0]);
        assert_eq!(service.ended(id(&recipe(3))).await["state"], "completed");
    }
}

/// What `/readyz` says once nothing but the loss is in the way.
async fn wait_for_models(service: &Served) -> String {
    let mut events = service.ask(Method::GET, "/v1/events").send().await.unwrap();
    loop {
        let ready = service.ask(Method::GET, "/readyz").send().await.unwrap();
        assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
        let said = ready.text().await.unwrap();
        assert!(said.contains("may be lost"), "{said}");
        if said.trim().lines().count() == 1 {
            return said;
        }
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), events.chunk()).await;
    }
}
