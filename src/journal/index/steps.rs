//! Places between two writes, where tests stop, copy the folder, or have the disk fail. Outside of tests: nothing.

use std::io;
#[cfg(test)]
use std::sync::Arc;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Before a group is written to the log.
    LogWrite,
    /// After it, before the sync and the commit.
    Written,
    /// Before the log is synced.
    LogSync,
    /// Before the index commits.
    Commit,
    /// After both, before anybody is answered.
    Durable,
    /// After the mark was written.
    Marked,
    /// Before a backup takes its name.
    Backup,
    /// After it has.
    BackedUp,
    /// At the start: before what is damaged is moved away.
    SetAside,
    /// At the start: after the new index has its name.
    Rebuilt,
    /// At the start: after the new log has begun.
    LogBegun,
}

/// What happens at them.
#[derive(Clone, Default)]
pub(super) struct Steps {
    #[cfg(test)]
    hook: Option<Arc<dyn Fn(Step) -> io::Result<()> + Send + Sync>>,
}

impl Steps {
    #[cfg(test)]
    pub(super) fn hook(hook: impl Fn(Step) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { hook: Some(Arc::new(hook)) }
    }

    #[cfg(test)]
    pub(super) fn at(&self, step: Step) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(step))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests' has a hook")]
    pub(super) fn at(&self, _: Step) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Steps")
    }
}
