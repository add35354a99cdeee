//! From candle's errors to the contract's: what failed, and who must act.

use std::error::Error;
use std::io;

use candle_core::Error as Candle;

use super::device::class_of;
use crate::contract::{ErrorClass, ModelError};

/// Adds what was being done to a tensor error and sorts it into its class.
pub(crate) trait Context<T> {
    /// `doing` names the work in progress, such as `"loading flux/ae.safetensors"`.
    fn context(self, doing: impl FnOnce() -> String) -> Result<T, ModelError>;
}

impl<T> Context<T> for Result<T, Candle> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T, ModelError> {
        self.map_err(|error| ModelError::new(class_of(&error), doing()).because(error))
    }
}

/// The error of a load, in the class that says whether another try may help.
///
/// A load reads the same files each time: its own errors come back with every try, and nobody but whoever changes the
/// files can mend them. Two kinds may pass all the same: a disk's or a network file system's, and a device's.
pub(crate) fn of_load(error: ModelError) -> ModelError {
    if error.class() != ErrorClass::Own {
        return error;
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(found) = cause {
        if let Some(inner) = found.downcast_ref::<ModelError>().map(ModelError::class)
            && inner != ErrorClass::Own
        {
            return error.classed(inner);
        }
        if let Some(disk) = found.downcast_ref::<io::Error>() {
            let class = if is_final(disk.kind()) { ErrorClass::Unusable } else { ErrorClass::Transient };
            return error.classed(class);
        }
        if found.downcast_ref::<Candle>().is_some_and(is_of_device) {
            return error;
        }
        cause = found.source();
    }
    error.classed(ErrorClass::Unusable)
}

/// Whether reading a file again would end the same way: what the path and the file are, not how the disk fared.
pub(super) fn is_final(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        UnexpectedEof, Unsupported,
    };
    matches!(
        kind,
        NotFound
            | PermissionDenied
            | NotADirectory
            | IsADirectory
            | InvalidFilename
            | InvalidInput
            | InvalidData
            | UnexpectedEof
            | Unsupported
    )
}

fn is_of_device(error: &Candle) -> bool {
    match error {
        Candle::Cuda(_) => true,
        Candle::Context { inner, .. }
        | Candle::WithPath { inner, .. }
        | Candle::WithBacktrace { inner, .. } => is_of_device(inner),
        _ => false,
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

    #[test]
    fn only_what_may_pass_is_worth_another_try() {
        let disk = |kind: io::ErrorKind| ModelError::own("reading a.json").because(io::Error::from(kind));
        let nested = |error: ModelError| ModelError::own("clip_b/config.json").because(error);
        let device = Candle::Cuda("CUDA_ERROR_INVALID_VALUE".into());
        for (error, expected) in [
            (ModelError::own("eos_token_id is 7"), ErrorClass::Unusable),
            (nested(ModelError::own("not JSON")), ErrorClass::Unusable),
            (disk(io::ErrorKind::NotFound), ErrorClass::Unusable),
            (nested(disk(io::ErrorKind::PermissionDenied)), ErrorClass::Unusable),
            (disk(io::ErrorKind::TimedOut), ErrorClass::Transient),
            (nested(disk(io::ErrorKind::StaleNetworkFileHandle)), ErrorClass::Transient),
            (ModelError::own("x").because(io::Error::from_raw_os_error(5)), ErrorClass::Transient),
            (nested(ModelError::transient("a.safetensors: cannot be read")), ErrorClass::Transient),
            (ModelError::own("x").because(device), ErrorClass::Own),
            (ModelError::out_of_memory("x"), ErrorClass::OutOfMemory),
            (ModelError::transient("x"), ErrorClass::Transient),
            (ModelError::poisoned("x"), ErrorClass::Poisoned),
        ] {
            let text = error.chain();
            assert_eq!(of_load(error).class(), expected, "{text}");
        }
    }
}
