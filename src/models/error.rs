//! From candle's errors to the contract's: what failed, and who must act.

use candle_core::Error as Candle;

use super::device::class_of;
use crate::contract::ModelError;

/// Adds what was being done to a tensor error and sorts it into its class.
pub trait Context<T> {
    /// `doing` names the work in progress, such as `"loading flux/ae.safetensors"`.
    fn context(self, doing: impl FnOnce() -> String) -> Result<T, ModelError>;
}

impl<T> Context<T> for Result<T, Candle> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T, ModelError> {
        self.map_err(|error| ModelError::new(class_of(&error), doing()).because(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_the_cause() {
        let failed: Result<(), Candle> = Err(Candle::Msg("no such tensor".into()));
        let error = failed.context(|| "loading a.safetensors".into()).unwrap_err();
        assert_eq!(error.chain(), "loading a.safetensors: no such tensor");
    }
}
