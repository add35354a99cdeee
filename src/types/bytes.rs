//! An amount of memory. One unit everywhere: bytes; the suffixes exist only in text.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, printed and parsed in decimal units (`11.0GB` = 11.0e9 B) or binary ones (`10.5GiB`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// The suffixes understood, longest first so that `GiB` is not read as `B`.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Why a text is not an amount of memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an amount of memory: {why}; write a number and a unit, such as \"11.0GB\" or \"512MiB\""
)]
pub struct ParseBytesError {
    text: String,
    why: &'static str,
}

impl Bytes {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that can be written.
    pub const MAX: Self = Self(u64::MAX);

    /// `count` bytes.
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// `count` decimal megabytes (1e6 B).
    pub const fn mb(count: u64) -> Self {
        Self(count.saturating_mul(1_000_000))
    }

    /// `count` decimal gigabytes (1e9 B).
    pub const fn gb(count: u64) -> Self {
        Self(count.saturating_mul(1_000_000_000))
    }

    /// `count` binary mebibytes (2^20 B).
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// `count` binary gibibytes (2^30 B).
    pub const fn gib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 30))
    }

    /// The size of `len` values of type `T`.
    pub const fn of<T>(len: usize) -> Self {
        Self((len as u64).saturating_mul(size_of::<T>() as u64))
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As a float, for statistics and ratios; exact below 2^53 B.
    pub const fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// The sum, or the maximum where it would overflow.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or zero where `other` is the larger.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The sum, if it can be written.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, unless `other` is the larger.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// `self − other` with its sign, in bytes; saturates at the limits of `i64`.
    pub fn signed_sub(self, other: Self) -> i64 {
        let difference = i128::from(self.0) - i128::from(other.0);
        difference.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// This many times as much, saturating.
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// The given share, rounded down; shares below zero and NaN give zero.
    pub fn share(self, share: f64) -> Self {
        Self((self.as_f64() * share) as u64)
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Bytes {
    /// For people: three significant digits after the largest fitting decimal unit; bytes below 1 kB exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.as_f64();
        let text = match self.0 {
            0..1_000 => format!("{} B", self.0),
            1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
            1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
            1_000_000_000..1_000_000_000_000 => format!("{:.2} GB", value / 1e9),
            _ => format!("{:.2} TB", value / 1e12),
        };
        f.pad(&text)
    }
}

impl FromStr for Bytes {
    type Err = ParseBytesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |why| ParseBytesError { text: text.to_owned(), why };
        let trimmed = text.trim();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| trimmed.strip_suffix(suffix).map(|number| (number.trim_end(), *unit)))
            .ok_or_else(|| fail("it names no unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)"))?;
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(fail("what stands before the unit is not a number of at least zero"));
        }
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(unit).map(Self).ok_or_else(|| fail("it is too large"));
        }
        let value: f64 = number.parse().map_err(|_| fail("what stands before the unit is not a number"))?;
        let count = value * unit as f64;
        if count >= u64::MAX as f64 {
            return Err(fail("it is too large"));
        }
        Ok(Self(count.round() as u64))
    }
}

impl Serialize for Bytes {
    /// As a plain number of bytes: exact, and what dashboards expect.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    /// From a text with a unit, or a plain number of bytes.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of memory such as \"11.0GB\" or \"512MiB\"")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Bytes, E> {
                Ok(Bytes(value))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Bytes, E> {
                u64::try_from(value)
                    .map(Bytes)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Bytes, E> {
                value.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_and_binary_units_differ() {
        assert_eq!("11.0GB".parse::<Bytes>().unwrap(), Bytes::new(11_000_000_000));
        assert_eq!("10.5 GiB".parse::<Bytes>().unwrap(), Bytes::new(11_274_289_152));
        assert_eq!("512MiB".parse::<Bytes>().unwrap(), Bytes::mib(512));
        assert_eq!(" 7 B ".parse::<Bytes>().unwrap(), Bytes::new(7));
    }

    #[test]
    fn what_is_not_an_amount_is_refused_with_what_would_be() {
        for text in
            ["", "GB", "-1GB", "1e9B", "NaNGB", "infGB", "12", "1.2.3GB", "99999999999TB", "1 gb", "."]
        {
            let error = text.parse::<Bytes>().unwrap_err().to_string();
            assert!(error.contains("11.0GB"), "{text}: {error}");
        }
    }

    #[test]
    fn shares_below_zero_are_nothing() {
        assert_eq!(Bytes::gb(1).share(-0.5), Bytes::ZERO);
        assert_eq!(Bytes::gb(1).share(f64::NAN), Bytes::ZERO);
        assert_eq!(Bytes::gb(2).share(0.5), Bytes::gb(1));
    }

    #[test]
    fn printing_honours_the_width() {
        assert_eq!(format!("{:>10}", Bytes::gb(11)), "  11.00 GB");
    }

    proptest! {
        #[test]
        fn every_whole_amount_reads_back(count in any::<u64>()) {
            prop_assert_eq!(format!("{count}B").parse::<Bytes>().unwrap(), Bytes::new(count));
            let json = serde_json::to_string(&Bytes::new(count)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), Bytes::new(count));
        }

        #[test]
        fn what_is_printed_reads_back_within_its_digits(count in any::<u64>()) {
            let printed = Bytes::new(count).to_string();
            let back = printed.parse::<Bytes>().unwrap();
            let error = (back.as_f64() - count as f64).abs();
            prop_assert!(error <= 0.006 * count as f64 + 0.5 || error <= 60_000.0 * (count as f64 / 1e6).max(1e-3),
                "{count} printed as {printed}");
        }

        #[test]
        fn differences_undo_sums(a in any::<u32>(), b in any::<u32>()) {
            let (a, b) = (Bytes::new(a.into()), Bytes::new(b.into()));
            prop_assert_eq!((a.saturating_add(b)).checked_sub(b), Some(a));
            prop_assert_eq!(a.signed_sub(b), -b.signed_sub(a));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,12}(B|kB|MB|GB|KiB|MiB|GiB|TiB)?") {
            let _ = text.parse::<Bytes>();
        }
    }
}
