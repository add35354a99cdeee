//! From "the actors run" to the exit code: readiness, signals, reading the settings again, and the end in order.
//!
//! Owns the order of the end: not ready, a moment for load balancers to notice, then nothing new; what runs has its grace;
//! streams and connections close; the journal is closed last. A second signal skips every wait, and loses nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::signals::{Signals, Told};
use super::{DoorSettings, Service, systemd};
use crate::actors::handle;
use crate::config::Http;
use crate::exit::Exit;

/// For open answers and background tasks to end once the node has; the journal has the rest of what is planned for both.
const CLOSING: Duration = Duration::from_secs(Http::CLOSING.as_secs() / 3);

/// Who asked for the settings to be read again, and waits for what came of it.
pub(super) type Ask = oneshot::Sender<Result<Value, String>>;

/// The way to have the settings read again.
#[derive(Clone, Debug)]
pub(super) struct Reload(pub(super) mpsc::Sender<Ask>);

impl Service {
    /// Has the settings read again, and says what became of it.
    pub(super) async fn reload_settings(&self) -> Result<Value, String> {
        let (asked, answer) = oneshot::channel();
        let gone = || "the process ends".to_owned();
        self.reload.0.send(asked).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    pub(super) fn change_door(&self, door: DoorSettings) {
        *self.door.write() = Arc::new(door);
    }
}

/// What the end needs.
pub(super) struct Running {
    pub(super) service: Arc<Service>,
    pub(super) node: handle::Node,
    pub(super) signals: Signals,
    /// Turns true when streams and long polls are to end.
    pub(super) closing: watch::Sender<bool>,
    /// Listeners, senders, whatever else runs beside the actors; each ends when `closing` turns.
    pub(super) beside: JoinSet<()>,
    /// Reads the settings again.
    pub(super) reloader: super::reload::Reloader,
    pub(super) reloads: mpsc::Receiver<Ask>,
    /// How long "not ready" is answered before connections are closed.
    pub(super) farewell: Duration,
    /// For slots in work to end.
    pub(super) grace: Duration,
    /// Told once, when slots can be sent.
    pub(super) announce: Box<dyn FnMut(super::Announced) + Send>,
}

impl Running {
    /// Until the process is to end; its exit code.
    pub(super) async fn run(mut self) -> Exit {
        let handle = self.node.handle();
        let service = Arc::clone(&self.service);
        let mut ended = std::pin::pin!(self.node.ended());
        let mut pulse = tokio::time::interval(systemd::watchdog_period().unwrap_or(PULSE).min(PULSE));
        let mut was_ready = None;
        loop {
            tokio::select! {
                told = self.signals.next() => match told {
                    Told::Stop => break,
                    Told::Reload => {
                        let said = self.reloader.reload(&service).await;
                        log_reload(&said);
                    }
                },
                Some(ask) = self.reloads.recv() => {
                    let said = self.reloader.reload(&service).await;
                    log_reload(&said);
                    // Whoever asked may have gone.
                    let _ = ask.send(said);
                }
                exit = &mut ended => {
                    tracing::error!(code = exit.code(), "the node has ended by itself");
                    service.draining.store(true, Ordering::Release);
                    service.ending.store(true, Ordering::Release);
                    close(&service, &self.closing, &mut self.beside).await;
                    return exit;
                }
                _ = pulse.tick() => {
                    systemd::alive();
                    let reasons = service.why_not_ready();
                    let is_ready = reasons.is_empty();
                    if is_ready && was_ready.is_none() {
                        service.started.store(true, Ordering::Release);
                        systemd::ready("ready");
                        // Said once.
                        let _ = service.ready_after.set(service.uptime());
                        tracing::info!(seconds = service.uptime().as_secs_f64(), "ready");
                        (self.announce)(super::Announced::Ready { after: service.uptime() });
                    } else if was_ready.is_some_and(|was| was != is_ready) {
                        systemd::status(&if is_ready { "ready".to_owned() } else { reasons.join("; ") });
                    }
                    if is_ready || was_ready.is_some() {
                        was_ready = Some(is_ready);
                    }
                }
            }
        }
        let counts = service.table.counts();
        tracing::info!(
            waiting = counts.waiting,
            running = counts.running,
            grace = self.grace.as_secs_f64(),
            "stopping: what runs may end, what waits stays in the journal"
        );
        systemd::stopping();
        service.draining.store(true, Ordering::Release);
        service.ending.store(true, Ordering::Release);
        let mut again = false;
        tokio::select! {
            () = tokio::time::sleep(self.farewell) => {}
            told = self.signals.next() => again = told == Told::Stop,
        }
        handle.shut_down(Exit::Success, if again { Duration::ZERO } else { self.grace });
        let exit = loop {
            tokio::select! {
                exit = &mut ended => break exit,
                told = self.signals.next(), if !again => {
                    again = told == Told::Stop;
                    if again {
                        tracing::warn!("told twice: what runs is left to the next start");
                        handle.shut_down(Exit::Success, Duration::ZERO);
                    }
                }
            }
        };
        close(&service, &self.closing, &mut self.beside).await;
        exit
    }
}

/// Whether it is ready is looked at so often; a sample of memory takes a quarter of a second as well.
const PULSE: Duration = Duration::from_millis(250);

fn log_reload(said: &Result<Value, String>) {
    match said {
        Ok(done) => tracing::info!(%done, "settings read again"),
        Err(problems) => tracing::warn!(problems, "settings not read again; those before stay in force"),
    }
}

/// Ends what runs beside the actors, then closes the journal.
async fn close(service: &Service, closing: &watch::Sender<bool>, beside: &mut JoinSet<()>) {
    closing.send_replace(true);
    let all = async { while beside.join_next().await.is_some() {} };
    if tokio::time::timeout(CLOSING, all).await.is_err() {
        tracing::warn!(left = beside.len(), "tasks that do not end are left behind");
        beside.abort_all();
    }
    match tokio::time::timeout(CLOSING, service.index.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, "the journal is not closed; nothing is lost, the next start repairs it")
        }
        Err(_) => {
            tracing::error!("the journal takes too long to close; nothing is lost, the next start repairs it")
        }
    }
}
