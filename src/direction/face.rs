//! From mouth shape, mood, lids and gaze to LivePortrait's editing controls.

use crate::types::FaceControls;

use super::expression::Mood;
use super::viseme::MouthShape;

/// Lip control when the lips are pressed together. The range goes to −90, which is for sources with an open mouth; a
/// source at rest is nearly closed, and half the range presses without folding the lips in.
pub(crate) const LIPS_PRESSED: f32 = -45.0;
/// Lip control at the widest jaw of the viseme table (0.8) in a neutral mood; manic (×1.3) reaches the range's 120.
const LIPS_OPEN: f32 = 92.0;

/// The controls of one frame.
///
/// Jaw opening drives `lips` between pressed, rest and open; width above rest drives `grin`, below it `purse`; rounding
/// drives `purse` and `pout`. The mood scales the mouth's movement about rest, never a closure.
pub(crate) fn face(mouth: MouthShape, closed: bool, mood: &Mood, lid: f32, gaze: (f32, f32)) -> FaceControls {
    let scale = mood.mouth_scale;
    let rest = MouthShape::REST;
    let opened = (mouth.jaw - rest.jaw) / (0.8 - rest.jaw);
    let lips =
        if closed { LIPS_PRESSED } else { (opened * LIPS_OPEN * scale).clamp(LIPS_PRESSED / 2.0, 120.0) };
    let wide = (mouth.width - rest.width) / 0.4;
    let narrow = (rest.width - mouth.width) / 0.2;
    let round = ((mouth.rounding - rest.rounding) / 0.6).max(0.0);
    FaceControls {
        smile: (1.3 * mood.intensity * mood.warmth).clamp(-0.3, 1.3),
        lips,
        purse: (scale * (8.0 * narrow.max(0.0) + 6.0 * round)).clamp(0.0, 15.0),
        grin: (scale * 10.0 * wide.max(0.0)).clamp(0.0, 15.0),
        pout: (scale * 0.06 * round).clamp(0.0, 0.09),
        wink: 0.0,
        brow: (30.0 * mood.intensity * mood.surprise).clamp(-30.0, 30.0),
        // A third of the range: people who speak to someone look at them.
        gaze_x: 10.0 * gaze.0,
        gaze_y: 14.0 * gaze.1,
        eye_openness: (mood.eye_openness * lid).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::expression::Expression;
    use super::super::viseme::{Viseme, viseme};
    use super::*;

    fn controls(symbol: &str, mood: Expression) -> FaceControls {
        let (shape, closed) = match viseme(symbol) {
            Viseme::Shape(shape) => (shape, false),
            Viseme::Closure(shape) => (shape, true),
            _ => (MouthShape::REST, false),
        };
        face(shape, closed, &mood.mood(), 1.0, (0.0, 0.0))
    }

    #[test]
    fn sounds_move_the_lips_as_they_should() {
        let of = |symbol| controls(symbol, Expression::Neutral);
        assert!(of("ɑ").lips > 80.0 && of("m").lips == LIPS_PRESSED && of(" ").lips == 0.0);
        assert!(of("i").grin > 5.0 && of("i").purse == 0.0);
        assert!(of("u").purse > 5.0 && of("u").pout > 0.05 && of("u").grin == 0.0);
        assert_eq!((of(" ").grin, of(" ").purse, of(" ").pout), (0.0, 0.0, 0.0));
    }

    #[test]
    fn every_control_stays_in_the_models_range() {
        for mood in Expression::ALL {
            for symbol in "AIOQWYbdfhijklmnpstuvwzæðŋɑɔəɛɜɡɪɹʃʊʌʒʤʧθ ".chars() {
                let face = controls(&symbol.to_string(), mood);
                assert!(
                    (-0.3..=1.3).contains(&face.smile) && (-90.0..=120.0).contains(&face.lips),
                    "{mood} {symbol}"
                );
                assert!(
                    (-20.0..=15.0).contains(&face.purse) && (0.0..=15.0).contains(&face.grin),
                    "{mood} {symbol}"
                );
                assert!(
                    (-0.09..=0.09).contains(&face.pout) && (-30.0..=30.0).contains(&face.brow),
                    "{mood} {symbol}"
                );
                assert!((0.0..=1.0).contains(&face.eye_openness), "{mood} {symbol}");
            }
        }
    }

    #[test]
    fn a_mood_widens_the_mouth_but_never_opens_a_closure() {
        assert!(controls("ɑ", Expression::Manic).lips > controls("ɑ", Expression::Calm).lips);
        assert_eq!(controls("b", Expression::Manic).lips, controls("b", Expression::Calm).lips);
    }
}
