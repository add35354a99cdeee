//! All integration tests in one binary: one link instead of a dozen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod architecture;
mod config;
mod recipe;
mod rehearsals;
mod support;
mod vram;
