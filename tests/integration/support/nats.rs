//! A real nats-server with JetStream in a folder of its own, that can be killed, stopped, and started again where it was.
//!
//! It is the program that `NATS_SERVER` names, else the path's (`deploy/network/server` brings one). Nothing here waits for a
//! runtime's clock: tests may pause it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vortex_node::clock::since_boot;

use super::authority::Authority;
use super::served::LIMIT;

mod tests;

/// The oldest that the node's streams can be made on.
const OLDEST: (u32, u32) = (2, 15);
/// Between two looks at a server that starts or reloads, which says nowhere but in its answers that it has.
const PAUSE: Duration = Duration::from_millis(20);
/// What a failed test shows of the server's log.
const SHOWN: usize = 40;

/// What a server is told beside its addresses and its folder.
#[derive(Clone, Debug, Default)]
pub struct Config {
    lazy: bool,
    file_store: Option<u64>,
    tls: Option<Tls>,
    more: String,
}

#[derive(Clone, Debug)]
struct Tls {
    authority: String,
    certificate: String,
    key: String,
    asks_clients: bool,
}

impl Config {
    /// Writes are synced every two minutes, as the server does unless told otherwise.
    pub fn lazily_synced(mut self) -> Self {
        self.lazy = true;
        self
    }

    /// So many bytes for all streams together.
    pub fn with_file_store(mut self, bytes: u64) -> Self {
        self.file_store = Some(bytes);
        self
    }

    /// With a certificate of this authority; clients need one as well, where it asks them.
    pub fn with_tls(mut self, authority: &Authority, asks_clients: bool) -> Self {
        let (certificate, key) = authority.signs();
        self.tls = Some(Tls { authority: authority.certificate.clone(), certificate, key, asks_clients });
        self
    }

    /// With these lines in its configuration, such as an `authorization` block.
    pub fn with(mut self, lines: &str) -> Self {
        self.more.push_str(lines);
        self.more.push('\n');
        self
    }
}

/// A server and its folder.
pub struct Nats {
    folder: tempfile::TempDir,
    program: PathBuf,
    config: Config,
    port: u16,
    monitor: u16,
    process: Option<Child>,
}

impl Nats {
    /// One that syncs every write; none, said aloud, where this machine has no nats-server that is new enough.
    pub fn start() -> Option<Self> {
        Self::start_with(Config::default())
    }

    /// The same with a configuration.
    pub fn start_with(config: Config) -> Option<Self> {
        let program = program()?;
        let folder = tempfile::tempdir().unwrap();
        let (port, monitor) = (lasting_port(), lasting_port());
        let mut server = Self { folder, program, config, port, monitor, process: None };
        server.start_again();
        Some(server)
    }

    /// Starts it on the same ports and the same folder; returns once clients and streams are served.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.write();
        let log = std::fs::File::options().append(true).create(true).open(self.file("log")).unwrap();
        let mut command = Command::new(&self.program);
        command
            .arg("-c")
            .arg(self.file("server.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.process = Some(command.spawn().unwrap());
        self.until("it does not start", |server| server.greets() && server.healthy());
    }

    /// Tells the running server this configuration in place of the one it has.
    pub fn reload(&mut self, config: Config) {
        let reloads = |server: &Self| server.log().matches("Reloaded server configuration").count();
        let before = reloads(self);
        self.config = config;
        self.write();
        self.signal(Signal::HUP);
        self.until("it does not reload", |server| reloads(server) > before);
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        let scheme = if self.config.tls.is_some() { "tls" } else { "nats" };
        format!("{scheme}://{}", self.socket())
    }

    /// The same, for a proxy.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Where it tells what it does.
    pub fn monitor(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor)
    }

    /// What its monitor answers.
    pub fn asked(&self, path: &str) -> Value {
        let answer = self.answer(path).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.lines().next().unwrap().contains(" 200 "), "{path}: {answer}");
        serde_json::from_str(body).unwrap()
    }

    /// A file in its folder: `authority.pem` where it has a certificate, `server.conf`, `log`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All that it has logged, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap()
    }

    /// Sends a signal, such as STOP and CONT.
    pub fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// Kills it where it stands.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Tells it to stop; returns once it has.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let code = self.process.take().expect("it runs").wait().unwrap();
        assert!(code.success(), "it ends with {code}");
    }

    fn write(&self) {
        let Config { lazy, file_store, tls, more } = &self.config;
        let sync = if *lazy { "2m" } else { "always" };
        let limit = file_store.map_or_else(String::new, |bytes| format!("max_file_store: {bytes}"));
        let folder = self.folder.path();
        let mut text = format!(
            "server_name: \"tests\"\nlisten: \"127.0.0.1:{}\"\nhttp: \"127.0.0.1:{}\"\n\
             jetstream {{\n  store_dir: \"{}\"\n  sync_interval: {sync}\n  {limit}\n}}\n{more}",
            self.port,
            self.monitor,
            folder.display(),
        );
        if let Some(Tls { authority, certificate, key, asks_clients }) = tls {
            for (name, content) in
                [("authority.pem", authority), ("certificate.pem", certificate), ("key.pem", key)]
            {
                std::fs::write(folder.join(name), content).unwrap();
            }
            let path = |name: &str| folder.join(name).display().to_string();
            text.push_str(&format!(
                "tls {{\n  cert_file: \"{}\"\n  key_file: \"{}\"\n  ca_file: \"{}\"\n  verify: {asks_clients}\n}}\n",
                path("certificate.pem"),
                path("key.pem"),
                path("authority.pem"),
            ));
        }
        std::fs::write(folder.join("server.conf"), text).unwrap();
    }

    /// Looks until it is so; fails where the server has ended or takes too long.
    fn until(&mut self, otherwise: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = since_boot();
        loop {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().unwrap());
            if let Some(code) = ended {
                panic!("{otherwise}: it ended with {code}\n{}", self.log());
            }
            if is_so(self) {
                return;
            }
            assert!(since_boot() - begun < LIMIT, "{otherwise} within {LIMIT:?}\n{}", self.log());
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether a client is told what server this is, which is the first thing that happens to it.
    fn greets(&self) -> bool {
        let Ok(stream) = connected(self.port) else { return false };
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
    }

    fn healthy(&self) -> bool {
        self.answer("/healthz").is_ok_and(|answer| answer.contains(" 200 "))
    }

    fn answer(&self, path: &str) -> std::io::Result<String> {
        let mut stream = connected(self.monitor)?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.file("log")).unwrap_or_default();
            let from = log.lines().count().saturating_sub(SHOWN);
            let last: Vec<&str> = log.lines().skip(from).collect();
            eprintln!("the last lines of nats-server on port {}:\n{}", self.port, last.join("\n"));
        }
    }
}

fn connected(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// The server's executable, where there is one that is new enough; a skip otherwise, said aloud.
pub fn program() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let named = std::env::var_os("NATS_SERVER").filter(|file| !file.is_empty()).map(PathBuf::from);
        let program = named.unwrap_or_else(|| PathBuf::from("nats-server"));
        (version(&program)? >= OLDEST).then_some(program)
    });
    if found.is_none() {
        super::skip("nats-server of 2.15 or later (named by NATS_SERVER, or in PATH)");
    }
    found.clone()
}

fn version(program: &Path) -> Option<(u32, u32)> {
    let asked = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let said = String::from_utf8(asked.stdout).ok()?;
    let mut numbers = said.trim().strip_prefix("nats-server: v")?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// A port that nobody listens on, and that is still free when what listened there is started again.
///
/// It lies below those that the system hands out by itself (32768 and up on Linux): a server that is down would lose one
/// of those to any client's connection.
pub fn lasting_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Another test process begins elsewhere.
        let place = (std::process::id() * 37 + TAKEN.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let port = 20_000 + place as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
