//! The index's outbox, as the sender of webhooks wants it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::start::ServeError;
use super::{Service, views};
use crate::config::Settings;
use crate::journal::index::{Delivery, DeliveryMark, Found, Index, IndexError};
use crate::webhooks::{
    self, AnyError, HttpTransport, Mark, Notice, Options, Outbox, Parts, Reply, Row, Rules, Secrets, Skip,
    SystemLookup,
};

/// Where the secret lies that webhooks are signed with.
const SECRET: &str = "webhooks.secret";
/// So many due rows are looked at to find some that are wanted.
const LOOKED_AT: usize = 512;

/// Where the secret of the node of this data folder lies.
pub(crate) fn secret_file(data: &std::path::Path) -> std::path::PathBuf {
    data.join(SECRET)
}

/// Which addresses webhooks may go to.
pub(super) fn rules(settings: &Settings) -> Result<Rules, ServeError> {
    Rules::new(settings.webhooks.public, &settings.webhooks.allow)
        .map_err(|error| ServeError::Access(error.to_string()))
}

struct IndexOutbox {
    index: Index,
    /// How long an ended slot's files are kept at least.
    keep: Duration,
}

impl IndexOutbox {
    /// `delivery` with the body that is sent. Blocks.
    fn row(&self, delivery: Delivery) -> Result<Row, AnyError> {
        let Delivery { id, slot, kind, url, body, since, attempts, .. } = delivery;
        let shown = match self.index.slot(slot)? {
            Some(Found::Slot(row)) => serde_json::to_value(views::of_row(&row, self.keep))?,
            Some(Found::Expired(stone)) => serde_json::to_value(stone)?,
            None => serde_json::Value::Null,
        };
        let at = serde_json::from_str::<serde_json::Value>(&body)?["at"].as_f64().unwrap_or_default();
        let at = Duration::try_from_secs_f64(at).unwrap_or(since);
        let body = webhooks::body(&kind, at, &body, &shown)?.into();
        let event = format!("{}-{id}", self.index.generation());
        Ok(Row { id, slot, event, url, body, attempts, since })
    }
}

impl Outbox for IndexOutbox {
    fn due<'a>(
        &'a self,
        now: Duration,
        limit: usize,
        skip: Skip<'a>,
    ) -> Reply<'a, Result<Vec<Row>, AnyError>> {
        Box::pin(async move {
            let index = self.index.clone();
            let looked_at = if skip.is_empty() { limit } else { LOOKED_AT.max(limit) };
            let due = tokio::task::spawn_blocking(move || index.outbox_due(now, looked_at)).await??;
            let wanted: Vec<Delivery> =
                due.into_iter().filter(|row| !skip.skips(row.slot, &row.url)).take(limit).collect();
            let this = Self { index: self.index.clone(), keep: self.keep };
            let rows = tokio::task::spawn_blocking(move || {
                wanted.into_iter().map(|delivery| this.row(delivery)).collect::<Result<Vec<Row>, AnyError>>()
            });
            rows.await?
        })
    }

    fn mark(&self, id: u64, mark: Mark) -> Reply<'_, Result<(), AnyError>> {
        let mark = match mark {
            Mark::Delivered { at } => DeliveryMark::Delivered { at },
            Mark::Retry { next_at, error } => DeliveryMark::Retry { next_at, error },
            Mark::Undelivered { at, error } => DeliveryMark::Undelivered { at, error },
        };
        let written = self.index.outbox_mark(id, mark);
        Box::pin(async move {
            match written.await {
                // Its slot has expired, and the row with it.
                Err(IndexError::NoDelivery { .. }) => Ok(()),
                written => Ok(written?),
            }
        })
    }
}

/// Starts the sender. Blocks for a moment where the secret is made.
pub(super) fn start(
    service: &Arc<Service>,
    settings: &Settings,
    ends: &watch::Receiver<bool>,
    beside: &mut JoinSet<()>,
) -> Result<(), ServeError> {
    let refused = |error: &dyn std::fmt::Display| ServeError::Access(error.to_string());
    let secrets = Secrets::open(&secret_file(&settings.data_dir)).map_err(|error| refused(&error))?;
    let (changed, secrets) = watch::channel(Arc::new(secrets));
    // There is one start.
    let _ = service.secrets.set(changed);
    let parts = Parts {
        outbox: Arc::new(IndexOutbox { index: service.index.clone(), keep: service.facts.keep }),
        transport: Arc::new(HttpTransport::new(Arc::new(SystemLookup), settings.webhooks.ca_file.clone())),
        rules: service.targets.subscribe(),
        secrets,
        notices: Arc::new(|notice| log(&notice)),
        wake: Arc::clone(&service.outbox),
    };
    let options = Options {
        concurrent: settings.webhooks.at_once.get(),
        timeout: settings.webhooks.timeout,
        ..Options::default()
    };
    let mut ends = ends.clone();
    beside.spawn(async move {
        let stop = async { drop(ends.wait_for(|ends| *ends).await) };
        webhooks::run(parts, options, stop).await;
    });
    Ok(())
}

fn log(notice: &Notice) {
    match notice {
        Notice::Delivered { slot, event, origin, attempts } => {
            tracing::debug!(%slot, event_id = event, origin, attempts, "webhook delivered");
        }
        Notice::Failed { slot, event, origin, attempts, error, again } => tracing::info!(
            %slot, event_id = event, origin, attempts, error, again = again.as_secs_f64(), "webhook not delivered yet"
        ),
        Notice::Undelivered { slot, event, origin, attempts, error } => {
            tracing::warn!(%slot, event_id = event, origin, attempts, error, "webhook given up");
        }
        Notice::Trouble { error } => tracing::error!(error, "the outbox cannot be read or written"),
    }
}
