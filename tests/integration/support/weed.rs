//! A real store that speaks S3: SeaweedFS, where the machine has `weed`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Who may write to it.
pub const KEY: &str = "node";
/// Its secret.
pub const SECRET: &str = "a secret of tests";

/// Ports and a folder for a store that need not run.
pub struct Weed {
    folder: tempfile::TempDir,
    ports: Vec<u16>,
    process: Option<Child>,
}

impl Drop for Weed {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Weed {
    /// One that does not run yet; none, said aloud, where there is no `weed`.
    pub fn new() -> Option<Self> {
        if Command::new("weed").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            super::skip("weed (SeaweedFS)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let identities = format!(
            r#"{{"identities":[{{"name":"node","actions":["Admin","Read","Write","List"],
            "credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}]}}]}}"#
        );
        std::fs::write(folder.path().join("s3.json"), identities).unwrap();
        let held: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports = held.iter().map(|it| it.local_addr().unwrap().port()).collect();
        Some(Self { folder, ports, process: None })
    }

    /// Where it will speak S3.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[6])
    }

    /// Starts it; returns once it answers.
    pub async fn start(&mut self) {
        let names = ["master", "volume", "filer", "s3"];
        let names = names.iter().flat_map(|name| [format!("{name}.port"), format!("{name}.port.grpc")]);
        let mut command = Command::new("weed");
        command.current_dir(self.folder.path()).args([
            "server",
            "-dir=.",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            "-s3.config=s3.json",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-volume.max=8",
        ]);
        command.args(names.zip(&self.ports).map(|(name, port)| format!("-{name}={port}")));
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        self.process = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let client = reqwest::Client::new();
        // It says nowhere but here that it is ready.
        for _ in 0..300 {
            let asked = client.get(format!("{}/status", self.endpoint())).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("weed does not start: {}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
    }
}
