//! From candle's errors to the contract's: what failed, and who must act.

use candle_core::Error as Candle;

use crate::contract::{ErrorClass, ModelError};

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

/// What a tensor error says about who must act.
///
/// Only a device's errors are anything but our own, and candle hands those on as text: the names are the CUDA driver's
/// (`CUresult`) and cuBLAS's, stable across versions.
pub fn class_of(error: &Candle) -> ErrorClass {
    const OUT_OF_MEMORY: [&str; 3] = ["OUT_OF_MEMORY", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED"];
    // After these every later call on the context fails as well; CUDA documents them as sticky.
    const POISONED: [&str; 9] = [
        "ILLEGAL_ADDRESS",
        "ILLEGAL_INSTRUCTION",
        "MISALIGNED_ADDRESS",
        "INVALID_ADDRESS_SPACE",
        "INVALID_PC",
        "LAUNCH_FAILED",
        "LAUNCH_TIMEOUT",
        "ASSERT",
        "ECC_UNCORRECTABLE",
    ];
    const TRANSIENT: [&str; 3] = ["NOT_READY", "SYSTEM_NOT_READY", "DEVICE_UNAVAILABLE"];
    if !is_of_a_device(error) {
        return ErrorClass::Own;
    }
    let text = format!("{error:?}");
    let names = |list: &[&str]| list.iter().any(|name| text.contains(name));
    if names(&OUT_OF_MEMORY) {
        ErrorClass::OutOfMemory
    } else if names(&POISONED) {
        ErrorClass::Poisoned
    } else if names(&TRANSIENT) {
        ErrorClass::Transient
    } else {
        ErrorClass::Own
    }
}

fn is_of_a_device(error: &Candle) -> bool {
    match error {
        Candle::Cuda(_) => true,
        Candle::Context { inner, .. }
        | Candle::WithPath { inner, .. }
        | Candle::WithBacktrace { inner, .. } => is_of_a_device(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuda_errors_are_sorted_by_the_drivers_names() {
        let cuda = |text: &str| Candle::Cuda(text.to_owned().into());
        assert_eq!(
            class_of(&cuda("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")")),
            ErrorClass::OutOfMemory
        );
        assert_eq!(
            class_of(&cuda("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"..\")").bt()),
            ErrorClass::Poisoned
        );
        assert_eq!(class_of(&cuda("DriverError(CUDA_ERROR_NOT_READY, \"..\")")), ErrorClass::Transient);
        assert_eq!(class_of(&cuda("DriverError(CUDA_ERROR_INVALID_VALUE, \"..\")")), ErrorClass::Own);
        assert_eq!(class_of(&Candle::Msg("out of memory".into())), ErrorClass::Own);
    }

    #[test]
    fn context_keeps_the_cause() {
        let failed: Result<(), Candle> = Err(Candle::Msg("no such tensor".into()));
        let error = failed.context(|| "loading a.safetensors".into()).unwrap_err();
        assert_eq!(error.chain(), "loading a.safetensors: no such tensor");
    }
}
