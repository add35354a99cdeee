//! All integration tests in one binary: one link instead of a dozen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod architecture;
mod boards;
mod bundles;
mod chaos;
mod check;
mod config;
mod crash_loop;
mod cuda_driver;
mod demo;
mod doors;
mod flux_model;
mod gpu_check;
mod liveportrait;
mod many_slots;
mod media;
mod parity_clip;
mod parity_flux;
mod parity_kokoro;
mod parity_liveportrait;
mod paths;
mod phonemes_kokoro;
mod readers;
mod recipe;
mod rehearsals;
mod rehearsals_cards;
mod rehearsals_nvml;
mod render;
mod result;
mod serve;
mod serve_probe;
mod serve_reload;
mod speech_kokoro;
mod support;
mod synthetic_kokoro;
mod vram;
