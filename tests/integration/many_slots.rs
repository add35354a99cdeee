//! Several slots at once through one node, with real models of a tiny bundle: none changes anything of another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use vortex_node::actors::handle::NodeHandle;
use vortex_node::app::bundle::{Chosen, choose};
use vortex_node::app::{Node, NodeParts, Serving, door};
use vortex_node::config::{FlagSetting, Inputs, Loaded, load};
use vortex_node::events::{Event, EventKind, Forward};
use vortex_node::exit::Exit;
use vortex_node::intake::{self, Entry, Kind, Origin, Submission};
use vortex_node::journal::SlotFolders;
use vortex_node::models::synth::{self, Profile};
use vortex_node::models::workspace::SlotSize;
use vortex_node::recipe::{document, example};
use vortex_node::sink::{self, Manifest, Outcome};
use vortex_node::types::{ModelId, SlotId};

/// A node's settings, weights and folders.
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
            // A crowded machine may take its time.
            ("stages.image.timeout", "10min".to_owned()),
            ("stages.video.timeout", "10min".to_owned()),
            ("stages.audio.timeout", "10min".to_owned()),
        ];
        let flag =
            |(key, value): (&str, String)| FlagSetting { flag: "--set".into(), key: key.into(), value };
        let flags = settings.into_iter().map(flag).collect();
        let inputs = Inputs { config_dir: Some(path("config")), flags, ..Inputs::default() };
        let loaded = load(&inputs).unwrap();
        let chosen = choose(None, &loaded).unwrap();
        Self { folder, loaded, chosen }
    }

    fn entry(&self, number: u128, changes: &[(&str, Value)]) -> Entry {
        let mut recipe = document::parse(example::text().as_bytes()).unwrap();
        let short = [
            ("/slot_params/duration_sec", json!(1.5)),
            ("/slot_params/fps", json!(12)),
            ("/slot_params/resolution", json!("128x96")),
            ("/recipe_id", json!(uuid::Uuid::from_u128(number))),
        ];
        for (path, value) in short.iter().chain(changes) {
            let (parent, name) = path.rsplit_once('/').unwrap();
            let parent = recipe.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            parent.insert(name.to_owned(), value.clone());
        }
        let document = recipe.to_string().into_bytes().into();
        let origin = Origin::File(PathBuf::from(format!("{number}.json")));
        let submission = Submission { document, origin, traceparent: None };
        let checked = submission.check(&self.loaded.settings.intake.signers).unwrap();
        door(&self.loaded, &self.chosen).enter(checked).unwrap()
    }

    fn folders(&self, name: &str) -> Arc<SlotFolders> {
        Arc::new(SlotFolders::under(&self.folder.path().join(name)))
    }

    fn dir(&self, name: &str, entry: &Entry) -> PathBuf {
        self.folder.path().join(name).join(entry.recipe.slot().to_string())
    }

    /// Has a node do what `asks` asks of it, and hands over what it told after that, until it has ended.
    async fn node<F: Future<Output = ()>>(
        &self,
        folders: &Arc<SlotFolders>,
        asks: impl FnOnce(NodeHandle, UnboundedReceiver<Event>) -> F,
    ) {
        let (told_by, mut told) = unbounded_channel();
        let longest = self.entry(99, &[]).recipe;
        let node = Node::build(NodeParts {
            loaded: &self.loaded,
            chosen: &self.chosen,
            folders: Arc::clone(folders),
            journal: Arc::<SlotFolders>::clone(folders),
            size: SlotSize { resolution: longest.resolution, duration: longest.duration },
            subscribers: vec![Arc::new(Forward(told_by))],
            serving: Serving::All,
        });
        let node = node.unwrap().start().await.unwrap();
        let handle = node.handle();
        for _ in ModelId::ALL {
            while !matches!(told.recv().await.unwrap().kind, EventKind::ModelReady { .. }) {}
        }
        asks(handle.clone(), told).await;
        handle.shut_down(Exit::Success, Duration::ZERO);
        assert_eq!(node.ended().await, Exit::Success);
    }
}

/// Waits until so many slots have ended; in which order.
async fn ends(told: &mut UnboundedReceiver<Event>, count: usize) -> Vec<SlotId> {
    let mut ended = Vec::new();
    while ended.len() < count {
        let event = told.recv().await.unwrap();
        ended.extend(event.slot.filter(|_| event.kind.ends_slot()));
    }
    ended
}

fn result(dir: &Path) -> Manifest {
    let verification = sink::verify(dir, None);
    let found = verification.unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    sink::read(dir).unwrap()
}

fn hashes(manifest: &Manifest) -> BTreeMap<String, String> {
    manifest.artifacts.iter().map(|it| (it.name.clone(), it.sha256.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_slots_at_once_are_as_each_alone_and_a_refused_one_changes_neither() {
    let place = Place::new();
    let first = place.entry(1, &[("/audio_track/script", json!("Hello there."))]);
    let changes =
        [("/audio_track/script", json!("Good evening.")), ("/visual_track/negative_prompt", json!("a dog"))];
    let second = place.entry(2, &changes);
    let soon = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 2;
    let hopeless = place.entry(3, &[("/deadline", json!(soon))]);

    let together = place.folders("together");
    place
        .node(&together, |node, mut told| {
            let (first, second, hopeless, folders) = (&first, &second, &hopeless, &together);
            async move {
                intake::ask(first, folders, &node).await.unwrap();
                let refused = intake::ask(hopeless, folders, &node).await.unwrap_err();
                assert_eq!(refused.kind(), Kind::Late, "{refused}");
                intake::ask(second, folders, &node).await.unwrap();
                let again = intake::ask(first, folders, &node).await.unwrap_err();
                assert_eq!(again.kind(), Kind::Duplicate, "{again}");
                let mut ended = ends(&mut told, 2).await;
                ended.sort();
                assert_eq!(ended, [first.recipe.slot(), second.recipe.slot()]);
            }
        })
        .await;
    assert!(!place.dir("together", &hopeless).exists(), "nothing is left of a refused slot");

    for (entry, warned) in [(&first, false), (&second, true)] {
        let name = format!("alone-{}", entry.recipe.slot());
        let alone = place.folders(&name);
        place
            .node(&alone, |node, mut told| {
                let folders = &alone;
                async move {
                    intake::ask(entry, folders, &node).await.unwrap();
                    ends(&mut told, 1).await;
                }
            })
            .await;
        let (beside, alone) = (result(&place.dir("together", entry)), result(&place.dir(&name, entry)));
        assert_eq!(hashes(&beside), hashes(&alone));
        assert_eq!((beside.recipe_id, beside.recipe), (entry.recipe.slot(), alone.recipe));
        assert_eq!(beside.recipe.sha256, entry.key.recipe);
        assert_eq!(beside.warnings, alone.warnings);
        let noted = beside.warnings.iter().any(|warning| warning.code == "negative_prompt_not_painted");
        assert_eq!(noted, warned);
        let ran: Vec<_> =
            beside.stages.iter().map(|stage| (stage.stage, stage.attempts, stage.resumed)).collect();
        let ran_alone: Vec<_> = alone.stages.iter().map(|it| (it.stage, it.attempts, it.resumed)).collect();
        assert_eq!(ran, ran_alone);
        assert!(beside.models.iter().all(|model| model.attempts == 1 && model.restarts == 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_slot_has_a_signed_result_that_says_so() {
    let place = Place::new();
    let (kept, cancelled) = (place.entry(1, &[]), place.entry(2, &[]));
    let folders = place.folders("slots");
    place
        .node(&folders, |node, mut told| {
            let (kept, cancelled, folders) = (&kept, &cancelled, &folders);
            async move {
                intake::ask(kept, folders, &node).await.unwrap();
                intake::ask(cancelled, folders, &node).await.unwrap();
                assert!(node.cancel(cancelled.recipe.slot()).await);
                assert!(!node.cancel(cancelled.recipe.slot()).await, "it has ended");
                assert_eq!(ends(&mut told, 2).await, [cancelled.recipe.slot(), kept.recipe.slot()]);
            }
        })
        .await;
    let manifest = result(&place.dir("slots", &cancelled));
    assert!(matches!(manifest.outcome, Outcome::Cancelled { .. }), "{:?}", manifest.outcome);
    assert_eq!(manifest.recipe.sha256, cancelled.key.recipe);
    let kept = result(&place.dir("slots", &kept)).outcome;
    // Whether random weights paint what was asked is not the point here.
    assert!(!matches!(kept, Outcome::Cancelled { .. }), "{kept:?}");
}
