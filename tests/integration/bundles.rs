//! Bundles from outside: converted, made up, checked and pulled, through files and the built binary.

mod convert;
mod hub;
mod layouts;
mod load;
mod memory;
mod plan;
mod pull;
mod standins;
mod unusable;
mod verify;

use std::path::Path;
use std::process::{Command, Output};

/// Runs `vortex-node weights` with no settings of the machine around it.
fn weights(arguments: &[&str]) -> Output {
    weights_with(arguments, &[])
}

/// As [`weights`], with these variables.
fn weights_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vortex-node"))
        .arg("weights")
        .args(arguments)
        .env_clear()
        .env("HF_HOME", "/nonexistent")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    format!("{out}{err}")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
