//! Sound and the timeline of what is said in it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Samples a second of everything that Kokoro speaks.
pub const SAMPLE_RATE: u32 = 24_000;

/// Mono sound: f32 samples in [−1, 1] at `sample_rate` Hz.
#[derive(Clone, Debug, PartialEq)]
pub struct Pcm {
    /// Samples a second.
    pub sample_rate: u32,
    /// The samples, in [−1, 1].
    pub samples: Vec<f32>,
}

impl Pcm {
    /// How long it sounds.
    pub fn duration(&self) -> Duration {
        samples_to_duration(self.samples.len() as u64, self.sample_rate)
    }
}

/// One phoneme and where it sounds, in samples from the start; `end` is exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phoneme {
    /// The symbol in Kokoro's (IPA-based) alphabet; silence and word gaps are `" "`.
    pub symbol: String,
    /// First sample.
    pub start: u64,
    /// One past the last sample.
    pub end: u64,
}

/// Why phonemes make no timeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimelineError {
    /// A phoneme ends before it starts.
    #[error("phoneme {index} ({symbol:?}) ends at sample {end}, before its start at {start}")]
    Reversed {
        /// Its place in the list.
        index: usize,
        /// Its symbol.
        symbol: String,
        /// Its first sample.
        start: u64,
        /// One past its last.
        end: u64,
    },
    /// A phoneme starts before the one before it has ended.
    #[error(
        "phoneme {index} ({symbol:?}) starts at sample {start}, before the one before it ends at {previous_end}"
    )]
    Overlapping {
        /// Its place in the list.
        index: usize,
        /// Its symbol.
        symbol: String,
        /// Its first sample.
        start: u64,
        /// Where the one before it ends.
        previous_end: u64,
    },
    /// The last phoneme reaches past the sound.
    #[error("the last phoneme ends at sample {end}, past the sound's end at {total}")]
    TooLong {
        /// One past the last phoneme's last sample.
        end: u64,
        /// The sound's length.
        total: u64,
    },
    /// No sample rate.
    #[error("a timeline needs a sample rate above zero")]
    NoSampleRate,
}

/// What is said when: phonemes in order, without overlap, inside a sound of `total` samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawTimeline", into = "RawTimeline")]
pub struct Timeline {
    raw: RawTimeline,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTimeline {
    sample_rate: u32,
    total: u64,
    phonemes: Vec<Phoneme>,
}

impl Timeline {
    /// From phonemes in order; gaps are silence.
    pub fn new(sample_rate: u32, total: u64, phonemes: Vec<Phoneme>) -> Result<Self, TimelineError> {
        RawTimeline { sample_rate, total, phonemes }.try_into()
    }

    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.raw.sample_rate
    }

    /// Length of the whole sound in samples.
    pub fn total(&self) -> u64 {
        self.raw.total
    }

    /// The phonemes in order.
    pub fn phonemes(&self) -> &[Phoneme] {
        &self.raw.phonemes
    }

    /// How long the whole sound is.
    pub fn duration(&self) -> Duration {
        samples_to_duration(self.raw.total, self.raw.sample_rate)
    }

    /// The phoneme that sounds at `sample`, if one does.
    pub fn at(&self, sample: u64) -> Option<&Phoneme> {
        let after = self.raw.phonemes.partition_point(|phoneme| phoneme.end <= sample);
        self.raw.phonemes.get(after).filter(|phoneme| phoneme.start <= sample)
    }
}

impl TryFrom<RawTimeline> for Timeline {
    type Error = TimelineError;

    fn try_from(raw: RawTimeline) -> Result<Self, Self::Error> {
        if raw.sample_rate == 0 {
            return Err(TimelineError::NoSampleRate);
        }
        let mut previous_end = 0;
        for (index, phoneme) in raw.phonemes.iter().enumerate() {
            let (symbol, start, end) = (phoneme.symbol.clone(), phoneme.start, phoneme.end);
            if end < start {
                return Err(TimelineError::Reversed { index, symbol, start, end });
            }
            if start < previous_end {
                return Err(TimelineError::Overlapping { index, symbol, start, previous_end });
            }
            previous_end = end;
        }
        if previous_end > raw.total {
            return Err(TimelineError::TooLong { end: previous_end, total: raw.total });
        }
        Ok(Self { raw })
    }
}

impl From<Timeline> for RawTimeline {
    fn from(timeline: Timeline) -> Self {
        timeline.raw
    }
}

/// Exact to the nanosecond, rounded down.
fn samples_to_duration(samples: u64, sample_rate: u32) -> Duration {
    let rate = u64::from(sample_rate.max(1));
    let nanos = (samples % rate) * 1_000_000_000 / rate;
    Duration::from_secs(samples / rate) + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phonemes(cuts: &[u64]) -> Vec<Phoneme> {
        cuts.windows(2).map(|w| Phoneme { symbol: "a".into(), start: w[0], end: w[1] }).collect()
    }

    proptest! {
        #[test]
        fn ordered_phonemes_make_a_timeline_that_reads_back(mut cuts in prop::collection::vec(0u64..100_000, 0..20), probe in 0u64..100_000) {
            cuts.sort_unstable();
            let total = cuts.last().copied().unwrap_or(0);
            let timeline = Timeline::new(SAMPLE_RATE, total, phonemes(&cuts)).unwrap();
            let json = serde_json::to_string(&timeline).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Timeline>(&json).unwrap(), &timeline);
            let by_search = timeline.phonemes().iter().find(|p| p.start <= probe && probe < p.end);
            prop_assert_eq!(timeline.at(probe), by_search);
        }

        #[test]
        fn durations_round_down_by_less_than_a_nanosecond(samples in 0u64..1 << 40) {
            let exact = samples as f64 / f64::from(SAMPLE_RATE);
            prop_assert!((samples_to_duration(samples, SAMPLE_RATE).as_secs_f64() - exact).abs() <= 1e-9 + exact * 1e-15);
        }
    }

    #[test]
    fn disorder_is_refused_with_its_place() {
        let reversed = vec![Phoneme { symbol: "b".into(), start: 5, end: 4 }];
        assert!(
            Timeline::new(SAMPLE_RATE, 9, reversed).unwrap_err().to_string().contains("phoneme 0 (\"b\")")
        );
        let mut overlapping = phonemes(&[0, 5, 9]);
        overlapping[1].start = 3;
        assert!(matches!(
            Timeline::new(SAMPLE_RATE, 9, overlapping),
            Err(TimelineError::Overlapping { index: 1, .. })
        ));
        assert!(matches!(
            Timeline::new(SAMPLE_RATE, 8, phonemes(&[0, 9])),
            Err(TimelineError::TooLong { .. })
        ));
        assert_eq!(Timeline::new(0, 9, vec![]), Err(TimelineError::NoSampleRate));
    }

    #[test]
    fn a_bad_timeline_in_json_is_refused_as_well() {
        let text = r#"{"sample_rate":24000,"total":1,"phonemes":[{"symbol":"a","start":0,"end":2}]}"#;
        assert!(serde_json::from_str::<Timeline>(text).is_err());
    }
}
