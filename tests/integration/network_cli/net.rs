//! A queue that the command prepares, and what nodes would write there.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use parking_lot::Mutex;
use serde_json::Value;
use vortex_node::clock;
use vortex_node::journal::Artifact;
use vortex_node::network::registry::{Announcer, BundleEntry, ENTRY_VERSION, NodeEntry, Strain};
use vortex_node::network::results::{self, EndState, Put, ResultArtifact, ResultRecord};
use vortex_node::network::{Class, Credentials, Server, Session, Subjects, VERSION};
use vortex_node::recipe::{Recipe, document};
use vortex_node::sink::store::{ParcelFile, Store, StoreAddress, StoreSettings};
use vortex_node::sink::{self, BundleRef, Manifest, NodeReport, Outcome, PublicKey, RecipeRef};
use vortex_node::types::{Bytes, DeviceId, Resolution, Sha256, WorkId};

use crate::support::lone_binary;
use crate::support::nats::{Config, Nats};
use crate::support::served::recipe;

/// A server, and a folder to work in.
pub struct Net {
    pub nats: Nats,
    folder: tempfile::TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran =
            Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains("panicked"), "{ran:?}");
        ran
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// A command that runs.
pub struct Begun {
    child: Child,
    said: Arc<Mutex<String>>,
    reads: JoinHandle<()>,
}

impl Begun {
    /// Whether it has said so on standard error.
    pub fn has_said(&self, part: &str) -> bool {
        self.said.lock().contains(part)
    }

    /// Waits for its end.
    pub fn end(self) -> Ran {
        let mut output = self.child.wait_with_output().unwrap();
        self.reads.join().unwrap();
        output.stderr = self.said.lock().clone().into_bytes();
        Ran::of(output)
    }
}

impl Net {
    /// Prepared, with room for `queue` slots; none where there is no server to be had.
    pub fn prepared(queue: u32) -> Option<Self> {
        let net = Self::new()?;
        let (queue, monitor) = (queue.to_string(), net.nats.monitor());
        let ran = net.run(&["nats", "setup", "--nats", "@", "--queue", &queue, "--monitor", &monitor]);
        assert_eq!(ran.code, 0, "{ran:?}");
        Some(net)
    }

    /// As the server comes.
    pub fn new() -> Option<Self> {
        Self::of(Config::default())
    }

    /// As the server comes that is configured so.
    pub fn of(config: Config) -> Option<Self> {
        Some(Self { nats: Nats::start_with(config)?, folder: tempfile::tempdir().unwrap() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn store_url(&self) -> String {
        format!("file://{}", self.path("store").display())
    }

    /// A recipe of this number, in a file.
    pub fn recipe(&self, number: u64) -> String {
        let name = format!("{number}.json");
        std::fs::write(self.path(&name), recipe(number).to_string()).unwrap();
        name
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let address = self.nats.address();
        let mut command = lone_binary();
        command
            .args(arguments.iter().map(|argument| if *argument == "@" { &address } else { *argument }))
            .env("VORTEX_DATA_DIR", self.path("data"))
            .current_dir(self.folder.path());
        command
    }

    /// Runs a command, in which `@` is the server's address.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Begins it.
    pub fn begin(&self, arguments: &[&str]) -> Begun {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&said));
        let reads = std::thread::spawn(move || {
            for line in lines {
                let mut kept = kept.lock();
                kept.push_str(&line.unwrap());
                kept.push('\n');
            }
        });
        Begun { child, said, reads }
    }

    /// A connection of the test's own.
    pub async fn session(&self) -> Session {
        self.session_by(Credentials::None, "").await
    }

    /// The same as somebody, who has answers under `inbox`.
    pub async fn session_by(&self, credentials: Credentials, inbox: &str) -> Session {
        let (addresses, inbox) = (vec![self.nats.address()], inbox.to_owned());
        let server = Server { addresses, credentials, inbox, ..Server::default() };
        server.open(&Arc::new(Subjects::new("vortex").unwrap())).await.unwrap()
    }

    pub fn store(&self) -> Store {
        Store::open(&StoreSettings::at(StoreAddress::Folder(self.path("store")))).unwrap()
    }

    /// Hands a result over as the node of `key` would, with this as its video.
    pub async fn end(
        &self,
        session: &Session,
        work: WorkId,
        key: u8,
        state: EndState,
        video: &[u8],
    ) -> ResultRecord {
        let folder = self.path(&format!("node-{key}-{}", work.replica));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("video.mp4"), video).unwrap();
        let file =
            ParcelFile { name: "video.mp4".to_owned(), sha256: Sha256::of(video), bytes: video.len() as u64 };
        let address = self.store().put_work(work, &folder, &file).await.unwrap();
        let artifact =
            Artifact { name: file.name.clone(), sha256: file.sha256, bytes: Bytes::new(file.bytes) };
        let text = sign(&folder, work, key, state, artifact.clone());
        let record = ResultRecord {
            version: VERSION,
            work,
            node: node(key).to_string(),
            state,
            at: clock::unix_time().as_secs_f64(),
            deadline_met: None,
            cause: (state == EndState::Failed).then(|| "check".to_owned()),
            stage: None,
            message: None,
            deliveries: 1,
            bundle: Some(Sha256::of(b"bundle")),
            artifacts: vec![ResultArtifact {
                name: artifact.name,
                sha256: artifact.sha256,
                bytes: artifact.bytes,
                address,
            }],
            result: Some(text),
        };
        let put = results::create(session, &record, Duration::from_secs(5)).await.unwrap();
        assert_eq!(put, Put::First);
        record
    }
}

/// The rendering that `slots --nats` and `submit` call so.
pub fn work(number: u64, rest: &str) -> WorkId {
    format!("{}/{rest}", slot(number)).parse().unwrap()
}

pub fn slot(number: u64) -> String {
    recipe(number)["recipe_id"].as_str().unwrap().to_owned()
}

/// The node of a key.
pub fn node(key: u8) -> PublicKey {
    PublicKey(SigningKey::from_bytes(&[key; 32]).verifying_key().to_bytes())
}

/// What a node that does everything says of itself.
pub fn entry(key: u8) -> NodeEntry {
    let bundle = Sha256::of(b"bundle");
    let largest = Resolution::new(1024, 1024).unwrap();
    let classes = Class::able(largest, bundle, Duration::from_secs(1));
    NodeEntry {
        version: ENTRY_VERSION,
        node: node(key).to_string(),
        process: uuid::Uuid::from_u128(u128::from(key)),
        place: String::new(),
        started_at: clock::unix_time().as_secs_f64(),
        at: clock::unix_time().as_secs_f64(),
        software: "0.1.0".to_owned(),
        address: None,
        draining: false,
        ready: true,
        not_ready: Vec::new(),
        pressure: Strain::None,
        capacity: 4,
        open: 1,
        queue: 0,
        models: [("flux".to_owned(), "ready".to_owned())].into(),
        bundle: BundleEntry { name: "demo".to_owned(), sha256: bundle },
        classes: classes.iter().map(ToString::to_string).collect(),
        max_pixels: largest.pixels(),
        expected_seconds: 1.0,
        stage_seconds: [("audio".to_owned(), 0.5)].into(),
        devices: vec!["cpu".to_owned()],
    }
}

pub async fn announce(session: &Session, entry: &NodeEntry) {
    Announcer::new().announce(session, entry).await.unwrap();
}

/// The text of a result that the node of `key` has signed.
fn sign(folder: &Path, work: WorkId, key: u8, state: EndState, artifact: Artifact) -> String {
    let outcome = match state {
        EndState::Completed => Outcome::Completed,
        EndState::Failed => serde_json::from_value(serde_json::json!({
            "status": "failed", "cause": "rejected", "stage": "verify", "message": "it is not", "reasons": []
        }))
        .unwrap(),
        other => panic!("no node signs {other}"),
    };
    let recipe = Recipe::read(recipe(0).to_string().as_bytes()).unwrap();
    let manifest = Manifest {
        version: sink::VERSION,
        trace_id: None,
        recipe_id: work.slot,
        outcome,
        recipe: RecipeRef { sha256: Sha256::of(&document::canonical(recipe.document())) },
        bundle: BundleRef { name: "demo".into(), sha256: Sha256::of(b"bundle"), lock_sha256: None },
        artifacts: vec![artifact],
        verification: None,
        stages: vec![],
        elapsed: 9.5,
        deadline: None,
        deadline_met: true,
        models: vec![],
        frames: None,
        warnings: vec![],
        node: NodeReport {
            id: node(key),
            version: "0.1.0".into(),
            device: DeviceId::Cpu,
            profile: "cpu".into(),
            threads: 2,
            frame_batch: 4,
        },
        rendered_at: 1_800_000_000,
    };
    sink::write(folder, &manifest, &SigningKey::from_bytes(&[key; 32])).unwrap();
    std::fs::read_to_string(folder.join(sink::FILE_NAME)).unwrap()
}
