//! A model hub in miniature on local ports: the hub itself, which says what a file is, and a store at another address,
//! where it sends whoever wants a large one; small ones it has in a cache of its own, to which it points. Both do what the
//! test wants them to.

mod answers;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use vortex_node::models::bundle::Sha256;

use answers::{CACHE, LISTS, file, is_stored, list, redirect, refused, refused_by_the_store, to_the_cache};

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

/// A moment in what a hub does.
#[derive(Clone, Copy, Debug)]
pub enum Bell {
    /// After so many more requests.
    Requests(usize),
    /// After so many more bytes of files.
    Bytes(usize),
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub is_store: bool,
    /// At the address to which the hub points for small files.
    pub is_cache: bool,
    pub encoding: Option<String>,
    pub method: String,
    /// The path of the file in the repository; below the repository's name where there are several.
    pub name: String,
    /// The commit that was asked for, where there are several repositories.
    pub commit: Option<String>,
    /// The first byte asked for.
    pub start: usize,
    pub authorization: Option<String>,
    pub if_range: Option<String>,
}

/// What a test may steer and see.
#[derive(Default)]
pub struct State {
    /// Files by their path in the one repository `owner/name` at revision `v1`, and at the commit that it is; where there
    /// are several repositories, below the repository's name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Repositories and the commit that each has; none where there is only the one.
    pub repos: BTreeMap<String, String>,
    /// Those that want a licence accepted.
    pub gated: BTreeSet<String>,
    /// When somebody is told, and the request that it rings at hears nothing more.
    pub bell: Option<(Bell, Sender<()>)>,
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

    /// Serves files by repository, commit and path.
    pub fn serve_all<'a>(files: impl IntoIterator<Item = ([&'a str; 3], &'a [u8])>) -> Self {
        let hub = Self::serve(&[]);
        {
            let mut state = hub.state.lock().unwrap();
            for ([repo, commit, path], bytes) in files {
                state.repos.insert(repo.to_owned(), commit.to_owned());
                state.files.insert(format!("{repo}/{path}"), bytes.to_vec());
            }
        }
        hub
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
    let (at, repos) = {
        let state = shared.state.lock().ok()?;
        let at = [state.revision, &state.commit].map(|at| format!("/owner/name/resolve/{at}/"));
        (at, state.repos.clone())
    };
    let mut seen = read(&stream, is_store, &at)?;
    seen.find(&repos);
    let (head, body) = {
        let mut state = shared.state.lock().ok()?;
        state.seen.push(seen.clone());
        if let Some((Bell::Requests(left), told)) = &mut state.bell {
            if *left == 0 {
                let _ = told.send(());
                state.bell = None;
                drop(state);
                return ignored(&stream);
            }
            *left -= 1;
        }
        let refused =
            if is_store { refused_by_the_store(&mut state, &seen) } else { refused(&mut state, &seen) };
        match refused {
            Some(refused) => (refused, Vec::new()),
            None if seen.is_list() => list(&state, &seen),
            None if !is_store && is_stored(&state, &seen.name) => {
                (redirect(&state, &shared.store, &seen), Vec::new())
            }
            None if !is_store && !seen.is_cache && !state.is_plain => {
                (to_the_cache(&state, &seen), Vec::new())
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
        return ignored(&stream);
    }
    Some(())
}

/// Until the other side has gone: nothing more comes from it.
fn ignored(stream: &TcpStream) -> Option<()> {
    let _ = BufReader::new(stream).lines().next();
    Some(())
}

impl Seen {
    /// Finds the file where there are several repositories.
    fn find(&mut self, repos: &BTreeMap<String, String>) {
        let Some((repo, rest)) = self.name.strip_prefix('/').and_then(|name| name.split_once("/resolve/"))
        else {
            return;
        };
        if let (Some(commit), Some((asked, path))) = (repos.get(repo), rest.split_once('/'))
            && commit == asked
        {
            self.commit = Some(asked.to_owned());
            self.name = format!("{repo}/{path}");
        }
    }
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
    let mut stalls = stalls.map(|(_, told)| told);
    if let Some((Bell::Bytes(left), _)) = &mut state.bell {
        if at > *left {
            at = *left;
            stalls = state.bell.take().map(|(_, told)| told);
        } else {
            *left -= at;
        }
    }
    state.sent += at;
    Some(Cut { at, stalls })
}

/// Both ends of what a stalled server tells.
pub fn stalling() -> (Sender<()>, Receiver<()>) {
    channel()
}
