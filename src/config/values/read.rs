//! Reading leaf values through serde, with a description of what is accepted for every type.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};

use super::{
    BUNDLE, BundleChoice, DEVICES, Devices, LIMIT, Limit, Precision, T5Placement, TIMEOUT, TelemetryFormat,
    Timeout, parse_duration,
};
use crate::signing::from_hex;
use crate::types::Bytes;

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

macro_rules! read_from_text {
    ($($type:ty: $expected:expr,)+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_text(deserializer, $expected)
            }
        }
    )+};
}

read_from_text! {
    BundleChoice: BUNDLE,
    Limit: LIMIT,
    Timeout: TIMEOUT,
    Precision: "a precision such as \"f16\", or \"bundle\"",
    T5Placement: "\"resident\" or \"streamed\"",
    TelemetryFormat: "\"auto\", \"human\" or \"json\"",
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
pub(in crate::config) fn above_zero<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
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

/// A duration above zero, or none, for `#[serde(deserialize_with)]`.
pub(in crate::config) fn above_zero_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    struct AboveZero(Option<Duration>);
    impl FromStr for AboveZero {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            match parse_duration(text) {
                _ if text == OFF => Ok(Self(None)),
                Some(duration) if !duration.is_zero() => Ok(Self(Some(duration))),
                _ => Err(format!("{text:?} is not {ABOVE_ZERO}")),
            }
        }
    }
    const ABOVE_ZERO: &str = "a duration above zero such as \"90s\" or \"5min\", or \"off\"";
    from_text::<AboveZero, D>(deserializer, ABOVE_ZERO).map(|AboveZero(duration)| duration)
}

/// A duration of zero or more, for `#[serde(deserialize_with)]`.
pub(in crate::config) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
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
pub(in crate::config) fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let amount = Bytes::deserialize(deserializer)?;
    if amount == Bytes::ZERO {
        let expected = "an amount of memory above zero such as \"500MB\"";
        return Err(D::Error::invalid_value(Unexpected::Unsigned(0), &expected));
    }
    Ok(amount)
}

/// An amount of memory, none where the bundle says it, for `#[serde(deserialize_with)]`.
pub(in crate::config) fn bytes_or_bundle<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Bytes>, D::Error> {
    struct AmountOrBundle;
    impl Visitor<'_> for AmountOrBundle {
        type Value = Option<Bytes>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an amount of memory such as \"500MB\", or \"bundle\"")
        }

        fn visit_u64<E: Error>(self, count: u64) -> Result<Self::Value, E> {
            Ok(Some(Bytes::new(count)))
        }

        fn visit_i64<E: Error>(self, count: i64) -> Result<Self::Value, E> {
            let count = u64::try_from(count);
            count.map(|count| Some(Bytes::new(count))).map_err(|_| {
                E::custom("an amount of memory is not negative; accepted: \"500MB\", or \"bundle\"")
            })
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            match text {
                "bundle" => Ok(None),
                text => text.parse().map(Some).map_err(|error| E::custom(format!("{error}, or \"bundle\""))),
            }
        }
    }
    deserializer.deserialize_any(AmountOrBundle)
}

/// The same, above zero where it is set.
pub(in crate::config) fn some_bytes_or_bundle<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Bytes>, D::Error> {
    let amount = bytes_or_bundle(deserializer)?;
    if amount == Some(Bytes::ZERO) {
        let expected = "an amount of memory above zero such as \"500MB\", or \"bundle\"";
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
pub(in crate::config) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    between(deserializer, 0.0, 1.0)
}

/// How many standard errors make a growth believable: at least one, at most a hundred.
pub(in crate::config) fn standard_errors<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<f64, D::Error> {
    between(deserializer, 1.0, 100.0)
}

/// An address and port, for `#[serde(deserialize_with)]`.
pub(in crate::config) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    struct Address(SocketAddr);
    impl FromStr for Address {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            text.parse().map(Self).map_err(|_| format!("{text:?} is not {ADDRESS}"))
        }
    }
    const ADDRESS: &str = "an address and port such as \"127.0.0.1:9100\" or \"[::]:9100\"";
    from_text::<Address, D>(deserializer, ADDRESS).map(|Address(address)| address)
}

/// A list whose items are texts, for settings that may also come from a variable or a flag: separated by commas.
fn listed<'de, T, D>(
    deserializer: D,
    expected: &'static str,
    read: fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
{
    struct TextOrList<T>(&'static str, fn(&str) -> Result<T, String>);
    impl<'de, T> Visitor<'de> for TextOrList<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(self.1).collect::<Result<_, _>>().map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut found = Vec::new();
            while let Some(item) = items.next_element::<String>()? {
                found.push((self.1)(&item).map_err(A::Error::custom)?);
            }
            Ok(found)
        }
    }
    deserializer.deserialize_any(TextOrList(expected, read))
}

/// Texts, for `#[serde(deserialize_with)]`.
pub(in crate::config) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    listed(deserializer, "a list of texts", |text| Ok(text.to_owned()))
}

/// Ed25519 public keys, for `#[serde(deserialize_with)]`.
pub(in crate::config) fn public_keys<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<[u8; 32]>, D::Error> {
    const KEYS: &str = "a list of public keys of 64 hexadecimal digits each, as in a result's node.id";
    listed(deserializer, KEYS, |text| {
        from_hex(text).ok_or_else(|| format!("{text:?} is no public key; accepted: {KEYS}"))
    })
}

/// What stands for none where a setting may be left out.
const OFF: &str = "off";

/// An address and port, or none, for `#[serde(deserialize_with)]`.
pub(in crate::config) fn address_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    struct Address(Option<SocketAddr>);
    impl FromStr for Address {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            if text == OFF {
                return Ok(Self(None));
            }
            text.parse().map(|address| Self(Some(address))).map_err(|_| format!("{text:?} is not {ADDRESS}"))
        }
    }
    const ADDRESS: &str = "an address and port such as \"127.0.0.1:9101\", or \"off\"";
    from_text::<Address, D>(deserializer, ADDRESS).map(|Address(address)| address)
}

/// A text that is not empty, or none, for `#[serde(deserialize_with)]`.
pub(in crate::config) fn text_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    struct Text(Option<String>);
    impl FromStr for Text {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            match text {
                "" => Err(format!("an empty text is not {TEXT}")),
                OFF => Ok(Self(None)),
                text => Ok(Self(Some(text.to_owned()))),
            }
        }
    }
    const TEXT: &str = "a text, or \"off\"";
    from_text::<Text, D>(deserializer, TEXT).map(|Text(text)| text)
}

/// A path, or none, for `#[serde(deserialize_with)]`.
pub(in crate::config) fn path_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    Ok(text_or_off(deserializer)?.map(PathBuf::from))
}
