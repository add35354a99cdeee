//! What the process's exit code means.

use std::process::ExitCode;

/// Why the process ends; each has a code of its own, as `README.md` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for was done.
    Success,
    /// It was tried and failed: a slot, a check, a verification.
    Failure,
    /// The input was wrong (arguments, configuration, recipe, scenario, a bundle that no model can be loaded from): the
    /// same start would end the same way, so nobody should repeat it before something was changed.
    BadInput,
    /// A model's restart budget is spent; a new process is the next remedy (`EX_SOFTWARE`).
    ModelGivenUp,
    /// The device or a compute thread is beyond recovery in this process (`EX_OSERR`).
    DeviceLost,
    /// Interrupted by a signal and drained cleanly (128 + SIGINT).
    Interrupted,
}

impl Exit {
    /// The number that the shell, systemd and Kubernetes see.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::BadInput => 2,
            Self::ModelGivenUp => 70,
            Self::DeviceLost => 71,
            Self::Interrupted => 130,
        }
    }

    /// Whether whoever started the process should start it again (`RestartForceExitStatus=70 71`).
    pub const fn wants_restart(self) -> bool {
        matches!(self, Self::ModelGivenUp | Self::DeviceLost)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
