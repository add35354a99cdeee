//! Pure compute: the five models, the layers under them, and the weights they load.
//!
//! Knows candle, `types` and `contract`; never an actor, a runtime, configuration or telemetry.

pub mod error;
pub mod layers;
pub mod liveportrait;
pub mod noise;
pub mod weights;
