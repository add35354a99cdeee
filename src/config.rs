//! Configuration: five layers of raw values, merged, then parsed once into validated settings.
//!
//! Layers, weakest first: built-in defaults (`config/defaults.toml` beside this file) < `config/node.toml` <
//! `config/profiles/<name>.toml` < `VORTEX_…__…` environment < flags. Every problem is reported at once, each with key,
//! value, source and what would be accepted. Owns no global: whoever consumes settings is handed its own small struct.
//! Never reads the process's environment or arguments itself; [`Inputs`] brings them.
//!
//! [benches]: crate::benchmarks#rendering
//!
#![doc = include_str!("config/README.md")]

mod contradictions;
mod environment;
mod filter;
mod layers;
mod load;
mod network;
mod origin;
mod places;
pub(crate) mod preflight;
mod problem;
mod service;
mod settings;
mod sift;
mod signers;
mod tree;
mod values;
mod voices;

pub use environment::ENV_PREFIX;
pub use filter::check_filter;
pub use layers::{FlagSetting, Inputs};
pub use load::{Effective, Loaded, check_node, check_profile, load, load_despite_problems};
pub use network::Network;
pub use origin::Origin;
pub use places::{DirSource, shipped};
pub use problem::{Problem, Problems};
pub use service::{Http, Journal, Store, Webhooks};
pub use settings::{
    Deadlines, FluxSettings, Intake, KokoroSettings, Leak, LivePortraitSettings, Memory, ModelBudget, Models,
    Node, Recovery, Restart, RestartProcess, Settings, Slots, StageSettings, Stages, Telemetry,
};
pub use signers::{SignerError, Signers};
pub(crate) use values::parse_duration;
pub use values::{BundleChoice, Devices, Limit, Precision, T5Placement, TelemetryFormat, Timeout};
pub use voices::{SpeakerError, Voices, check_voices};
