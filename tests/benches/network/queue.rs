//! The queue on a real server whose disk is synced with every write: what each request takes alone, how long it keeps
//! the server busy where many come at once, and what a slot pays for all of them.
//!
//! The disk's own sync is measured by the same process, in turns with what is compared with it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;
use vortex_node::clock::now;
use vortex_node::network::{Class, Pace, Priority, Recipient, Size, Stream, Subjects, WorkSubject};
use vortex_node::types::{Resolution, Sha256, WorkId};

use super::costs::BATCH;
use super::wire::{self, Server, api, ask, first};
use super::{milliseconds, quantile};

/// Of each request alone; the 99th percentile is the sixth worst.
const COUNT: u32 = 600;
/// Of each where many come at once, and so many at a time.
const MANY: u32 = 3000;
const AT_ONCE: usize = 64;
/// A recipe and a result are about so long.
const RECIPE: usize = 2000;
const RESULT: usize = 2000;
/// Slots that come at the rate at which 1,000 nodes render, and for how long.
const RATE: u32 = 33;
const LASTS: Duration = Duration::from_secs(20);
/// A pull waits so long, nanoseconds.
const WAIT: u64 = 10_000_000_000;
/// What a slot may pay beside the disk.
const GOAL: Duration = Duration::from_millis(10);

pub fn measure(dir: &Path) {
    let Some(program) = wire::program() else {
        println!("queue: skipped, there is no nats-server in PATH, and NATS_SERVER names none");
        return;
    };
    let server = Server::start(&program, dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(&server.address).await.unwrap();
        println!("queue: nats-server {}, sync_interval: always", client.server_info().version);
        let queue = Queue::open(client).await;
        queue.requests(dir).await;
        queue.many().await;
        queue.slots(dir).await;
    });
}

#[derive(Clone)]
struct Queue {
    client: Client,
    subjects: Arc<Subjects>,
    class: Class,
}

impl Queue {
    async fn open(client: Client) -> Self {
        let subjects = Subjects::new("bench").unwrap();
        let created = async |stream: Stream, more: serde_json::Value| {
            let name = subjects.stream(stream);
            let config = wire::stream(&name, &subjects.all(stream), &more);
            api(&client, &format!("STREAM.CREATE.{name}"), &config).await;
        };
        created(Stream::Work, json!({ "retention": "workqueue", "allow_atomic": true })).await;
        created(Stream::Results, json!({ "allow_direct": true })).await;
        created(Stream::Cancels, json!({ "allow_direct": true })).await;
        let work = subjects.stream(Stream::Work);
        let planned = Resolution::new(512, 512).unwrap();
        for class in Class::able(planned, Sha256::of(b"a bundle"), Duration::from_secs(10)) {
            let name = class.consumer();
            let config = json!({
                "durable_name": name,
                "filter_subject": subjects.work_for_any(&class),
                "ack_policy": "explicit",
                "ack_wait": 300_000_000_000u64,
                "max_ack_pending": -1,
            });
            let body = json!({ "stream_name": work, "config": config });
            api(&client, &format!("CONSUMER.DURABLE.CREATE.{work}.{name}"), &body).await;
        }
        for (name, storage) in [("heartbeats", "file"), ("heartbeats-in-memory", "memory")] {
            let more = json!({ "storage": storage, "discard": "old", "discard_new_per_subject": false });
            api(&client, &format!("STREAM.CREATE.{name}"), &wire::stream(name, &format!("{name}.>"), &more))
                .await;
        }
        let class = Class { priority: Priority::Normal, size: Size::Small, bundle: None, pace: Pace::Free };
        Self { client, subjects: Arc::new(subjects), class }
    }

    fn work(&self, work: WorkId) -> String {
        let class = self.class.clone();
        self.subjects.work(&WorkSubject { to: Recipient::Any, class, director: None, work })
    }

    async fn publish(&self, work: WorkId) {
        ask(&self.client, self.work(work), first(), Bytes::from(vec![b'r'; RECIPE])).await;
    }

    /// All at once; answered when all are kept.
    async fn publish_batch(&self, number: u32) {
        for place in 1..=BATCH {
            let mut headers = first();
            headers.insert("Nats-Batch-Id", format!("batch-{number}"));
            headers.insert("Nats-Batch-Sequence", place.to_string());
            let subject = self.work(id(BATCHES + number * BATCH + place));
            let recipe = Bytes::from(vec![b'r'; RECIPE]);
            if place == BATCH {
                headers.insert("Nats-Batch-Commit", "1");
                ask(&self.client, subject, headers, recipe).await;
            } else {
                self.client.publish_with_headers(subject, headers, recipe).await.unwrap();
            }
        }
    }

    /// What comes of one request to one consumer, which may wait: where acknowledgements go to, or none where there is
    /// nothing.
    async fn pull(&self, class: &Class, waits: bool) -> Option<String> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.unwrap();
        let (stream, consumer) = (self.subjects.stream(Stream::Work), class.consumer());
        let how = if waits {
            json!({ "batch": 1, "expires": WAIT })
        } else {
            json!({ "batch": 1, "no_wait": true })
        };
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        self.client.publish_with_reply(subject, inbox, how.to_string().into()).await.unwrap();
        let answer = answers.next().await.unwrap();
        answer.status.is_none().then(|| answer.reply.unwrap().to_string())
    }

    /// The same until there is something, and how long the last one took: right after the server has confirmed a hand-in
    /// a pull may still find nothing.
    async fn pull_some(&self) -> (Duration, String) {
        loop {
            if let (time, Some(reply)) = timed(self.pull(&self.class, false)).await {
                return (time, reply);
            }
        }
    }

    async fn say(&self, reply: &str, word: &'static str) {
        ask(&self.client, reply.to_owned(), HeaderMap::new(), Bytes::from_static(word.as_bytes())).await;
    }

    /// Whether there is a result, and a cancel marker. There is none.
    async fn look(&self, work: WorkId) {
        for (stream, subject) in [
            (Stream::Results, self.subjects.of(Stream::Results, work)),
            (Stream::Cancels, self.subjects.cancel(work.slot)),
        ] {
            let body = json!({ "last_by_subj": subject }).to_string();
            let call = format!("$JS.API.STREAM.MSG.GET.{}", self.subjects.stream(stream));
            ask_whatever(&self.client, call, body).await;
        }
    }

    async fn create(&self, work: WorkId) {
        let subject = self.subjects.of(Stream::Results, work);
        ask(&self.client, subject, first(), Bytes::from(vec![b's'; RESULT])).await;
    }

    async fn heartbeat(&self, stream: &str, node: u32) {
        ask(&self.client, format!("{stream}.{node}"), HeaderMap::new(), Bytes::from(vec![b'h'; 500])).await;
    }

    /// Each request alone, one after the other, in turns with the disk's own sync.
    async fn requests(&self, dir: &Path) {
        const NAMES: [&str; 9] = [
            "fdatasync after 10 kB",
            "hand-in",
            "pull",
            "pull of nothing",
            "look at result and cancel marker",
            "progress, confirmed",
            "result, created",
            "acknowledgement, confirmed",
            "heartbeat",
        ];
        let mut times: [Vec<Duration>; 9] = Default::default();
        let mut probe = Probe::open(dir);
        let other = Class { priority: Priority::High, ..self.class.clone() };
        for number in 0..COUNT {
            let work = id(number);
            let mut at = 0;
            let mut took = |time: Duration| {
                times[at].push(time);
                at += 1;
            };
            took(probe.sync());
            took(timed(self.publish(work)).await.0);
            let (time, reply) = self.pull_some().await;
            took(time);
            took(timed(self.pull(&other, false)).await.0);
            took(timed(self.look(work)).await.0);
            took(timed(self.say(&reply, "+WPI")).await.0);
            took(timed(self.create(work)).await.0);
            took(timed(self.say(&reply, "+ACK")).await.0);
            took(timed(self.heartbeat("heartbeats", number % 100)).await.0);
        }
        times.iter_mut().for_each(|times| times.sort_unstable());
        let [sync, last] = [0.5, 0.99].map(|share| quantile(&times[0], share));
        println!(
            "\n| {COUNT} of each, one after the other | p50 | p99 | of a sync's p50, p99 |\n|---|---|---|---|"
        );
        for (name, times) in NAMES.iter().zip(&times) {
            let [p50, p99] = [0.5, 0.99].map(|share| quantile(times, share));
            let of = |time: Duration, sync: Duration| time.as_secs_f64() / sync.as_secs_f64();
            println!(
                "| {name} | {:.2} ms | {:.2} ms | {:.1}, {:.1} |",
                milliseconds(p50),
                milliseconds(p99),
                of(p50, sync),
                of(p99, last)
            );
        }
    }

    /// How long each keeps the server busy.
    async fn many(&self) {
        println!(
            "\n| {MANY} of each, {AT_ONCE} at once | each keeps the server busy for | a second |\n|---|---|---|"
        );
        let told = |name: &str, each: Duration| {
            println!("| {name} | {:.0} µs | {:.0} |", each.as_secs_f64() * 1e6, 1.0 / each.as_secs_f64());
        };
        let all = 0..MANY;
        let of = |number: u32| id(MANIES + number);
        told("hand-in", at_once(all.clone(), |number| self.publish(of(number))).await);
        let replies = tokio::sync::Mutex::new(Vec::new());
        let pulled = async |_| {
            let reply = self.pull_some().await.1;
            replies.lock().await.push(reply);
        };
        told("pull", at_once(all.clone(), pulled).await);
        let other = Class { priority: Priority::High, ..self.class.clone() };
        told(
            "pull of nothing",
            at_once(all.clone(), async |_| assert!(self.pull(&other, false).await.is_none())).await,
        );
        told("look at result and cancel marker", at_once(all.clone(), |number| self.look(of(number))).await);
        let replies = replies.into_inner();
        let reply = |number: u32| &replies[number as usize];
        told("progress, confirmed", at_once(all.clone(), |number| self.say(reply(number), "+WPI")).await);
        told("result, created", at_once(all.clone(), |number| self.create(of(number))).await);
        told(
            "acknowledgement, confirmed",
            at_once(all.clone(), |number| self.say(reply(number), "+ACK")).await,
        );
        told("heartbeat", at_once(all.clone(), |number| self.heartbeat("heartbeats", number % 100)).await);
        let in_memory = |number: u32| self.heartbeat("heartbeats-in-memory", number % 100);
        told("heartbeat kept in memory", at_once(all.clone(), in_memory).await);
        // Whether two streams wait for each other's syncs.
        let both = async |number: u32| {
            let work = id(BOTH + number);
            tokio::join!(self.heartbeat("heartbeats", number % 100), self.create(work));
        };
        told("heartbeat and result, side by side", at_once(all, both).await);
        let mut batches = Vec::new();
        for number in 0..10 {
            batches.push(timed(self.publish_batch(number)).await.0);
        }
        batches.sort_unstable();
        let middle = quantile(&batches, 0.5);
        told("hand-in, by the batch of 500", middle / BATCH);
        let stream = self.subjects.stream(Stream::Work);
        api(&self.client, &format!("STREAM.PURGE.{stream}"), &json!({})).await;
    }

    /// What a slot pays: handed in, pulled, looked at, its result created, acknowledged; alone, and at a fleet's rate.
    async fn slots(&self, dir: &Path) {
        let mut probe = Probe::open(dir);
        let (mut alone, mut syncs) = (Vec::new(), Vec::new());
        for number in 0..COUNT {
            syncs.push(probe.sync());
            alone.push(timed(self.slot(id(SLOTS + number))).await.0);
        }
        println!();
        self.overhead("a slot, one after the other", alone, syncs);
        let probe = {
            let mut probe = Probe::open(dir);
            std::thread::spawn(move || {
                let pause = LASTS / 400;
                let sync = |_| {
                    std::thread::sleep(pause);
                    probe.sync()
                };
                (0..380).map(sync).collect()
            })
        };
        let (began, count) = (now(), RATE * LASTS.as_secs() as u32);
        let tasks: Vec<_> = (0..count)
            .map(|number| {
                let queue = self.clone();
                tokio::spawn(async move {
                    let due = began + Duration::from_secs(1) / RATE * number;
                    tokio::time::sleep_until(due.into()).await;
                    timed(queue.slot(id(RATED + number))).await.0
                })
            })
            .collect();
        let mut rated = Vec::new();
        for task in tasks {
            rated.push(task.await.unwrap());
        }
        self.overhead(&format!("a slot, {RATE} a second"), rated, probe.join().unwrap());
    }

    fn overhead(&self, what: &str, mut times: Vec<Duration>, mut syncs: Vec<Duration>) {
        times.sort_unstable();
        syncs.sort_unstable();
        let [p50, p99] = [0.5, 0.99].map(|share| quantile(&times, share));
        let [sync, last] = [0.5, 0.99].map(|share| quantile(&syncs, share));
        let over = p99.saturating_sub(last);
        println!(
            "{what}: p50 {:.2} ms, p99 {:.2} ms; a sync beside it: p50 {:.2} ms, p99 {:.2} ms; {:.1} and {:.1} times as long; \
             p99 over the sync's: {:.2} ms (goal {} ms: {})",
            milliseconds(p50),
            milliseconds(p99),
            milliseconds(sync),
            milliseconds(last),
            p50.as_secs_f64() / sync.as_secs_f64(),
            p99.as_secs_f64() / last.as_secs_f64(),
            milliseconds(over),
            milliseconds(GOAL),
            if over <= GOAL { "met" } else { "missed" }
        );
    }

    async fn slot(&self, work: WorkId) {
        self.publish(work).await;
        // At a rate this may be another's, who then gets this one.
        let reply = self.pull(&self.class, true).await.unwrap();
        self.look(work).await;
        self.create(work).await;
        self.say(&reply, "+ACK").await;
    }
}

/// Each measurement names slots of its own, from here on.
const MANIES: u32 = 1_000_000;
const BOTH: u32 = 2_000_000;
const BATCHES: u32 = 3_000_000;
const SLOTS: u32 = 4_000_000;
const RATED: u32 = 5_000_000;

fn id(number: u32) -> WorkId {
    format!("00000000-0000-4000-8000-{number:012x}/1/1").parse().unwrap()
}

/// An answer that may say that there is nothing.
async fn ask_whatever(client: &Client, subject: String, body: String) {
    client.request(subject, body.into()).await.unwrap();
}

async fn timed<T>(what: impl Future<Output = T>) -> (Duration, T) {
    let began = now();
    let came = what.await;
    (now() - began, came)
}

/// The time of one where so many are under way at any moment.
async fn at_once<F: Future<Output = ()>>(all: std::ops::Range<u32>, one: impl Fn(u32) -> F) -> Duration {
    let (began, count) = (now(), all.end - all.start);
    stream::iter(all.map(one)).buffer_unordered(AT_ONCE).collect::<()>().await;
    (now() - began) / count
}

/// A file of its own on the disk of the server's.
struct Probe {
    file: std::fs::File,
    block: Vec<u8>,
}

impl Probe {
    fn open(dir: &Path) -> Self {
        Self { file: tempfile::tempfile_in(dir).unwrap(), block: vec![7; 10_000] }
    }

    /// How long a sync takes now.
    fn sync(&mut self) -> Duration {
        self.file.write_all(&self.block).unwrap();
        let began = now();
        self.file.sync_data().unwrap();
        now() - began
    }
}
