//! The life of a journal that event numbers belong to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A random number that changes whenever events, or their numbers, could have been lost: an event of one generation says
/// nothing about the events of another. 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(u64);

/// A text that is no generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no generation of a journal; accepted: 16 lower-case hexadecimal digits")]
pub struct ParseGenerationError(String);

impl Generation {
    /// A new one.
    pub(super) fn random() -> Self {
        // A random UUID has 122 random bits; half of them are more than enough to differ.
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self(high ^ low)
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Generation {
    type Err = ParseGenerationError;

    fn from_str(text: &str) -> Result<Self, ParseGenerationError> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match u64::from_str_radix(text, 16) {
            Ok(bits) if digits && text.len() == 16 => Ok(Self(bits)),
            _ => Err(ParseGenerationError(text.chars().take(40).collect())),
        }
    }
}

impl Serialize for Generation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Generation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_read_back_in_one_spelling_only() {
        let generation = Generation::from_bits(0xab);
        assert_eq!(generation.to_string(), "00000000000000ab");
        assert_eq!("00000000000000ab".parse(), Ok(generation));
        for wrong in ["ab", "00000000000000AB", "+0000000000000ab", "", "00000000000000abc"] {
            assert!(wrong.parse::<Generation>().is_err(), "{wrong}");
        }
        assert_ne!(Generation::random(), Generation::random());
    }
}
