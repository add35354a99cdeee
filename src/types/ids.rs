//! Names of slots, stages, models, devices and attempts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::nearest;

/// A name that is none of a closed list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {what}{}; accepted: {accepted}", .nearest.map(|n| format!(" (did you mean {n:?}?)")).unwrap_or_default())]
pub struct UnknownName {
    /// What kind of name was wanted, with its article.
    pub what: &'static str,
    /// What was written.
    pub found: String,
    /// The accepted name that looks most like it.
    pub nearest: Option<&'static str>,
    /// All accepted names.
    pub accepted: String,
}

impl UnknownName {
    /// For a `found` that is none of `accepted`.
    pub fn new(what: &'static str, found: &str, accepted: &[&'static str]) -> Self {
        Self {
            what,
            found: found.to_owned(),
            nearest: nearest(found, accepted.iter().copied()),
            accepted: accepted.join(", "),
        }
    }
}

/// Declares a closed set of names: an enum with `ALL`, `name()`, `Display`, `FromStr` and serde by name.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident, $what:literal { $($(#[$variant_doc:meta])* $variant:ident => $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::enum_map::Enum, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $type { $($(#[$variant_doc])* #[serde(rename = $name)] $variant,)+ }

        impl $type {
            /// Every one, in declaration order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];
            /// Every name, in the same order.
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// The name as written in configuration, metrics and logs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = $crate::types::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::types::UnknownName::new($what, text, &Self::NAMES)),
                }
            }
        }
    };
}
pub(crate) use names;

names! {
    /// One of the five resident models.
    ModelId, "a model" {
        /// Flux-Schnell: text to image.
        Flux => "flux",
        /// LivePortrait: portrait animation.
        LivePortrait => "liveportrait",
        /// Kokoro-82M: speech.
        Kokoro => "kokoro",
        /// CLIP ViT-B/32: first half of the semantic check.
        ClipB => "clip_b",
        /// CLIP ViT-L/14: second half of the semantic check.
        ClipL => "clip_l",
    }
}

names! {
    /// One stage of a slot's walk.
    Stage, "a stage" {
        /// Script to speech (Kokoro).
        Audio => "audio",
        /// Prompt to actor image (Flux-Schnell).
        Image => "image",
        /// Image and timeline to frames (LivePortrait).
        Video => "video",
        /// Keyframes to verdict (both CLIPs).
        Verify => "verify",
        /// Artifacts to a signed result.
        Package => "package",
    }
}

/// An accepted slot; the recipe's `recipe_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotId(Uuid);

impl SlotId {
    /// From the recipe's id.
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The id itself.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SlotId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The how-manieth run of a stage of a slot this is, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(u32);

impl AttemptId {
    /// The first run.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The plain number, from 1.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where models live: `cpu`, `cuda:N`, or `scripted:N` (rehearsals and tests; `scripted` is the first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceId {
    /// This machine's processor and memory.
    Cpu,
    /// The N-th CUDA card.
    Cuda(u32),
    /// The N-th device whose memory a scenario plays.
    Scripted(u32),
}

/// Why a text names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a device; accepted: \"cpu\", \"cuda:N\" or \"scripted:N\" with N from 0")]
pub struct ParseDeviceError(String);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("cpu"),
            Self::Cuda(ordinal) => f.pad(&format!("cuda:{ordinal}")),
            Self::Scripted(ordinal) => f.pad(&format!("scripted:{ordinal}")),
        }
    }
}

impl FromStr for DeviceId {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ordinal = |digits: &str| -> Option<u32> {
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        match (text, text.split_once(':')) {
            ("cpu", _) => Some(Self::Cpu),
            ("scripted", _) => Some(Self::Scripted(0)),
            (_, Some(("cuda", digits))) => ordinal(digits).map(Self::Cuda),
            (_, Some(("scripted", digits))) => ordinal(digits).map(Self::Scripted),
            _ => None,
        }
        .ok_or_else(|| ParseDeviceError(text.to_owned()))
    }
}

impl Serialize for DeviceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One entry for each model; in JSON an object by the models' names.
pub type PerModel<T> = enum_map::EnumMap<ModelId, T>;

/// One entry for each stage; in JSON an object by the stages' names.
pub type PerStage<T> = enum_map::EnumMap<Stage, T>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_read_back_in_text_and_json() {
        for model in ModelId::ALL {
            assert_eq!(model.name().parse::<ModelId>().unwrap(), model);
            assert_eq!(serde_json::to_value(model).unwrap(), model.name());
        }
        for stage in Stage::ALL {
            assert_eq!(stage.to_string().parse::<Stage>().unwrap(), stage);
        }
    }

    #[test]
    fn a_misspelt_model_is_refused_with_the_nearest() {
        let error = "live_portrait".parse::<ModelId>().unwrap_err();
        assert_eq!(error.nearest, Some("liveportrait"));
        assert!(error.to_string().contains("accepted: flux, liveportrait"), "{error}");
    }

    proptest! {
        #[test]
        fn devices_read_back(ordinal in any::<u32>()) {
            for device in [DeviceId::Cpu, DeviceId::Scripted(ordinal), DeviceId::Cuda(ordinal)] {
                prop_assert_eq!(device.to_string().parse::<DeviceId>().unwrap(), device);
                let json = serde_json::to_string(&device).unwrap();
                prop_assert_eq!(serde_json::from_str::<DeviceId>(&json).unwrap(), device);
            }
        }

        #[test]
        fn other_texts_name_no_device(text in "(cuda|gpu|CPU|cpu:0|cuda:|scripted:|scripted:x|cuda:-1|cuda:\\+1|cuda: 1|cuda:99999999999)") {
            prop_assert!(text.parse::<DeviceId>().is_err());
        }

        #[test]
        fn slots_read_back(bits in any::<u128>()) {
            let slot = SlotId::new(Uuid::from_u128(bits));
            prop_assert_eq!(slot.to_string().parse::<SlotId>().unwrap(), slot);
        }
    }
}
