//! What a device's errors mean: recover, try again, or end the process. Pure; judges by the libraries' own names.

use candle_core::Error as Candle;

use crate::contract::ErrorClass;

/// Memory ran out: trimming and smaller batches help.
const OUT_OF_MEMORY: [&str; 2] = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"];
/// CUDA documents these as sticky, or as the loss of the card or its context: every later call fails as well.
const POISONED: [&str; 25] = [
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_INVALID_ADDRESS_SPACE",
    "CUDA_ERROR_INVALID_PC",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_ASSERT",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_TENSOR_MEMORY_LEAK",
    "CUDA_ERROR_ECC_UNCORRECTABLE",
    "CUDA_ERROR_NVLINK_UNCORRECTABLE",
    "CUDA_ERROR_CONTAINED",
    "CUDA_ERROR_EXTERNAL_DEVICE",
    "CUDA_ERROR_CONTEXT_IS_DESTROYED",
    "CUDA_ERROR_INVALID_CONTEXT",
    "CUDA_ERROR_DEINITIALIZED",
    "CUDA_ERROR_NOT_INITIALIZED",
    "CUDA_ERROR_UNKNOWN",
    "CUDA_ERROR_MPS_CONNECTION_FAILED",
    "CUDA_ERROR_MPS_RPC_FAILURE",
    "CUDA_ERROR_MPS_CLIENT_TERMINATED",
    // What cuBLAS and cuRAND say when the context under them has failed.
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_MAPPING_ERROR",
    "CURAND_STATUS_LAUNCH_FAILURE",
];
/// May well work the next time.
const TRANSIENT: [&str; 7] = [
    "CUDA_ERROR_NOT_READY",
    "CUDA_ERROR_SYSTEM_NOT_READY",
    "CUDA_ERROR_DEVICE_UNAVAILABLE",
    "CUDA_ERROR_TIMEOUT",
    "CUDA_ERROR_MPS_SERVER_NOT_READY",
    "CUDA_ERROR_MPS_MAX_CLIENTS_REACHED",
    "CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED",
];

/// What a tensor error says about who must act. Only a device's errors are anything but our own.
pub(crate) fn class_of(error: &Candle) -> ErrorClass {
    match error {
        Candle::Cuda(inner) => class_of_text(&format!("{inner:?}")),
        Candle::Context { inner, .. }
        | Candle::WithPath { inner, .. }
        | Candle::WithBacktrace { inner, .. } => class_of(inner),
        _ => ErrorClass::Own,
    }
}

/// The same of an error's text: candle hands errors on as text, in which the libraries' names stand as whole words.
/// Where several stand, the gravest counts.
pub(crate) fn class_of_text(text: &str) -> ErrorClass {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let names = |list: &[&str]| text.split(|letter| !is_part(letter)).any(|word| list.contains(&word));
    if names(&POISONED) {
        ErrorClass::Poisoned
    } else if names(&OUT_OF_MEMORY) {
        ErrorClass::OutOfMemory
    } else if names(&TRANSIENT) {
        ErrorClass::Transient
    } else {
        ErrorClass::Own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `candle_core::CudaError` and cudarc's errors format themselves.
    fn driver(code: &str) -> Candle {
        Candle::Cuda(format!("Cuda(DriverError({code}, \"as cuGetErrorString has it\"))").into())
    }

    #[test]
    fn cuda_errors_are_sorted_by_the_drivers_names() {
        assert_eq!(class_of(&driver("CUDA_ERROR_OUT_OF_MEMORY")), ErrorClass::OutOfMemory);
        for code in
            ["ILLEGAL_ADDRESS", "LAUNCH_FAILED", "ECC_UNCORRECTABLE", "CONTEXT_IS_DESTROYED", "ASSERT"]
        {
            assert_eq!(class_of(&driver(&format!("CUDA_ERROR_{code}")).bt()), ErrorClass::Poisoned, "{code}");
        }
        assert_eq!(class_of(&driver("CUDA_ERROR_NOT_READY")), ErrorClass::Transient);
        assert_eq!(class_of(&driver("CUDA_ERROR_SYSTEM_NOT_READY")), ErrorClass::Transient);
        assert_eq!(class_of(&driver("CUDA_ERROR_INVALID_VALUE")), ErrorClass::Own);
        assert_eq!(class_of(&Candle::Msg("CUDA_ERROR_OUT_OF_MEMORY".into())), ErrorClass::Own, "no device's");
    }

    #[test]
    fn cublas_and_wrapped_errors_are_sorted_too() {
        let blas = |code: &str| Candle::Cuda(format!("Cublas(CublasError({code}))").into());
        assert_eq!(class_of(&blas("CUBLAS_STATUS_ALLOC_FAILED")), ErrorClass::OutOfMemory);
        assert_eq!(class_of(&blas("CUBLAS_STATUS_EXECUTION_FAILED")), ErrorClass::Poisoned);
        assert_eq!(class_of(&blas("CUBLAS_STATUS_INVALID_VALUE")), ErrorClass::Own);
        let load =
            "Load { cuda: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"), module_name: \"cast\" }";
        let wrapped = Candle::Cuda(load.into()).context("casting");
        assert_eq!(class_of(&wrapped), ErrorClass::OutOfMemory);
    }

    #[test]
    fn names_are_whole_words_and_the_gravest_counts() {
        assert_eq!(class_of_text("CUDA_ERROR_NOT_READY_YET"), ErrorClass::Own);
        assert_eq!(class_of_text("an ASSERT failed"), ErrorClass::Own);
        let both = "CUDA_ERROR_OUT_OF_MEMORY after CUDA_ERROR_ILLEGAL_ADDRESS";
        assert_eq!(class_of_text(both), ErrorClass::Poisoned);
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn cudarcs_own_codes_are_found() {
        use cudarc::driver::sys::cudaError_enum as Code;
        let class = |code: Code| class_of_text(&format!("{code:?}"));
        assert_eq!(class(Code::CUDA_ERROR_OUT_OF_MEMORY), ErrorClass::OutOfMemory);
        assert_eq!(class(Code::CUDA_ERROR_ILLEGAL_ADDRESS), ErrorClass::Poisoned);
        assert_eq!(class(Code::CUDA_ERROR_NOT_READY), ErrorClass::Transient);
    }
}
