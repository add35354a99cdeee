//! Expression presets and the way from one to the next.

use crate::types::names;

names! {
    /// An expression preset.
    Expression, "an expression" {
        /// At ease.
        Neutral => "neutral",
        /// Glad and awake.
        Excited => "excited",
        /// Too much of it.
        Manic => "manic",
        /// Quiet.
        Calm => "calm",
    }
}

/// What an expression means for a face at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mood {
    /// 0 … 1, how strongly the face shows it.
    pub intensity: f32,
    /// 0 … 1.
    pub eye_openness: f32,
    /// Multiplies how far the mouth moves.
    pub mouth_scale: f32,
    /// 0 … 1, multiplies how far the head moves.
    pub head_motion: f32,
    /// Share of the intensity that shows as a smile.
    pub warmth: f32,
    /// Share of the intensity that raises the brows.
    pub surprise: f32,
}

impl Expression {
    /// The origin's table (December 2025); warmth and surprise are ours, since it had no smile and no brows.
    pub const fn mood(self) -> Mood {
        let (intensity, eye_openness, mouth_scale, head_motion, warmth, surprise) = match self {
            Self::Neutral => (0.3, 0.5, 1.0, 0.2, 0.2, 0.0),
            Self::Excited => (0.8, 0.8, 1.2, 0.6, 0.8, 0.4),
            Self::Manic => (1.0, 0.9, 1.3, 0.8, 1.0, 0.7),
            Self::Calm => (0.2, 0.4, 0.9, 0.1, 0.9, 0.0),
        };
        Mood { intensity, eye_openness, mouth_scale, head_motion, warmth, surprise }
    }
}

impl Mood {
    fn towards(self, other: Self, t: f32) -> Self {
        let mix = |a: f32, b: f32| a + (b - a) * t;
        Self {
            intensity: mix(self.intensity, other.intensity),
            eye_openness: mix(self.eye_openness, other.eye_openness),
            mouth_scale: mix(self.mouth_scale, other.mouth_scale),
            head_motion: mix(self.head_motion, other.head_motion),
            warmth: mix(self.warmth, other.warmth),
            surprise: mix(self.surprise, other.surprise),
        }
    }
}

/// A share of each preset's time that it takes to come from the one before.
const TRANSITION: f32 = 0.25;

/// The mood at `at` (0 … 1 of the video): the sequence divides the time evenly, and each preset after the first is
/// reached by smoothstep within the first quarter of its share. An empty sequence is neutral.
pub(crate) fn mood(sequence: &[Expression], at: f32) -> Mood {
    let place = at.clamp(0.0, 1.0) * sequence.len() as f32;
    let current = (place as usize).min(sequence.len().saturating_sub(1));
    let Some(expression) = sequence.get(current) else { return Expression::Neutral.mood() };
    match current.checked_sub(1).and_then(|before| sequence.get(before)) {
        Some(before) => {
            before.mood().towards(expression.mood(), smoothstep((place - current as f32) / TRANSITION))
        }
        None => expression.mood(),
    }
}

/// 3t² − 2t³ on [0, 1], constant outside.
pub(crate) fn smoothstep(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_share_the_time_evenly_and_ease_into_each_other() {
        let sequence = [Expression::Calm, Expression::Manic];
        assert_eq!(mood(&sequence, 0.0), Expression::Calm.mood());
        assert_eq!(mood(&sequence, 0.49), Expression::Calm.mood());
        assert_eq!(mood(&sequence, 1.0), Expression::Manic.mood());
        let halfway = mood(&sequence, 0.5 + 0.5 * TRANSITION / 2.0);
        assert!((halfway.eye_openness - 0.65).abs() < 1e-5, "{halfway:?}");
        let mut last = mood(&sequence, 0.0).intensity;
        for step in 0..=100 {
            let now = mood(&sequence, step as f32 / 100.0).intensity;
            assert!(now >= last && now - last < 0.2, "jump at {step}");
            last = now;
        }
    }

    #[test]
    fn no_sequence_is_neutral_and_a_misspelt_preset_names_the_nearest() {
        assert_eq!(mood(&[], 0.3), Expression::Neutral.mood());
        let error = "exited".parse::<Expression>().unwrap_err().to_string();
        assert!(error.contains("excited") && error.contains("neutral, excited, manic, calm"), "{error}");
    }
}
