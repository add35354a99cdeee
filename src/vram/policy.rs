//! The decisions about memory, each a pure function of (state, input, now): no clock, no I/O, no allocation in those
//! that run at every sample.

mod fit;
mod floor;
mod fragmentation;
mod leak;
mod preflight;
mod pressure;
mod relief;
mod remedy;
mod trend;
mod unaccounted;

pub use floor::{SlotFloor, memory_missing};
pub use fragmentation::fragmentation;
pub use leak::{LeakSettings, LeakVerdict, LeakWatch};
pub use preflight::{Fit, Misfit, ModelNeed, Plan, Remedy, Variant, preflight};
pub use pressure::{Actions, Assessment, Crossing, Level, PressurePolicy, Thresholds, ThresholdsError};
pub use relief::Relief;
pub use remedy::{MemoryRemedy, PressureCause, RemedyPolicy, RemedySettings, Scene, Suspect};
pub use trend::{Slope, Trend};
pub use unaccounted::Unaccounted;
