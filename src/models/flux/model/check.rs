//! Which jobs can be painted at all.

use crate::contract::{ModelError, Paint};
use crate::models::flux::files::Configs;

/// The most denoising steps: far beyond where schnell, made for 4, stops gaining.
const MOST_STEPS: u32 = 100;
/// The longest side: attention over its tokens would take more memory than any card has.
const LONGEST_SIDE: u32 = 4096;

/// A picture's size in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// Rows of tokens.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl Size {
    /// Of a job that can be painted; else what would be.
    pub(super) fn of(job: &Paint, configs: &Configs) -> Result<Self, ModelError> {
        if !(1..=MOST_STEPS).contains(&job.steps) {
            return Err(ModelError::own(format!(
                "{} denoising steps; expected 1 to {MOST_STEPS}",
                job.steps
            )));
        }
        // A token is 2×2 latent positions.
        let unit = 2 * configs.vae.factor() as u32;
        let (width, height) = (job.resolution.width.get(), job.resolution.height.get());
        if !width.is_multiple_of(unit) || !height.is_multiple_of(unit) {
            return Err(ModelError::own(format!(
                "a picture of {width}x{height}; expected sides divisible by {unit}, such as {}x{}",
                width.min(LONGEST_SIDE).next_multiple_of(unit),
                height.min(LONGEST_SIDE).next_multiple_of(unit)
            )));
        }
        if width.max(height) > LONGEST_SIDE {
            return Err(ModelError::own(format!(
                "a picture of {width}x{height}; expected sides of at most {LONGEST_SIDE}"
            )));
        }
        Ok(Self { rows: (height / unit) as usize, columns: (width / unit) as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Resolution;

    fn job(width: u32, height: u32, steps: u32) -> Paint {
        Paint { prompt: String::new(), seed: 0, resolution: Resolution::new(width, height).unwrap(), steps }
    }

    #[test]
    fn what_cannot_be_painted_is_refused_with_what_could() {
        let refused = |job: &Paint| Size::of(job, &Configs::schnell()).unwrap_err().to_string();
        assert!(refused(&job(512, 512, 0)).contains("0 denoising steps; expected 1 to 100"));
        assert!(refused(&job(512, 512, u32::MAX)).contains("expected 1 to 100"));
        assert!(refused(&job(520, 500, 4)).contains("divisible by 16, such as 528x512"));
        assert!(refused(&job(8192, 16, 4)).contains("at most 4096"));
        assert!(refused(&job(u32::MAX, 1, 4)).contains("divisible by 16"));
    }

    #[test]
    fn a_size_is_counted_in_tokens() {
        assert_eq!(Size::of(&job(512, 256, 4), &Configs::schnell()).unwrap(), Size { rows: 16, columns: 32 });
    }
}
