//! One request to a node, repeated where that is safe and may help.
//!
//! Owns the connections and the patience. What changes nothing when it comes twice (reads, `PUT` by id, `DELETE`) is sent
//! again after a broken connection; what a node refuses for the moment is asked again when it says, if that is soon.

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url, redirect};

use super::access::{Access, is_loopback, same_place};
use super::answer::{Answer, accepted};
use super::error::{ClientError, cause};
use super::token::Token;

/// How long to put up with a bad line.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries of one request, the first among them.
    pub tries: u32,
    /// Before the second; doubles with each.
    pub pause: Duration,
    /// A pause that a node asks for is kept up to this within one request; longer ones are told to whoever asked.
    pub longest: Duration,
    /// How long a connection may say nothing: four of the node's signs of life on an event stream, and longer than a
    /// long poll.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 4,
            pause: Duration::from_millis(200),
            longest: Duration::from_secs(5),
            silence: Duration::from_secs(60),
        }
    }
}

/// Whether a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Not at all: it may have been done.
    Never,
    /// After a broken connection; a refusal for the moment is the caller's.
    Broken,
    /// After a refusal for the moment, too.
    Told,
}

/// A request in the making.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
    pub(super) again: Again,
}

/// Speaks to one node.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// For addresses elsewhere: it has no certificate of ours.
    elsewhere: reqwest::Client,
    base: Url,
    token: Option<Token>,
    advice: String,
    patience: Patience,
}

/// A machine that is there answers within this; a name that leads nowhere is told before anybody loses patience.
const CONNECT: Duration = Duration::from_secs(10);

impl Client {
    /// To the node that `access` leads to. A provider of cryptography for rustls must be installed.
    pub fn new(access: Access, patience: Patience) -> Result<Self, ClientError> {
        let Access { base, token, roots, identity, advice } = access;
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("vortex-node/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .read_timeout(patience.silence)
                // A token must not follow to wherever an answer points.
                .redirect(redirect::Policy::none())
        };
        let mut own = builder().tls_certs_merge(roots);
        if let Some(identity) = identity {
            own = own.identity(identity);
        }
        // What is meant for this machine is not for a proxy.
        if is_loopback(&base) {
            own = own.no_proxy();
        }
        let made = |builder: reqwest::ClientBuilder| {
            builder
                .build()
                .map_err(|error| ClientError::Wrong(format!("TLS cannot be set up: {}", cause(&error))))
        };
        Ok(Self { http: made(own)?, elsewhere: made(builder())?, base, token, advice, patience })
    }

    /// The node's address.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// How long it puts up with a bad line.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// The address of what the API has under these parts of a path.
    pub(super) fn url(&self, parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Where `told` leads, an address or a path on the node; none where it is neither.
    pub(super) fn resolve(&self, told: &str) -> Option<Url> {
        let url = if told.starts_with('/') && !told.starts_with("//") {
            Url::parse(&format!("{}{told}", self.address())).ok()?
        } else {
            Url::parse(told).ok()?
        };
        matches!(url.scheme(), "http" | "https").then_some(url)
    }

    /// Asks, and hands out an answer that is no refusal.
    pub(super) async fn ask(&self, asked: &Asked) -> Result<Answer, ClientError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let ended = match self.send(asked).await {
                Ok(response) => Answer::read(response).await,
                Err(error) => Err(error),
            };
            let error = match ended {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = self.pause(asked.again, tries, &error);
            match pause.filter(|_| tries < self.patience.tries) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// Before the next try after `error`; none where there should not be one.
    fn pause(&self, again: Again, tries: u32, error: &ClientError) -> Option<Duration> {
        let own = self.patience.pause * (1 << (tries - 1).min(8));
        match error {
            ClientError::Broken { .. } if again != Again::Never => Some(own),
            ClientError::Refused(refusal) if again == Again::Told && refusal.passes() => {
                // Without a time there is no saying that it will pass soon.
                refusal
                    .retry_after
                    .filter(|after| *after <= self.patience.longest)
                    .map(|after| after.max(own))
            }
            _ => None,
        }
    }

    /// Sends once; the answer's body is still to come.
    pub(super) async fn send(&self, asked: &Asked) -> Result<Response, ClientError> {
        let mut request =
            self.request(asked.method.clone(), asked.url.clone()).headers(asked.headers.clone());
        if let Some(body) = &asked.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(|error| self.failed(error, &asked.url))
    }

    /// Opens a stream: an answer that is no refusal, its body still to come.
    pub(super) async fn open(&self, url: Url, headers: HeaderMap) -> Result<Response, ClientError> {
        let request = self.request(Method::GET, url.clone()).headers(headers);
        accepted(request.send().await.map_err(|error| self.failed(error, &url))?).await
    }

    /// The token goes to the node only, wherever an answer points.
    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let at_home = same_place(&url, &self.base);
        let http = if at_home { &self.http } else { &self.elsewhere };
        let request = http.request(method, url);
        match self.token.as_ref().filter(|_| at_home) {
            // Marked as sensitive by the library: it is in none of its logs.
            Some(token) => request.bearer_auth(token.secret()),
            None => request,
        }
    }

    pub(super) fn failed(&self, error: reqwest::Error, url: &Url) -> ClientError {
        let (is_connect, is_timeout) = (error.is_connect(), error.is_timeout());
        let why = cause(&error.without_url());
        let url = url.origin().ascii_serialization();
        match (is_connect, is_timeout) {
            (true, _) => ClientError::Unreachable { url, why, advice: self.advice.clone() },
            (false, true) => {
                ClientError::Broken { url, why: format!("nothing came for {:?}", self.patience.silence) }
            }
            (false, false) => ClientError::Broken { url, why },
        }
    }
}

/// Headers of a request that is answered in JSON.
pub(super) fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))])
}
