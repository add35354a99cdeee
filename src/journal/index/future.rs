//! The answer to a write: known once index and log hold it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::IndexError;

/// The outcome of a write. The write has begun with the call; dropping this takes nothing back. Needs no runtime to be
/// made; it can be awaited under any, or [waited for](Self::wait) on a thread that may block.
#[must_use = "whether it was written is known only from its outcome"]
pub struct IndexFuture<T = ()>(oneshot::Receiver<Result<T, IndexError>>);

/// The writer's end of an [`IndexFuture`].
#[derive(Debug)]
pub(super) struct Answer<T = ()>(Option<oneshot::Sender<Result<T, IndexError>>>);

impl<T> Answer<T> {
    /// Whoever has dropped the future wants no answer.
    pub(super) fn send(self, outcome: Result<T, IndexError>) {
        if let Some(answer) = self.0 {
            let _ = answer.send(outcome);
        }
    }

    /// The right to answer; what stays behind answers nothing.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }
}

impl<T> IndexFuture<T> {
    pub(super) fn new() -> (Answer<T>, Self) {
        let (answer, outcome) = oneshot::channel();
        (Answer(Some(answer)), Self(outcome))
    }

    /// Of what is known already.
    pub(super) fn ready(outcome: Result<T, IndexError>) -> Self {
        let (answer, future) = Self::new();
        answer.send(outcome);
        future
    }

    /// Blocks until the outcome is known. Not on a thread of an async runtime.
    pub fn wait(self) -> Result<T, IndexError> {
        self.0.blocking_recv().unwrap_or(Err(IndexError::Closed))
    }
}

impl<T> Future for IndexFuture<T> {
    type Output = Result<T, IndexError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A writer that is gone without an answer has closed.
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or(Err(IndexError::Closed)))
    }
}

impl<T> fmt::Debug for IndexFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexFuture")
    }
}
