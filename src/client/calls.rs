//! The requests, one method each.

use std::fmt;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ClientError;
use super::request::{Again, Asked, Client, json_headers};
use crate::api::views::{NodeView, SlotPage, SlotState, SlotView};
use crate::types::SlotId;

const WEBHOOK: HeaderName = HeaderName::from_static("vortex-webhook");
const WEBHOOK_EVENTS: HeaderName = HeaderName::from_static("vortex-webhook-events");

/// A recipe on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The recipe's id.
    pub id: SlotId,
    /// The recipe, as it stands in its file.
    pub document: Vec<u8>,
    /// Where its events go, where anywhere.
    pub webhook: Option<String>,
    /// Which events; empty for those that the node sends of itself.
    pub webhook_events: Vec<String>,
}

/// A recipe that is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The same recipe came before.
    pub known: bool,
    /// How it stands.
    pub slot: SlotView,
}

/// What an operator may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Take nothing in any more.
    Drain,
    /// Take slots in again.
    Undrain,
    /// Read the settings again.
    Reload,
    /// Somebody knows that slots may have been lost: go on.
    Acknowledge,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::Reload => "reload",
            Self::Acknowledge => "acknowledge",
        }
    }
}

/// A way into the node's page.
#[derive(Clone, PartialEq, Deserialize)]
pub struct Login {
    /// The address, which opens the page once; as good as a password until then.
    pub url: String,
    /// Seconds until it is worth nothing.
    pub expires_in: f64,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login(hidden, {} s)", self.expires_in)
    }
}

/// A webhook's event, delivered or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    /// Its id, which the receiver sees, too.
    pub id: String,
    /// The slot.
    pub slot: String,
    /// The event.
    pub event: String,
    /// `pending`, `delivered` or `undelivered`.
    pub state: String,
    /// The address.
    #[serde(default)]
    pub url: String,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When it is tried next, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<f64>,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Client {
    /// Hands a recipe in. Sent again after a broken connection: the node knows it by its id.
    pub async fn submit(&self, submission: &Submission) -> Result<Receipt, ClientError> {
        let mut asked =
            self.asked(Method::PUT, &["v1", "slots", &submission.id.to_string()], &[], Again::Broken);
        asked.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let header = |what: &str, text: &str| {
            let wrong =
                || ClientError::Wrong(format!("{what} {text:?} holds characters that no header can have"));
            HeaderValue::from_str(text).map_err(|_| wrong())
        };
        if let Some(url) = &submission.webhook {
            asked.headers.insert(WEBHOOK, header("--webhook", url)?);
            if !submission.webhook_events.is_empty() {
                let events = submission.webhook_events.join(",");
                asked.headers.insert(WEBHOOK_EVENTS, header("--webhook-events", &events)?);
            }
        }
        asked.body = Some(submission.document.clone());
        let answer = self.ask(&asked).await?;
        Ok(Receipt { known: answer.status.as_u16() == 200, slot: answer.json()? })
    }

    /// One slot.
    pub async fn slot(&self, id: SlotId) -> Result<SlotView, ClientError> {
        self.get(&["v1", "slots", &id.to_string()], &[]).await
    }

    /// At most `limit` slots in `states` (all where none is named), after the page that ended with `after`.
    pub async fn slots(
        &self,
        states: &[SlotState],
        limit: usize,
        after: Option<&str>,
    ) -> Result<SlotPage, ClientError> {
        let limit = limit.to_string();
        let states: Vec<&str> = states.iter().map(|state| state.name()).collect();
        let states = states.join(",");
        let mut query = vec![("limit", limit.as_str())];
        if !states.is_empty() {
            query.push(("state", &states));
        }
        query.extend(after.map(|after| ("after", after)));
        self.get(&["v1", "slots"], &query).await
    }

    /// Stops a slot; answers with how it stands.
    pub async fn cancel(&self, id: SlotId) -> Result<SlotView, ClientError> {
        self.ask(&self.asked(Method::DELETE, &["v1", "slots", &id.to_string()], &[], Again::Told))
            .await?
            .json()
    }

    /// The node.
    pub async fn node(&self) -> Result<NodeView, ClientError> {
        self.get(&["v1", "node"], &[]).await
    }

    /// Asks the node to change what it does; answers with what came of it. What is asked for may be asked for twice.
    pub async fn operate(&self, operation: Operation) -> Result<Value, ClientError> {
        let asked = self.asked(Method::POST, &["v1", "node", operation.name()], &[], Again::Broken);
        self.ask(&asked).await?.json()
    }

    /// A new way into the node's page. It takes a token with every scope.
    pub async fn login(&self) -> Result<Login, ClientError> {
        self.ask(&self.asked(Method::POST, &["login", "new"], &[], Again::Never)).await?.json()
    }

    /// Events of webhooks in `state`, or all.
    pub async fn webhooks(&self, state: Option<&str>) -> Result<Vec<WebhookDelivery>, ClientError> {
        #[derive(Deserialize)]
        struct Page {
            webhooks: Vec<WebhookDelivery>,
        }
        let query: Vec<(&str, &str)> = state.map(|state| ("state", state)).into_iter().collect();
        let page: Page = self.get(&["v1", "webhooks"], &query).await?;
        Ok(page.webhooks)
    }

    /// Sends an event of a webhook once more. Not repeated: each asks for a delivery.
    pub async fn replay_webhook(&self, id: &str) -> Result<WebhookDelivery, ClientError> {
        let asked = self.asked(Method::POST, &["v1", "webhooks", id, "replay"], &[], Again::Never);
        self.ask(&asked).await?.json()
    }

    async fn get<T: DeserializeOwned>(
        &self,
        parts: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        self.ask(&self.asked(Method::GET, parts, query, Again::Told)).await?.json()
    }

    fn asked(&self, method: Method, parts: &[&str], query: &[(&str, &str)], again: Again) -> Asked {
        Asked { method, url: self.url(parts, query), headers: json_headers(), body: None, again }
    }
}
