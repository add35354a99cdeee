//! What systemd is told where it started the process: ready, stopping, what keeps it from being ready, and that it is alive.
//!
//! Silent everywhere else. Says that the process is alive only while its runtime turns over, which is what the timer proves.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells `states`; nobody listens where systemd did not start the process.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// All models have passed their canaries.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// What an operator sees in `systemctl status`.
pub(super) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The process ends in order.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Half of the time within which systemd wants to hear from the process; none where it does not.
pub(super) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// The process is alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}
