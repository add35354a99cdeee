//! The leaf values of settings: what text is accepted and what it means. Refuses at once what can never be right.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::types::{Bytes, DeviceId, UnknownName};

mod read;

pub(super) use read::{
    above_zero, above_zero_or_off, address, address_or_off, bytes_or_bundle, duration, path_or_off,
    public_keys, share, some_bytes, some_bytes_or_bundle, standard_errors, text_or_off, texts,
};

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
    /// By the learned estimate of this stage: for machines whose speed nobody knows beforehand.
    TimesEstimate {
        /// So many times as long.
        factor: f64,
        /// But no shorter than this: of very short stages the scheduler's jitter is a large multiple.
        at_least: Duration,
    },
}

const TIMEOUT: &str = "a duration above zero such as \"15s\", or a multiple of the stage's estimate such as \"3x\" or \"3x, at least 5s\" (from \"1x\" to \"1000x\")";

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || format!("{text:?} is not {TIMEOUT}");
        let (times, at_least) = match text.split_once(',') {
            None => (text, None),
            Some((times, rest)) => (times, Some(rest.trim().strip_prefix("at least").ok_or_else(fail)?)),
        };
        let at_least = at_least.map(|text| parse_duration(text).ok_or_else(fail)).transpose()?;
        match (times.trim().strip_suffix('x'), at_least) {
            (Some(factor), at_least) => match factor.trim().parse::<f64>() {
                Ok(factor) if (1.0..=1000.0).contains(&factor) => {
                    Ok(Self::TimesEstimate { factor, at_least: at_least.unwrap_or_default() })
                }
                _ => Err(fail()),
            },
            (None, None) => {
                parse_duration(text).filter(|time| !time.is_zero()).map(Self::Fixed).ok_or_else(fail)
            }
            (None, Some(_)) => Err(fail()),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Fixed(duration) => seconds(*duration),
            Self::TimesEstimate { factor, at_least: Duration::ZERO } => format!("{factor}x"),
            Self::TimesEstimate { factor, at_least } => format!("{factor}x, at least {}", seconds(*at_least)),
        };
        f.pad(&text)
    }
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

/// Where the models live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Devices {
    /// Every CUDA card that can be used, else the processor.
    Auto,
    /// These, at least one, none twice, all of one kind.
    Listed(Vec<DeviceId>),
}

const DEVICES: &str =
    "\"auto\", a device (\"cpu\", \"cuda:N\"), or a list of different cards such as [\"cuda:0\", \"cuda:1\"]";

impl Devices {
    fn listed(devices: Vec<DeviceId>) -> Result<Self, String> {
        let twice = devices.iter().enumerate().find(|(place, device)| devices[..*place].contains(device));
        let Some(first) = devices.first() else { return Err(format!("an empty list is not {DEVICES}")) };
        if let Some((_, device)) = twice {
            return Err(format!("{device} is named twice; accepted: {DEVICES}"));
        }
        let kind = std::mem::discriminant(first);
        match devices.iter().find(|device| std::mem::discriminant(*device) != kind) {
            // One profile holds for all: what a card does in a second takes a processor minutes.
            Some(other) => Err(format!(
                "{first} and {other} are devices of two kinds, for which no one profile's budgets, estimates and \
                 timeouts hold; name cards or the processor; accepted: {DEVICES}"
            )),
            None => Ok(Self::Listed(devices)),
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

/// Which bundle of weights the node loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleChoice {
    /// The demo bundle of the configuration folder, else made-up weights.
    Auto,
    /// The one in this folder, or that this `bundle.toml` describes.
    At(PathBuf),
}

const BUNDLE: &str = "\"auto\", a bundle's folder, or its bundle.toml";

impl FromStr for BundleChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "" => Err(format!("{text:?} names no bundle; accepted: {BUNDLE}")),
            "auto" => Ok(Self::Auto),
            path => Ok(Self::At(path.into())),
        }
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

    /// What a weight takes, scales included; unknown where the bundle decides. NF4 keeps one f32 scale for 64 weights,
    /// nested ones one byte and, for each 256 of these, another f32; Q8_0 one f16 for 32.
    pub const fn bits_per_weight(self) -> Option<f64> {
        match self {
            Self::Bundle => None,
            Self::F32 => Some(32.0),
            Self::F16 | Self::Bf16 => Some(16.0),
            Self::Int8 => Some(8.5),
            Self::Nf4 => Some(4.5),
            Self::Nf4Nested => Some(4.0 + 8.0 / 64.0 + 32.0 / (64.0 * 256.0)),
        }
    }

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

/// Where the T5 encoder's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum T5Placement {
    /// On the device, always.
    Resident,
    /// In host memory, sent through the device layer by layer.
    Streamed,
}

impl FromStr for T5Placement {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "resident" => Ok(Self::Resident),
            "streamed" => Ok(Self::Streamed),
            _ => Err(UnknownName::new("a place for T5's weights", text, &["resident", "streamed"])),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetryFormat {
    /// For people on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

impl FromStr for TelemetryFormat {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(UnknownName::new("a log format", text, &["auto", "human", "json"])),
        }
    }
}

/// Reads `"15s"`, `"250ms"`, `"1.5h"`: a plain number and one of `ms`, `s`, `min`, `h`, `d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
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

#[cfg(test)]
mod tests;
