//! One try of one row: checked, signed, sent, and what became of it written down.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Done, Notice, Options, Parts};
use crate::webhooks::date;
use crate::webhooks::message;
use crate::webhooks::outbox::{Mark, Row};
use crate::webhooks::schedule::{self, LONGEST_WAIT, Next};
use crate::webhooks::transport::Post;

/// Waits between tries to write a mark, doubled from the first to the last: the journal's disk may be full for long.
const MARK_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Gone for good, by the receiver's own word.
const GONE: u16 = 410;

/// A row in work.
pub(super) struct Delivery {
    pub(super) parts: Parts,
    pub(super) options: Options,
    pub(super) row: Row,
    pub(super) origin: String,
}

/// Why a try failed.
struct Failed {
    error: String,
    retry_after: Option<Duration>,
    gone: bool,
}

impl From<String> for Failed {
    fn from(error: String) -> Self {
        Self { error, retry_after: None, gone: false }
    }
}

impl Delivery {
    /// Tries once, and writes down what came of it. Until that is written the row counts as in work: else it would be sent
    /// again at once.
    pub(super) async fn carry_out(self) -> Done {
        let began = (self.options.wall)();
        let outcome = self.send().await;
        let at = (self.options.wall)();
        let took = at.saturating_sub(began);
        let Row { id, slot, event, attempts, since, .. } = &self.row;
        let (attempts, slot, event) = (attempts.saturating_add(1), *slot, event.clone());
        let origin = self.origin.clone();
        let (mark, notice, done) = match outcome {
            Ok(()) => (
                Mark::Delivered { at },
                Notice::Delivered { slot, event, origin, attempts, took },
                Done::default(),
            ),
            Err(Failed { error, retry_after, gone }) => {
                let age = at.saturating_sub(*since);
                let next = schedule::after(attempts, age, retry_after, (self.options.random)());
                let rest = retry_after.map(|wait| wait.min(LONGEST_WAIT));
                match next {
                    Next::Again(again) if !gone => (
                        Mark::Retry { next_at: at + again, error: error.clone() },
                        Notice::Failed { slot, event, origin, attempts, took, error, again },
                        Done { failed: true, next_at: Some(at + again), rest },
                    ),
                    _ => (
                        Mark::Undelivered { at, error: error.clone() },
                        Notice::Undelivered { slot, event, origin, attempts, took, error },
                        Done { failed: true, next_at: None, rest },
                    ),
                }
            }
        };
        self.write(*id, mark).await;
        (self.parts.notices)(notice);
        done
    }

    async fn send(&self) -> Result<(), Failed> {
        let Row { event, url, body, traceparent, .. } = &self.row;
        // The settings may have changed since it was handed in.
        let rules = self.parts.rules.borrow().clone();
        let target = rules.check(url).map_err(|error| error.to_string())?;
        let (secrets, now) = (self.parts.secrets.borrow().clone(), (self.options.wall)());
        let mut headers =
            message::headers(&secrets, event, now, body.as_bytes()).map_err(|error| error.to_string())?;
        if let Some(traceparent) = traceparent
            && let Ok(value) = http::HeaderValue::from_str(traceparent.as_str())
        {
            headers.insert("traceparent", value);
        }
        let post = Post { target, headers, body: body.as_bytes().to_vec() };
        let limit = self.options.timeout;
        let answer = timeout(limit, self.parts.transport.post(post))
            .await
            .map_err(|_| format!("no answer within {limit:?}"))?
            .map_err(|error| error.to_string())?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(Failed {
                error: refusal(status),
                // Only of these is it meant for the same request again.
                retry_after: answer
                    .retry_after
                    .filter(|_| matches!(status, 429 | 503))
                    .and_then(|value| date::retry_after(&value, (self.options.wall)())),
                gone: status == GONE,
            }),
        }
    }

    async fn write(&self, id: u64, mark: Mark) {
        let (mut wait, longest) = MARK_WAITS;
        while let Err(error) = self.parts.outbox.mark(id, mark.clone()).await {
            (self.parts.notices)(Notice::Trouble { error: error.to_string() });
            sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }
}

fn refusal(status: u16) -> String {
    match status {
        300..=399 => {
            format!("answered {status}: redirects are not followed; name the address that it leads to")
        }
        GONE => format!("answered {status}: gone for good"),
        _ => format!("answered {status}"),
    }
}
