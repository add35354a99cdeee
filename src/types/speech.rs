//! How something is to be said: emotion, speed and voice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::names;

/// What an emotion does to Kokoro's predictions: durations, F0 and energy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prosody {
    /// Added to F0 of voiced frames, Hz.
    pub pitch_shift_hz: f32,
    /// Multiplies the recipe's speed.
    pub tempo: f32,
    /// Multiplies the finished sound, whose loudness is otherwise that of any other.
    pub energy: f32,
}

names! {
    /// An emotion preset; its figures are the origin's (December 2025).
    Emotion, "an emotion" {
        /// As the voice speaks by itself.
        Neutral => "neutral",
        /// Higher, faster, louder.
        Excited => "excited",
        /// Lower, slower, softer.
        Sad => "sad",
        /// Loud.
        Angry => "angry",
        /// The most of everything.
        Manic => "manic",
        /// A little lower and slower.
        Calm => "calm",
        /// A little higher.
        Sarcastic => "sarcastic",
        /// Higher and faster.
        Fearful => "fearful",
    }
}

impl Emotion {
    /// Its effect on the predictions.
    pub const fn prosody(self) -> Prosody {
        let (pitch_shift_hz, tempo, energy) = match self {
            Self::Neutral => (0.0, 1.0, 1.0),
            Self::Excited => (50.0, 1.15, 1.3),
            Self::Sad => (-30.0, 0.9, 0.7),
            Self::Angry => (20.0, 1.1, 1.4),
            Self::Manic => (100.0, 1.25, 1.5),
            Self::Calm => (-10.0, 0.95, 0.9),
            Self::Sarcastic => (30.0, 1.05, 1.2),
            Self::Fearful => (60.0, 1.2, 1.1),
        };
        Prosody { pitch_shift_hz, tempo, energy }
    }
}

/// A recipe's speaking speed, 0.8 to 1.2 times the voice's own.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct SpeechSpeed(f32);

impl SpeechSpeed {
    /// The voice's own speed.
    pub const NORMAL: Self = Self(1.0);

    /// The factor.
    pub const fn get(self) -> f32 {
        self.0
    }
}

impl TryFrom<f32> for SpeechSpeed {
    type Error = String;

    fn try_from(value: f32) -> Result<Self, Self::Error> {
        if (0.8..=1.2).contains(&value) {
            return Ok(Self(value));
        }
        Err(format!("a speed of {value} is outside the accepted 0.8 to 1.2"))
    }
}

impl From<SpeechSpeed> for f32 {
    fn from(speed: SpeechSpeed) -> Self {
        speed.0
    }
}

/// Kokoro voices and their shares: `af_sarah`, or `af_sarah(0.3)+af_jessica(0.7)`.
///
/// Shares are above zero and finite; what is read is normalised to a sum of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VoiceBlend {
    parts: Vec<(String, f32)>,
}

/// Why a text names no voice or blend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a voice: {why}; write a name such as \"af_sarah\" or a blend such as \"af_sarah(0.3)+af_jessica(0.7)\""
)]
pub struct VoiceError {
    text: String,
    why: String,
}

impl VoiceBlend {
    /// Voice names and shares; the shares add up to one.
    pub fn parts(&self) -> &[(String, f32)] {
        &self.parts
    }

    /// The blend in which `stand_in` speaks for the voices that it has an answer for, with their shares.
    pub fn with_stand_ins<'a>(&self, stand_in: impl Fn(&str) -> Option<&'a Self>) -> Self {
        let mut parts = Vec::with_capacity(self.parts.len());
        for (name, share) in &self.parts {
            match stand_in(name) {
                None => parts.push((name.clone(), *share)),
                Some(other) => {
                    parts.extend(other.parts.iter().map(|(name, part)| (name.clone(), share * part)))
                }
            }
        }
        Self { parts }
    }

    fn part(text: &str) -> Result<(String, f32), String> {
        let (name, share) = match text.split_once('(') {
            None => (text, 1.0),
            Some((name, rest)) => {
                let digits = rest
                    .strip_suffix(')')
                    .ok_or_else(|| format!("{text:?} opens a bracket that it does not close"))?;
                let share = digits.trim().parse::<f32>().map_err(|_| format!("{digits:?} is not a share"))?;
                (name, share)
            }
        };
        let name = name.trim();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            return Err(format!("{name:?} is not a name of letters, digits, '_' and '-'"));
        }
        if !(share.is_finite() && share > 0.0) {
            return Err(format!("a share of {share} is not above zero"));
        }
        Ok((name.to_owned(), share))
    }
}

impl FromStr for VoiceBlend {
    type Err = VoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |why| VoiceError { text: text.to_owned(), why };
        let mut parts = text
            .split('+')
            .map(|part| Self::part(part.trim()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?;
        let sum: f32 = parts.iter().map(|(_, share)| share).sum();
        if !sum.is_finite() {
            return Err(fail("its shares add up to more than can be written".to_owned()));
        }
        parts.iter_mut().for_each(|(_, share)| *share /= sum);
        Ok(Self { parts })
    }
}

impl TryFrom<String> for VoiceBlend {
    type Error = VoiceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<VoiceBlend> for String {
    fn from(blend: VoiceBlend) -> Self {
        blend.to_string()
    }
}

impl fmt::Display for VoiceBlend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(name, _)] = self.parts.as_slice() {
            return f.write_str(name);
        }
        for (place, (name, share)) in self.parts.iter().enumerate() {
            write!(f, "{}{name}({share})", if place == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blends_are_normalised() {
        let blend: VoiceBlend = "af_sarah(3) + af_jessica(1)".parse().unwrap();
        assert_eq!(blend.parts(), [("af_sarah".to_owned(), 0.75), ("af_jessica".to_owned(), 0.25)]);
        assert_eq!("am_adam".parse::<VoiceBlend>().unwrap().to_string(), "am_adam");
    }

    #[test]
    fn a_stand_in_takes_over_the_share_of_the_voice_that_it_speaks_for() {
        let blend: VoiceBlend = "bf_emma(3)+am_adam(1)".parse().unwrap();
        let other: VoiceBlend = "af_sarah(1)+af_sky(1)".parse().unwrap();
        let spoken = blend.with_stand_ins(|name| (name == "bf_emma").then_some(&other));
        let expected = [("af_sarah", 0.375), ("af_sky", 0.375), ("am_adam", 0.25)];
        assert_eq!(spoken.parts(), expected.map(|(name, share)| (name.to_owned(), share)));
    }

    #[test]
    fn what_names_no_voice_is_refused_with_the_reason() {
        for text in ["", "a+", "a(0)", "a(-1)", "a(NaN)", "a(inf)", "a(0.5", "a b", "../x", "a(1e38)+b(3e38)"]
        {
            assert!(text.parse::<VoiceBlend>().unwrap_err().to_string().contains("af_sarah(0.3)"), "{text}");
        }
    }

    #[test]
    fn speeds_outside_the_range_are_refused() {
        for speed in [0.79, 1.21, f32::NAN, -1.0] {
            assert!(SpeechSpeed::try_from(speed).unwrap_err().contains("0.8 to 1.2"));
        }
        assert!(SpeechSpeed::try_from(0.8).is_ok() && SpeechSpeed::try_from(1.2).is_ok());
    }

    proptest! {
        #[test]
        fn blends_read_back(shares in prop::collection::vec(0.001f32..10.0, 1..5)) {
            let text = shares.iter().enumerate().map(|(i, s)| format!("v{i}({s})")).collect::<Vec<_>>().join("+");
            let blend: VoiceBlend = text.parse().unwrap();
            let sum: f32 = blend.parts().iter().map(|(_, share)| share).sum();
            prop_assert!((sum - 1.0).abs() < 1e-5);
            let back: VoiceBlend = blend.to_string().parse().unwrap();
            for ((a, x), (b, y)) in blend.parts().iter().zip(back.parts()) {
                prop_assert!(a == b && (x - y).abs() < 1e-5);
            }
        }
    }
}
