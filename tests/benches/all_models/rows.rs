//! The rows of the table: cases, each in one or several precisions, with what the other sides need to know of them.

use serde_json::Value;

use crate::options::Options;
use crate::{clip, flux, kokoro, liveportrait};

/// One forward pass that all sides know.
pub struct Case {
    /// What the names of its rows begin with.
    pub name: String,
    /// What the Python side loads it by.
    pub peer: Value,
    /// Operations of one pass in units of 1e9, as PyTorch counts them: a multiplication and an addition are two.
    pub gflop: f64,
    /// The share of them that our kernels carry out: Winograd's transform F(4×4, 3×3) leaves a quarter.
    pub multiplied: f64,
    /// Ours, in the precisions that are asked for.
    pub precisions: Vec<&'static str>,
    /// Builds ours in one of them.
    pub build: Box<dyn Fn(&str) -> Ours>,
}

/// Our side of a case in one precision.
pub struct Ours {
    /// One forward pass.
    pub run: Box<dyn FnMut()>,
    /// Bytes of the weights that a pass reads.
    pub bytes: usize,
}

impl Case {
    /// The names of its rows.
    pub fn rows(&self) -> impl Iterator<Item = String> {
        self.precisions.iter().map(|precision| format!("{}-{precision}", self.name))
    }

    /// Only the precisions whose rows are asked for: all of `usual`, or those named in full.
    fn with(mut self, wanted: &[String], usual: &[&str]) -> Option<Self> {
        let name = self.name.clone();
        self.precisions.retain(|precision| {
            let row = format!("{name}-{precision}");
            let begins = wanted.is_empty() || wanted.iter().any(|wanted| row.starts_with(wanted.as_str()));
            wanted.contains(&row) || begins && usual.contains(precision)
        });
        (!self.precisions.is_empty()).then_some(self)
    }
}

/// The cases that the command line asks for, in the table's order.
pub fn chosen(options: &Options) -> Vec<Case> {
    let all =
        [clip::cases(options), flux::cases(options), kokoro::cases(options), liveportrait::cases(options)];
    let chosen: Vec<Case> =
        all.into_iter().flatten().filter_map(|(case, usual)| case.with(&options.rows, usual)).collect();
    for wanted in &options.rows {
        let known = chosen.iter().flat_map(Case::rows).any(|row| row.starts_with(wanted.as_str()));
        assert!(known, "no row begins with {wanted}; --list names them");
    }
    chosen
}
