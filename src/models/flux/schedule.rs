//! Which noise levels a picture passes through: the flow-matching Euler schedule (Lipman et al. 2023; Esser et al. 2024).
//!
//! The picture at level σ is σ · noise + (1 − σ) · picture; a step from σ to σ' adds (σ' − σ) · flow. Schnell's levels
//! are evenly spaced from 1 to 0; other schedulers shift them towards noise, by a constant or with the picture's size.

use serde::Deserialize;
use serde_json::Value;

use crate::contract::ModelError;

/// `scheduler/scheduler_config.json`, as far as it bears on the levels.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// Levels become shift·σ / (1 + (shift − 1)·σ).
    pub shift: f64,
    /// Whether the shift depends on the number of picture tokens instead.
    pub use_dynamic_shifting: bool,
    /// Logarithm of the shift at the fewest tokens.
    pub base_shift: f64,
    /// And at the most.
    pub max_shift: f64,
    /// The fewest tokens.
    pub base_image_seq_len: f64,
    /// The most.
    pub max_image_seq_len: f64,
}

impl Default for Scheduler {
    /// Schnell's: no shift.
    fn default() -> Self {
        Self {
            shift: 1.0,
            use_dynamic_shifting: false,
            base_shift: 0.5,
            max_shift: 1.15,
            base_image_seq_len: 256.0,
            max_image_seq_len: 4096.0,
        }
    }
}

impl Scheduler {
    /// From `scheduler_config.json`.
    pub fn from_json(value: &Value) -> Result<Self, ModelError> {
        let scheduler = Self::deserialize(value).map_err(|error| {
            ModelError::own("the scheduler's configuration is not as expected").because(error)
        })?;
        let range = scheduler.max_image_seq_len - scheduler.base_image_seq_len;
        if scheduler.shift > 0.0
            && scheduler.shift.is_finite()
            && (!scheduler.use_dynamic_shifting || range > 0.0)
        {
            return Ok(scheduler);
        }
        Err(ModelError::own(format!(
            "the scheduler's configuration: a shift of {} over {range} tokens; expected positive ones",
            scheduler.shift
        )))
    }

    /// The `steps` + 1 levels from 1 to 0, for a picture of `tokens` tokens.
    pub fn levels(&self, steps: usize, tokens: usize) -> Vec<f64> {
        let shift = if self.use_dynamic_shifting {
            let slope =
                (self.max_shift - self.base_shift) / (self.max_image_seq_len - self.base_image_seq_len);
            (self.base_shift + slope * (tokens as f64 - self.base_image_seq_len)).exp()
        } else {
            self.shift
        };
        let even = |step: usize| 1.0 - step as f64 / steps.max(1) as f64;
        (0..=steps).map(|step| shift * even(step) / (1.0 + (shift - 1.0) * even(step))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schnell_steps_evenly_from_noise_to_picture() {
        assert_eq!(Scheduler::default().levels(4, 256), [1.0, 0.75, 0.5, 0.25, 0.0]);
    }

    #[test]
    fn a_shift_lingers_at_noise_and_keeps_the_ends() {
        let scheduler = Scheduler { shift: 3.0, ..Scheduler::default() };
        assert_eq!(scheduler.levels(2, 256), [1.0, 0.75, 0.0]);
        let dynamic = Scheduler { use_dynamic_shifting: true, ..Scheduler::default() };
        // At the fewest tokens the shift is e^0.5: 0.5 becomes e^0.5 / (e^0.5 + 1).
        let middle = 0.5f64.exp() / (0.5f64.exp() + 1.0);
        assert!((dynamic.levels(2, 256)[1] - middle).abs() < 1e-12);
        assert!(dynamic.levels(2, 4096)[1] > middle);
    }

    #[test]
    fn a_shift_of_nothing_is_refused() {
        let value = serde_json::json!({ "shift": 0.0 });
        assert!(Scheduler::from_json(&value).unwrap_err().to_string().contains("shift of 0"));
    }
}
