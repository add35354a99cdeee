//! Which traces go out.

use opentelemetry::trace::TraceId;

/// Which traces are kept that nothing went wrong in; of the others all are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// This part of them, by their ids.
    Ratio(f64),
}

/// Which traces go out that nothing went wrong in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Of those that nobody has decided about.
    pub sampler: Sampler,
    /// Whether a caller's decision holds.
    pub parent_based: bool,
}

impl Sampling {
    pub(super) fn by_itself(self, trace: TraceId) -> bool {
        match self.sampler {
            Sampler::AlwaysOn => true,
            Sampler::AlwaysOff => false,
            Sampler::Ratio(ratio) => {
                // As the SDK does it, so that every service decides alike: by the low 63 bits of the id.
                let [.., low] = [0, u64::from_be_bytes(low_half(trace))];
                (low >> 1) < (ratio * (1u64 << 63) as f64) as u64
            }
        }
    }
}

fn low_half(trace: TraceId) -> [u8; 8] {
    let mut low = [0; 8];
    low.copy_from_slice(&trace.to_bytes()[8..]);
    low
}
