//! A hub's lists of files: what each is at a commit, as the repository itself says it.
//!
//! Owns the lists that were asked for, a folder each: fifty voices are one question.

use std::collections::HashMap;
use std::sync::Arc;

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::answer;
use super::client::{HOPS, HubClient, Known, pointed};
use super::download::{Notice, place, wait};
use super::error::{HubError, LISTED, cause};
use super::expected::Expected;
use super::patience::Tries;
use super::remote_file::RemoteFile;
use crate::types::{GitHash, Sha256};

/// Pages of one folder, of a thousand entries each at the public hub.
const PAGES: usize = 50;

/// A page of a list that is longer is none: an entry takes about 300 bytes.
const LONGEST: usize = 16 << 20;

/// The lists that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    known: Mutex<HashMap<Folder, Arc<Vec<Listed>>>>,
}

/// What one list is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Folder {
    repo: String,
    commit: String,
    path: String,
}

/// One entry, as the hub writes it; what it says besides is of no concern here.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    path: String,
    /// What git calls the content, or the pointer to it.
    oid: GitHash,
    size: u64,
    lfs: Option<Linked>,
}

/// A large file, of which the repository holds a pointer.
#[derive(Debug, Deserialize)]
struct Linked {
    oid: Sha256,
    size: u64,
}

impl Listed {
    fn expected(&self) -> Expected {
        match &self.lfs {
            Some(linked) => Expected { sha256: Some(linked.oid), git_blob: None, size: Some(linked.size) },
            None => Expected { sha256: None, git_blob: Some(self.oid), size: Some(self.size) },
        }
    }
}

impl Listings {
    /// What the repository says `file` is at its revision, a commit; it must agree with `known`, which the hub said of the
    /// same file elsewhere.
    pub(crate) async fn expected(
        &self,
        client: &HubClient,
        file: &RemoteFile,
        known: &Known,
        watch: &dyn Fn(Notice<'_>),
    ) -> Result<Expected, HubError> {
        let listed = self.folder(client, file, watch).await?;
        let entry = listed.iter().find(|entry| entry.path == file.path).ok_or_else(|| {
            let RemoteFile { repo, revision, path } = file;
            HubError::Refused(format!(
                "the hub has {path} of {repo}, and does not list it at commit {revision}"
            ))
        })?;
        let expected = entry.expected();
        expected.compare(&known.expected(), LISTED)?;
        Ok(expected)
    }

    async fn folder(
        &self,
        client: &HubClient,
        file: &RemoteFile,
        watch: &dyn Fn(Notice<'_>),
    ) -> Result<Arc<Vec<Listed>>, HubError> {
        let path = file.path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let key = Folder { repo: file.repo.clone(), commit: file.revision.clone(), path };
        // Held while the hub is asked: whoever wants the same list waits for it instead of asking, too.
        let mut lists = self.known.lock().await;
        if let Some(list) = lists.get(&key) {
            return Ok(Arc::clone(list));
        }
        let folders = key.path.split('/').filter(|folder| !folder.is_empty());
        let parts = ["api", "models"].into_iter().chain(file.repo.split('/'));
        let first = client.at(parts.chain(["tree", &file.revision]).chain(folders));
        let (mut list, mut next) = (Vec::new(), Some(first));
        for _ in 0..PAGES {
            let Some(url) = next.take() else { break };
            let (page, after) = client.page(&url, file, watch).await?;
            list.extend(page);
            next = after.filter(|next| next.origin() == url.origin());
        }
        if next.is_some() {
            return Err(HubError::Refused(format!(
                "the hub's list of {} has more than {PAGES} pages",
                file.repo
            )));
        }
        let list = Arc::new(list);
        lists.insert(key, Arc::clone(&list));
        Ok(list)
    }
}

impl HubClient {
    /// One page of a list, patiently, and where the next one is.
    async fn page(
        &self,
        url: &Url,
        file: &RemoteFile,
        watch: &dyn Fn(Notice<'_>),
    ) -> Result<(Vec<Listed>, Option<Url>), HubError> {
        let mut tries = Tries::new(self.patience, 0);
        loop {
            match self.page_once(url, file).await {
                Ok(page) => return Ok(page),
                Err(error) => match tries.after(&error, 0) {
                    Some(pause) => wait(&error, pause, watch).await,
                    None => return Err(error.at(&place(file))),
                },
            }
        }
    }

    async fn page_once(&self, url: &Url, file: &RemoteFile) -> Result<(Vec<Listed>, Option<Url>), HubError> {
        let mut url = url.clone();
        for _ in 0..=HOPS {
            let response = self.send(self.at_home(Method::GET, url.clone())).await?;
            let (status, headers) = (response.status(), response.headers());
            if status.is_success() {
                let after = following(headers, &url);
                let text = whole(response).await?;
                let page =
                    serde_json::from_slice(&text).map_err(|error| no_list(&url, &error.to_string()))?;
                return Ok((page, after));
            }
            if !status.is_redirection() {
                return Err(answer::refused(status, headers, &self.asked(file)));
            }
            // Of a repository that has another name by now.
            let next = pointed(&url, status, headers)?;
            if next.origin() != url.origin() {
                return Err(no_list(&url, &format!("it points to {}", next.origin().ascii_serialization())));
            }
            url = next;
        }
        Err(HubError::Refused(format!("the hub points on more than {HOPS} times")))
    }
}

fn no_list(url: &Url, why: &str) -> HubError {
    HubError::Refused(format!("what answers at {url} is no list of a repository's files: {why}"))
}

async fn whole(mut response: Response) -> Result<Vec<u8>, HubError> {
    let mut text = Vec::new();
    loop {
        let broken = |error: reqwest::Error| HubError::Passing(cause(&error.without_url()));
        let Some(piece) = response.chunk().await.map_err(broken)? else { return Ok(text) };
        if text.len() + piece.len() > LONGEST {
            return Err(no_list(response.url(), &format!("it has more than {LONGEST} bytes")));
        }
        text.extend_from_slice(&piece);
    }
}

/// The next page, as RFC 8288 writes it: `<address>; rel="next"`.
fn following(headers: &HeaderMap, from: &Url) -> Option<Url> {
    let links = headers.get(LINK)?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|it| matches!(it.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then(|| from.join(address).ok())?
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_next_page_is_where_the_hub_says() {
        let from = Url::parse("https://hub/api/models/o/n/tree/x").unwrap();
        for (link, expected) in [
            (
                "</api/models/o/n/tree/x?cursor=a%3D>; rel=\"next\"",
                Some("https://hub/api/models/o/n/tree/x?cursor=a%3D"),
            ),
            ("<https://hub/a>; rel=\"prev\", <https://hub/b>; rel=next", Some("https://hub/b")),
            ("<https://hub/a>; rel=\"last\"", None),
            ("nonsense", None),
        ] {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_static(link))]);
            assert_eq!(following(&headers, &from).as_ref().map(Url::as_str), expected, "{link}");
        }
        assert_eq!(following(&HeaderMap::new(), &from), None);
    }

    #[test]
    fn large_files_are_known_by_their_own_hash_and_small_ones_by_gits() {
        // As the public hub writes entries.
        let text = r#"[
            {"type": "directory", "oid": "ce013625030ba8dba906f756967f9e9ca394464a", "size": 0, "path": "a"},
            {"type": "file", "oid": "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "size": 12, "path": "c.json",
             "xetHash": null, "lastCommit": {"id": "x"}},
            {"type": "file", "oid": "ce013625030ba8dba906f756967f9e9ca394464a", "size": 3, "path": "m.bin", "lfs":
             {"oid": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "size": 3, "pointerSize": 134}}
        ]"#;
        let listed: Vec<Listed> = serde_json::from_str(text).unwrap();
        let small = listed[1].expected();
        assert_eq!((small.sha256, small.size), (None, Some(12)));
        assert_eq!(small.git_blob.unwrap().to_string(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        let large = listed[2].expected();
        assert_eq!((large.sha256, large.git_blob, large.size), (Some(Sha256::of(b"")), None, Some(3)));
    }
}
