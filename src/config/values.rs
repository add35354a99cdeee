//! The leaf values of settings: what text is accepted and what it means. Refuses at once what can never be right.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use crate::types::{Bytes, DeviceId, UnknownName};

/// An amount of memory, or a share of what was free when the node started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// So many bytes.
    Amount(Bytes),
    /// This share, above 0 and at most 1, of the memory that was free at start.
    OfFree(f64),
}

impl Limit {
    /// In bytes, where `free_at_start` was free.
    pub fn resolve(self, free_at_start: Bytes) -> Bytes {
        match self {
            Self::Amount(amount) => amount,
            Self::OfFree(share) => free_at_start.share(share),
        }
    }
}

const LIMIT: &str =
    "an amount of memory such as \"11.0GB\", or a share of what is free at start such as \"92%\"";

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(number) = text.trim().strip_suffix('%') else {
            return text.parse().map(Self::Amount).map_err(|_| format!("{text:?} is not {LIMIT}"));
        };
        match number.trim().parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Self::OfFree(percent / 100.0)),
            Ok(_) => Err(format!("{text:?} is outside the accepted shares, above 0% and at most 100%")),
            Err(_) => Err(format!("{text:?} is not {LIMIT}")),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(amount) => amount.fmt(f),
            Self::OfFree(share) => f.pad(&format!("{}%", share * 100.0)),
        }
    }
}

/// How long a stage may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timeout {
    /// This long: for a device known to hold it.
    Fixed(Duration),
    /// So many times the learned estimate of this stage: for machines whose speed nobody knows beforehand.
    TimesEstimate(f64),
}

impl Timeout {
    /// How long that is, where the stage is estimated to take `estimate`.
    pub fn resolve(self, estimate: Duration) -> Duration {
        match self {
            Self::Fixed(duration) => duration,
            // A share of Duration::MAX at most: `mul_f64` panics on overflow.
            Self::TimesEstimate(factor) => {
                Duration::try_from_secs_f64(estimate.as_secs_f64() * factor).unwrap_or(Duration::MAX)
            }
        }
    }
}

const TIMEOUT: &str = "a duration above zero such as \"15s\", or a multiple of the stage's estimate such as \"3x\" (from \"1x\" to \"1000x\")";

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().strip_suffix('x').map(|factor| factor.trim().parse::<f64>()) {
            Some(Ok(factor)) if (1.0..=1000.0).contains(&factor) => Ok(Self::TimesEstimate(factor)),
            None => match parse_duration(text) {
                Some(duration) if !duration.is_zero() => Ok(Self::Fixed(duration)),
                _ => Err(format!("{text:?} is not {TIMEOUT}")),
            },
            Some(_) => Err(format!("{text:?} is not {TIMEOUT}")),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(duration) => f.pad(&format!("{duration:?}")),
            Self::TimesEstimate(factor) => f.pad(&format!("{factor}x")),
        }
    }
}

/// Where the models live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Devices {
    /// Every CUDA card there is, else the processor.
    Auto,
    /// These, at least one and none twice.
    Listed(Vec<DeviceId>),
}

const DEVICES: &str = "\"auto\", a device (\"cpu\", \"cuda:N\", \"scripted\"), or a list of different devices such as [\"cuda:0\", \"cuda:1\"]";

impl Devices {
    fn listed(devices: Vec<DeviceId>) -> Result<Self, String> {
        let twice = devices.iter().enumerate().find(|(place, device)| devices[..*place].contains(device));
        match (devices.is_empty(), twice) {
            (false, None) => Ok(Self::Listed(devices)),
            (true, _) => Err(format!("an empty list is not {DEVICES}")),
            (_, Some((_, device))) => Err(format!("{device} is named twice; accepted: {DEVICES}")),
        }
    }
}

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let devices: Result<Vec<DeviceId>, _> = text.split(',').map(|device| device.trim().parse()).collect();
        Self::listed(devices.map_err(|_| format!("{text:?} is not {DEVICES}"))?)
    }
}

/// In what precision a model's weights are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// As `bundle.toml` says.
    Bundle,
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Brain floats.
    Bf16,
    /// 8 bits with a scale per 32 (GGUF's Q8_0).
    Int8,
    /// 4-bit NormalFloat, f32 absmax per block of 64.
    Nf4,
    /// 4-bit NormalFloat with the absmax quantised as well.
    Nf4Nested,
}

impl Precision {
    /// Every one.
    pub const ALL: [Self; 7] =
        [Self::Bundle, Self::F32, Self::F16, Self::Bf16, Self::Int8, Self::Nf4, Self::Nf4Nested];

    /// As written in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Nf4 => "nf4",
            Self::Nf4Nested => "nf4_nested",
        }
    }
}

impl FromStr for Precision {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.name() == text)
            .ok_or_else(|| UnknownName::new("a precision", text, &Self::ALL.map(Self::name)))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads `"15s"`, `"250ms"`, `"1.5h"`: a plain number and one of `ms`, `s`, `min`, `h`, `d`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 5] = [("ms", 1e-3), ("min", 60.0), ("s", 1.0), ("h", 3600.0), ("d", 86400.0)];
    let text = text.trim();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number.trim_end(), unit)))?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

/// Deserializes by `FromStr` and says what was expected where it is no text at all.
struct FromText<T>(&'static str, std::marker::PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

fn from_text<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(FromText(expected, std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, LIMIT)
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, TIMEOUT)
    }
}

impl<'de> Deserialize<'de> for Precision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, "a precision such as \"f16\" or \"bundle\"")
    }
}

impl<'de> Deserialize<'de> for Devices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;
        impl<'de> Visitor<'de> for TextOrList {
            type Value = Devices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(DEVICES)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Devices, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Devices, A::Error> {
                let mut devices = Vec::new();
                while let Some(device) = items.next_element()? {
                    devices.push(device);
                }
                Devices::listed(devices).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(TextOrList)
    }
}

/// A duration above zero, for `#[serde(deserialize_with)]`.
pub(super) fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct AboveZero(Duration);
    impl FromStr for AboveZero {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            match parse_duration(text) {
                Some(duration) if !duration.is_zero() => Ok(Self(duration)),
                _ => Err(format!("{text:?} is not {ABOVE_ZERO}")),
            }
        }
    }
    const ABOVE_ZERO: &str = "a duration above zero such as \"250ms\", \"15s\", \"5min\" or \"1h\"";
    from_text::<AboveZero, D>(deserializer, ABOVE_ZERO).map(|AboveZero(duration)| duration)
}

/// A duration of zero or more, for `#[serde(deserialize_with)]`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Any(Duration);
    impl FromStr for Any {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            parse_duration(text).map(Self).ok_or_else(|| format!("{text:?} is not {DURATION}"))
        }
    }
    const DURATION: &str = "a duration such as \"0s\", \"250ms\", \"15s\", \"5min\" or \"1h\"";
    from_text::<Any, D>(deserializer, DURATION).map(|Any(duration)| duration)
}

/// An amount of memory above zero, for `#[serde(deserialize_with)]`.
pub(super) fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let amount = Bytes::deserialize(deserializer)?;
    if amount == Bytes::ZERO {
        let expected = "an amount of memory above zero such as \"500MB\"";
        return Err(D::Error::invalid_value(Unexpected::Unsigned(0), &expected));
    }
    Ok(amount)
}

/// A finite number in the stated range, both ends included, for `#[serde(deserialize_with)]`.
fn between<'de, D: Deserializer<'de>>(deserializer: D, low: f64, high: f64) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if (low..=high).contains(&number) {
        return Ok(number);
    }
    Err(D::Error::custom(format!("{number} is outside the accepted {low} to {high}")))
}

/// A share from 0 to 1.
pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    between(deserializer, 0.0, 1.0)
}

/// How many standard errors make a growth believable: at least one, at most a hundred.
pub(super) fn standard_errors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    between(deserializer, 1.0, 100.0)
}
