//! A `vortex-node serve` of its own, in a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use vortex_node::clock::now;

use super::client::Connection;

/// The least that a model may cost, in milliseconds.
const NOTHING: [(&str, u32); 5] =
    [("flux", 1), ("liveportrait", 1), ("kokoro", 1), ("clip_b", 1), ("clip_l", 1)];

pub struct Node {
    child: Child,
    pub address: String,
    pub token: String,
    /// Slots that have ended.
    pub ended: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

impl Node {
    /// With scripted models that cost nothing, and a queue without an end, ready.
    pub fn scripted(dir: &Path) -> Self {
        Self::playing(dir, 8, &NOTHING)
    }

    /// The same, which exports its telemetry to `receiver`, or nothing where there is none.
    pub fn exporting(dir: &Path, receiver: Option<&str>) -> Self {
        Self::scenario(dir, 8, &NOTHING, receiver)
    }

    /// With so many slots in work at once, and models whose runs take so many milliseconds.
    pub fn playing(dir: &Path, lookahead: usize, runs: &[(&str, u32)]) -> Self {
        Self::scenario(dir, lookahead, runs, None)
    }

    fn scenario(dir: &Path, lookahead: usize, runs: &[(&str, u32)], receiver: Option<&str>) -> Self {
        let models: String = runs
            .iter()
            .map(|(model, run)| {
                format!("[models.{model}]\nload = \"1ms\"\ncanary = \"1ms\"\nrun = \"{run}ms\"\nsteps = 1\n")
            })
            .collect();
        let about = "about = \"a service to be measured\"\npackage = \"0s\"\n";
        let policy = format!("[policy]\nqueue = 1000000\nlookahead = {lookahead}\n");
        let folder = tempfile::tempdir_in(dir).unwrap();
        let scenario = folder.path().join("scenario.toml");
        let arrivals = "[[arrivals]]\nat = \"1s\"\ncount = 1\n";
        std::fs::write(&scenario, format!("{about}{policy}{models}{arrivals}")).unwrap();
        Self::start(folder, &["--scripted", scenario.to_str().unwrap()], receiver)
    }

    /// How long a node with the demo weights takes to be ready.
    pub fn demo(dir: &Path) -> Duration {
        let began = now();
        let _node = Self::start(tempfile::tempdir_in(dir).unwrap(), &[], None);
        now() - began
    }

    fn start(folder: tempfile::TempDir, more: &[&str], receiver: Option<&str>) -> Self {
        let data = folder.path().join("data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vortex-node"));
        command.args(["serve", "--json", "--log", "error", "--data-dir"]).arg(&data).args(more);
        command.arg("--config-dir").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config"));
        for setting in [
            "http.listen=127.0.0.1:0",
            "http.rate=1000000",
            "http.burst=1000000",
            "http.connections=4096",
            "http.streams=256",
        ] {
            command.args(["--set", setting]);
        }
        command.envs(receiver.map(|receiver| ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver)));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = None;
        for line in lines.by_ref() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            match line["event"].as_str().unwrap() {
                "listening" => address = line["url"].as_str().map(|url| url.replace("http://", "")),
                "ready" => break,
                _ => {}
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.unwrap_or_else(|| panic!("the node ended before it listened"));
        let token = std::fs::read_to_string(data.join("local.token")).unwrap().trim().to_owned();
        let ended = Arc::new(AtomicU64::new(0));
        let (weak, mut connection) = (Arc::downgrade(&ended), Connection::open(&address, &token));
        // Asks some times a second how many slots have ended.
        std::thread::spawn(move || {
            while let Some(ended) = weak.upgrade() {
                let Ok((_, node)) = connection.try_get("/v1/node") else { return };
                let node: Value = serde_json::from_str(&node).unwrap();
                let all = node["ended"].as_object();
                let count = all.map_or(0, |all| all.values().filter_map(Value::as_u64).sum());
                ended.store(count, Ordering::Release);
                drop(ended);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { child, address, token, ended, _folder: folder }
    }

    /// Slots that have ended, as of the last tenth of a second.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits for `slots` to have ended.
    pub fn until_ended(&self, slots: u64) {
        while self.ended() < slots {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Processor time that it has taken.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which may hold blanks: the state is the first, user and system time the 12th and 13th.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Its resident memory, in bytes.
    pub fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
