//! What bounds a row, by one rule from its figures.
//!
//! Of a row's time,
//! - **product** is the share that its multiplications would take at the measured speed of a large product: operations,
//!   without those that Winograd's transform saves, over that speed;
//! - **memory** is the share that reading its weights once would take at the measured speed of reading memory;
//! - **waiting** is the share in which threads did not run: one less processor time over threads times time elapsed;
//! - **rest** is what product and waiting leave: transforms, norms, activations, copies, and products below that speed.
//!
//! The largest of the four names the row. A rest is named further by the span of the profile that ran longest by itself.

use rayon::prelude::*;
use serde::Serialize;

use crate::spans::Layer;
use crate::turns::clocked;

/// The four shares.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shares {
    pub product: f64,
    pub memory: f64,
    pub waiting: f64,
    pub rest: f64,
}

impl Shares {
    /// Of a pass that takes `seconds`, would take `product` and `memory` at full speed, and ran for `ran` of its threads'
    /// time.
    pub fn of(seconds: f64, product: f64, memory: f64, ran: f64) -> Self {
        let (product, memory, waiting) = (product / seconds, memory / seconds, (1.0 - ran).max(0.0));
        Self { product, memory, waiting, rest: (1.0 - product - waiting).max(0.0) }
    }

    /// The largest, in words.
    pub fn name(&self, layers: &[Layer]) -> String {
        let named = [
            ("product", self.product),
            ("memory", self.memory),
            ("waiting", self.waiting),
            ("rest", self.rest),
        ];
        // Of operations that nobody has counted, neither product nor rest is known.
        let known = named.into_iter().filter(|(_, share)| !share.is_nan());
        let Some((name, share)) = known.max_by(|a, b| a.1.total_cmp(&b.1)) else { return "?".to_owned() };
        let most = if name == "rest" { longest(layers) } else { None };
        let most = most.map_or_else(String::new, |most| format!(", most in {most}"));
        format!("{name} {:.0} %{most}", 100.0 * share)
    }
}

/// The span that ran longest by itself, over all shapes.
fn longest(layers: &[Layer]) -> Option<&str> {
    let mut sums = std::collections::BTreeMap::new();
    for layer in layers {
        *sums.entry(layer.name).or_insert(0.0) += layer.own;
    }
    sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(name, _)| name)
}

/// Bytes a second that all threads read together, from more memory than caches hold.
pub fn bandwidth() -> f64 {
    let values = vec![1u64; 1 << 26];
    let sum =
        || assert_eq!(values.par_chunks(1 << 16).map(|part| part.iter().sum::<u64>()).sum::<u64>(), 1 << 26);
    let best = (0..5).map(|_| clocked(false, sum).0).fold(f64::INFINITY, f64::min);
    size_of_val(values.as_slice()) as f64 / best
}
