//! All integration tests in one binary: one link instead of a dozen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod architecture;
mod liveportrait;
mod bundles;
mod parity_kokoro;
mod parity_clip;
mod recipe;
mod rehearsals;
mod support;
mod config;
mod parity_kokoro;
mod phonemes_kokoro;
mod recipe;
mod speech_kokoro;
mod support;
mod synthetic_kokoro;
mod vram;
mod parity_liveportrait;
mod flux_model;
mod parity_flux;
mod phonemes_kokoro;
mod speech_kokoro;
mod config;
mod support;
mod synthetic_kokoro;
