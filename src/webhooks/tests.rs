//! The sender over a table instead of a journal: on a paused clock with scripted receivers, and once with real ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::receiver::{Receiver, Reply as Answered, is_signed};
use super::*;
use crate::clock;
use crate::types::SlotId;

mod paused;
mod table;

use table::{State, Table};

const START: Duration = Duration::from_secs(1_800_000_000);

fn slot(number: u128) -> SlotId {
    SlotId::new(uuid::Uuid::from_u128(number))
}

/// A running sender.
struct Running {
    outbox: Arc<Table>,
    notices: mpsc::UnboundedReceiver<Notice>,
    rules: watch::Sender<Arc<Rules>>,
    secrets: watch::Sender<Arc<Secrets>>,
    wake: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    folder: tempfile::TempDir,
    wall: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Running {
    fn start(outbox: Arc<Table>, transport: Arc<dyn Transport>, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secrets = watch::Sender::new(Arc::new(Secrets::open(&folder.path().join("secret")).unwrap()));
        let allow = ["http://127.0.0.1:1", "*.lan", "http://dead.lan"];
        let rules = watch::Sender::new(Arc::new(Rules::new(true, &allow).unwrap()));
        let (told, notices) = mpsc::unbounded_channel();
        let wake = Arc::new(Notify::new());
        let start = clock::now();
        let wall: Arc<dyn Fn() -> Duration + Send + Sync> = Arc::new(move || START + (clock::now() - start));
        let mut options = Options { wall: Arc::clone(&wall), random: Arc::new(|| 0.5), ..Options::default() };
        change(&mut options);
        let parts = Parts {
            outbox: Arc::clone(&outbox) as Arc<dyn Outbox>,
            transport,
            rules: rules.subscribe(),
            secrets: secrets.subscribe(),
            notices: Arc::new(move |notice| {
                let _ = told.send(notice);
            }),
            wake: Arc::clone(&wake),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(parts, options, async {
            let _ = stopped.await;
        }));
        Self { outbox, notices, rules, secrets, wake, stop: Some(stop), task, folder, wall }
    }

    async fn next(&mut self) -> Notice {
        self.notices.recv().await.unwrap()
    }

    /// Waits until nothing is pending; answers with what was told meanwhile.
    async fn settled(&mut self) -> Vec<Notice> {
        let mut told = Vec::new();
        while self.outbox.count(State::Pending) > 0 {
            told.push(self.next().await);
        }
        told
    }

    async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        (&mut self.task).await.unwrap();
    }
}

#[tokio::test]
async fn real_receivers_get_signed_messages_in_order_and_slow_ones_are_cut_off() {
    let receiver = Receiver::start(vec![]).await;
    let slow = Receiver::start(vec![Answered::Silence, Answered::SlowHeader]).await;
    let outbox = Arc::new(Table::closed());
    for number in 0..12 {
        outbox.add(slot(number % 3), &format!("http://{}/hook?key=secret", receiver.address), START);
    }
    outbox.add(slot(7), &format!("http://{}/secret", slow.address), START);
    outbox.add(slot(8), &format!("http://{}/secret", slow.address), START);
    let transport = Arc::new(HttpTransport::new(Arc::new(SystemLookup), None));
    let mut running =
        Running::start(outbox, transport, |options| options.timeout = Duration::from_millis(400));
    let allow = [format!("http://{}", receiver.address), format!("http://{}", slow.address)];
    running.rules.send_replace(Arc::new(Rules::new(false, &allow).unwrap()));
    running.outbox.open();
    running.wake.notify_one();
    let (mut delivered, mut failed) = (0, Vec::new());
    while delivered < 12 || failed.len() < 2 {
        match running.next().await {
            Notice::Delivered { .. } => delivered += 1,
            Notice::Failed { error, origin, .. } => failed.push((error, origin)),
            other => panic!("{other:?}"),
        }
    }
    for (error, origin) in failed {
        assert_eq!((error.as_str(), origin), ("no answer within 400ms", format!("http://{}", slow.address)));
    }
    let secret = running.secrets.borrow().reveal();
    let got = receiver.got();
    let mut by_slot: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in &got {
        assert!(is_signed(message, &secret));
        assert!(!is_signed(message, "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBvZiAzMiBieXRlcw=="));
        let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        let number = message.headers["webhook-id"].split_once('-').unwrap().1.parse().unwrap();
        by_slot.entry(body["data"]["slot"]["id"].as_str().unwrap().to_owned()).or_default().push(number);
        assert_eq!(message.headers["content-type"], "application/json");
        assert!(message.headers["user-agent"].starts_with("vortex-node/"));
        assert_eq!(message.path, "/hook?key=secret");
    }
    assert_eq!(by_slot.len(), 3);
    assert!(by_slot.values().all(|numbers| numbers.len() == 4 && numbers.is_sorted()), "{by_slot:?}");

    // A receiver that knows the old secret and one that knows the new one both accept what comes after a rotation.
    let path = running.folder.path().join("secret");
    let rotated = Secrets::rotate(&path, START, Duration::from_secs(86_400)).unwrap();
    running.secrets.send_replace(Arc::new(rotated.clone()));
    running.outbox.add(slot(1), &format!("http://{}/hook", receiver.address), START);
    running.wake.notify_one();
    let got = receiver.until(|got| got.len() == 13).await;
    assert!(is_signed(&got[12], &secret) && is_signed(&got[12], &rotated.reveal()));
    running.stop().await;
}
