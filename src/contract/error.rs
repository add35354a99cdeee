//! Why a job failed, and what that means for the model.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cancelled, SinkClosed};

/// What an error says about who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The job or the model is at fault; counts as a try.
    Own,
    /// Memory ran out; the model recovers by trimming, then smaller batches.
    OutOfMemory,
    /// May well work the next time.
    Transient,
    /// The device context is unusable; only a new process helps.
    Poisoned,
    /// It was told to stop.
    Cancelled,
    /// What the model is made of or set up with is at fault; no restart helps until somebody has changed it.
    Unusable,
}

/// A failed job or load: its class, what happened, and what caused it.
#[derive(Debug)]
pub struct ModelError {
    class: ErrorClass,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ModelError {
    /// Of this class, with a message that says what, where and which value.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), source: None }
    }

    /// The job or the model is at fault.
    pub fn own(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Own, message)
    }

    /// Memory ran out.
    pub fn out_of_memory(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::OutOfMemory, message)
    }

    /// May well work the next time.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, message)
    }

    /// The device context is unusable.
    pub fn poisoned(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Poisoned, message)
    }

    /// What the model is made of or set up with cannot be used.
    pub fn unusable(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unusable, message)
    }

    /// The same, of another class.
    #[must_use]
    pub fn classed(self, class: ErrorClass) -> Self {
        Self { class, ..self }
    }

    /// The same, naming its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What it says about who must act.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// What happened and every cause under it, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ModelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<Cancelled> for ModelError {
    fn from(cancelled: Cancelled) -> Self {
        Self::new(ErrorClass::Cancelled, cancelled.to_string())
    }
}

impl From<SinkClosed> for ModelError {
    /// Whoever takes the frames has gone: the video cannot be finished, but nothing is wrong with the model.
    fn from(closed: SinkClosed) -> Self {
        Self::own(closed.to_string())
    }
}
