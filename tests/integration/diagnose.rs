//! `vortex-node diagnose` beside a real node: what the archive holds, that it holds no secret, and that nobody notices.
//! Archives are unpacked by `tar`, which nobody here wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reqwest::StatusCode;
use serde_json::{Value, json};
use vortex_node::types::Sha256;

use crate::support::served::{Place, recipe, scenario};

/// An address whose path opens it.
const HOOK: &str = "http://127.0.0.1:9/services/T0123/hook-path-secret";

/// What an archive held.
struct Unpacked {
    files: BTreeMap<String, String>,
}

impl Unpacked {
    fn of(archive: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tar = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).output().unwrap();
        assert!(tar.status.success(), "{tar:?}");
        let mut files = BTreeMap::new();
        for (path, bytes) in everything_in(folder.path()) {
            // Below the archive's one folder.
            let name = path.split_once('/').unwrap().1.to_owned();
            files.insert(name, String::from_utf8(bytes).unwrap());
        }
        Self { files }
    }

    fn text(&self, name: &str) -> &str {
        self.files.get(name).unwrap_or_else(|| panic!("{name} is not among {:?}", self.files.keys()))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(self.text(name)).unwrap()
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        self.text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Fails where a file, or a file's name, holds one of these texts.
    #[track_caller]
    fn holds_none_of(&self, secrets: &[&str]) {
        for (name, text) in &self.files {
            for secret in secrets {
                assert!(!name.contains(secret) && !text.contains(secret), "{name} holds {secret}:\n{text}");
            }
        }
    }

    /// What is said not to be there, by its part.
    fn missing(&self) -> BTreeMap<String, String> {
        let index = self.json("index.json");
        let part =
            |it: &Value| (it["part"].as_str().unwrap().to_owned(), it["why"].as_str().unwrap().to_owned());
        index["missing"].as_array().unwrap().iter().map(part).collect()
    }
}

/// Every file below `folder`, by its path in it.
fn everything_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// A place for an archive that goes with the test.
fn output() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bug.tar.gz");
    (folder, path)
}

/// Gathers, and unpacks what came.
fn diagnose(place: &Place, more: &[&str]) -> (Value, Unpacked) {
    let (_folder, path) = output();
    let words = [&["diagnose", "--json", "--out", path.to_str().unwrap()], more].concat();
    let answer: Value = serde_json::from_str(&place.told(&words)).unwrap();
    (answer, Unpacked::of(&path))
}

fn id(recipe: &Value) -> &str {
    recipe["recipe_id"].as_str().unwrap()
}

fn webhooks_secret(place: &Place) -> String {
    let text = std::fs::read_to_string(place.data().join("webhooks.secret")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["current"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn beside_a_running_node_it_holds_what_a_report_needs_and_disturbs_nothing() {
    let place = Place::new(&scenario("10ms", ""));
    let service = place.serve_with(&["--set", "webhooks.allow=[\"http://127.0.0.1:9\"]"]);
    service.ready().await;
    let mut slot = recipe(1);
    slot["audio_track"]["script"] = json!("Nobody but us may hear this sentence. Hush.");
    let path = format!("/v1/slots/{}", id(&slot));
    let handed = service.ask(reqwest::Method::PUT, &path).header("vortex-webhook", HOOK).json(&slot);
    assert_eq!(handed.send().await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(service.ended(id(&slot)).await["state"], "completed");
    let names = || everything_in(&place.data()).into_keys().collect::<Vec<_>>();
    let before = names();

    let (answer, found) = diagnose(&place, &[]);

    assert_eq!(names(), before, "it has left something, or taken something away");
    assert_eq!(
        found.missing().keys().filter(|part| *part != "driver.json").count(),
        0,
        "{:?}",
        found.missing()
    );
    assert_eq!(answer["missing"], found.json("index.json")["missing"]);
    // What the node says is what it says to everybody.
    let node = service.get("/v1/node").await;
    assert_eq!(found.json("node/node.json")["id"], node["id"]);
    assert!(node["id"].is_string());
    assert!(found.text("node/readyz.txt").starts_with("200 "), "{}", found.text("node/readyz.txt"));
    assert!(found.text("node/metrics.txt").contains("\nvortex_disk_free_bytes "));
    assert_eq!(found.json("node/slots.json")["slots"][0]["id"], slot["recipe_id"]);
    assert_eq!(found.json("node/process.json")["pid"], json!(service.pid()));
    // The journal as the index has it.
    let health = found.json("journal/health.json");
    assert_eq!((&health["index"]["sound"], &health["index"]["damage"]), (&json!(true), &Value::Null));
    assert_eq!(health["index"]["counts"]["slots"], json!({ "completed": 1 }));
    let events = found.lines("journal/index-events.jsonl");
    let of_slot: Vec<&str> = events
        .iter()
        .filter(|event| event["slot"] == slot["recipe_id"])
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!((of_slot.first(), of_slot.last()), (Some(&"generation_complete"), Some(&"accepted")));
    let rows = found.lines("journal/index-slots.jsonl");
    assert_eq!((&rows[0]["slot"], &rows[0]["state"]), (&slot["recipe_id"], &json!("completed")));
    assert_eq!(rows[0]["webhook"]["url"], "http://127.0.0.1:9/…");
    // Program, settings, checks, folder.
    assert_eq!(found.json("program.json")["version"], env!("CARGO_PKG_VERSION"));
    let lock = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    assert_eq!(found.json("program.json")["lock_sha256"], json!(Sha256::of(&lock).to_string()));
    let settings = found.json("settings.json");
    let of = |key: &str| {
        settings["settings"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone()
    };
    assert_eq!(of("data_dir")["value"], json!(place.data()));
    let checks = found.json("check.json");
    let port = checks["checks"].as_array().unwrap().iter().find(|it| it["check"] == "port").unwrap().clone();
    assert!(port["verdict"] == "ok" && port["found"].as_str().unwrap().contains("a node serves"), "{port}");
    let listing = found.text("data-folder/listing.txt");
    assert!(
        listing.contains(" journal/index.sqlite3\n") && listing.contains(&format!("slots/{}/", id(&slot))),
        "{listing}"
    );
    // Its recipe in outline; in full on request.
    let own = format!("slots/{}", id(&slot));
    assert_eq!(found.json(&format!("{own}/result.json"))["outcome"]["ending"], "completed");
    assert_eq!(found.json(&format!("{own}/recipe.json"))["audio_track"]["script"], "(43 characters)");
    let token = service.token.clone();
    let secret = webhooks_secret(&place);
    found.holds_none_of(&["may hear this sentence", "hook-path-secret", &token, &secret, &secret[6..]]);
    let (_, found) = diagnose(&place, &["--with-recipes"]);
    let told = found.json(&format!("{own}/recipe.json"));
    assert_eq!(told["audio_track"]["script"], slot["audio_track"]["script"]);
    found.holds_none_of(&["hook-path-secret", &token, &secret]);

    // The node goes on, and its next start finds nothing to repair.
    let next = recipe(2);
    assert_eq!(service.put(&next).await.status(), StatusCode::ACCEPTED);
    assert_eq!(service.ended(id(&next)).await["state"], "completed");
    assert_eq!(service.stop().0, Some(0));
    let service = place.serve();
    assert_eq!(service.repaired, Vec::<Value>::new());
    assert_eq!(service.get(&format!("/v1/slots/{}", id(&slot))).await["state"], "completed");
}

#[tokio::test]
async fn of_a_node_that_was_killed_it_reads_everything_and_changes_no_byte() {
    let place = Place::new(&scenario("10ms", ""));
    let service = place.serve();
    service.ready().await;
    let slot = recipe(1);
    assert_eq!(service.put(&slot).await.status(), StatusCode::ACCEPTED);
    service.ended(id(&slot)).await;
    let pid = service.pid();
    service.kill();
    let before = everything_in(&place.data());
    assert!(!before["journal/index.sqlite3-wal"].is_empty(), "the newest changes are in the WAL");

    let (_, found) = diagnose(&place, &[]);

    let after = everything_in(&place.data());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, bytes) in &before {
        assert!(after[name] == *bytes, "{name} is another than before");
    }
    assert_eq!(found.json("journal/health.json")["index"]["sound"], true);
    let events = found.lines("journal/index-events.jsonl");
    let is_end = |event: &Value| event["slot"] == slot["recipe_id"] && event["kind"] == "generation_complete";
    assert!(events.iter().any(is_end), "{events:?}");
    let missing = found.missing();
    assert!(
        missing["node"].contains(&format!("process {pid}")) && missing["node"].contains("gone"),
        "{missing:?}"
    );
    assert!(!found.files.contains_key("node/node.json"));
}

#[tokio::test]
async fn of_a_damaged_index_it_tells_the_damage_and_the_backup() {
    let place = Place::new(&scenario("10ms", ""));
    let service = place.serve();
    service.ready().await;
    let slot = recipe(1);
    assert_eq!(service.put(&slot).await.status(), StatusCode::ACCEPTED);
    service.ended(id(&slot)).await;
    assert_eq!(service.stop().0, Some(0));
    let index = place.data().join("journal/index.sqlite3");
    let mut bytes = std::fs::read(&index).unwrap();
    // Behind the header: it is still a database.
    for at in (4096..bytes.len()).step_by(97) {
        bytes[at] ^= 0x55;
    }
    std::fs::write(&index, &bytes).unwrap();

    let (_, found) = diagnose(&place, &[]);

    let health = found.json("journal/health.json");
    assert_eq!(health["index"]["sound"], false);
    assert!(health["index"]["damage"].is_string(), "{health}");
    assert_eq!((&health["backup"]["sound"], &health["backup"]["damage"]), (&json!(true), &Value::Null));
    assert!(found.missing().keys().any(|part| part.starts_with("journal/index")), "{:?}", found.missing());
    let events = found.lines("journal/backup-events.jsonl");
    assert!(events.iter().any(|event| event["slot"] == slot["recipe_id"]), "{events:?}");
    assert_eq!(found.json(&format!("slots/{}/result.json", id(&slot)))["recipe_id"], slot["recipe_id"]);
    assert_eq!(std::fs::read(&index).unwrap(), bytes, "a start repairs it, nobody else");
}

#[tokio::test]
async fn of_a_node_whose_certificate_nobody_trusts_the_second_listener_tells() {
    let place = Place::new(&scenario("10ms", ""));
    let service = place.serve_with(&["--set", "http.management=127.0.0.1:0"]);
    let set =
        format!("http.management={}", service.management.as_ref().unwrap().strip_prefix("http://").unwrap());
    service.ready().await;
    // As if it spoke TLS: nobody answers at the address that it names.
    let said = std::fs::read(place.data().join("serve.json")).unwrap();
    let mut elsewhere: Value = serde_json::from_slice(&said).unwrap();
    elsewhere["url"] = json!("https://127.0.0.1:1");
    std::fs::write(place.data().join("serve.json"), elsewhere.to_string()).unwrap();
    let (_, found) = diagnose(&place, &["--set", &set]);
    assert!(found.missing().contains_key("node/livez.txt"), "{:?}", found.missing());
    assert!(found.text("node/management/readyz.txt").starts_with("200 "));
    assert!(found.text("node/management/metrics.txt").contains("\nvortex_disk_free_bytes "));
    std::fs::write(place.data().join("serve.json"), said).unwrap();
}

#[tokio::test]
async fn a_node_that_hangs_keeps_nobody_waiting() {
    let place = Place::new(&scenario("10ms", ""));
    let service = place.serve();
    service.ready().await;
    service.pause();
    let (_, found) = diagnose(&place, &[]);
    service.resume();
    let missing = found.missing();
    assert!(missing["node/livez.txt"].contains("nothing came"), "{missing:?}");
    assert!(missing["node/metrics.txt"].starts_with("not asked: "), "{missing:?}");
    let process = found.json("node/process.json");
    assert!(process["status"]["State"].as_str().unwrap().starts_with('T'), "{process}");
    assert_eq!(found.json("journal/health.json")["index"]["sound"], true);
    assert_eq!(service.stop().0, Some(0));
}

#[test]
fn no_secret_of_settings_environment_or_files_gets_in_also_with_broken_settings() {
    let place = Place::new(&scenario("10ms", ""));
    std::fs::create_dir_all(place.data().join("journal")).unwrap();
    let planted = [
        "vxn_local-token-0123456789",
        "whsec_d2ViaG9va3Mgc2VjcmV0",
        "c0ffeec0ffeec0ffeec0ffeec0ffeec0",
        "tokenfile-4711-secret",
        "environment-token-77",
        "aws-secret/+=access",
        "AKIAPLANTEDKEY",
        "otel-bearer-abcdef",
        "hf_planted_token",
        "store-password-1",
        "signature-query-2",
        "broken-settings-secret-3",
        "broken-url-pass-4",
        "crash-url-pass-5",
    ];
    let [local, hook, key, file, token, aws, aws_id, otel, hugging, store, query, broken, broken_url, crash] =
        planted;
    place.file("data/local.token", local);
    place.file("data/webhooks.secret", &json!({ "current": hook, "previous": [] }).to_string());
    place.file("data/node.key", key);
    place.file(
        "data/crashes.json",
        &format!("{{\"ends\":[{{\"at\":1,\"cause\":\"https://u:{crash}@host said {token}\"}}]}}"),
    );
    place.file("data/serve.json", &format!("{{\"url\":\"http://127.0.0.1:1/{token}\",\"pid\":4194305}}"));
    let token_file = place.file("token", &format!("{file}\n"));
    let run = |more: &[&str]| {
        let (_folder, path) = output();
        let mut command = crate::support::lone_binary();
        command.arg("diagnose").arg("--out").arg(&path).arg("--data-dir").arg(place.data()).args(more);
        command.arg("--token-file").arg(&token_file);
        command.arg("--config-dir").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config"));
        command.env("VORTEX_TOKEN", token).env("AWS_SECRET_ACCESS_KEY", aws).env("AWS_ACCESS_KEY_ID", aws_id);
        command
            .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer {otel}"))
            .env("HF_TOKEN", hugging);
        let ran: Output = command.output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        let told = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        planted.iter().for_each(|secret| assert!(!told.contains(secret), "{told}"));
        (told, Unpacked::of(&path))
    };

    let endpoint = format!("store.endpoint=https://key:{store}@s3.example.org/?sig={query}");
    let (told, found) = run(&["--set", "store.url=s3://bucket/prefix", "--set", &endpoint]);
    found.holds_none_of(&planted);
    let settings = found.text("settings.json");
    assert!(
        settings.contains("s3://bucket/prefix") && settings.contains("https://s3.example.org/…"),
        "{settings}"
    );
    let set = found.json("environment.json")["set"].clone();
    assert!(set.as_array().unwrap().contains(&json!("AWS_SECRET_ACCESS_KEY")), "{set}");
    assert!(found.text("data-folder/crashes.json").contains("https://host said [taken out]"));
    assert!(told.contains("Look before you send it") && told.contains("not in it:\n"), "{told}");

    let broken = format!("store.secret_key={broken}");
    let broken_url = format!("store.endpoint2=https://u:{broken_url}@host");
    let (_, found) = run(&["--set", &broken, "--set", &broken_url]);
    found.holds_none_of(&planted);
    let problems = found.json("settings.json")["problems"].clone();
    assert_eq!(problems.as_array().unwrap().len(), 2, "{problems}");
    assert_eq!(found.json("check.json")["ok"], false);
    assert!(
        found.files.contains_key("data-folder/crashes.json"),
        "what the settings say of the folder still counts"
    );
}

#[test]
fn it_replaces_no_file_and_tells_where_it_cannot_write() {
    let place = Place::new(&scenario("10ms", ""));
    let (_folder, path) = output();
    std::fs::write(&path, "mine").unwrap();
    let taken = place.tool(&["diagnose", "--out", path.to_str().unwrap()]);
    assert_eq!(taken.status.code(), Some(2), "{taken:?}");
    assert!(String::from_utf8_lossy(&taken.stderr).contains("is there already"), "{taken:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let on_json = place.tool(&["diagnose", "--out", "-", "--json"]);
    assert_eq!((on_json.status.code(), on_json.stdout.len()), (Some(2), 0), "{on_json:?}");
    // Nobody, not even root, makes files there.
    let unwritable = place.tool(&["diagnose", "--out", "/proc/bug.tar.gz"]);
    assert_eq!(unwritable.status.code(), Some(1), "{unwritable:?}");
    assert!(String::from_utf8_lossy(&unwritable.stderr).contains("cannot be written"), "{unwritable:?}");
}

#[test]
fn out_of_a_place_where_nothing_can_be_written_it_comes_by_standard_output() {
    let place = Place::new(&scenario("10ms", ""));
    let mut command = crate::support::lone_binary();
    command.current_dir("/proc").args(["diagnose", "--out", "-", "--data-dir"]).arg(place.data());
    let ran = command.output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let (_folder, path) = output();
    std::fs::write(&path, &ran.stdout).unwrap();
    let found = Unpacked::of(&path);
    let told = String::from_utf8(ran.stderr).unwrap();
    assert!(found.files.contains_key("machine.json") && told.contains("  machine.json "), "{told}");
    assert!(
        told.contains("not in it:\n  driver.json") || !found.missing().contains_key("driver.json"),
        "{told}"
    );
}

#[test]
fn without_a_data_folder_or_weights_the_rest_is_told_and_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::support::lone_binary();
    command.current_dir(folder.path()).args(["diagnose", "--set", "http.listen=127.0.0.1:0"]);
    let ran = command.output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let made = everything_in(folder.path());
    let [name] = made.keys().collect::<Vec<_>>()[..] else {
        panic!("more than the archive: {:?}", made.keys())
    };
    let time = name.strip_prefix("vortex-node-diagnose-").unwrap().strip_suffix(".tar.gz").unwrap();
    assert!(time.len() == 16 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    let told = String::from_utf8(ran.stdout).unwrap();
    let found = Unpacked::of(&folder.path().join(name));
    let missing = found.missing();
    let why = &missing["data-folder, journal, slots"];
    assert!(why.contains("vortex-data") && told.contains(why.as_str()), "{missing:?}\n{told}");
    assert!(missing["node"].contains("no node serves"), "{missing:?}");
    // Everything that is there is named; nobody serves, so there is no slot.
    for name in found.files.keys() {
        assert!(told.contains(&format!("\n  {name} ")), "{name}: {told}");
    }
    let checks = found.json("check.json")["checks"].clone();
    let bundle = checks.as_array().unwrap().iter().find(|it| it["check"] == "bundle").unwrap();
    assert_eq!(bundle["verdict"], "doubtful", "{bundle}");
}
