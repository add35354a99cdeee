//! Pulling work, and telling the queue what becomes of it.
//!
//! Pulled is what there is room for, class after class; where there is nothing, the node waits for all classes at once. A
//! wait that is broken off is wound up with the server, so that nothing is delivered to nobody.

use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;

use super::claim::{Claim, ClaimClock};
use super::error::NetworkError;
use super::session::{ANSWER, Session};
use super::subjects::{Stream, WorkSubject};
use crate::clock;
use crate::types::TraceParent;

/// When a piece of work was handed in, milliseconds since the Unix epoch.
pub(super) const SUBMITTED: &str = "Vortex-Submitted";
/// The trace that it belongs to (W3C Trace Context).
pub(super) const TRACEPARENT: &str = "traceparent";

/// Work that this node has a claim on.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What its subject says; none where that is no subject of work.
    pub subject: Option<WorkSubject>,
    /// Its subject as it is.
    pub raw_subject: String,
    /// The recipe's bytes.
    pub recipe: Bytes,
    /// Its number in the stream.
    pub sequence: u64,
    /// How often it has been delivered, this time included.
    pub delivered: u64,
    /// The trace that it belongs to.
    pub traceparent: Option<TraceParent>,
    /// When it was handed in, since the Unix epoch.
    pub submitted: Option<Duration>,
    /// How long the claim holds.
    pub claim: ClaimClock,
    headers: HeaderMap,
    reply: String,
}

/// What one pull came to.
enum Answer {
    Work(Message),
    /// Nothing more comes of it.
    Done,
    /// The server does not serve it.
    Failed(NetworkError),
}

impl Session {
    /// Pulls at most `room` pieces of work from `consumers`, the first ones first; how many that is is asked before each of
    /// them. Where there is no work, waits until there is, `until` resolves, or `wait` has passed, which may be none; then answers with nothing,
    /// or with what came at the last moment, which may be more than there is room for: one from each consumer.
    pub async fn pull(
        &self,
        consumers: &[String],
        room: impl Fn() -> usize,
        ack_wait: Duration,
        wait: Duration,
        until: impl Future<Output = ()>,
    ) -> Result<Vec<Delivery>, NetworkError> {
        let mut found = Vec::new();
        for consumer in consumers {
            let left = room().saturating_sub(found.len());
            if left == 0 {
                break;
            }
            found.extend(self.pull_now(consumer, left, ack_wait).await?);
        }
        if !found.is_empty() || wait.is_zero() || room() == 0 {
            return Ok(found);
        }
        self.pull_any(consumers, ack_wait, wait, until).await
    }

    /// What there is in one consumer.
    async fn pull_now(
        &self,
        consumer: &str,
        room: usize,
        ack_wait: Duration,
    ) -> Result<Vec<Delivery>, NetworkError> {
        let inbox = self.inbox();
        let mut answers = self.listen(&inbox).await?;
        let sent = clock::since_boot();
        self.ask_for(consumer, &inbox, &serde_json::json!({ "batch": room, "no_wait": true })).await?;
        let mut found = Vec::new();
        let doing = format!("pull from {consumer}");
        while found.len() < room {
            let answer = tokio::select! {
                answer = tokio::time::timeout(ANSWER, answers.next()) => answer,
                () = self.over() => Ok(None),
            };
            match answer.map(|message| message.map(|message| read(message, &doing))) {
                Ok(Some(Answer::Work(message))) => found.push(delivery(self, message, sent, ack_wait)),
                Ok(Some(Answer::Done)) => break,
                Ok(Some(Answer::Failed(error))) if found.is_empty() => return Err(error),
                // What came counts; the next pull meets the error again.
                Ok(Some(Answer::Failed(_)) | None) if !found.is_empty() => break,
                Err(_) if !found.is_empty() => break,
                Ok(Some(Answer::Failed(error))) => return Err(error),
                Ok(None) => return Err(gone(&doing)),
                Err(_) => return Err(NetworkError::NoAnswer { doing, after: ANSWER }),
            }
        }
        Ok(found)
    }

    /// The first work of any consumer.
    async fn pull_any(
        &self,
        consumers: &[String],
        ack_wait: Duration,
        wait: Duration,
        until: impl Future<Output = ()>,
    ) -> Result<Vec<Delivery>, NetworkError> {
        let inbox = self.inbox();
        let mut answers = self.listen(&inbox).await?;
        let sent = clock::since_boot();
        let request = serde_json::json!({ "batch": 1, "expires": nanoseconds(wait) });
        for consumer in consumers {
            self.ask_for(consumer, &inbox, &request).await?;
        }
        let doing = "wait for work".to_owned();
        // The server ends each wait by itself; longer than that nobody is waited for who does not answer.
        let late = tokio::time::sleep(wait.saturating_add(ANSWER));
        let (mut late, mut until) = (std::pin::pin!(late), std::pin::pin!(until));
        let (mut found, mut ended) = (Vec::new(), 0);
        while found.is_empty() && ended < consumers.len() {
            let message = tokio::select! {
                message = answers.next() => message,
                () = &mut until => break,
                () = &mut late => break,
                // Nothing comes any more: the next session is waiting to be asked.
                () = self.over() => return Err(gone(&doing)),
            };
            match message.map(|message| read(message, &doing)) {
                Some(Answer::Work(message)) => found.push(delivery(self, message, sent, ack_wait)),
                Some(Answer::Done) => ended += 1,
                Some(Answer::Failed(error)) => {
                    self.wind_up(answers, sent, ack_wait, &mut found).await;
                    return if found.is_empty() { Err(error) } else { Ok(found) };
                }
                None => return Err(gone(&doing)),
            }
        }
        self.wind_up(answers, sent, ack_wait, &mut found).await;
        Ok(found)
    }

    /// Ends a wait: the server forgets it, and what it had delivered by then is taken.
    async fn wind_up(
        &self,
        mut answers: Subscriber,
        sent: Duration,
        ack_wait: Duration,
        found: &mut Vec<Delivery>,
    ) {
        if answers.drain().await.is_err() {
            return;
        }
        let rest = async {
            while let Some(message) = answers.next().await {
                if let Answer::Work(message) = read(message, "wind up a wait") {
                    found.push(delivery(self, message, sent, ack_wait));
                }
            }
        };
        // Whoever does not answer is cut off before long; what it delivered comes again.
        tokio::select! {
            _ = tokio::time::timeout(ANSWER, rest) => {}
            () = self.over() => {}
        }
    }

    async fn ask_for(
        &self,
        consumer: &str,
        inbox: &str,
        request: &serde_json::Value,
    ) -> Result<(), NetworkError> {
        let stream = self.subjects().stream(Stream::Work);
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        self.send(&subject, Some(inbox), request.to_string().into()).await
    }

    /// Tells the queue that the work is being done; once this is confirmed the claim holds on.
    pub async fn progress(&self, delivery: &Delivery) -> Result<(), NetworkError> {
        let sent = clock::since_boot();
        self.say(delivery, "tell progress of", "+WPI").await?;
        delivery.claim.confirmed(sent);
        Ok(())
    }

    /// Has the queue forget the work. Only once its result stands.
    pub async fn acknowledge(&self, delivery: &Delivery) -> Result<(), NetworkError> {
        self.say(delivery, "acknowledge", "+ACK").await
    }

    /// The same for work that nobody is to try again, whose letter and result stand.
    pub async fn terminate(&self, delivery: &Delivery) -> Result<(), NetworkError> {
        self.say(delivery, "terminate", "+TERM").await
    }

    async fn say(&self, delivery: &Delivery, doing: &str, word: &'static str) -> Result<(), NetworkError> {
        let doing = format!("{doing} message {} of the work stream", delivery.sequence);
        // The last look at the clock: nothing comes between it and the write.
        let left = delivery.claim.left();
        if left.is_zero() {
            return Err(NetworkError::Unavailable { doing, said: "the claim on it is over".to_owned() });
        }
        let payload = Bytes::from_static(word.as_bytes());
        let answer = self.request(&doing, &delivery.reply, None, payload, left.min(ANSWER)).await?;
        match answer.status {
            None | Some(StatusCode::OK) => Ok(()),
            Some(status) => {
                Err(NetworkError::Unavailable { doing, said: format!("the server answered {status}") })
            }
        }
    }
}

impl Delivery {
    /// The headers that it came with, by name.
    pub fn headers(&self) -> std::collections::BTreeMap<String, String> {
        let value = |values: &Vec<async_nats::HeaderValue>| {
            values.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", ")
        };
        self.headers.iter().map(|(name, values)| (name.to_string(), value(values))).collect()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn gone(doing: &str) -> NetworkError {
    NetworkError::Unavailable {
        doing: doing.to_owned(),
        said: "the connection to the network is gone".to_owned(),
    }
}

fn read(message: Message, doing: &str) -> Answer {
    let said = || message.description.clone().unwrap_or_default();
    match message.status {
        None => Answer::Work(message),
        Some(StatusCode::IDLE_HEARTBEAT) => Answer::Done,
        // 404: nothing there. 408: the wait is over.
        Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => Answer::Done,
        Some(StatusCode::NO_RESPONDERS) => Answer::Failed(NetworkError::Unavailable {
            doing: doing.to_owned(),
            said: "nobody answers: the consumer is gone, or has no leader".to_owned(),
        }),
        // Too many wait, or the consumer or the server is going away: asked again later.
        Some(status) => Answer::Failed(NetworkError::Refused {
            doing: doing.to_owned(),
            code: u64::from(status.as_u16()),
            said: said(),
        }),
    }
}

fn delivery(session: &Session, message: Message, sent: Duration, ack_wait: Duration) -> Delivery {
    let reply = message.reply.as_ref().map(ToString::to_string).unwrap_or_default();
    let (sequence, delivered) = counts(&reply);
    let headers = message.headers.unwrap_or_default();
    let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    let submitted = header(SUBMITTED).and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let raw_subject = message.subject.to_string();
    Delivery {
        subject: session.subjects().read_work(&raw_subject),
        traceparent: header(TRACEPARENT).and_then(|text| text.parse().ok()),
        submitted,
        recipe: message.payload,
        sequence,
        delivered,
        claim: ClaimClock::new(Claim::pulled(sent, ack_wait)),
        headers,
        raw_subject,
        reply,
    }
}

/// The number in the stream and how often it was delivered, from the subject that acknowledgements go to: with domain and
/// account in it (12 parts) or without (9).
fn counts(reply: &str) -> (u64, u64) {
    let parts: Vec<&str> = reply.split('.').collect();
    let (delivered, sequence) = if parts.len() >= 11 { (6, 7) } else { (4, 5) };
    let number = |place: usize| parts.get(place).and_then(|part| part.parse().ok()).unwrap_or(0);
    (number(sequence), number(delivered))
}
