//! A real nats-server of its own that syncs every write, and what is said to it: the requests that `network` makes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use serde_json::{Value, json};
use vortex_node::clock::now;

/// For the server to answer, whatever it does.
const ANSWER: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    pub address: String,
    _folder: tempfile::TempDir,
}

/// The program, by the variable `NATS_SERVER` or in `PATH`.
pub fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("NATS_SERVER") {
        return Some(PathBuf::from(path));
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join("nats-server")).find(|path| path.is_file())
}

impl Server {
    /// With its files in a folder below `dir`.
    pub fn start(program: &Path, dir: &Path) -> Self {
        let folder = tempfile::tempdir_in(dir).unwrap();
        let (config, store) = (folder.path().join("server.conf"), folder.path().join("store"));
        let text = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: {:?}\njetstream {{ store_dir: {store:?}, sync_interval: always }}\n",
            folder.path()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ports = folder.path().join(format!("nats-server_{}.ports", child.id()));
        let began = now();
        let address = loop {
            let told =
                std::fs::read(&ports).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            if let Some(address) = told.as_ref().and_then(|told| told["nats"][0].as_str()) {
                break address.to_owned();
            }
            assert!(now() - began < Duration::from_secs(10), "{} did not start", program.display());
            std::thread::sleep(Duration::from_millis(20));
        };
        Self { child, address, _folder: folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream as the network has it: on disk, one message under each subject, nothing written over.
pub fn stream(name: &str, subjects: &str, more: &Value) -> Value {
    let mut stream = json!({
        "name": name,
        "subjects": [subjects],
        "storage": "file",
        "discard": "new",
        "discard_new_per_subject": true,
        "max_msgs_per_subject": 1,
        "num_replicas": 1,
    });
    stream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    stream
}

/// Asks, and waits for the answer, which must be no error.
pub async fn ask(client: &Client, subject: String, headers: HeaderMap, payload: Bytes) -> Message {
    let request = async_nats::Request::new().headers(headers).payload(payload).timeout(Some(ANSWER));
    let answer = client.send_request(subject.clone(), request).await.unwrap();
    assert!(answer.status.is_none_or(|status| status.is_success()), "{subject}: {:?}", answer.status);
    // The server's own answers have an error in them where there is one.
    assert!(!answer.payload.starts_with(b"{\"error\""), "{subject}: {:?}", answer.payload);
    answer
}

/// Asks JetStream's API.
pub async fn api(client: &Client, call: &str, body: &Value) -> Message {
    let answer = ask(client, format!("$JS.API.{call}"), HeaderMap::new(), body.to_string().into()).await;
    let text = String::from_utf8_lossy(&answer.payload).into_owned();
    assert!(!text.contains("\"error\":{"), "{call}: {text}");
    answer
}

/// Headers of what must be the first under its subject.
pub fn first() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    headers
}
