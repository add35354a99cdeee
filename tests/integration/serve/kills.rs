//! SIGKILL at random moments, under load from several clients: what was accepted ends exactly once, and nobody who asks
//! again is told anything else than before.
//!
//! `tests/soak/run kills` and `tests/soak/run demo-kills` ask for more kills. Moments are drawn from a seed; what the system
//! makes of them is not, since real time is the subject.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::accounts::{Records, listed, settled};
use super::{id, id_of};
use crate::support::random::Random;
use crate::support::served::{LIMIT, Place, Served, recipe, scenario};

/// Who hands in at once.
const CLIENTS: u64 = 4;
/// A client with so many open slots waits for one of them.
const OPEN: usize = 6;

/// What clients know, over all processes.
#[derive(Default)]
struct Told {
    /// Answered with 202, or with 200 after an answer that did not come.
    accepted: Mutex<BTreeSet<String>>,
    /// The numbers of those that were sent and not answered.
    unanswered: Mutex<Vec<u64>>,
    cancelled: Mutex<BTreeSet<String>>,
    next: AtomicU64,
}

/// How many of something a test is to do: more where the soak test asks for more.
fn asked(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |count| count.parse().unwrap())
}

/// Hands recipes in, cancels some, waits for some, until the process is gone.
async fn client(url: String, token: String, told: Arc<Told>, mut random: Random) {
    let client = Client::new();
    let mut open: Vec<String> = Vec::new();
    loop {
        let again = told.unanswered.lock().pop();
        let number = again.unwrap_or_else(|| told.next.fetch_add(1, Ordering::Relaxed));
        let recipe = recipe(number);
        let path = format!("{url}/v1/slots/{}", id(&recipe));
        let ask =
            |method: Method, path: &str| client.request(method, path).bearer_auth(&token).timeout(LIMIT);
        match ask(Method::PUT, &path).json(&recipe).send().await {
            Ok(answer) if answer.status() == StatusCode::ACCEPTED => {}
            // It had come in, and the answer was lost.
            Ok(answer) if answer.status() == StatusCode::OK && again.is_some() => {}
            // Everything else is wrong: the queue is long and no deadline near.
            Ok(answer) => panic!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()),
            Err(_) => return told.unanswered.lock().push(number),
        }
        told.accepted.lock().insert(id(&recipe).to_owned());
        open.push(id(&recipe).to_owned());
        if random.below(5) == 0 {
            let whom = open[random.below(open.len() as u64) as usize].clone();
            match ask(Method::DELETE, &format!("{url}/v1/slots/{whom}")).send().await {
                Ok(answer) if answer.status().is_success() => told.cancelled.lock().insert(whom),
                Ok(answer) => panic!("{}", answer.status()),
                Err(_) => return,
            };
        }
        if open.len() >= OPEN {
            let oldest = open.remove(0);
            let path = format!("{url}/v1/slots/{oldest}?wait=60s");
            if ask(Method::GET, &path).send().await.is_err() {
                return;
            }
        }
    }
}

/// Waits for so many events, then for so long, and kills it there.
async fn kill_after(service: Served, events: u64, then: Duration) {
    let mut stream = service.ask(Method::GET, "/v1/events?after=oldest").send().await.unwrap();
    let mut heard = 0;
    while heard < events {
        let Ok(Some(chunk)) = stream.chunk().await else { break };
        heard += chunk.windows(2).filter(|pair| pair == b"\n\n").count() as u64;
    }
    // Events are told after a commit; a process may die anywhere between two of them. Bounded, and the subject of the test.
    tokio::time::sleep(then).await;
    service.kill();
}

/// Starts a process, and kills it before it may have said anything.
async fn kill_at_start(place: &Place, more: &[&str], after: Duration) {
    let mut command = place.command(more);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // As above.
    tokio::time::sleep(after).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_it_ends_every_accepted_slot_exactly_once() {
    let kills = asked("VORTEX_SOAK_KILLS", 8);
    let mut random = Random::seeded("kills");
    let place = Place::new(&scenario("5ms", "[policy]\nqueue = 100000\n"));
    // Backups, and what they take from the log, are to be met by kills as well.
    let more = ["--set", "journal.backup_every=1s", "--set", "journal.events=1000000"];
    let (told, mut records) = (Arc::new(Told::default()), Records::default());
    for _ in 0..kills {
        if random.below(4) == 0 {
            kill_at_start(&place, &more, Duration::from_millis(random.below(400))).await;
            continue;
        }
        let service = place.serve_with(&more);
        // What a process that is killed leaves is nothing to repair.
        assert!(service.repaired.is_empty(), "{:?}", service.repaired);
        service.ready().await;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let work =
                    client(service.url.clone(), service.token.clone(), Arc::clone(&told), random.split());
                tokio::spawn(work)
            })
            .collect();
        let known = service.get("/v1/node").await["journal"]["sequence"].as_u64().unwrap();
        let events = known + 1 + random.below(400);
        kill_after(service, events, Duration::from_micros(random.below(30_000))).await;
        for client in clients {
            client.await.unwrap();
        }
        records.look(&place.data());
    }
    let service = place.serve_with(&more);
    assert!(service.repaired.is_empty(), "{:?}", service.repaired);
    let accepted = told.accepted.lock().clone();
    let slots = settled(&service, &place.data(), &accepted).await;
    let state = |wanted: &str| slots.values().filter(|slot| slot["state"] == wanted).count();
    let unheard = slots.len() - accepted.len();
    println!(
        "{kills} kills: {} accepted, {unheard} more whose answer was lost; {} completed, {} cancelled; {} stages that \
         were finished before a kill, none made again",
        accepted.len(),
        state("completed"),
        state("cancelled"),
        records.are_kept(),
    );
    assert!(accepted.len() as u64 >= kills, "there was no load");
    assert_eq!(state("completed") + state("cancelled"), slots.len(), "nothing failed");
    // Only what somebody wanted cancelled is; an answer to that may have been lost, too.
    let wanted = told.cancelled.lock().len() + (kills * CLIENTS) as usize;
    assert!(state("cancelled") <= wanted, "{} of {wanted}", state("cancelled"));
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
}

/// A recipe that the demo weights render in seconds.
fn short(number: u64) -> Value {
    let mut recipe = recipe(number);
    recipe["visual_track"]["prompt"] = json!("a blue robot with three eyes on a yellow background");
    recipe["slot_params"]["duration_sec"] = json!(0.5);
    recipe["audio_track"]["script"] = json!("Hi.");
    recipe
}

/// Real models and the weights that ship: each result is signed, and verified to the last byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_the_demo_ends_every_accepted_slot_exactly_once() {
    let kills = asked("VORTEX_SOAK_DEMO_KILLS", 2);
    let count = asked("VORTEX_SOAK_DEMO_SLOTS", 1);
    let mut random = Random::seeded("demo kills");
    let place = Place::demo();
    // A crowded machine may take its time.
    let more: Vec<&str> =
        ["stages.image.timeout=10min", "stages.video.timeout=10min", "journal.backup_every=1s"]
            .into_iter()
            .flat_map(|setting| ["--set", setting])
            .collect();
    let (mut accepted, mut records) = (BTreeSet::new(), Records::default());
    let mut handed_in = 0;
    for round in 0..kills {
        let service = place.serve_with(&more);
        assert!(service.repaired.is_empty(), "{:?}", service.repaired);
        service.ready().await;
        // As many in each process as it takes to have handed in all before the last kill.
        while handed_in < count && handed_in * kills <= round * count {
            let recipe = short(handed_in);
            let answer = service.put(&recipe).await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
            accepted.insert(id(&recipe).to_owned());
            handed_in += 1;
        }
        // Steps of the models are told as well.
        kill_live(service, 1 + random.below(40), Duration::from_micros(random.below(200_000))).await;
        records.look(&place.data());
    }
    let service = place.serve_with(&more);
    service.ready().await;
    let slots = settled(&service, &place.data(), &accepted).await;
    assert_eq!(slots.keys().cloned().collect::<BTreeSet<_>>(), accepted);
    let incomplete: Vec<&Value> = slots.values().filter(|slot| slot["state"] != "completed").collect();
    assert!(incomplete.is_empty(), "{incomplete:#?}");
    println!(
        "{kills} kills: {} accepted, all completed, signed and verified; {} stages that were finished before a kill, none \
         made again",
        accepted.len(),
        records.are_kept(),
    );
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    is_last_of_its_place(&place.data(), &listed_ids(&slots.into_values().collect::<Vec<_>>()));
}

/// As [`kill_after`], by events that happen from now on.
async fn kill_live(service: Served, events: u64, then: Duration) {
    let open = listed(&service).await.iter().any(|slot| slot["ended_at"].is_null());
    let mut stream = service.ask(Method::GET, "/v1/events").send().await.unwrap();
    let mut heard = 0;
    while open && heard < events {
        let Ok(Ok(Some(chunk))) = tokio::time::timeout(LIMIT, stream.chunk()).await else { break };
        heard += chunk.windows(2).filter(|pair| pair == b"\n\n").count() as u64;
    }
    tokio::time::sleep(then).await;
    service.kill();
}

fn listed_ids(slots: &[Value]) -> BTreeSet<String> {
    slots.iter().map(|slot| id_of(slot).to_owned()).collect()
}

/// No unfinished file is left in any folder.
fn is_last_of_its_place(data: &Path, slots: &BTreeSet<String>) {
    for slot in slots {
        let partial = data.join("slots").join(slot).join("journal/partial");
        let left: Vec<_> = std::fs::read_dir(&partial).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
