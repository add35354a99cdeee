//! Requests to a hub: what a file is, and its bytes from a place on.
//!
//! Redirects are followed by hand while the hub is asked what a file is, since its own headers are lost at the next host.

use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE, LOCATION, RANGE,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, redirect};

use super::answer::{self, Asked};
use super::error::{HubError, cause};
use super::expected::Expected;
use super::patience::Patience;
use super::remote_file::RemoteFile;
use super::token::Token;
use crate::client::is_loopback;
use crate::types::{GitHash, Sha256};

/// The public hub.
const PUBLIC: &str = "https://huggingface.co";
/// Redirects in a row: the hub itself needs two, for a renamed repository and for its cache of small files.
pub(super) const HOPS: usize = 5;
/// A machine that is there answers within this.
const CONNECT: Duration = Duration::from_secs(10);

const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");

/// What a hub says about a file.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// How many bytes it has; none where the hub does not say.
    pub(crate) size: Option<u64>,
    /// Its SHA-256, where the hub keeps it by that: all large files.
    pub(super) sha256: Option<Sha256>,
    /// Changes with its content.
    pub(super) tag: Option<String>,
    /// The commit that the hub names with it.
    pub(crate) commit: String,
    /// Where its bytes are, for a while.
    pub(super) address: Url,
}

impl Known {
    /// An error where the hub is known to have something else than `expected`.
    pub(crate) fn must_be(&self, expected: &Expected) -> Result<(), HubError> {
        expected.agrees_with_hub(&self.expected())
    }

    /// Whether the repository holds the file itself, and not a pointer to it.
    pub(crate) fn is_small(&self) -> bool {
        self.sha256.is_none()
    }

    /// All that is known of its content.
    pub(super) fn expected(&self) -> Expected {
        // The tag of a file that the repository holds itself is git's name for it.
        let git_blob =
            self.tag.as_deref().filter(|_| self.is_small()).and_then(|tag| opaque(tag).parse().ok());
        Expected { sha256: self.sha256, git_blob, size: self.size }
    }
}

/// Speaks to one hub.
#[derive(Clone, Debug)]
pub(crate) struct HubClient {
    /// To the hub itself; follows nothing.
    own: reqwest::Client,
    /// To wherever it points: without the token.
    elsewhere: reqwest::Client,
    base: Url,
    token: Option<Token>,
    pub(super) patience: Patience,
}

impl HubClient {
    /// To the hub at `endpoint`, or the public one. A provider of cryptography for rustls must be installed.
    pub(crate) fn new(
        endpoint: Option<&str>,
        token: Option<Token>,
        patience: Patience,
    ) -> Result<Self, HubError> {
        let base = parse(endpoint.map(str::trim).filter(|text| !text.is_empty()).unwrap_or(PUBLIC))?;
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("vortex-node/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .read_timeout(patience.silence)
        };
        let mut own = builder().redirect(redirect::Policy::none());
        // What is meant for this machine is not for a proxy.
        if is_loopback(&base) {
            own = own.no_proxy();
        }
        // A secure hub has its files at secure hosts; whoever points elsewhere is not it.
        let elsewhere =
            builder().redirect(redirect::Policy::limited(HOPS)).https_only(base.scheme() == "https");
        let made = |builder: reqwest::ClientBuilder| {
            builder
                .build()
                .map_err(|error| HubError::Wrong(format!("TLS cannot be set up: {}", cause(&error))))
        };
        Ok(Self { own: made(own)?, elsewhere: made(elsewhere)?, base, token, patience })
    }

    /// Why the token stays here, where it does: a line that others read is no way for a secret.
    pub(crate) fn withheld(&self) -> Option<String> {
        let is_open = self.base.scheme() != "https" && !is_loopback(&self.base);
        let token = self.token.as_ref().filter(|_| is_open)?;
        Some(format!(
            "the token from {} is not sent to {}: it is no https address",
            token.from(),
            self.endpoint()
        ))
    }

    fn endpoint(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The page of a repository, for people.
    pub(crate) fn page_of(&self, repo: &str) -> String {
        format!("{}/{repo}", self.endpoint())
    }

    /// Asks what `file` is; once.
    pub(crate) async fn look(&self, file: &RemoteFile) -> Result<Known, HubError> {
        let mut url = self.resolved(file);
        let (mut commit, mut size, mut linked, mut tag) = (None, None, None, None);
        for _ in 0..=HOPS {
            let response = self.send(self.at_home(Method::HEAD, url.clone())).await?;
            let (status, headers) = (response.status(), response.headers());
            if !(status.is_success() || status.is_redirection()) {
                return Err(answer::refused(status, headers, &self.asked(file)));
            }
            commit = commit.or_else(|| text(headers, &COMMIT));
            size = size.or_else(|| text(headers, &LINKED_SIZE)?.parse().ok());
            linked = linked.or_else(|| text(headers, &LINKED_ETAG));
            let next = status.is_redirection().then(|| pointed(&url, status, headers)).transpose()?;
            if next.is_none() {
                size = size.or_else(|| text(headers, &CONTENT_LENGTH)?.parse().ok());
                tag = text(headers, &ETAG);
            }
            match next {
                Some(next) if next.origin() == self.base.origin() => url = next,
                next => {
                    let commit = self.commit(commit, file)?;
                    let sha256 = linked.as_deref().and_then(|tag| opaque(tag).parse().ok());
                    let tag = linked.or(tag);
                    return Ok(Known { size, sha256, tag, commit, address: next.unwrap_or(url) });
                }
            }
        }
        Err(HubError::Refused(format!("the hub points on more than {HOPS} times")))
    }

    /// A hub names the commit with every file; a pinned one must be that.
    fn commit(&self, commit: Option<String>, file: &RemoteFile) -> Result<String, HubError> {
        let Some(commit) = commit else {
            return Err(HubError::Refused(format!(
                "what answers at {} is no model hub: it names no commit (X-Repo-Commit)",
                self.endpoint()
            )));
        };
        let revision = &file.revision;
        if revision.parse::<GitHash>().is_ok() && !commit.eq_ignore_ascii_case(revision) {
            return Err(HubError::Refused(format!(
                "the hub answers with another commit: expected {revision}, found {commit}"
            )));
        }
        Ok(commit)
    }

    /// The bytes of `known` from `begin` on, if the server keeps to it; `tag` is the server's own of what came before.
    /// An answer that is no success is an error.
    pub(super) async fn open(
        &self,
        file: &RemoteFile,
        known: &Known,
        begin: u64,
        tag: Option<&HeaderValue>,
    ) -> Result<Response, HubError> {
        let mut address = known.address.clone();
        for _ in 0..=HOPS {
            let is_at_home = address.origin() == self.base.origin();
            let mut request = if is_at_home {
                self.at_home(Method::GET, address.clone())
            } else {
                self.elsewhere.request(Method::GET, address.clone())
            };
            if begin > 0 {
                request = request.header(RANGE, format!("bytes={begin}-"));
                if let Some(tag) = tag {
                    request = request.header(IF_RANGE, tag.clone());
                }
            }
            let response = self.send(request).await?;
            let (status, headers) = (response.status(), response.headers());
            if status.is_success() || (begin > 0 && status == StatusCode::RANGE_NOT_SATISFIABLE) {
                return Ok(response);
            }
            if status.is_redirection() && is_at_home {
                // It said another thing when it was asked for the head alone.
                address = pointed(&address, status, headers)?;
                continue;
            }
            // What the hub points to refuses an address that has expired; the hub itself said yes a moment ago.
            return Err(if is_at_home {
                answer::refused(status, headers, &self.asked(file))
            } else {
                answer::refused_elsewhere(status, headers, &address.origin().ascii_serialization())
            });
        }
        Err(HubError::Refused(format!("the hub points on more than {HOPS} times")))
    }

    /// A request to the hub itself, the only one that has the token.
    pub(super) fn at_home(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.own.request(method, url);
        match self.token.as_ref().filter(|_| self.withheld().is_none()) {
            // Marked as sensitive by the library: it is in none of its logs.
            Some(token) => request.bearer_auth(token.secret()),
            None => request,
        }
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, HubError> {
        // Who says nothing takes every encoding: sizes, ranges and hashes are of the file's own bytes.
        let sent = request.header(ACCEPT_ENCODING, "identity").send().await;
        sent.map_err(|error| {
            let place = error.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
            let (is_silent, why) = (error.is_timeout(), cause(&error.without_url()));
            if is_silent {
                HubError::Passing(format!("{place} says nothing for {:?}", self.patience.silence))
            } else {
                HubError::Passing(format!("{place}: {why}"))
            }
        })
    }

    pub(super) fn asked<'a>(&'a self, file: &'a RemoteFile) -> Asked<'a> {
        Asked { endpoint: self.endpoint(), token: self.token.as_ref(), file }
    }

    /// Where the hub is asked for `file`.
    fn resolved(&self, file: &RemoteFile) -> Url {
        let RemoteFile { repo, revision, path } = file;
        self.at(repo.split('/').chain(["resolve", revision]).chain(path.split('/')))
    }

    /// An address at the hub. Parts are written so that none of them leads elsewhere.
    pub(super) fn at<'a>(&self, more: impl Iterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(more);
        }
        url
    }
}

fn parse(endpoint: &str) -> Result<Url, HubError> {
    let accepted = "accepted: an address such as https://huggingface.co";
    let wrong = |why: String| HubError::Wrong(format!("the hub's address {endpoint:?} {why}; {accepted}"));
    let url = Url::parse(endpoint).map_err(|error| wrong(format!("is none: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("is neither http nor https".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HubError::Wrong(format!("the hub's address holds a name or password; {accepted}")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than a path".to_owned()));
    }
    Ok(url)
}

/// Where a redirect leads.
pub(super) fn pointed(from: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Url, HubError> {
    let location = text(headers, &LOCATION).unwrap_or_default();
    from.join(&location).ok().filter(|url| !location.is_empty() && url.has_host()).ok_or_else(|| {
        HubError::Passing(format!("the hub answers HTTP {status} with {location:?}, which is no address"))
    })
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A tag without its quotes, and without what marks it as weak.
fn opaque(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(endpoint: &str) -> HubClient {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        HubClient::new(Some(endpoint), None, Patience::default()).unwrap()
    }

    #[test]
    fn a_file_is_asked_for_by_its_documented_address() {
        let file = RemoteFile {
            repo: "owner/name".to_owned(),
            revision: "refs/pr/1".to_owned(),
            path: "a folder/x?.bin".to_owned(),
        };
        for (endpoint, before) in [
            ("https://huggingface.co", "https://huggingface.co"),
            ("https://mirror.example/hf/", "https://mirror.example/hf"),
        ] {
            let expected = format!("{before}/owner/name/resolve/refs%2Fpr%2F1/a%20folder/x%3F.bin");
            assert_eq!(client(endpoint).resolved(&file).as_str(), expected);
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_what_would_be_accepted() {
        for endpoint in [
            "huggingface.co",
            "ftp://hub",
            "https://",
            "https://me:secret@hub",
            "https://hub?x=1",
            "file:///x",
        ] {
            let error = HubClient::new(Some(endpoint), None, Patience::default()).unwrap_err();
            assert!(matches!(error, HubError::Wrong(_)), "{endpoint}");
            let told = error.to_string();
            assert!(told.contains("https://huggingface.co") && !told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn a_token_goes_over_no_open_line() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let token = |name: &str| (name == "HF_TOKEN").then(|| "hf_secret".into());
        for (endpoint, goes) in [
            ("https://huggingface.co", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost", true),
            ("http://mirror.example", false),
            ("http://10.0.0.7", false),
        ] {
            let client =
                HubClient::new(Some(endpoint), Token::find(token).unwrap(), Patience::default()).unwrap();
            let request = client.at_home(Method::HEAD, client.base.clone()).build().unwrap();
            assert_eq!(request.headers().contains_key("authorization"), goes, "{endpoint}");
            assert_eq!(client.withheld().is_none(), goes, "{endpoint}");
        }
    }

    #[test]
    fn tags_are_read_without_their_marks() {
        for tag in ["abc", "\"abc\"", "W/\"abc\""] {
            assert_eq!(opaque(tag), "abc");
        }
    }
}
