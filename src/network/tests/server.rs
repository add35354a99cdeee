//! A server of our own: `NATS_SERVER`, or `nats-server` of the path.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::network::{Credentials, Server, Session, Subjects};

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
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
