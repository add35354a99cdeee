//! Work that must not keep the archive waiting: each piece has a thread of its own and so much time, and what is late or
//! panics is told instead of its answer.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// What `work` answers, or why there is no answer. A thread that is late goes on until the process ends: it may be held by
/// a disk that does not answer, which nothing can end.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (hand, answer) = sync_channel(1);
    let started = std::thread::Builder::new().name("diagnose".to_owned()).spawn(move || {
        // Whoever waited may have gone.
        let _ = hand.send(work());
    });
    started.map_err(|error| format!("the system gives no thread: {error}"))?;
    match answer.recv_timeout(limit) {
        Ok(answer) => Ok(answer),
        Err(RecvTimeoutError::Timeout) => Err(format!("not done within {} s", limit.as_secs())),
        Err(RecvTimeoutError::Disconnected) => {
            Err("it ended in a panic, which is a mistake of the program".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_or_panics_is_told() {
        assert_eq!(within(Duration::from_secs(60), || 7), Ok(7));
        let (keep, wait) = sync_channel::<()>(0);
        let late = within(Duration::ZERO, move || wait.recv());
        assert_eq!(late.unwrap_err(), "not done within 0 s");
        drop(keep);
        let panicked = within(Duration::from_secs(60), || panic!("for the test"));
        assert!(matches!(panicked, Err::<(), _>(why) if why.contains("panic")));
    }
}
