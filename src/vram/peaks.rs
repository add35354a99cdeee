//! What jobs really took: measured workspace peaks per model and shape, from which leases are estimated. Pure.

use std::collections::BTreeMap;

use crate::types::{Bytes, ModelId};

/// What of a job decides its workspace: up to four sizes, in an order that each model's caller keeps (width, height,
/// batch, tokens). Jobs of equal shape take equal workspaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape(pub [u32; 4]);

/// How peaks are remembered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakSettings {
    /// Added to the largest recent peak, as a share of it.
    pub margin: f64,
}

impl Default for PeakSettings {
    /// A tenth: allocators round sizes, and the same shape has been seen to vary by a few per cent.
    fn default() -> Self {
        Self { margin: 0.1 }
    }
}

/// Peaks remembered per shape: enough to bridge an odd small run, few enough to follow a change of batch size.
const RECENT: usize = 8;
/// Shapes remembered in all; beyond it the one longest unused is forgotten.
const SHAPES: usize = 256;

#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    peaks: [Bytes; RECENT],
    next: usize,
    used_at: u64,
}

/// Peaks of one device.
#[derive(Clone, Debug)]
pub struct LearnedPeaks {
    settings: PeakSettings,
    by_shape: BTreeMap<(ModelId, Shape), Recent>,
    uses: u64,
}

impl LearnedPeaks {
    /// Nothing learned.
    pub fn new(settings: PeakSettings) -> Self {
        Self { settings, by_shape: BTreeMap::new(), uses: 0 }
    }

    /// What to lease for a job: the model's own estimate until a job of this shape was measured, then the largest
    /// recent peak and the margin.
    pub fn estimate(&self, model: ModelId, shape: Shape, own_estimate: Bytes) -> Bytes {
        self.by_shape.get(&(model, shape)).map_or(own_estimate, |recent| {
            let peak = recent.peaks.iter().copied().max().unwrap_or_default();
            peak.saturating_add(peak.share(self.settings.margin))
        })
    }

    /// Whether a job of this shape was measured, so that [`estimate`](Self::estimate) rests on that.
    pub fn knows(&self, model: ModelId, shape: Shape) -> bool {
        self.by_shape.contains_key(&(model, shape))
    }

    /// Takes in the peak of a finished job, beyond what is resident. A peak of zero teaches nothing: the job was too
    /// short for a sample to fall into it.
    pub fn learn(&mut self, model: ModelId, shape: Shape, peak: Bytes) {
        if peak == Bytes::ZERO {
            return;
        }
        self.uses += 1;
        let key = (model, shape);
        if self.by_shape.len() >= SHAPES && !self.by_shape.contains_key(&key) {
            let oldest = self.by_shape.iter().min_by_key(|(_, recent)| recent.used_at).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.by_shape.remove(&oldest));
        }
        let recent = self.by_shape.entry(key).or_default();
        recent.peaks[recent.next] = peak;
        recent.next = (recent.next + 1) % RECENT;
        recent.used_at = self.uses;
    }

    /// The job did not fit into what was estimated: the next of its shape asks for more, yet never for more than `most`,
    /// which it can have at all: a guess is no reason to refuse every job of the shape for good.
    pub fn exceeded(&mut self, model: ModelId, shape: Shape, leased: Bytes, most: Bytes) {
        let more = leased.saturating_add(leased.share(self.settings.margin));
        // What is estimated from it lies above it by the margin.
        self.learn(model, shape, more.min(most.share(1.0 / (1.0 + self.settings.margin))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape([512, 512, 4, 0]);
    const OWN: Bytes = Bytes::mb(3000);

    fn peaks(measured: &[u64]) -> LearnedPeaks {
        let mut peaks = LearnedPeaks::new(PeakSettings::default());
        measured.iter().for_each(|mb| peaks.learn(ModelId::Flux, SHAPE, Bytes::mb(*mb)));
        peaks
    }

    #[test]
    fn the_own_estimate_holds_until_a_job_is_measured() {
        assert_eq!(peaks(&[]).estimate(ModelId::Flux, SHAPE, OWN), OWN);
        assert_eq!(peaks(&[0]).estimate(ModelId::Flux, SHAPE, OWN), OWN);
        assert_eq!(peaks(&[1000]).estimate(ModelId::Flux, SHAPE, OWN), Bytes::mb(1100));
        assert_eq!(peaks(&[1000]).estimate(ModelId::Flux, Shape([1024; 4]), OWN), OWN);
        assert_eq!(peaks(&[1000]).estimate(ModelId::Kokoro, SHAPE, OWN), OWN);
        let knows = |measured: &[u64]| peaks(measured).knows(ModelId::Flux, SHAPE);
        assert!(knows(&[1000]) && !knows(&[]) && !knows(&[0]));
    }

    #[test]
    fn the_largest_recent_peak_counts() {
        assert_eq!(peaks(&[1000, 2000, 500]).estimate(ModelId::Flux, SHAPE, OWN), Bytes::mb(2200));
        let smaller_batches = [vec![2000], vec![1000; RECENT]].concat();
        assert_eq!(peaks(&smaller_batches).estimate(ModelId::Flux, SHAPE, OWN), Bytes::mb(1100));
        assert_eq!(peaks(&smaller_batches[..RECENT]).estimate(ModelId::Flux, SHAPE, OWN), Bytes::mb(2200));
    }

    #[test]
    fn a_job_that_did_not_fit_raises_the_next_estimate() {
        let mut peaks = peaks(&[1000]);
        peaks.exceeded(ModelId::Flux, SHAPE, Bytes::mb(1100), Bytes::gb(4));
        assert_eq!(peaks.estimate(ModelId::Flux, SHAPE, OWN), Bytes::mb(1331));
    }

    #[test]
    fn however_often_it_does_not_fit_no_guess_asks_for_more_than_can_be_had() {
        let (mut peaks, most) = (peaks(&[1000]), Bytes::mb(4000));
        for _ in 0..50 {
            let leased = peaks.estimate(ModelId::Flux, SHAPE, OWN);
            peaks.exceeded(ModelId::Flux, SHAPE, leased, most);
        }
        let estimate = peaks.estimate(ModelId::Flux, SHAPE, OWN);
        assert!(estimate <= most && estimate >= Bytes::mb(3990), "{estimate}");
    }

    #[test]
    fn memory_is_bounded_and_the_longest_unused_is_forgotten() {
        let mut peaks = peaks(&[1000]);
        for size in 0..SHAPES as u32 - 1 {
            peaks.learn(ModelId::Flux, Shape([size, 0, 0, 0]), Bytes::mb(1));
        }
        peaks.learn(ModelId::Flux, SHAPE, Bytes::mb(1000));
        peaks.learn(ModelId::Flux, Shape([0, 9, 0, 0]), Bytes::mb(1));
        assert_eq!(peaks.by_shape.len(), SHAPES);
        assert_eq!(peaks.estimate(ModelId::Flux, SHAPE, OWN), Bytes::mb(1100));
        assert_eq!(peaks.estimate(ModelId::Flux, Shape([0; 4]), OWN), OWN, "longest unused");
    }
}
