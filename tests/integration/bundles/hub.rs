//! A model hub in miniature on a local port: metadata, ranges, and connections that end when the test wants them to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a test may steer and see.
#[derive(Default)]
pub struct State {
    /// Files by their path in the one repository `owner/name` at revision `v1`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// How many answers still end early, and after how many bytes.
    pub cuts: (usize, usize),
    /// Whether ranges are ignored.
    pub without_ranges: bool,
    /// Requests seen: method, path, first byte asked for.
    pub seen: Vec<(String, String, usize)>,
    /// Bytes of files sent.
    pub sent: usize,
}

/// A running hub; it ends with the test's process.
pub struct Hub {
    pub state: Arc<Mutex<State>>,
    pub address: String,
}

impl Hub {
    /// Serves `files`.
    pub fn serve(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { state, address }
    }

    /// The first byte asked for by each `GET`, in order.
    pub fn starts(&self) -> Vec<usize> {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|(method, ..)| method == "GET").map(|(.., start)| *start).collect()
    }
}

/// One request, one answer, one connection.
fn answer(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    let mut start = None;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.split('-').next()?.parse::<usize>().ok();
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (body, cut, status) = {
        let mut state = state.lock().ok()?;
        state.seen.push((method.clone(), path.clone(), start.unwrap_or(0)));
        let file = path.strip_prefix("/owner/name/resolve/v1/").and_then(|name| state.files.get(name)).cloned();
        let Some(file) = file else {
            drop(state);
            let gone = "HTTP/1.1 404 Not Found\r\nX-Error-Code: EntryNotFound\r\nContent-Length: 0\r\n\r\n";
            return stream.write_all(gone.as_bytes()).ok();
        };
        let start = start.filter(|_| !state.without_ranges);
        let body = file.get(start.unwrap_or(0)..)?.to_vec();
        let mut cut = body.len();
        if method == "GET" && state.cuts.0 > 0 {
            state.cuts.0 -= 1;
            cut = cut.min(state.cuts.1);
        }
        if method == "GET" {
            state.sent += cut;
        }
        (body, cut, if start.is_some() { "206 Partial Content" } else { "200 OK" })
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"e\"\r\nX-Repo-Commit: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        "0".repeat(40),
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    if method == "GET" {
        stream.write_all(&body[..cut]).ok()?;
    }
    stream.flush().ok()
}
