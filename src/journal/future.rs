//! What every call of a journal hands back: one future, ready at once where nothing has to be waited for.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::Either;

use super::JournalError;

type Going<T> = Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send>>;

/// The outcome of a write or a read, of which a slow one goes on elsewhere (never on the caller's task).
///
/// The journals of this crate begin with the call, so dropping the future takes nothing back.
#[must_use = "whether it was written is known only from its outcome"]
pub struct JournalFuture<T = ()>(Either<Ready<Result<T, JournalError>>, Going<T>>);

impl<T> JournalFuture<T> {
    /// Of what is done already.
    pub fn ready(outcome: Result<T, JournalError>) -> Self {
        Self(Either::Left(ready(outcome)))
    }

    /// Of what goes on elsewhere.
    pub fn going(future: impl Future<Output = Result<T, JournalError>> + Send + 'static) -> Self {
        Self(Either::Right(Box::pin(future)))
    }

    /// Whether the outcome is known already.
    pub const fn is_ready(&self) -> bool {
        matches!(self.0, Either::Left(_))
    }
}

impl<T: Send + 'static> JournalFuture<T> {
    /// Hands the outcome to `next`: before this returns where it is known already, else from a task of its own.
    ///
    /// So whoever may not wait (an actor) has one way to go on, and a journal in memory needs no task for it.
    pub fn then(self, next: impl FnOnce(Result<T, JournalError>) + Send + 'static) {
        match self.0 {
            Either::Left(outcome) => next(outcome.into_inner()),
            Either::Right(going) => drop(tokio::spawn(going.map(next))),
        }
    }

    /// The same with another value, where there is one; `change` runs at once where the outcome is known already.
    pub fn map_ok<U>(self, change: impl FnOnce(T) -> U + Send + 'static) -> JournalFuture<U> {
        match self.0 {
            Either::Left(outcome) => JournalFuture::ready(outcome.into_inner().map(change)),
            Either::Right(going) => JournalFuture::going(going.map(|outcome| outcome.map(change))),
        }
    }
}

impl<T> Future for JournalFuture<T> {
    type Output = Result<T, JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context)
    }
}

impl<T> fmt::Debug for JournalFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_ready() { "JournalFuture(ready)" } else { "JournalFuture(going)" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_known_goes_on_at_once_and_without_a_runtime() {
        let (told, hears) = mpsc::channel();
        JournalFuture::ready(Ok(2)).map_ok(|number| number * 3).then(move |outcome| {
            told.send(outcome.unwrap()).unwrap();
        });
        assert_eq!(hears.try_recv(), Ok(6));
    }

    #[tokio::test]
    async fn what_is_not_known_goes_on_when_it_is() {
        let (known, waiting) = tokio::sync::oneshot::channel();
        let future =
            JournalFuture::going(async { Ok(waiting.await.unwrap()) }).map_ok(|number: u32| number + 1);
        assert!(!future.is_ready());
        let (told, hears) = tokio::sync::oneshot::channel();
        future.then(move |outcome| told.send(outcome.unwrap()).unwrap());
        known.send(4).unwrap();
        assert_eq!(hears.await, Ok(5));
    }
}
