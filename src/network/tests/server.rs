//! A server of our own: `NATS_SERVER`, or `nats-server` of the path.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::network::{Credentials, Server, Session, Stream, Subjects};

/// Until it takes connections, on a machine that is busy.
const START: Duration = Duration::from_secs(20);

/// A server with JetStream, which syncs each write, and a store that goes with it.
pub(super) struct TestServer {
    child: Child,
    folder: TempDir,
    port: u16,
    monitor: String,
}

impl TestServer {
    /// A new one; none where there is no program, which is said.
    pub(super) async fn start() -> Option<Self> {
        Self::start_with("sync_interval: always", "").await
    }

    /// One with these settings of JetStream, and of the server.
    pub(super) async fn start_with(jetstream: &str, more: &str) -> Option<Self> {
        let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let config = format!(
            "http: \"127.0.0.1:-1\"\njetstream {{\n  store_dir: \"{path}/store\"\n  {jetstream}\n}}\n{more}\n"
        );
        fs::write(folder.path().join("config"), config).unwrap();
        let child = Command::new(&program)
            .args(["--addr", "127.0.0.1", "--port", "-1"])
            .args(["--config", &format!("{path}/config"), "--ports_file_dir", &path.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => {
                let mut server = Self { child, folder, port: 0, monitor: String::new() };
                (server.port, server.monitor) = server.listens().await;
                Some(server)
            }
            Err(error) => {
                let required = std::env::var_os("VORTEX_REQUIRE_TOOLS").is_some_and(|value| value == "1");
                assert!(
                    !required,
                    "{program} is missing, and VORTEX_REQUIRE_TOOLS=1 forbids skipping: {error}"
                );
                eprintln!("skipped: {program} is not here ({error}); NATS_SERVER may say where it is");
                None
            }
        }
    }

    /// Its port, and where its monitor is, once it has written them down.
    async fn listens(&mut self) -> (u16, String) {
        let file = self.folder.path().join(format!("nats-server_{}.ports", self.child.id()));
        let port = || -> Option<(u16, String)> {
            let ports: Value = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
            let port = ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()?;
            Some((port, ports["monitoring"][0].as_str()?.to_owned()))
        };
        let begun = crate::clock::now();
        loop {
            if let Some(port) = port() {
                return port;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the server ended");
            assert!(crate::clock::now() - begun < START, "no server within {START:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where its monitor is.
    pub(super) fn monitor(&self) -> String {
        self.monitor.clone()
    }

    /// A connection to it.
    pub(super) async fn session(&self) -> Session {
        self.session_as(Credentials::None).await
    }

    /// The same as somebody.
    pub(super) async fn session_as(&self, credentials: Credentials) -> Session {
        let server = Server {
            addresses: vec![format!("nats://127.0.0.1:{}", self.port)],
            name: "test".to_owned(),
            credentials,
            ..Server::default()
        };
        server.open(&Arc::new(Subjects::new("net").unwrap())).await.unwrap()
    }

    /// Stops it where it stands, until [`Self::go_on`].
    pub(super) fn stand_still(&self) {
        self.signal(rustix::process::Signal::STOP);
        // Each of its threads goes on until it is told.
        let begun = crate::clock::now();
        while !self.stands_still() {
            assert!(crate::clock::now() - begun < START, "the server does not stand still");
            std::thread::yield_now();
        }
    }

    fn stands_still(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        threads.filter_map(Result::ok).all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name in parentheses may hold anything; a thread that has gone says nothing.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a stream as a network has it, with `changes`.
pub(super) async fn make(session: &Session, stream: Stream, changes: Value) {
    let (name, subjects) = (session.subjects().stream(stream), session.subjects().all(stream));
    let mut config = json!({
        "name": name,
        "subjects": [subjects],
        "storage": "file",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "discard_new_per_subject": true,
        "allow_direct": true,
    });
    match stream {
        Stream::Work => config["retention"] = json!("workqueue"),
        Stream::Results | Stream::Letters => {}
        // A marker replaces an earlier one, and none is given up for another slot's.
        Stream::Cancels => config["discard_new_per_subject"] = json!(false),
        Stream::Attempts => {
            config["discard_new_per_subject"] = json!(false);
            config["discard"] = json!("old");
            config["max_msgs_per_subject"] = json!(16);
        }
    }
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let _: Value = session.api("make a stream", &format!("STREAM.CREATE.{name}"), &config).await.unwrap();
}
