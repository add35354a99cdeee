//! What the command line asks for.

use std::path::PathBuf;

use clap::Parser;

/// Every model beside PyTorch, ONNX Runtime, narrower vectors or another build, in turns.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Only rows whose names begin like one of these, commas between; a whole name also brings rows that the table leaves out
    #[arg(long, value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Turns that count, after one to warm up; fewer, but three, where a row takes more than a minute
    #[arg(long, visible_alias = "pairs", default_value_t = 7)]
    pub turns: usize,
    /// One thread on each side, and its processor time in the place of time elapsed
    #[arg(long)]
    pub cpu_time: bool,
    /// One JSON object a row in the place of the table
    #[arg(long)]
    pub json: bool,
    /// Beside this program without vectors wider than these: avx2 or baseline
    #[arg(long)]
    pub simd: Option<String>,
    /// Beside another build of this program
    #[arg(long)]
    pub against: Option<PathBuf>,
    /// Below each row its layers: calls and time of their own, added over threads
    #[arg(long)]
    pub layers: bool,
    /// The names of all rows that are chosen
    #[arg(long)]
    pub list: bool,
    /// Seed of weights and inputs
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A checkout of LivePortrait in the place of the package mimic-head
    #[arg(long)]
    pub portrait_checkout: Option<PathBuf>,
    /// What tests/real/fetch brought; without it Kokoro's weights are random and ONNX Runtime has no graph of it
    #[arg(long, env = "VORTEX_REAL", default_value = "target/real")]
    pub real: PathBuf,
    /// The whole Flux transformer in this precision: planned and measured memory
    #[arg(long)]
    pub plan: Option<String>,
    /// Kokoro at full size: loading, memory of a script of a thousand words, and what speed does to length
    #[arg(long)]
    pub long_script: bool,
    /// Answers requests on standard input, as the other side of the table
    #[arg(long, hide = true)]
    pub answer: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// Of each side.
    pub fn threads(&self) -> usize {
        if self.cpu_time { 1 } else { 2 }
    }
}
