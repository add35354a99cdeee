//! A model hub in miniature on local ports: the hub itself, which says what a file is, and a store at another address,
//! where it sends whoever wants a large one; small ones it has in a cache of its own, to which it points. Both do what the
//! test wants them to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::json;
use vortex_node::models::bundle::Sha256;
use vortex_node::types::GitHash;

/// How a server treats a request for the rest of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranges {
    #[default]
    Kept,
    /// Everything comes, with 200.
    Ignored,
    /// Everything comes, with 206 and a range from the start.
    FromTheStart,
    /// Another range comes than asked for.
    Shifted,
    /// The range is as asked for, the bytes are not.
    Lied,
    /// 416.
    Refused,
    /// The rest comes, with nothing that says so.
    Unsaid,
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub is_store: bool,
    /// At the address to which the hub points for small files.
    pub is_cache: bool,
    pub encoding: Option<String>,
    pub method: String,
    /// The path of the file in the repository.
    pub name: String,
    /// The first byte asked for.
    pub start: usize,
    pub authorization: Option<String>,
    pub if_range: Option<String>,
}

/// What a test may steer and see.
#[derive(Default)]
pub struct State {
    /// Files by their path in the one repository `owner/name` at revision `v1`, and at the commit that it is.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files as they are from the next cut on.
    pub changed: BTreeMap<String, Vec<u8>>,
    /// Whether large files, too, come from the hub itself, which then says nothing of their hash.
    pub is_plain: bool,
    /// The commit that the hub names, forty zeros by default; nothing where it names none.
    pub commit: String,
    /// What the one revision is called, `v1` by default.
    pub revision: &'static str,
    /// What the hub says a large file's size is, where it lies.
    pub size_told: Option<u64>,
    /// What the hub's list says of a file instead of the truth: hash and size of a large one.
    pub lists: BTreeMap<String, (Sha256, u64)>,
    /// Whether it has no list at all.
    pub is_without_lists: bool,
    /// The token that the hub wants, and whether it is for a licence.
    pub token: Option<&'static str>,
    pub is_gated: bool,
    /// Answers of the hub before all others: status and headers.
    pub refusals: Vec<(u16, &'static str)>,
    /// How many addresses in the store have expired.
    pub expired: usize,
    /// How many answers with a large file still end early, and after how many bytes.
    pub cuts: (usize, usize),
    /// How many bytes of files may still be sent in all, if not any number.
    pub left: Option<usize>,
    pub ranges: Ranges,
    /// After how many bytes of a large file a server stops, and who is told then.
    pub stall: Option<(usize, Sender<()>)>,
    /// Requests for bytes are answered once so many are there together.
    pub at_once: usize,
    waiting: usize,
    pub seen: Vec<Seen>,
    /// Bytes of files sent.
    pub sent: usize,
}

/// A running hub; it ends with the test's process.
pub struct Hub {
    pub state: Arc<Mutex<State>>,
    /// The hub's.
    pub address: String,
}

/// More bytes than this lie in the store.
const LARGE: usize = 1_000;

/// What both servers know.
#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    /// Somebody came who others wait for.
    came: Arc<Condvar>,
    store: String,
}

impl Hub {
    /// Serves `files`.
    pub fn serve(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        let state =
            Arc::new(Mutex::new(State { files, commit: "0".repeat(40), revision: "v1", ..State::default() }));
        let [hub, store] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, store_address] =
            [&hub, &store].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
        let shared = Shared { state: Arc::clone(&state), came: Arc::default(), store: store_address };
        for (listener, is_store) in [(hub, false), (store, true)] {
            let shared = shared.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let shared = shared.clone();
                    std::thread::spawn(move || answer(stream, &shared, is_store));
                }
            });
        }
        Self { state, address }
    }

    /// The first byte asked for by each `GET`, in order.
    pub fn starts(&self) -> Vec<usize> {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|seen| seen.method == "GET").map(|seen| seen.start).collect()
    }

    /// The same of one file.
    pub fn starts_of(&self, name: &str) -> Vec<usize> {
        let state = self.state.lock().unwrap();
        let asked = state.seen.iter().filter(|seen| seen.method == "GET" && seen.name == name);
        asked.map(|seen| seen.start).collect()
    }
}

/// One request, one answer, one connection.
fn answer(mut stream: TcpStream, shared: &Shared, is_store: bool) -> Option<()> {
    let seen = {
        let state = shared.state.lock().ok()?;
        let at = [state.revision, &state.commit].map(|at| format!("/owner/name/resolve/{at}/"));
        drop(state);
        read(&stream, is_store, &at)?
    };
    let (head, body) = {
        let mut state = shared.state.lock().ok()?;
        state.seen.push(seen.clone());
        let refused =
            if is_store { refused_by_the_store(&mut state, &seen) } else { refused(&mut state, &seen) };
        match refused {
            Some(refused) => (refused, Vec::new()),
            None if seen.is_list() => list(&state, &seen),
            None if !is_store && is_stored(&state, &seen.name) => {
                (redirect(&state, &shared.store, &seen.name), Vec::new())
            }
            None if !is_store && !seen.is_cache && !state.is_plain => {
                (to_the_cache(&state, &seen.name), Vec::new())
            }
            None => file(&mut state, &seen),
        }
    };
    if seen.method != "GET" || body.is_empty() {
        stream.write_all(head.as_bytes()).ok()?;
        return stream.flush().ok();
    }
    wait_for_others(shared)?;
    stream.write_all(head.as_bytes()).ok()?;
    let cut = cut(shared, body.len())?;
    stream.write_all(&body[..cut.at]).ok()?;
    stream.flush().ok()?;
    if let Some(told) = cut.stalls {
        told.send(()).ok()?;
        // Until the other side has gone: nothing more comes from it.
        let _ = BufReader::new(&stream).lines().next();
    }
    Some(())
}

fn read(stream: &TcpStream, is_store: bool, resolved: &[String; 2]) -> Option<Seen> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    let mut words = request.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?);
    let is_cache = !is_store && path.starts_with(CACHE);
    let before = if is_store {
        "/blob/"
    } else if is_cache {
        CACHE
    } else {
        resolved.iter().find(|at| path.starts_with(*at)).map_or("", |at| at)
    };
    // A page of a list is asked for by what follows the question mark.
    let name = path.strip_prefix(before).unwrap_or(path);
    let name = if name.starts_with(LISTS) { name } else { name.split('?').next()? }.to_owned();
    let mut seen = Seen { is_store, is_cache, method, name, ..Seen::default() };
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => seen.start = value.strip_prefix("bytes=")?.split('-').next()?.parse().ok()?,
            "authorization" => seen.authorization = Some(value.to_owned()),
            "accept-encoding" => seen.encoding = Some(value.to_owned()),
            "if-range" => seen.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(seen)
}

fn is_stored(state: &State, name: &str) -> bool {
    !state.is_plain && state.files.get(name).is_some_and(|bytes| bytes.len() > LARGE)
}

fn empty(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

fn refused(state: &mut State, seen: &Seen) -> Option<String> {
    if !state.refusals.is_empty() {
        let (status, headers) = state.refusals.remove(0);
        return Some(empty(status, headers));
    }
    let wanted = state.token.map(|token| format!("Bearer {token}"));
    // A token that is not its own is refused also where none is wanted.
    if wanted != seen.authorization && (wanted.is_some() || seen.authorization.is_some()) {
        let code = match (&seen.authorization, state.is_gated) {
            (None, true) => "X-Error-Code: GatedRepo\r\n",
            (None, false) => "X-Error-Code: RepoNotFound\r\n",
            (Some(_), _) => "X-Error-Message: Invalid credentials in Authorization header\r\n",
        };
        return Some(empty(401, code));
    }
    if seen.is_list() {
        return state.is_without_lists.then(|| empty(404, ""));
    }
    if seen.name.starts_with("/gated/") {
        return Some(empty(401, "X-Error-Code: GatedRepo\r\n"));
    }
    if seen.name.starts_with("/gone/") {
        return Some(empty(404, "X-Error-Code: RepoNotFound\r\n"));
    }
    if seen.name.starts_with('/') {
        return Some(empty(404, "X-Error-Code: RevisionNotFound\r\n"));
    }
    (!state.files.contains_key(&seen.name)).then(|| empty(404, "X-Error-Code: EntryNotFound\r\n"))
}

fn refused_by_the_store(state: &mut State, seen: &Seen) -> Option<String> {
    if seen.authorization.is_some() {
        // Its addresses are signed, and it takes one proof only.
        return Some(empty(400, ""));
    }
    if state.expired > 0 {
        state.expired -= 1;
        return Some(empty(403, ""));
    }
    (!state.files.contains_key(&seen.name)).then(|| empty(404, ""))
}

fn redirect(state: &State, store: &str, name: &str) -> String {
    let bytes = &state.files[name];
    let (hash, commit) = (Sha256::of(bytes), &state.commit);
    let size = state.size_told.unwrap_or(bytes.len() as u64);
    empty(
        302,
        &format!(
            "Location: {store}/blob/{name}?signature=x\r\nX-Repo-Commit: {commit}\r\nX-Linked-Size: {size}\r\n\
             X-Linked-ETag: \"{hash}\"\r\n"
        ),
    )
}

/// Where small files are, at the hub itself; what is there names no commit.
const CACHE: &str = "/api/resolve-cache/";

fn to_the_cache(state: &State, name: &str) -> String {
    empty(307, &format!("Location: {CACHE}{name}?etag=x\r\nX-Repo-Commit: {}\r\n", state.commit))
}

/// The head of an answer with a file's bytes, and the bytes.
fn file(state: &mut State, seen: &Seen) -> (String, Vec<u8>) {
    let all = state.files[&seen.name].clone();
    let tag = if seen.is_store {
        // One of its own, so far as it matters: it changes with the content, and is no SHA-256.
        format!("\"{}\"", &Sha256::of(&all).to_string()[..40])
    } else {
        format!("\"{}\"", git(&all))
    };
    let is_another = seen.if_range.as_ref().is_some_and(|before| *before != tag);
    let ranges = if is_another { Ranges::Ignored } else { state.ranges };
    let (from, length) = (seen.start, all.len());
    let range = |from: usize| format!("Content-Range: bytes {from}-{}/{length}\r\n", length - 1);
    let (status, range, body) = match ranges {
        _ if from == 0 => (200, String::new(), all),
        Ranges::Kept => (206, range(from), all[from..].to_vec()),
        Ranges::Ignored => (200, String::new(), all),
        Ranges::FromTheStart => (206, range(0), all),
        Ranges::Shifted => (206, range(from - 1), all[from - 1..].to_vec()),
        Ranges::Lied => (206, range(from), all[..length - from].to_vec()),
        Ranges::Refused => return (empty(416, &format!("Content-Range: bytes */{length}\r\n")), Vec::new()),
        Ranges::Unsaid => (206, String::new(), all[from..].to_vec()),
    };
    let commit = if seen.is_cache { String::new() } else { format!("X-Repo-Commit: {}\r\n", state.commit) };
    let head = format!(
        "HTTP/1.1 {status} X\r\nETag: {tag}\r\n{commit}{range}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (head, body)
}

/// Where the hub lists files.
const LISTS: &str = "/api/models/owner/name/tree/";

impl Seen {
    fn is_list(&self) -> bool {
        !self.is_store && self.name.starts_with(LISTS)
    }
}

fn git(bytes: &[u8]) -> GitHash {
    GitHash::of_blob(bytes.len() as u64, bytes).unwrap()
}

/// A folder at a commit, a file a page.
fn list(state: &State, seen: &Seen) -> (String, Vec<u8>) {
    let (place, page) = seen.name.split_once("?page=").unwrap_or((&seen.name, "0"));
    let (commit, folder) = place[LISTS.len()..].split_once('/').unwrap_or((&place[LISTS.len()..], ""));
    if commit != state.commit {
        return (empty(404, "X-Error-Code: RevisionNotFound\r\n"), Vec::new());
    }
    let page: usize = page.parse().unwrap();
    let is_in = |path: &str| path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder;
    let files: Vec<(&String, &Vec<u8>)> = state.files.iter().filter(|(path, _)| is_in(path)).collect();
    let entries: Vec<_> = files
        .get(page)
        .map(|(path, bytes)| {
            let (hash, size) =
                state.lists.get(*path).copied().unwrap_or_else(|| (Sha256::of(bytes), bytes.len() as u64));
            let mut entry = json!({"type": "file", "oid": git(bytes), "size": size, "path": path});
            if is_stored(state, path) || state.lists.contains_key(*path) {
                entry["lfs"] = json!({"oid": hash, "size": size, "pointerSize": 134});
            }
            entry
        })
        .into_iter()
        .collect();
    let next = if page + 1 < files.len() {
        format!("Link: <{place}?page={}>; rel=\"next\"\r\n", page + 1)
    } else {
        String::new()
    };
    let text = serde_json::to_vec(&entries).unwrap();
    let head =
        format!("HTTP/1.1 200 OK\r\n{next}Content-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    (head, text)
}

/// Until as many requests for bytes are there as the test wants to see together.
fn wait_for_others(shared: &Shared) -> Option<()> {
    let mut state = shared.state.lock().ok()?;
    state.waiting += 1;
    if state.waiting >= state.at_once {
        // The next ones are a group of their own.
        state.waiting = 0;
        shared.came.notify_all();
        return Some(());
    }
    // Longer than any machine needs: without the others this test has failed.
    let (_state, waited) = shared.came.wait_timeout(state, Duration::from_secs(60)).ok()?;
    (!waited.timed_out()).then_some(())
}

struct Cut {
    at: usize,
    stalls: Option<Sender<()>>,
}

/// How much of an answer is sent.
fn cut(shared: &Shared, length: usize) -> Option<Cut> {
    let mut state = shared.state.lock().ok()?;
    let mut at = length;
    let is_large = length > LARGE;
    if is_large && state.cuts.0 > 0 {
        state.cuts.0 -= 1;
        at = at.min(state.cuts.1);
        let changed = std::mem::take(&mut state.changed);
        state.files.extend(changed);
    }
    at = at.min(state.left.unwrap_or(at));
    state.left = state.left.map(|left| left - at);
    let stalls = state.stall.take_if(|_| is_large);
    if let Some((after, _)) = &stalls {
        at = at.min(*after);
    }
    state.sent += at;
    Some(Cut { at, stalls: stalls.map(|(_, told)| told) })
}

/// Both ends of what a stalled server tells.
pub fn stalling() -> (Sender<()>, Receiver<()>) {
    channel()
}
