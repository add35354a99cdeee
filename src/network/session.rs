//! One connection to a server of the network, and what can be asked over it.
//!
//! A session is never joined to a second connection. The client would send what it holds of the first one after it has
//! connected again, and a claim that was lost meanwhile would go on writing: so a session that is cut off is over, and
//! whoever goes on does so with the [`Link`](super::Link)'s next.

mod credentials;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{AuthError, Client, ConnectOptions, Event, HeaderMap, Message, ServerAddr, Subscriber};
use base64::Engine;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::error::NetworkError;
use super::subjects::{Stream, Subjects};

pub use credentials::Credentials;

use credentials::Signer;

/// For the connection to stand.
const CONNECT: Duration = Duration::from_secs(5);
/// For an answer, where the caller has no time of its own.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// A connection that is silent is asked so often whether it is alive; it is given up after two that are not answered.
const PING: Duration = Duration::from_secs(5);
/// Messages that a subscription holds for whoever reads it.
const HELD: usize = 4096;

/// Where the servers are and how they are spoken to.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Addresses, `nats://HOST:PORT` or `tls://HOST:PORT`; any of them will do.
    pub addresses: Vec<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// Further authorities to trust, PEM.
    pub ca_file: Option<PathBuf>,
    /// A client certificate and its key, PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// What answers are sent to begins with; the server's permissions name it. `_INBOX` where it is empty.
    pub inbox: String,
    /// What the connection is called in the server's lists.
    pub name: String,
}

/// A connection, as long as it stands; clones are the same one.
#[derive(Clone)]
pub struct Session {
    client: Client,
    subjects: Arc<Subjects>,
    over: watch::Receiver<bool>,
}

/// A message of a stream.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its subject.
    pub subject: String,
    /// Its number in the stream.
    pub sequence: u64,
    /// What stands in its headers, by name.
    pub headers: HeaderMap,
    /// What it says.
    pub payload: Bytes,
}

/// What came of creating what may be there once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It is there now, under this number.
    New(u64),
    /// Something is there already.
    Taken,
}

/// What a server of JetStream says of something that it was told to keep.
#[derive(serde::Deserialize)]
struct Kept {
    seq: u64,
    /// The server knows the message's id from the last minutes and has not kept it again.
    #[serde(default)]
    duplicate: bool,
}

#[derive(serde::Deserialize)]
struct ApiError {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Server {
    /// As the messages of errors name it.
    fn shown(&self) -> String {
        self.addresses.join(", ")
    }

    /// Opens a connection. Fails at once where none of the servers takes it.
    pub async fn open(&self, subjects: &Arc<Subjects>) -> Result<Session, NetworkError> {
        let failed = |said: String| NetworkError::Connect { servers: self.shown(), said };
        let addresses: Vec<ServerAddr> = self
            .addresses
            .iter()
            .map(|address| address.parse::<ServerAddr>())
            .collect::<Result<_, _>>()
            .map_err(|error| failed(error.to_string()))?;
        let signer = Arc::new(Signer::of(&self.credentials)?);
        let used = Arc::new(AtomicBool::new(false));
        let (ends, over) = watch::channel(false);
        let mut options = ConnectOptions::with_auth_callback(move |nonce| {
            let (signer, used) = (Arc::clone(&signer), Arc::clone(&used));
            async move {
                if used.load(Ordering::Acquire) {
                    Err(AuthError::new("a session connects once"))
                } else {
                    signer.answer(&nonce, &used)
                }
            }
        })
        .event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::Closed) {
                ends.send_replace(true);
            }
            if let Event::ServerError(error) = &event {
                tracing::warn!(%error, "the network's server says");
            }
            async {}
        })
        .name(&self.name)
        .connection_timeout(CONNECT)
        .request_timeout(None)
        .ping_interval(PING)
        .subscription_capacity(HELD);
        if !self.inbox.is_empty() {
            options = options.custom_inbox_prefix(&self.inbox);
        }
        if let Some(path) = &self.ca_file {
            options = options.add_root_certificates(path.clone());
        }
        if let Some((chain, key)) = &self.certificate {
            options = options.add_client_certificate(chain.clone(), key.clone());
        }
        let client = options.connect(addresses).await.map_err(|error| {
            use async_nats::ConnectErrorKind::{Authentication, AuthorizationViolation};
            let said = error.to_string();
            match error.kind() {
                Authentication | AuthorizationViolation => {
                    NetworkError::Credentials { servers: self.shown(), said }
                }
                _ => failed(said),
            }
        })?;
        Ok(Session { client, subjects: Arc::clone(subjects), over })
    }
}

impl Session {
    /// Names of everything.
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Whether the connection is gone.
    pub fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Resolves when the connection is gone.
    pub async fn over(&self) {
        // A sender that is gone has nothing more to tell: the connection's task has ended.
        let _ = self.over.clone().wait_for(|over| *over).await;
    }

    /// The largest message that the server takes, in bytes.
    pub fn largest(&self) -> usize {
        self.client.max_payload()
    }

    /// The version of the server at the other end, and its id.
    pub(super) fn server(&self) -> (String, String) {
        let server = self.client.server_info();
        (server.version, server.server_id)
    }

    /// Subscribes to what is published from now on.
    pub(super) async fn listen(&self, subject: &str) -> Result<Subscriber, NetworkError> {
        let doing = || format!("listen to {subject}");
        let subscribed = self.client.subscribe(subject.to_owned()).await;
        subscribed.map_err(|error| NetworkError::Unavailable { doing: doing(), said: error.to_string() })
    }

    /// A subject for answers that nobody else has.
    pub(super) fn inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// Publishes with `reply` as the subject of answers, which the caller listens to.
    pub(super) async fn send(
        &self,
        subject: &str,
        reply: Option<&str>,
        payload: Bytes,
    ) -> Result<(), NetworkError> {
        if self.is_over() {
            return Err(self.cut_off(format!("write to {subject}")));
        }
        let sent = match reply {
            Some(reply) => {
                self.client.publish_with_reply(subject.to_owned(), reply.to_owned(), payload).await
            }
            None => self.client.publish(subject.to_owned(), payload).await,
        };
        sent.map_err(|error| NetworkError::Unavailable {
            doing: format!("write to {subject}"),
            said: error.to_string(),
        })
    }

    /// Publishes with headers, and asks for no answer.
    pub(super) async fn send_with(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), NetworkError> {
        let doing = || format!("write to {subject}");
        if self.is_over() {
            return Err(self.cut_off(doing()));
        }
        let sent = self.client.publish_with_headers(subject.to_owned(), headers, payload).await;
        sent.map_err(|error| NetworkError::Unavailable { doing: doing(), said: error.to_string() })
    }

    /// Asks, and waits `within` for the answer. An answer of the server that nobody listens is an error.
    pub(super) async fn request(
        &self,
        doing: &str,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        within: Duration,
    ) -> Result<Message, NetworkError> {
        use async_nats::RequestErrorKind::{MaxPayloadExceeded, NoResponders, TimedOut};
        if self.is_over() {
            return Err(self.cut_off(doing.to_owned()));
        }
        let request = async_nats::Request::new().payload(payload).timeout(Some(within));
        let request = match headers {
            Some(headers) => request.headers(headers),
            None => request,
        };
        let answer = tokio::select! {
            answer = self.client.send_request(subject.to_owned(), request) => answer,
            () = self.over() => return Err(self.cut_off(doing.to_owned())),
        };
        answer.map_err(|error| match error.kind() {
            MaxPayloadExceeded => {
                NetworkError::TooLarge { doing: doing.to_owned(), said: error.to_string() }
            }
            TimedOut => NetworkError::NoAnswer { doing: doing.to_owned(), after: within },
            NoResponders => NetworkError::Unavailable {
                doing: doing.to_owned(),
                said: format!("nobody answers on {subject}: the server has no JetStream, or no leader, or no such stream"),
            },
            _ => NetworkError::Unavailable { doing: doing.to_owned(), said: error.to_string() },
        })
    }

    /// Asks JetStream's API.
    pub(super) async fn api<T: DeserializeOwned>(
        &self,
        doing: &str,
        call: &str,
        body: &impl Serialize,
    ) -> Result<T, NetworkError> {
        let payload = serde_json::to_vec(body).map_err(|error| unreadable(doing, &error))?;
        let payload = if payload == b"null" { Bytes::new() } else { payload.into() };
        let answer = self.request(doing, &format!("$JS.API.{call}"), None, payload, ANSWER).await?;
        read_answer(doing, &answer.payload)
    }

    /// Has a stream keep a message; its number there.
    pub(super) async fn publish(
        &self,
        doing: &str,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        within: Duration,
    ) -> Result<u64, NetworkError> {
        let answer = self.request(doing, subject, Some(headers), payload, within).await?;
        read_answer::<Kept>(doing, &answer.payload).map(|kept| kept.seq)
    }

    /// Begins a batch with a message, which a stream keeps when the batch is ended.
    pub(super) async fn begin(
        &self,
        doing: &str,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        within: Duration,
    ) -> Result<(), NetworkError> {
        let answer = self.request(doing, subject, Some(headers), payload, within).await?;
        // Nothing is what it says where it has begun.
        if answer.payload.is_empty() {
            return Ok(());
        }
        read_answer::<serde::de::IgnoredAny>(doing, &answer.payload).map(|_| ())
    }

    /// Has a stream keep a message where there is none under its subject. One whose `Nats-Msg-Id` the stream has kept
    /// lately is taken too, under whichever subject it was.
    pub(super) async fn create(
        &self,
        doing: &str,
        subject: &str,
        mut headers: HeaderMap,
        payload: Bytes,
        within: Duration,
    ) -> Result<Created, NetworkError> {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let answer = self.request(doing, subject, Some(headers), payload, within).await?;
        match read_answer::<Kept>(doing, &answer.payload) {
            Ok(Kept { duplicate: true, .. }) => Ok(Created::Taken),
            Ok(Kept { seq, .. }) => Ok(Created::New(seq)),
            Err(error) if error.is_taken() => Ok(Created::Taken),
            Err(error) => Err(error),
        }
    }

    /// The newest message under a subject, as the stream's leader has it.
    pub(super) async fn last(&self, stream: Stream, subject: &str) -> Result<Option<Stored>, NetworkError> {
        self.last_in(&self.subjects.stream(stream), subject).await
    }

    /// The first message from `sequence` on whose subject `filter` takes.
    pub async fn next(
        &self,
        stream: Stream,
        sequence: u64,
        filter: &str,
    ) -> Result<Option<Stored>, NetworkError> {
        let which = serde_json::json!({ "seq": sequence, "next_by_subj": filter });
        self.get(&self.subjects.stream(stream), &which).await
    }

    /// The newest message under a subject of the stream that has this name.
    pub(super) async fn last_in(&self, name: &str, subject: &str) -> Result<Option<Stored>, NetworkError> {
        self.get(name, &serde_json::json!({ "last_by_subj": subject })).await
    }

    async fn get(&self, name: &str, which: &serde_json::Value) -> Result<Option<Stored>, NetworkError> {
        #[derive(serde::Deserialize)]
        struct Got {
            message: Raw,
        }
        #[derive(serde::Deserialize)]
        struct Raw {
            subject: String,
            seq: u64,
            #[serde(default)]
            hdrs: String,
            #[serde(default)]
            data: String,
        }
        let doing = format!("read from stream {name}");
        let got: Got = match self.api(&doing, &format!("STREAM.MSG.GET.{name}"), which).await {
            Ok(got) => got,
            Err(NetworkError::Refused { code: 10_037, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let decode = |text: &str| {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.map_err(|error| unreadable(&format!("a message of stream {name}"), &error))
        };
        Ok(Some(Stored {
            headers: read_headers(&decode(&got.message.hdrs)?),
            payload: decode(&got.message.data)?.into(),
            subject: got.message.subject,
            sequence: got.message.seq,
        }))
    }

    fn cut_off(&self, doing: String) -> NetworkError {
        NetworkError::Unavailable { doing, said: "the connection to the network is gone".to_owned() }
    }
}

/// Reads an answer of JetStream, which may be an error.
fn read_answer<T: DeserializeOwned>(doing: &str, payload: &[u8]) -> Result<T, NetworkError> {
    #[derive(serde::Deserialize)]
    struct Failed {
        error: Option<ApiError>,
    }
    let failed: Failed = serde_json::from_slice(payload).map_err(|error| unreadable(doing, &error))?;
    if let Some(ApiError { code, err_code, description }) = failed.error {
        let code = if err_code == 0 { code } else { err_code };
        return Err(NetworkError::Refused { doing: doing.to_owned(), code, said: description });
    }
    serde_json::from_slice(payload).map_err(|error| unreadable(doing, &error))
}

fn unreadable(what: &str, wrong: &dyn fmt::Display) -> NetworkError {
    NetworkError::Unreadable { what: what.to_owned(), wrong: wrong.to_string() }
}

/// Headers as they stand in a stored message: a first line, then `Name: value`.
fn read_headers(raw: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in String::from_utf8_lossy(raw).split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':')
            && !name.is_empty()
        {
            headers.append(name, value.trim());
        }
    }
    headers
}
