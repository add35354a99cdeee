//! What the hub and its store answer to one request: heads and bodies, refusals, lists of files.

use serde_json::json;
use vortex_node::models::bundle::Sha256;
use vortex_node::types::GitHash;

use super::{LARGE, Ranges, Seen, State};

pub(super) fn is_stored(state: &State, name: &str) -> bool {
    !state.is_plain && state.files.get(name).is_some_and(|bytes| bytes.len() > LARGE)
}

fn empty(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

pub(super) fn refused(state: &mut State, seen: &Seen) -> Option<String> {
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
    let is_below =
        |repo: &String| seen.name.strip_prefix(repo.as_str()).is_some_and(|rest| rest.starts_with('/'));
    if seen.name.starts_with("/gated/") || (!seen.is_cache && state.gated.iter().any(is_below)) {
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

pub(super) fn refused_by_the_store(state: &mut State, seen: &Seen) -> Option<String> {
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

pub(super) fn redirect(state: &State, store: &str, seen: &Seen) -> String {
    let (name, bytes) = (&seen.name, &state.files[&seen.name]);
    let (hash, commit) = (Sha256::of(bytes), seen.commit.as_ref().unwrap_or(&state.commit));
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
pub(super) const CACHE: &str = "/api/resolve-cache/";

pub(super) fn to_the_cache(state: &State, seen: &Seen) -> String {
    let (name, commit) = (&seen.name, seen.commit.as_ref().unwrap_or(&state.commit));
    empty(307, &format!("Location: {CACHE}{name}?etag=x\r\nX-Repo-Commit: {commit}\r\n"))
}

/// The head of an answer with a file's bytes, and the bytes.
pub(super) fn file(state: &mut State, seen: &Seen) -> (String, Vec<u8>) {
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
    // A store knows nothing of commits; with one repository it names that one's.
    let is_silent = seen.is_cache || (seen.is_store && !state.repos.is_empty());
    let commit = if is_silent { String::new() } else { format!("X-Repo-Commit: {}\r\n", state.commit) };
    let head = format!(
        "HTTP/1.1 {status} X\r\nETag: {tag}\r\n{commit}{range}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (head, body)
}

/// Where the hub lists files.
pub(super) const LISTS: &str = "/api/models/owner/name/tree/";

impl Seen {
    pub(super) fn is_list(&self) -> bool {
        !self.is_store && self.name.starts_with(LISTS)
    }
}

fn git(bytes: &[u8]) -> GitHash {
    GitHash::of_blob(bytes.len() as u64, bytes).unwrap()
}

/// A folder at a commit, a file a page.
pub(super) fn list(state: &State, seen: &Seen) -> (String, Vec<u8>) {
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
