//! Phonemes to mouth shapes.
//!
//! The symbols are Kokoro's: IPA, with capital letters for diphthongs (A eɪ, I aɪ, W aʊ, Y ɔɪ, O oʊ, Q əʊ). The shapes
//! are the origin's table by ARPAbet class (December 2025).

/// A mouth: each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MouthShape {
    /// How far the jaw is open.
    pub jaw: f32,
    /// How wide the lips are drawn.
    pub width: f32,
    /// How far the lips are rounded.
    pub rounding: f32,
}

impl MouthShape {
    /// Silence.
    pub(crate) const REST: Self = Self::new(0.2, 0.5, 0.3);

    const fn new(jaw: f32, width: f32, rounding: f32) -> Self {
        Self { jaw, width, rounding }
    }

    /// Between `self` (`t` = 0) and `other` (`t` = 1).
    pub(crate) fn towards(self, other: Self, t: f32) -> Self {
        let mix = |a: f32, b: f32| a + (b - a) * t;
        Self::new(mix(self.jaw, other.jaw), mix(self.width, other.width), mix(self.rounding, other.rounding))
    }
}

/// What a symbol does to the mouth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Viseme {
    /// This shape.
    Shape(MouthShape),
    /// The lips meet: b, p, m.
    Closure(MouthShape),
    /// Silence, a word gap or punctuation.
    Silence,
    /// A stress mark: the mouth is already on its way to what follows.
    Onset,
    /// A length mark: the mouth stays as it is.
    Hold,
    /// A symbol that no table knows.
    Unknown,
}

/// What `symbol` does to the mouth.
pub(crate) fn viseme(symbol: &str) -> Viseme {
    let shape = |jaw, width, rounding| Viseme::Shape(MouthShape::new(jaw, width, rounding));
    match symbol {
        "ɑ" | "ɑ̃" => shape(0.8, 0.6, 0.3),                   // AA
        "ʌ" | "ə" | "ᵊ" | "ɐ" | "ɘ" => shape(0.7, 0.5, 0.3), // AH
        "ɔ" | "ɒ" => shape(0.8, 0.4, 0.6),                   // AO
        "æ" | "a" => shape(0.6, 0.7, 0.2),                   // AE
        "ɛ" | "e" | "ɛ̃" => shape(0.5, 0.6, 0.2),             // EH
        "ɪ" | "ᵻ" | "ɨ" => shape(0.3, 0.8, 0.1),             // IH
        "i" => shape(0.3, 0.9, 0.1),                         // IY
        "ʊ" | "ɯ" => shape(0.4, 0.4, 0.7),                   // UH
        "u" | "y" | "ʉ" => shape(0.4, 0.3, 0.9),             // UW
        "ɜ" | "ɚ" | "ɝ" | "ø" | "œ" => shape(0.4, 0.5, 0.4), // ER
        "W" => shape(0.7, 0.5, 0.5),                         // AW
        "I" => shape(0.6, 0.7, 0.2),                         // AY
        "A" => shape(0.4, 0.7, 0.2),                         // EY
        "O" | "Q" | "o" | "ɤ" => shape(0.5, 0.4, 0.7),       // OW
        "Y" => shape(0.5, 0.5, 0.5),                         // OY
        "b" | "p" | "m" | "ɓ" => Viseme::Closure(MouthShape::new(0.1, 0.3, 0.9)), // B P M
        "f" | "v" | "ɸ" | "β" | "ʋ" => shape(0.2, 0.5, 0.3), // F V
        "θ" | "ð" => shape(0.3, 0.6, 0.2),                   // TH DH
        "t" | "d" | "n" | "l" | "ɾ" | "T" | "ʔ" | "ɫ" | "ɬ" => shape(0.3, 0.5, 0.3), // T D N L
        "s" | "z" | "ʦ" | "ʣ" => shape(0.2, 0.6, 0.2),       // S Z
        "ʧ" | "ʤ" => shape(0.3, 0.4, 0.4),                   // CH JH
        "ʃ" | "ʒ" | "ʨ" | "ʥ" | "ɕ" | "ʑ" => shape(0.3, 0.4, 0.5), // SH ZH
        "k" | "g" | "ɡ" | "ŋ" | "h" | "x" | "ɣ" | "q" | "ç" | "ɲ" => shape(0.4, 0.5, 0.3), // K G NG, H
        "ɹ" | "r" | "ɻ" | "ʁ" => shape(0.4, 0.4, 0.5),       // R
        "w" | "ʍ" | "ɥ" => shape(0.3, 0.4, 0.8),             // W
        "j" => shape(0.3, 0.7, 0.3),                         // Y
        "ˈ" | "ˌ" | "'" => Viseme::Onset,
        "ː" | "ʲ" | "ʰ" | "̃" | "̩" | "ᶣ" => Viseme::Hold,
        _ if symbol.chars().all(|c| !c.is_alphabetic()) => Viseme::Silence,
        _ => Viseme::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bilabials_close_the_lips() {
        for symbol in ["b", "p", "m"] {
            assert!(matches!(viseme(symbol), Viseme::Closure(shape) if shape.jaw < MouthShape::REST.jaw));
        }
        for symbol in ["f", "n", "w", "u", " ", "ˈ"] {
            assert!(!matches!(viseme(symbol), Viseme::Closure(_)), "{symbol}");
        }
    }

    #[test]
    fn every_sound_of_english_has_a_shape() {
        for symbol in "AIOQWYbdfhijklmnpstuvwzæðŋɑɔəɛɜɡɪɹɾʃʊʌʒʤʧθᵊᵻaɒT".chars() {
            let found = viseme(&symbol.to_string());
            assert!(matches!(found, Viseme::Shape(_) | Viseme::Closure(_)), "{symbol}: {found:?}");
        }
        for symbol in " ;:,.!?—…\"()“”".chars() {
            assert_eq!(viseme(&symbol.to_string()), Viseme::Silence, "{symbol}");
        }
        assert_eq!(viseme("Ж"), Viseme::Unknown);
    }
}
