//! A small inference whose outcome is known: what the same weights gave right after they were loaded.
//!
//! Owns the test picture and text, and what counts as the same. No published number can serve, since every bundle has
//! its own weights; but weights that changed in memory, a device that computes wrongly, and networks that answer alike
//! to everything are found.

use crate::contract::{ModelError, UnitEmbedding};
use crate::types::{Resolution, RgbImage};

/// What the canary compares.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Of [`picture`] and of its inverse.
    pub images: Vec<UnitEmbedding>,
    /// Of [`TEXT`].
    pub text: UnitEmbedding,
}

/// Letters that every vocabulary has.
pub(super) const TEXT: &str = "a photo of a face";

/// How far a cosine between two runs may be from one: reductions on a device may take another order each time.
const SAME: f64 = 1e-3;

/// Gradients and stripes: every patch differs from its neighbours, in all channels.
pub(super) fn picture(inverted: bool) -> Option<RgbImage> {
    /// Not CLIP's own size, so that resizing takes part.
    const SIDE: u32 = 96;
    let size = Resolution::new(SIDE, SIDE)?;
    let level = |x: u32, y: u32| [x * 255 / SIDE, y * 255 / SIDE, (x ^ y) * 2 % 256];
    let pixels = (0..SIDE).flat_map(|y| (0..SIDE).flat_map(move |x| level(x, y)));
    let turn = |value: u32| if inverted { 255 - value as u8 } else { value as u8 };
    RgbImage::new(size, pixels.map(turn).collect()).ok()
}

/// Fails unless `found` is a possible outcome, and the one that was `expected`.
pub(super) fn compare(expected: &Outcome, found: &Outcome) -> Result<(), ModelError> {
    let wrong = |what: String| Err(ModelError::own(format!("CLIP's canary: {what}")));
    plausible(found)?;
    let pairs = expected.images.iter().zip(&found.images).chain([(&expected.text, &found.text)]);
    for (index, (expected, found)) in pairs.enumerate() {
        let cosine = expected.cosine(found);
        let same = (cosine - 1.0).abs() <= SAME; // false for NaN
        if !same {
            return wrong(format!(
                "embedding {index} has cosine {cosine} with the one made when the weights were loaded, expected 1"
            ));
        }
    }
    Ok(())
}

/// Fails where a network answers alike to opposite pictures, which dead or overflowing weights do.
pub(super) fn plausible(found: &Outcome) -> Result<(), ModelError> {
    match found.images.as_slice() {
        [picture, inverse] if picture == inverse => {
            Err(ModelError::own("CLIP's canary: a picture and its inverse have the same embedding"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(values: &[f32]) -> UnitEmbedding {
        UnitEmbedding::normalise(values.to_vec()).unwrap()
    }

    #[test]
    fn another_outcome_than_at_first_is_an_error() {
        let first = Outcome { images: vec![unit(&[1.0, 0.0]), unit(&[0.0, 1.0])], text: unit(&[1.0, 1.0]) };
        assert!(compare(&first, &first).is_ok());
        let drifted = Outcome { text: unit(&[1.0, 0.8]), ..first.clone() };
        assert!(compare(&first, &drifted).unwrap_err().to_string().contains("embedding 2"));
        let dead = Outcome { images: vec![unit(&[1.0, 0.0]); 2], ..first.clone() };
        assert!(compare(&first, &dead).unwrap_err().to_string().contains("inverse"));
    }
}
