//! A receiver of OpenTelemetry's protocol that nobody here wrote.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::served::LIMIT;

/// Rotel, which writes down every span that it receives.
pub struct Receiver {
    child: Child,
    written: Arc<(Mutex<String>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

/// A span as the receiver has it.
#[derive(Clone, Debug, Default)]
pub struct Span {
    pub trace: String,
    pub parent: String,
    pub id: String,
    pub name: String,
    /// Trace and span.
    pub links: Vec<(String, String)>,
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The receiver's executable; none where this machine has none, which is a failure where tools are required.
pub fn rotel() -> Option<PathBuf> {
    let named = std::env::var_os("ROTEL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.filter(|file| !file.as_os_str().is_empty()).or_else(|| {
        std::env::split_paths(&path).map(|folder| folder.join("rotel-agent")).find(|file| file.is_file())
    });
    if found.is_none() {
        super::skip("rotel-agent (named by ROTEL, or in PATH)");
    }
    found
}

impl Receiver {
    /// Receives on these ports, and writes down these signals.
    pub fn start(rotel: &Path, grpc: u16, http: u16, signals: &[&str]) -> Self {
        let mut child = Command::new(rotel)
            .arg("start")
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--exporter", "blackhole", "--debug-log-verbosity", "detailed"])
            .args(signals.iter().flat_map(|signal| ["--debug-log", signal]))
            .args(["--batch-timeout", "50ms"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let written: Arc<(Mutex<String>, Condvar)> = Arc::default();
        let (lines, shared) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&written));
        let reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut text = shared.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                shared.1.notify_all();
            }
        });
        Self { child, written, reader: Some(reader) }
    }

    /// The spans, once `enough` says that all are there.
    pub fn spans(&self, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        parsed(&self.text(|text| enough(&parsed(text))))
    }

    /// Asks it to end, which it does when it has written down what it has taken; all its spans.
    pub fn stop(mut self) -> Vec<Span> {
        // SAFETY: kill takes two numbers and touches no memory; the child is ours and has not been waited for.
        #[expect(unsafe_code, reason = "the standard library has no other signal than SIGKILL")]
        let sent = unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        assert_eq!(sent, 0);
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let text = self.written.0.lock().unwrap();
        parsed(&text)
    }

    /// All that was written, once `enough` says that all is there.
    pub fn text(&self, enough: impl Fn(&str) -> bool) -> String {
        let text = self.written.0.lock().unwrap();
        let waiting = |text: &mut String| !enough(text);
        let (text, timed_out) = self.written.1.wait_timeout_while(text, LIMIT, waiting).unwrap();
        assert!(!timed_out.timed_out(), "this came:\n{}", *text);
        text.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parsed(text: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("Span #") {
            spans.push(Span::default());
            continue;
        }
        let Some(span) = spans.last_mut() else { continue };
        if line.starts_with("SpanLink #") {
            span.links.push(Default::default());
            continue;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim().to_owned();
        match (key.trim(), span.links.last_mut()) {
            ("-> Trace ID", Some(link)) => link.0 = value,
            ("-> ID", Some(link)) => link.1 = value,
            ("Trace ID", None) => span.trace = value,
            ("Parent ID", None) => span.parent = value,
            ("ID", None) => span.id = value,
            ("Name", None) => span.name = value,
            _ => {}
        }
    }
    spans
}
