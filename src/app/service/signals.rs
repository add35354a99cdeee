//! What the system tells the process: stop, read the settings again, a child has ended.
//!
//! Owns the listeners. As process 1 of a container, children that others left to it are reaped here; nothing is forwarded,
//! since the node starts none of its own.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// SIGTERM or SIGINT: end in order; told twice, at once.
    Stop,
    /// SIGHUP: read settings, tokens and certificates again.
    Reload,
}

/// The signals of this process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on these signals end nothing by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        if std::process::id() == 1 {
            let mut children = signal(SignalKind::child())?;
            tokio::spawn(async move {
                while children.recv().await.is_some() {
                    reap();
                }
            });
        }
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }
}

/// Takes the exit codes of all children that have ended, so that they do not stay as zombies.
fn reap() {
    use rustix::process::{WaitOptions, wait};
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
