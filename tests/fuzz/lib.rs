//! What every target does before its first input.

/// Writes the sound inputs of the entry called `name` to where the corpus is, for the fuzzer to begin with.
pub fn begin(name: &str) {
    let Some(dir) = std::env::var_os("VORTEX_FUZZ_CORPUS").map(std::path::PathBuf::from) else { return };
    for (number, input) in vortex_node::fuzz::corpus(name).into_iter().enumerate() {
        std::fs::write(dir.join(format!("sound-{number}")), input).expect("the corpus can be written");
    }
}
