//! The commands that ask a network, through the real binary against a real server. What nodes would write is written here.

use std::time::Duration;

use serde_json::{Value, json};
use vortex_node::clock;
use vortex_node::network::letters::{self, Letter, LetterReason};
use vortex_node::network::progress::{self, Progress};
use vortex_node::network::results::EndState;
use vortex_node::network::{Session, Stored, Stream, VERSION, cancels, listing};
use vortex_node::types::{Stage, WorkId};

use net::{Net, announce, entry, node, slot, work};

mod net;
mod roles;

/// For a command to come so far as to be seen.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_network_is_prepared_and_what_is_wrong_with_it_is_told() {
    let Some(net) = Net::new() else { return };
    let ran = net.run(&["slots", "--nats", "@"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("vortex-node nats setup"), "{ran:?}");
    let monitor = net.nats.monitor();
    let setup = |more: &[&str]| net.run(&[&["nats", "setup", "--nats", "@", "--json"], more].concat());
    let ran = setup(&["--monitor", &monitor]);
    let told = ran.json();
    let many = |told: &Value, what: &str| told[what].as_array().unwrap().len();
    assert_eq!((ran.code, many(&told, "created"), many(&told, "found")), (0, 7, 0), "{ran:?}");
    let told = setup(&["--monitor", &monitor]).json();
    assert_eq!((many(&told, "created"), many(&told, "found")), (0, 7), "{told:#}");
    let ran = setup(&["--monitor", &monitor, "--copies", "3"]);
    assert_eq!(ran.code, 1);
    assert!(ran.json()["wrong"].to_string().contains("num_replicas"), "{ran:?}");
    // Nobody says that the server syncs.
    let ran = net.run(&["nats", "setup", "--nats", "@"]);
    assert!(ran.code == 1 && ran.out.contains("network.assume_synced"), "{ran:?}");
    assert_eq!(setup(&["--assume-synced"]).code, 0);
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_look_at() {
    let Some(mut net) = Net::new() else { return };
    net.nats.stop();
    for command in ["nodes", "slots"] {
        let ran = net.run(&[command, "--nats", "@"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains(&net.nats.address()) && ran.err.contains("port 4222"), "{ran:?}");
    }
    let ran = net.run(&["nodes"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("network.servers"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipes_go_in_once_as_far_as_nodes_quota_and_queue_allow() {
    let Some(net) = Net::prepared(3) else { return };
    let (one, two) = (net.recipe(1), net.recipe(2));
    let ran = net.run(&["submit", "--nats", "@", &one]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("no node of the network can render") && ran.err.contains("no node is in"),
        "{ran:?}"
    );
    let session = net.session().await;
    announce(&session, &entry(1)).await;
    announce(&session, &entry(2)).await;

    // Wrong ones keep the others out.
    std::fs::write(net.path("wrong.json"), "{}").unwrap();
    let ran = net.run(&["submit", "--nats", "@", &one, "wrong.json"]);
    assert!(ran.code == 2 && ran.err.contains("nothing was handed in"), "{ran:?}");
    let mut late = crate::support::served::recipe(9);
    late["deadline"] = json!(1_000_000_000);
    std::fs::write(net.path("late.json"), late.to_string()).unwrap();
    let ran = net.run(&["submit", "--nats", "@", "late.json"]);
    assert!(ran.code == 2 && ran.err.contains("has passed"), "{ran:?}");
    assert_eq!(net.run(&["slots", "--nats", "@", "--json"]).json()["open"], 0);

    let ran = net.run(&["submit", "--nats", "@", &one, &two]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    for number in [1, 2] {
        assert!(ran.out.contains(&format!("accepted {}", work(number, "1/1"))), "{ran:?}");
    }
    let ran = net.run(&["submit", "--nats", "@", "--json", &one]);
    assert_eq!((ran.code, &ran.json()["slots"][0]["known"]), (0, &json!(true)), "{ran:?}");
    let listed = net.run(&["slots", "--nats", "@", "--json"]).json();
    assert_eq!((&listed["open"], listed["slots"].as_array().unwrap().len()), (&json!(2), 2), "{listed:#}");
    let told = net.run(&["slots", "--nats", "@", "--state", "queued", "--limit", "1"]);
    assert!(told.out.contains("queued") && told.err.contains("there are more"), "{told:?}");

    // Five distinct nodes are not there.
    let three = net.recipe(3);
    let ran = net.run(&["submit", "--nats", "@", &three, "--replicas", "5"]);
    assert!(
        ran.code == 1 && ran.err.contains("of one bundle, and 2 can: no other is in the registry"),
        "{ran:?}"
    );
    // What its operator says of whoever signs nothing.
    let ran = net.run(&["submit", "--nats", "@", &three, "--priority", "high"]);
    assert!(ran.code == 2 && ran.err.contains("at normal priority at most"), "{ran:?}");
    let set = ["nats", "directors", "set", "open", "--priority", "high", "--queued", "2", "--nats", "@"];
    assert_eq!(net.run(&set).code, 0);
    let ran = net.run(&["submit", "--nats", "@", &three, "--priority", "high"]);
    assert!(ran.code == 1 && ran.err.contains("has 2 renderings in the queue and may have 2"), "{ran:?}");
    // What is in already is told all the same.
    assert_eq!(net.run(&["submit", "--nats", "@", &one, &two]).code, 0);
    let listed = net.run(&["nats", "directors", "list", "--json", "--nats", "@"]).json();
    assert_eq!(
        listed["directors"],
        json!([{ "director": "open", "priority": "high", "queued": 2, "in_queue": 2 }])
    );
    assert_eq!(net.run(&["nats", "directors", "remove", "open", "--nats", "@"]).code, 0);

    // Three have room.
    let four = net.recipe(4);
    let ran = net.run(&["submit", "--nats", "@", &three, &four]);
    assert!(ran.code == 1 && ran.err.contains("the queue is full"), "{ran:?}");
    let open = listing::works(&session, Stream::Work, &session.subjects().all(Stream::Work)).await.unwrap();
    assert_eq!(open.len(), 2, "both or none: {open:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_sees_progress_ends_and_files() {
    let Some(net) = Net::prepared(100) else { return };
    let session = net.session().await;
    announce(&session, &entry(1)).await;
    announce(&session, &entry(2)).await;
    let (one, store) = (net.recipe(1), net.store_url());
    let begun = net.begin(&[
        "submit",
        "--nats",
        "@",
        &one,
        "--replicas",
        "2",
        "--wait",
        "--store",
        &store,
        "--out",
        "out",
    ]);
    let all = session.subjects().all(Stream::Work);
    until(async || listing::works(&session, Stream::Work, &all).await.unwrap().len() == 2).await;
    let first = work(1, "1/1");
    // Nobody keeps it for those who come later.
    until(async || {
        tell(&session, first, Stage::Video, 1, 30).await;
        begun.has_said("video begins")
    })
    .await;
    net.end(&session, first, 1, EndState::Completed, b"moving pictures").await;
    net.end(&session, work(1, "1/2"), 2, EndState::Failed, b"noise").await;
    let ran = begun.end();
    assert_eq!(ran.code, 1, "a replica that failed is no success: {ran:?}");
    assert!(ran.err.contains("video begins") && ran.err.contains("in: waiting"), "{ran:?}");
    assert!(ran.out.contains(&format!("{first}  completed")) && ran.out.contains("failed"), "{ran:?}");
    assert_eq!(std::fs::read(net.path("out/1/video.mp4")).unwrap(), b"moving pictures");
    assert!(net.path("out/2/result.json").exists());
    // The same command finds both.
    let ran = net.run(&["submit", "--nats", "@", &one, "--replicas", "2", "--wait", "--json"]);
    let last: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (ran.code, &last["event"], &last["slots"][0]["known"]),
        (1, &json!("end"), &json!(true)),
        "{ran:?}"
    );

    // Again is the next epoch, which nobody renders: waiting for it ends, and the slot goes on.
    let ran = net.run(&["submit", "--nats", "@", &one, "--again", "--wait", "--timeout", "1s"]);
    assert!(ran.code == 1 && ran.err.contains("go on in the network"), "{ran:?}");
    let works =
        listing::works(&session, Stream::Work, &session.subjects().work_of(first.slot)).await.unwrap();
    assert!(works.iter().any(|work| work.epoch.get() == 2), "{works:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_shown_with_room_and_reasons() {
    let Some(net) = Net::prepared(100) else { return };
    let ran = net.run(&["nodes", "--nats", "@"]);
    assert!(ran.code == 0 && ran.err.contains("0 nodes"), "{ran:?}");
    let session = net.session().await;
    announce(&session, &entry(1)).await;
    let not_ready = vec!["flux is restarting".to_owned()];
    announce(&session, &vortex_node::network::registry::NodeEntry { ready: false, not_ready, ..entry(2) })
        .await;
    let ran = net.run(&["nodes", "--nats", "@", "--long"]);
    let short: String = node(1).to_string().chars().take(12).collect();
    for part in [short.as_str(), "1/4", "not ready", "flux is restarting", "demo ", "audio 1 s", "p1024,p512"]
    {
        assert!(ran.out.contains(part), "{part}: {ran:?}");
    }
    let told = net.run(&["nodes", "--nats", "@", "--json"]).json();
    assert_eq!(
        (&told["nodes"][0]["free"], told["nodes"].as_array().unwrap().len()),
        (&json!(3), 2),
        "{told:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_leaves_a_marker_and_says_how_the_slot_stood() {
    let Some(net) = Net::prepared(100) else { return };
    let session = net.session().await;
    announce(&session, &entry(1)).await;
    let (one, two) = (net.recipe(1), net.recipe(2));
    assert_eq!(net.run(&["submit", "--nats", "@", &one, &two]).code, 0);
    net.end(&session, work(2, "1/1"), 1, EndState::Completed, b"moving pictures").await;
    let ran = net.run(&["cancel", "--nats", "@", &slot(1), "--reason", "not wanted"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("cancelling") && ran.out.contains("1 queued, 0 running"), "{ran:?}");
    let marker = cancels::read(&session, work(1, "1/1").slot).await.unwrap().unwrap();
    assert_eq!((marker.epoch.get(), marker.reason.as_deref()), (1, Some("not wanted")));
    let ran = net.run(&["slots", "--nats", "@", &slot(1)]);
    assert!(ran.out.contains("cancelled up to epoch 1") && ran.out.contains("not wanted"), "{ran:?}");
    // One that has ended stays so, and one that nobody knows is a mistake.
    let ran = net.run(&["cancel", "--nats", "@", "--json", &slot(2), &slot(7)]);
    let told = ran.json();
    assert_eq!((ran.code, &told["slots"][0]["ended"][0]["state"]), (2, &json!("completed")), "{ran:?}");
    assert_eq!(net.run(&["cancel", "--nats", "@", &slot(2)]).code, 1);
    assert_eq!(cancels::read(&session, work(2, "1/1").slot).await.unwrap(), None);
    assert_eq!(net.run(&["slots", "--nats", "@", &slot(7)]).code, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_from_the_store_where_a_node_has_signed_them() {
    let Some(net) = Net::prepared(100) else { return };
    let session = net.session().await;
    announce(&session, &entry(1)).await;
    let one = net.recipe(1);
    assert_eq!(net.run(&["submit", "--nats", "@", &one]).code, 0);
    let (id, store) = (slot(1), net.store_url());
    let fetch = |more: &[&str]| {
        net.run(&[&["fetch", "--nats", "@", &id, "--store", &store, "--out", "got"], more].concat())
    };
    let ran = fetch(&[]);
    assert!(ran.code == 1 && ran.err.contains("has not ended"), "{ran:?}");
    let record = net.end(&session, work(1, "1/1"), 1, EndState::Completed, b"moving pictures").await;
    let ran = fetch(&["--json"]);
    assert_eq!((ran.code, ran.json()["files"].as_array().unwrap().len()), (0, 2), "{ran:?}");
    assert_eq!(std::fs::read(net.path("got/video.mp4")).unwrap(), b"moving pictures");
    assert_eq!(std::fs::read_to_string(net.path("got/result.json")).unwrap(), record.result.unwrap());
    assert!(fetch(&["video.mp4"]).out.contains("there  video.mp4"));
    let ran = fetch(&["--replica", "2"]);
    assert!(ran.code == 2 && ran.err.contains("no replica 2; it has: 1"), "{ran:?}");
    // Only known nodes count, where some are.
    let known = format!("network.nodes=[\"{}\"]", node(9));
    let ran = fetch(&["--set", &known]);
    assert!(ran.code == 1 && ran.err.contains("is not among the known ones"), "{ran:?}");
    // A file that is not the one that was signed is not taken, and the others are.
    let address = record.artifacts[0].address.strip_prefix("file://").unwrap().to_owned();
    std::fs::write(&address, b"MOVING pictures").unwrap();
    let ran = net.run(&["fetch", "--nats", "@", &id, "--store", &store, "--out", "again"]);
    assert!(ran.code == 1 && ran.err.contains("other content"), "{ran:?}");
    assert!(!net.path("again/video.mp4").exists() && net.path("again/result.json").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let Some(net) = Net::prepared(100) else { return };
    let session = net.session().await;
    announce(&session, &entry(1)).await;
    for number in [1, 2] {
        bury(&session, number).await;
    }
    let listed = net.run(&["dead-letters", "list", "--nats", "@", "--json"]).json();
    assert_eq!(listed["letters"].as_array().unwrap().len(), 2, "{listed:#}");
    let name = work(1, "1/1").to_string();
    let ran = net.run(&["dead-letters", "show", &name, "--nats", "@"]);
    assert!(ran.out.contains("deliveries") && ran.out.contains("it fell over"), "{ran:?}");
    let ran = net.run(&["dead-letters", "show", &name, "--recipe", "--nats", "@"]);
    assert_eq!(ran.out, crate::support::served::recipe(1).to_string());
    let ran = net.run(&["dead-letters", "replay", &name, "--nats", "@"]);
    assert!(ran.code == 0 && ran.out.contains(&format!("as {}", work(1, "2/1"))), "{ran:?}");
    let works = listing::works(&session, Stream::Work, &session.subjects().all(Stream::Work)).await.unwrap();
    assert_eq!(works.into_iter().collect::<Vec<_>>(), [work(1, "2/1")]);
    // It is gone, and the other is not kept by that.
    let other = work(2, "1/1").to_string();
    let ran = net.run(&["dead-letters", "drop", &name, &other, "--nats", "@", "--json"]);
    let told = ran.json();
    assert_eq!((ran.code, &told["letters"][1]["done"]), (2, &json!("dropped")), "{ran:?}");
    let ran = net.run(&["dead-letters", "list", "--nats", "@"]);
    assert!(ran.code == 0 && ran.err.contains("no dead letters"), "{ran:?}");
    assert_eq!(net.run(&["dead-letters", "replay", "--all", "--nats", "@"]).code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_goes_and_what_a_result_names_stays() {
    let Some(net) = Net::prepared(100) else { return };
    let session = net.session().await;
    let record = net.end(&session, work(1, "1/1"), 1, EndState::Completed, b"moving pictures").await;
    let loser = net.path("loser");
    std::fs::create_dir_all(&loser).unwrap();
    std::fs::write(loser.join("video.mp4"), b"other pictures").unwrap();
    let file = vortex_node::sink::store::ParcelFile {
        name: "video.mp4".to_owned(),
        sha256: vortex_node::types::Sha256::of(b"other pictures"),
        bytes: 14,
    };
    let store = net.store();
    let lost = store.put_work(work(1, "1/1"), &loser, &file).await.unwrap();
    let open = store.put_work(work(2, "1/1"), &loser, &file).await.unwrap();
    // And what a node had finished that others were to go on from.
    let name = "0123456789abcdef.audio.tar";
    let stage = |number: u64| format!("{}/stages/{}/{name}", net.store_url(), work(number, "1/1"));
    for number in [1, 2] {
        store.put_stage(work(number, "1/1"), name, b"speech".to_vec()).await.unwrap();
    }
    let is_there = |address: &str| std::path::Path::new(address.strip_prefix("file://").unwrap()).exists();
    let url = net.store_url();
    let gc =
        |more: &[&str]| net.run(&[&["nats", "gc", "--nats", "@", "--store", &url, "--json"], more].concat());
    let told = gc(&[]).json();
    assert_eq!((&told["removed"], &told["young"]), (&json!(0), &json!(2)), "{told:#}");
    // As if time had passed: the store's clock says when a file was written.
    let old = std::time::SystemTime::UNIX_EPOCH + clock::unix_time() - Duration::from_secs(3600);
    for address in [&lost, &stage(1), &stage(2)] {
        let path = address.strip_prefix("file://").unwrap();
        std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    let told = gc(&["--older-than", "30m", "--dry-run"]).json();
    assert_eq!((&told["removed"], is_there(&lost)), (&json!(2), true), "{told:#}");
    let ran = gc(&["--older-than", "30m"]);
    let told = ran.json();
    assert_eq!(
        (ran.code, &told["removed"], &told["named"], &told["open"]),
        (0, &json!(2), &json!(1), &json!(2))
    );
    assert!(!is_there(&stage(1)) && is_there(&stage(2)));
    assert!(!is_there(&lost) && is_there(&open) && is_there(&record.artifacts[0].address));
}

/// Waits until it is so.
async fn until(is_so: impl AsyncFn() -> bool) {
    let began = clock::now();
    while !is_so().await {
        assert!(clock::now() - began < LIMIT, "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn tell(session: &Session, work: WorkId, stage: Stage, done: u64, total: u64) {
    let at = clock::unix_time().as_secs_f64();
    let told = Progress { version: VERSION, work, node: node(1).to_string(), stage, done, total, at };
    progress::tell(session, &told).await.unwrap();
}

/// A dead letter of the recipe of this number.
async fn bury(session: &Session, number: u64) {
    let work = work(number, "1/1");
    let message = Stored {
        subject: format!(
            "vortex.work.any.normal.p512.any.free.open.{}.{}.{}",
            work.slot, work.epoch, work.replica
        ),
        sequence: number,
        headers: async_nats::HeaderMap::new(),
        payload: crate::support::served::recipe(number).to_string().into(),
    };
    let node = node(1).to_string();
    let detail = "it fell over";
    let letter = Letter::of(session.subjects(), &message, LetterReason::Deliveries, detail, &node);
    letters::put(session, &Letter { deliveries: 6, ..letter }).await.unwrap();
}
