//! A real NATS server with JetStream: `nats-server`, by the variable NATS_SERVER or on the path.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server with a folder of its own; ends with the test.
pub struct Nats {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Nats {
    /// One that stands, configured by `conf` with `variables` in its environment; none, said aloud, where there is no
    /// `nats-server`.
    pub async fn start(conf: &str, variables: &[(String, String)]) -> Option<Self> {
        let program = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        if Command::new(&program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            super::skip("nats-server");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let whole = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: {0:?}\njetstream {{ store_dir: {0:?} }}\n{conf}",
            place.display().to_string()
        );
        let file = place.join("server.conf");
        std::fs::write(&file, whole).unwrap();
        let log = std::fs::File::create(place.join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).envs(variables.iter().map(|(name, value)| (name, value)));
        let process = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let ports = place.join(format!("nats-server_{}.ports", process.id()));
        let mut server = Self { process, address: String::new(), _folder: folder };
        // It says where it listens once it does, in a file and nowhere else.
        for _ in 0..300 {
            let told = std::fs::read(&ports).ok().and_then(|text| serde_json::from_slice(&text).ok());
            let told: serde_json::Value = told.unwrap_or_default();
            if let Some(address) = told["nats"][0].as_str() {
                address.clone_into(&mut server.address);
                return Some(server);
            }
            if server.process.try_wait().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(server._folder.path().join("log")).unwrap();
        panic!("nats-server does not start: {log}");
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }
}
