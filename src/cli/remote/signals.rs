//! SIGINT and SIGTERM: whoever waits for a node stops waiting. What the node does goes on.

use crate::cli::Failed;

/// Hears both.
pub(in crate::cli) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on, neither ends the process. Needs a runtime.
    pub(in crate::cli) fn listen() -> Result<Self, Failed> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let unheard = |error| Failed::failure(format!("signals cannot be heard: {error}"));
            let terminate = signal(SignalKind::terminate()).map_err(unheard)?;
            let interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
            Ok(Self { terminate, interrupt })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// The next of them. May be dropped at any time.
    pub(in crate::cli) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
