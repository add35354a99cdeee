//! Processes of one node that end with 71, one after the other: each a node of its own over the same data folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use vortex_node::actors::handle::NodeHandle;
use vortex_node::app::bundle::{Chosen, choose};
use vortex_node::app::{CrashLoop, Node, NodeParts, Serving};
use vortex_node::config::{FlagSetting, Inputs, Loaded, load};
use vortex_node::events::{Event, EventKind, Forward};
use vortex_node::exit::Exit;
use vortex_node::journal::SlotFolders;
use vortex_node::models::synth::{self, Profile};
use vortex_node::models::workspace::SlotSize;
use vortex_node::types::ModelId;

const HOUR: Duration = Duration::from_secs(3600);

/// A node's settings and weights. From the second end with 71 on its next process waits for an hour.
struct Place {
    folder: TempDir,
    loaded: Loaded,
    chosen: Chosen,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = |name: &str| folder.path().join(name);
        synth::write(&path("bundle"), &ModelId::ALL, Profile::Tiny, 1, |_| {}).unwrap();
        std::fs::create_dir(path("config")).unwrap();
        let settings = [
            ("data_dir", path("data").display().to_string()),
            ("bundle", path("bundle").display().to_string()),
            ("restart.process.backoff", "1h".to_owned()),
            ("restart.process.backoff_max", "2h".to_owned()),
        ];
        let flag =
            |(key, value): (&str, String)| FlagSetting { flag: "--set".into(), key: key.into(), value };
        let flags = settings.into_iter().map(flag).collect();
        let inputs = Inputs { config_dir: Some(path("config")), flags, ..Inputs::default() };
        let loaded = load(&inputs).unwrap();
        let chosen = choose(None, &loaded).unwrap();
        Self { folder, loaded, chosen }
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join("data").join("crashes.json")
    }

    /// One process, which ends with `exit` once `meanwhile` is over: what earlier ones left, as it says and as it tells.
    async fn process<F: Future<Output = ()>>(
        &self,
        serving: Serving,
        exit: Exit,
        meanwhile: impl FnOnce(NodeHandle, UnboundedReceiver<Event>) -> F,
    ) -> Option<CrashLoop> {
        let (told_by, mut told) = unbounded_channel();
        let folders = Arc::new(SlotFolders::under(&self.folder.path().join("slots")));
        let node = Node::build(NodeParts {
            loaded: &self.loaded,
            chosen: &self.chosen,
            journal: Arc::<SlotFolders>::clone(&folders),
            folders,
            size: SlotSize { resolution: "128x96".parse().unwrap(), duration: Duration::from_millis(1500) },
            subscribers: vec![Arc::new(Forward(told_by))],
            serving,
        });
        let node = node.unwrap();
        let standing = node.crash_loop().cloned();
        let noted = node.notes().iter().any(|note| note.contains("ended with 71"));
        assert_eq!(noted, standing.is_some(), "{:?}", node.notes());
        let node = node.start().await.unwrap();
        if let Some(CrashLoop { count, within, cause, delay, alert }) = standing.clone() {
            let first = told.recv().await.unwrap().kind;
            let said = format!("{first:?}");
            let same = matches!(first, EventKind::CrashLoop { count: c, within: w, cause: why, delay: d, alert: a }
                if (c, w, &why, d, a) == (count, within, &cause, delay, alert));
            assert!(same, "{said} is not {standing:?}");
        }
        let handle = node.handle();
        meanwhile(handle.clone(), told).await;
        handle.shut_down(exit, Duration::ZERO);
        assert_eq!(node.ended().await, exit);
        standing
    }
}

async fn until(told: &mut UnboundedReceiver<Event>, what: impl Fn(&EventKind) -> bool) {
    while !what(&told.recv().await.unwrap().kind) {}
}

async fn all_ready(told: &mut UnboundedReceiver<Event>) {
    for _ in ModelId::ALL {
        until(told, |kind| matches!(kind, EventKind::ModelReady { .. })).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_with_71_are_counted_over_processes_slow_the_next_start_and_are_forgotten_after_another_end() {
    let place = Place::new();
    let (all, lost) = (Serving::All, Exit::DeviceLost);
    let at_once = async |_: NodeHandle, mut told: UnboundedReceiver<Event>| all_ready(&mut told).await;
    assert_eq!(place.process(all, lost, at_once).await, None);
    let second = place.process(all, lost, at_once).await.unwrap();
    assert_eq!((second.count, second.delay, second.alert), (1, Duration::ZERO, false));

    // The third waits: it is up, says that it is not ready, and has loaded nothing.
    let third = place.process(all, lost, async |handle, mut told| {
        until(&mut told, |kind| matches!(kind, EventKind::AdmissionChanged { closed: Some(_) })).await;
        let registry = handle.cards()[0].registry();
        assert!(registry.states().values().all(|state| state.name() == "loading"));
        assert!(ModelId::ALL.into_iter().all(|model| registry.model(model).is_none()));
    });
    let third = third.await.unwrap();
    assert_eq!((third.count, third.delay, third.alert), (2, HOUR, false));

    // Whoever renders one recipe is told, and does not wait.
    let fourth = place.process(Serving::One, lost, at_once).await.unwrap();
    assert_eq!((fourth.count, fourth.delay, fourth.alert), (3, Duration::ZERO, true));

    let waits = async |_: NodeHandle, mut told: UnboundedReceiver<Event>| {
        until(&mut told, |kind| matches!(kind, EventKind::AdmissionChanged { .. })).await;
    };
    let fifth = place.process(all, Exit::Interrupted, waits).await.unwrap();
    assert_eq!((fifth.count, fifth.delay, fifth.alert), (4, 2 * HOUR, true));
    assert!(!place.record().exists());
    assert_eq!(place.process(all, Exit::Success, at_once).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_stops_no_node() {
    let place = Place::new();
    std::fs::create_dir_all(place.record().parent().unwrap()).unwrap();
    std::fs::write(place.record(), "{\"ends\": [[").unwrap();
    let told = place.process(Serving::All, Exit::DeviceLost, async |_, mut told| {
        until(&mut told, |kind| matches!(kind, EventKind::CrashRecordFailed { .. })).await;
        all_ready(&mut told).await;
    });
    assert_eq!(told.await, None);
    let text = std::fs::read_to_string(place.record()).unwrap();
    assert_eq!(text.matches("\"at\":").count(), 1, "{text}");
}
