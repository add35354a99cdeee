//! Every name that leaves the process: events, spans, metrics. One list, so that none is spelt twice or two ways.
//!
//! An event carries its name in the field `event`: `info!(event = event::CONFIG_LOADED, …, "configuration loaded")`.
//! Names are lower case, `part.what_happened`; metrics follow OpenTelemetry's conventions where they exist.

/// Events: something that happened.
pub mod event {
    /// The configuration was read and is in force. Fields: `profile`, `dir`.
    pub const CONFIG_LOADED: &str = "config.loaded";
}
