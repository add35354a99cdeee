//! The smallest picture that goes through every network, and what must be true of it.
//!
//! Nobody knows beforehand what it shows, since weights differ; but it must be a picture at all, and painting it again
//! must give the same bytes for as long as the weights in memory are the ones that were loaded.

use super::FluxModel;
use crate::contract::{ModelError, Paint, Run};
use crate::types::Resolution;

/// Prompt and seed mean nothing; they only never change.
const PROMPT: &str = "a portrait of a canary";
const SEED: u64 = 0x00CA_4A27;

impl FluxModel {
    /// Paints it; fails where the outcome is no picture, or not the one that it was before.
    pub(super) fn sing(&mut self, run: &Run) -> Result<(), ModelError> {
        // Two tokens each way: attention between places, and every up-sampling, are exercised.
        let side = 4 * self.networks.configs.vae.factor() as u32;
        let resolution = Resolution::new(side, side)
            .ok_or_else(|| ModelError::own("the autoencoder makes pictures without pixels"))?;
        let job = Paint { prompt: PROMPT.to_owned(), seed: SEED, resolution, steps: 1 };
        let painted = self.paint(&job, run, false)?.image.into_data();
        judge(&painted)?;
        match &self.canary {
            None => self.canary = Some(painted),
            Some(before) => {
                let changed = before.iter().zip(&painted).filter(|(before, now)| before != now).count();
                if changed > 0 {
                    return Err(ModelError::own(format!(
                        "the canary's picture is not the one after loading: {changed} of {} values changed",
                        before.len()
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Whether these pixels can come of working networks.
fn judge(pixels: &[u8]) -> Result<(), ModelError> {
    let (least, most) = pixels.iter().fold((u8::MAX, 0), |(least, most), p| (least.min(*p), most.max(*p)));
    if most.saturating_sub(least) < 2 {
        return Err(ModelError::own(format!(
            "the canary's picture is blank: all values are {least} to {most}"
        )));
    }
    let inside = pixels.iter().filter(|pixel| (1..255).contains(*pixel)).count();
    if inside * 100 < pixels.len() {
        return Err(ModelError::own(format!(
            "the canary's picture is black and white alone: {inside} of {} values lie between",
            pixels.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_and_saturated_pictures_are_none() {
        assert!(judge(&[7; 30]).unwrap_err().to_string().contains("blank"));
        let saturated: Vec<u8> = (0..400).map(|i| if i % 2 == 0 { 0 } else { 255 }).collect();
        assert!(judge(&saturated).unwrap_err().to_string().contains("black and white"));
        assert!(judge(&[3, 90, 200, 255]).is_ok());
    }
}
