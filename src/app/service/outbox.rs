//! The index's outbox, as the sender of webhooks wants it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::start::ServeError;
use super::{Service, views};
use crate::config::Settings;
use crate::journal::index::{Delivery, DeliveryMark, Found, Index, IndexError, Progress};
use crate::telemetry::traces::onward;
use crate::webhooks::{
    self, AnyError, HttpTransport, Mark, Notice, Options, Outbox, Parts, Reply, Row, Rules, Secrets, Skip,
    SystemLookup,
};

/// Where the secret lies that webhooks are signed with.
const SECRET: &str = "webhooks.secret";
/// So many due rows are looked at first to find some that are wanted, then more: a receiver that is down for long may have
/// thousands before those of another.
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
        let mut traceparent = None;
        let shown = match self.index.slot(slot)? {
            Some(Found::Slot(row)) => {
                traceparent = row.traceparent.as_ref().and_then(|it| onward(slot, it));
                serde_json::to_value(views::of_row(&row, self.keep))?
            }
            Some(Found::Expired(stone)) => serde_json::to_value(stone)?,
            None => serde_json::Value::Null,
        };
        let at = serde_json::from_str::<serde_json::Value>(&body)?["at"].as_f64().unwrap_or_default();
        let at = Duration::try_from_secs_f64(at).unwrap_or(since);
        let body = webhooks::body(&kind, at, &body, &shown)?.into();
        let event = format!("{}-{id}", self.index.generation());
        Ok(Row { id, slot, event, url, traceparent, body, attempts, since })
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
            let mut looked_at = if skip.is_empty() { limit } else { LOOKED_AT.max(limit) };
            let wanted: Vec<Delivery> = loop {
                let index = self.index.clone();
                let due = tokio::task::spawn_blocking(move || index.outbox_due(now, looked_at)).await??;
                let is_all = due.len() < looked_at;
                let wanted = due.into_iter().filter(|row| !skip.skips(row.slot, &row.url));
                let wanted: Vec<Delivery> = wanted.take(limit).collect();
                if is_all || !wanted.is_empty() || limit == 0 {
                    break wanted;
                }
                looked_at = looked_at.saturating_mul(4);
            };
            let this = Self { index: self.index.clone(), keep: self.keep };
            let rows = tokio::task::spawn_blocking(move || {
                wanted.into_iter().map(|delivery| this.row(delivery)).collect::<Result<Vec<Row>, AnyError>>()
            });
            rows.await?
        })
    }

    fn later(&self, now: Duration, limit: usize) -> Reply<'_, Result<Vec<Duration>, AnyError>> {
        Box::pin(async move {
            let index = self.index.clone();
            let pending = move || index.outbox(Some(Progress::Pending), None, limit);
            let pending = tokio::task::spawn_blocking(pending).await??;
            let mut times: Vec<Duration> =
                pending.into_iter().map(|row| row.next_at).filter(|at| *at > now).collect();
            times.sort();
            Ok(times)
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
    let counting = Arc::downgrade(service);
    let tracing = service.tracing.clone();
    let parts = Parts {
        outbox: Arc::new(IndexOutbox { index: service.index.clone(), keep: service.facts.keep }),
        transport: Arc::new(HttpTransport::new(Arc::new(SystemLookup), settings.webhooks.ca_file.clone())),
        rules: service.targets.subscribe(),
        secrets,
        notices: Arc::new(move |notice| {
            if let (Notice::Undelivered { .. }, Some(service)) = (&notice, counting.upgrade()) {
                service.given_up.fetch_add(1, Ordering::Relaxed);
            }
            log(&notice);
            tracing.told(&notice);
        }),
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
        Notice::Delivered { slot, event, origin, attempts, .. } => {
            tracing::debug!(%slot, event_id = event, origin, attempts, "webhook delivered");
        }
        Notice::Failed { slot, event, origin, attempts, error, again, .. } => tracing::info!(
            %slot, event_id = event, origin, attempts, error, again = again.as_secs_f64(), "webhook not delivered yet"
        ),
        Notice::Undelivered { slot, event, origin, attempts, error, .. } => {
            tracing::warn!(%slot, event_id = event, origin, attempts, error, "webhook given up");
        }
        Notice::Trouble { error } => tracing::error!(error, "the outbox cannot be read or written"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;
    use crate::journal::index::samples::{at, end, event, id, slot};
    use crate::journal::index::{IndexSettings, NoFolders, State};

    const KEEP: Duration = Duration::from_secs(3600);
    const DEAD: &str = "https://dead.example.org/hook";

    fn outbox(folder: &tempfile::TempDir) -> IndexOutbox {
        let (index, _) = Index::open(folder.path(), IndexSettings::default(), &NoFolders).unwrap();
        IndexOutbox { index, keep: KEEP }
    }

    /// Accepts a slot whose end goes to `url`, and ends it.
    async fn ended(outbox: &IndexOutbox, number: u128, url: &str) {
        outbox.index.accept(slot(number)).await.unwrap();
        let mut ended = end(number, State::Completed);
        let told = event(Some(number), "generation_complete", true);
        ended.event = Some(crate::journal::index::NewEvent { deliver_to: Some(url.to_owned()), ..told });
        outbox.index.end(ended).await.unwrap();
    }

    async fn due(outbox: &IndexOutbox, limit: usize, skipped: &[&str]) -> Vec<Row> {
        let origins: HashSet<String> = skipped.iter().map(|url| webhooks::origin_of(url)).collect();
        let slots = HashSet::new();
        outbox.due(at(100), limit, Skip::of(&slots, &origins)).await.unwrap()
    }

    #[tokio::test]
    async fn a_row_says_what_happened_and_how_its_slot_stands() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox(&folder);
        ended(&outbox, 1, "https://example.org/hook").await;
        let rows = due(&outbox, 10, &[]).await;
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.slot, row.url.as_str(), row.attempts), (id(1), "https://example.org/hook", 0));
        assert_eq!(row.event, format!("{}-{}", outbox.index.generation(), row.id));
        let body: Value = serde_json::from_str(&row.body).unwrap();
        assert_eq!(body["type"], "generation_complete");
        assert_eq!(body["data"]["event"], serde_json::json!({ "event": "generation_complete" }));
        let shown = &body["data"]["slot"];
        assert_eq!((&shown["id"], &shown["state"]), (&id(1).to_string().into(), &"completed".into()));
        let (ended, expires) = (shown["ended_at"].as_f64().unwrap(), shown["expires_at"].as_f64().unwrap());
        assert!((expires - ended - KEEP.as_secs_f64()).abs() < 1e-3, "{shown:#}");
    }

    #[tokio::test]
    async fn thousands_for_a_receiver_that_is_down_hide_none_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox(&folder);
        let many = LOOKED_AT as u128 + 1;
        for number in 1..=many {
            ended(&outbox, number, DEAD).await;
        }
        ended(&outbox, many + 1, "https://example.org/hook").await;
        let found = due(&outbox, 4, &[DEAD]).await;
        assert_eq!(found.iter().map(|row| row.slot).collect::<Vec<_>>(), [id(many + 1)]);
        assert_eq!(due(&outbox, 4, &[]).await.len(), 4);
        assert_eq!(due(&outbox, 4, &[DEAD, "https://example.org/"]).await, []);
    }

    #[tokio::test]
    async fn marks_are_written_and_what_waits_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox(&folder);
        for number in 1..=3 {
            ended(&outbox, number, DEAD).await;
        }
        let rows = due(&outbox, 10, &[]).await;
        let retry = Mark::Retry { next_at: at(500), error: "503".to_owned() };
        outbox.mark(rows[0].id, retry).await.unwrap();
        outbox.mark(rows[1].id, Mark::Delivered { at: at(101) }).await.unwrap();
        let given_up = Mark::Undelivered { at: at(101), error: "gone".to_owned() };
        outbox.mark(rows[2].id, given_up).await.unwrap();
        assert_eq!(due(&outbox, 10, &[]).await, []);
        assert_eq!(outbox.later(at(100), 10).await.unwrap(), [at(500)]);
        assert!(outbox.later(at(500), 10).await.unwrap().is_empty());
        let state = |row: &Row| outbox.index.outbox_of(row.slot).unwrap()[0].state;
        let states: Vec<Progress> = rows.iter().map(state).collect();
        assert_eq!(states, [Progress::Pending, Progress::Delivered, Progress::Undelivered]);
        // Its slot has expired meanwhile: nothing is wrong.
        outbox.mark(9_999, Mark::Delivered { at: at(101) }).await.unwrap();
    }
}
