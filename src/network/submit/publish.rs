//! Messages of the work stream on their way to the server: one, or a batch that is kept whole or not at all.

use serde::Deserialize;
use serde_json::json;

use super::{Message, SubmitError};
use crate::network::error::NetworkError;
use crate::network::session::{ANSWER, Created, Session};
use crate::network::subjects::Stream;

/// A message of the batch has an id that the stream has seen within two minutes.
const KNOWN_ID: u64 = 10_201;
/// A subject of the batch has a message, which another batch is writing.
const UNDER_WAY: u64 = 10_164;

/// Hands them in.
pub(super) async fn publish(session: &Session, messages: &[Message]) -> Result<(), NetworkError> {
    match messages {
        [] => Ok(()),
        [one] => single(session, one).await,
        many => batch(session, many).await,
    }
}

async fn single(session: &Session, message: &Message) -> Result<(), NetworkError> {
    let doing = format!("hand in {}", message.work);
    let Message { subject, headers, payload, .. } = message;
    match session.create(&doing, subject, headers.clone(), payload.clone(), ANSWER).await? {
        Created::New(_) => Ok(()),
        Created::Taken => {
            let said = "there is one already".to_owned();
            Err(NetworkError::Refused { doing, code: KNOWN_ID, said })
        }
    }
}

/// The server answers the first message, so that a stream without batches is noticed, and the last, which ends the batch.
async fn batch(session: &Session, messages: &[Message]) -> Result<(), NetworkError> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let doing = format!("hand in {} renderings", messages.len());
    let headers = |index: usize, message: &Message| {
        let mut headers = message.headers.clone();
        headers.insert("Nats-Batch-Id", id.as_str());
        headers.insert("Nats-Batch-Sequence", (index + 1).to_string());
        headers
    };
    let Some((last, others)) = messages.split_last() else { return Ok(()) };
    for (index, message) in others.iter().enumerate() {
        let (headers, payload) = (headers(index, message), message.payload.clone());
        if index == 0 {
            session.begin(&doing, &message.subject, headers, payload, ANSWER).await?;
        } else {
            session.send_with(&message.subject, headers, payload).await?;
        }
    }
    let mut headers = headers(others.len(), last);
    headers.insert("Nats-Batch-Commit", "1");
    session.publish(&doing, &last.subject, headers, last.payload.clone(), ANSWER).await?;
    Ok(())
}

/// Whether a message was refused since there is one of its rendering.
pub(super) fn is_known(error: &NetworkError) -> bool {
    error.is_taken() || matches!(error, NetworkError::Refused { code: KNOWN_ID | UNDER_WAY, .. })
}

/// With what a full stream is full of.
pub(super) async fn explained(
    session: &Session,
    error: NetworkError,
    wanted: usize,
    handed: usize,
) -> SubmitError {
    #[derive(Deserialize)]
    struct Told {
        config: Config,
        state: State,
    }
    #[derive(Deserialize)]
    struct Config {
        max_msgs: i64,
        max_bytes: i64,
    }
    #[derive(Deserialize)]
    struct State {
        messages: u64,
        bytes: u64,
    }
    let NetworkError::Refused { said, .. } = &error else { return error.into() };
    if !error.is_full() {
        return error.into();
    }
    let stream = session.subjects().stream(Stream::Work);
    let asked =
        session.api::<Told>("look at the queue", &format!("STREAM.INFO.{stream}"), &json!(null)).await;
    let Ok(Told { config, state }) = asked else { return error.into() };
    let of = |limit: &'static str, allowed: i64, found: u64, flag: &str| SubmitError::Full {
        stream: stream.clone(),
        limit,
        allowed: allowed.to_string(),
        found,
        wanted,
        handed,
        mend: flag.to_owned(),
    };
    if said.contains("maximum messages") {
        of("max_msgs", config.max_msgs, state.messages, "--max-msgs=NUMBER")
    } else if said.contains("maximum bytes") {
        of("max_bytes", config.max_bytes, state.bytes, "--max-bytes=NUMBER")
    } else {
        // The account's or the server's store: its own words say so.
        error.into()
    }
}
