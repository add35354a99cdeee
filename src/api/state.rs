//! What every route has at hand: the node, the settings, the word to end, and how many streams are open.
//!
//! Owns the limits on streams and waiting requests. Knows no route.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::backend::Backend;
use super::problem::{Fault, Kind};

/// When to come again where too many streams are open: they end as pages are closed.
const CROWDED: Duration = Duration::from_secs(5);

/// How much the API takes, and for how long.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Bytes of a recipe, at most.
    pub max_recipe: usize,
    /// Until a recipe has arrived.
    pub body_timeout: Duration,
    /// Until the node has answered; beyond what a request waits by its own wish.
    pub answer_timeout: Duration,
    /// Event streams that may be open at a time.
    pub max_streams: usize,
    /// Requests that may wait for a slot's end at a time.
    pub max_waits: usize,
    /// Between comments on an idle event stream: below what proxies take for a dead connection.
    pub keep_alive: Duration,
    /// The JSON Schema of recipes, for the OpenAPI document.
    pub recipe_schema: Option<Value>,
    /// A recipe, for the OpenAPI document.
    pub recipe_example: Option<Value>,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            // Fifty times a recipe with the longest texts.
            max_recipe: 256 * 1024,
            body_timeout: Duration::from_secs(10),
            // Above what a disk takes that is busy with checkpoints.
            answer_timeout: Duration::from_secs(30),
            max_streams: 256,
            max_waits: 1024,
            keep_alive: Duration::from_secs(15),
            recipe_schema: None,
            recipe_example: None,
        }
    }
}

/// Shared by all routes.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) settings: Arc<ApiSettings>,
    /// The OpenAPI document; there once all routes are known.
    pub(crate) document: Arc<OnceLock<Bytes>>,
    draining: watch::Receiver<bool>,
    streams: Arc<Semaphore>,
    waits: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        settings: ApiSettings,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let (streams, waits) = (permits(settings.max_streams), permits(settings.max_waits));
        Self { backend, settings: Arc::new(settings), document: Arc::default(), draining, streams, waits }
    }

    /// Leave for one more event stream, for as long as it is held.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Fault> {
        take(&self.streams, "event streams are open", self.settings.max_streams)
    }

    /// Leave for one more request that waits, for as long as it is held.
    pub(crate) fn wait(&self) -> Result<OwnedSemaphorePermit, Fault> {
        take(&self.waits, "requests wait for the ends of slots", self.settings.max_waits)
    }

    /// Whether everything that lasts is to end.
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Ends when everything that lasts is to end: the word was given, or whoever gives it is gone.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.draining.clone();
        async move {
            // An error means that the sender is gone.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }
}

fn take(permits: &Arc<Semaphore>, what: &str, most: usize) -> Result<OwnedSemaphorePermit, Fault> {
    permits.clone().try_acquire_owned().map_err(|_| {
        Fault::new(Kind::TooManyStreams, format!("{most} {what}, as many as may be")).again_after(CROWDED)
    })
}
