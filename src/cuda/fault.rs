//! Why a card cannot be used: one variant per reason, each with what would help. Pure.

#[cfg(any(test, feature = "cuda"))]
use super::NEEDED_CAPABILITY;
use super::NEEDED_DRIVER;

/// Why a card cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// This binary has no GPU path.
    #[error("this binary was built without cuda; build with deploy/cuda/build.sh")]
    NotBuilt,
    /// There is no driver on this machine.
    #[error(
        "libcuda.so.1 was not found: there is no NVIDIA driver on this machine, or its library is not visible here"
    )]
    NoDriver,
    /// A library that computing needs is not there.
    #[error("{name} was not found; it comes with CUDA 13's run-time packages ({package})")]
    NoLibrary {
        /// Its name.
        name: &'static str,
        /// Where it comes from.
        package: &'static str,
    },
    /// The driver is older than the build needs.
    #[error("the driver supports CUDA {}, this build needs {} or newer (driver 580 or newer)", version(*.has), version(*.needs))]
    DriverTooOld {
        /// As the driver counts: 12040 is 12.4.
        has: i32,
        /// Likewise.
        needs: i32,
    },
    /// The machine has fewer cards.
    #[error("there is no card cuda:{ordinal}: {}", counted(*.count))]
    NoSuchCard {
        /// Asked for.
        ordinal: u32,
        /// There are.
        count: u32,
    },
    /// The card is too old for the models' arithmetic.
    #[error("cuda:{ordinal} ({name}) has compute capability {}.{}, at least {}.{} is needed (bf16)", .has.0, .has.1, .needs.0, .needs.1)]
    TooOld {
        /// The card.
        ordinal: u32,
        /// What it is called.
        name: String,
        /// What it has.
        has: (i32, i32),
        /// What is needed.
        needs: (i32, i32),
    },
    /// Another process has it for itself, or its mode forbids it.
    #[error(
        "cuda:{ordinal} is taken: another process has it exclusively, or its compute mode is prohibited ({code})"
    )]
    Busy {
        /// The card.
        ordinal: u32,
        /// The driver's name for it.
        code: String,
    },
    /// Not even a context fits on it.
    #[error("cuda:{ordinal} is full: its driver could not make a context ({code})")]
    Full {
        /// The card.
        ordinal: u32,
        /// The driver's name for it.
        code: String,
    },
    /// Anything else that the driver says.
    #[error("{doing}: {code}")]
    Driver {
        /// What was being done.
        doing: String,
        /// The driver's name for it.
        code: String,
    },
    /// cudarc panicked, as it does where a symbol is missing.
    #[error("{doing}: {message}; is the driver older than CUDA {}?", version(NEEDED_DRIVER))]
    Panicked {
        /// What was being done.
        doing: String,
        /// What it said.
        message: String,
    },
}

fn version(number: i32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

fn counted(count: u32) -> String {
    match count {
        0 => "this machine shows none".to_owned(),
        1 => "this machine shows one, cuda:0".to_owned(),
        _ => format!("this machine shows {count}, cuda:0 to cuda:{}", count - 1),
    }
}

/// What a refused initialisation means; `code` is the driver's name, `CUDA_ERROR_…`.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn init_fault(code: &str) -> Fault {
    match code {
        "CUDA_ERROR_NO_DEVICE" => Fault::NoSuchCard { ordinal: 0, count: 0 },
        "CUDA_ERROR_STUB_LIBRARY" => Fault::NoDriver,
        _ => Fault::Driver { doing: "starting the driver".to_owned(), code: code.to_owned() },
    }
}

/// What a refused card means.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn driver_fault(ordinal: u32, doing: &str, code: &str) -> Fault {
    let code = code.to_owned();
    match code.as_str() {
        "CUDA_ERROR_DEVICE_UNAVAILABLE" | "CUDA_ERROR_DEVICE_NOT_LICENSED" => Fault::Busy { ordinal, code },
        "CUDA_ERROR_OUT_OF_MEMORY" => Fault::Full { ordinal, code },
        _ => Fault::Driver { doing: format!("cuda:{ordinal}: {doing}"), code },
    }
}

/// Whether there is a card `ordinal` among `count`.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn ordinal_fault(ordinal: u32, count: u32) -> Option<Fault> {
    (ordinal >= count).then_some(Fault::NoSuchCard { ordinal, count })
}

/// Whether the card can do the models' arithmetic.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn capability_fault(ordinal: u32, name: &str, has: (i32, i32)) -> Option<Fault> {
    let needs = NEEDED_CAPABILITY;
    (has < needs).then(|| Fault::TooOld { ordinal, name: name.to_owned(), has, needs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_what_there_is_and_what_would_help() {
        let text = |fault: Fault| fault.to_string();
        let many = text(ordinal_fault(3, 2).unwrap());
        assert!(many.contains("cuda:3") && many.contains("shows 2, cuda:0 to cuda:1"), "{many}");
        assert!(text(ordinal_fault(3, 1).unwrap()).contains("shows one, cuda:0"));
        assert_eq!(ordinal_fault(1, 2), None);
        let old = text(Fault::DriverTooOld { has: 12_040, needs: NEEDED_DRIVER });
        assert!(old.contains("CUDA 12.4") && old.contains("13.0 or newer"), "{old}");
        let weak = text(capability_fault(0, "Tesla T4", (7, 5)).unwrap());
        assert!(weak.contains("Tesla T4") && weak.contains("7.5") && weak.contains("8.0"), "{weak}");
        assert_eq!(capability_fault(0, "H200", (9, 0)), None);
        assert!(text(Fault::NotBuilt).contains("deploy/cuda/build.sh"));
    }

    #[test]
    fn the_drivers_codes_become_reasons() {
        assert!(text_of("CUDA_ERROR_NO_DEVICE").contains("shows none"));
        assert_eq!(init_fault("CUDA_ERROR_STUB_LIBRARY"), Fault::NoDriver);
        assert!(text_of("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH").contains("SYSTEM_DRIVER_MISMATCH"));
        let fault = |code| driver_fault(1, "making a context", code);
        assert!(matches!(fault("CUDA_ERROR_DEVICE_UNAVAILABLE"), Fault::Busy { ordinal: 1, .. }));
        assert!(matches!(fault("CUDA_ERROR_OUT_OF_MEMORY"), Fault::Full { ordinal: 1, .. }));
        let other = fault("CUDA_ERROR_UNKNOWN").to_string();
        assert!(
            other.contains("cuda:1: making a context") && other.contains("CUDA_ERROR_UNKNOWN"),
            "{other}"
        );
    }

    fn text_of(code: &str) -> String {
        init_fault(code).to_string()
    }
}
