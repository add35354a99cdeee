//! Pure compute: the five models, the kernels under them, and the weights they load.
//!
//! Knows candle, `types` and `contract`; never an actor, a runtime, configuration or telemetry.
//!
//! [flux]: crate::models::flux
//! [kokoro]: crate::models::kokoro
//! [liveportrait]: crate::models::liveportrait
//! [clip]: crate::models::clip
//! [bundle]: crate::models::bundle
//! [weights]: crate::models::weights
//! [kernels]: crate::models::kernels
//! [contract]: crate::contract
//! [gpu_check]: crate::gpu_check
//!
#![doc = include_str!("models/README.md")]

pub mod adopt;
pub mod bundle;
pub mod catalog;
pub mod clip;
pub(crate) mod device;
pub(crate) mod error;
pub mod flux;
pub mod kernels;
pub mod kokoro;
pub mod liveportrait;
pub mod noise;
pub mod parity;
pub mod synth;
pub(crate) mod tokenizer;
pub(crate) mod vocabulary;
pub mod weights;
pub mod workspace;
