//! Classes of work: what a node must be able to do, and how soon it matters. Pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::types::{Resolution, Sha256, names};

names! {
    /// What is pulled first. Which one a director's work may have is set by the network's operator.
    Priority, "a priority" {
        /// Before all else.
        High => "high",
        /// As most.
        Normal => "normal",
        /// When there is nothing else.
        Low => "low",
    }
}

names! {
    /// How large a video is: a node that can do a size can do those before it.
    Size, "a size" {
        /// At most as many pixels as 512x512 has.
        Small => "p512",
        /// At most as many as 1024x1024.
        Medium => "p1024",
        /// More.
        Large => "p2048",
    }
}

names! {
    /// How much time was left when the work was handed in: a slow node leaves what is urgent to others.
    Pace, "a pace" {
        /// Less than a minute.
        Urgent => "urgent",
        /// Less than ten minutes.
        Soon => "soon",
        /// More, or no deadline.
        Free => "free",
    }
}

impl Size {
    /// Of a video of `resolution`.
    pub fn of(resolution: Resolution) -> Self {
        match resolution.pixels() {
            ..=262_144 => Self::Small,
            262_145..=1_048_576 => Self::Medium,
            _ => Self::Large,
        }
    }

    /// What a node can do that is planned for `largest`: only sizes that fit in it whole.
    pub fn up_to(largest: Resolution) -> Vec<Self> {
        let fits = |size: &Self| match size {
            Self::Small => largest.pixels() >= 262_144,
            Self::Medium => largest.pixels() >= 1_048_576,
            Self::Large => largest.pixels() >= 4_194_304,
        };
        Self::ALL.into_iter().filter(fits).collect()
    }
}

impl Pace {
    /// With `left` until the deadline; none where there is no deadline.
    pub fn of(left: Option<Duration>) -> Self {
        match left {
            Some(left) if left < Self::URGENT => Self::Urgent,
            Some(left) if left < Self::SOON => Self::Soon,
            _ => Self::Free,
        }
    }

    /// What a node can do that takes `expected` for a slot: a third of the time that a pace has at most, so that work which
    /// has waited can still be done.
    pub fn within(expected: Duration) -> Vec<Self> {
        let fits = |pace: &Self| match pace {
            Self::Urgent => expected.saturating_mul(3) <= Self::URGENT,
            Self::Soon => expected.saturating_mul(3) <= Self::SOON,
            Self::Free => true,
        };
        Self::ALL.into_iter().filter(fits).collect()
    }

    const URGENT: Duration = Duration::from_secs(60);
    const SOON: Duration = Duration::from_secs(600);
}

/// Whom a piece of work is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipient {
    /// Whoever can do it.
    Any,
    /// This node, by its public key: a replica that must be rendered apart from the others.
    Node(String),
}

/// What a piece of work asks of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// What goes first.
    pub priority: Priority,
    /// How large it is.
    pub size: Size,
    /// The first 16 hexadecimal digits of the bundle's SHA-256; none where any bundle will do.
    pub bundle: Option<String>,
    /// How soon.
    pub pace: Pace,
}

/// What stands for "any" in subjects.
pub(super) const ANY: &str = "any";

impl Class {
    /// The name of a bundle in classes.
    pub fn bundle_name(sha256: Sha256) -> String {
        sha256.to_string().chars().take(16).collect()
    }

    /// Every class that a node can do, what goes first before the others.
    pub fn able(largest: Resolution, bundle: Sha256, expected: Duration) -> Vec<Self> {
        let own = Self::bundle_name(bundle);
        let mut all = Vec::new();
        for priority in Priority::ALL {
            for pace in Pace::within(expected) {
                for size in Size::up_to(largest) {
                    for bundle in [None, Some(own.clone())] {
                        all.push(Self { priority, size, bundle, pace });
                    }
                }
            }
        }
        all
    }

    /// As the name of the consumer that has it.
    pub fn consumer(&self) -> String {
        format!("{ANY}-{self}").replace('.', "-")
    }
}

impl fmt::Display for Class {
    /// As it stands in subjects.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bundle = self.bundle.as_deref().unwrap_or(ANY);
        write!(f, "{}.{}.{bundle}.{}", self.priority, self.size, self.pace)
    }
}

impl Recipient {
    /// As it stands in subjects.
    pub(super) fn token(&self) -> &str {
        match self {
            Self::Any => ANY,
            Self::Node(node) => node,
        }
    }

    pub(super) fn of(token: &str) -> Option<Self> {
        match token {
            ANY => Some(Self::Any),
            node if is_hex(node, 64) => Some(Self::Node(node.to_owned())),
            _ => None,
        }
    }
}

pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Class {
    pub(super) fn of(tokens: [&str; 4]) -> Option<Self> {
        let [priority, size, bundle, pace] = tokens;
        let bundle = match bundle {
            ANY => None,
            name if is_hex(name, 16) => Some(name.to_owned()),
            _ => return None,
        };
        Some(Self {
            priority: Priority::from_str(priority).ok()?,
            size: Size::from_str(size).ok()?,
            bundle,
            pace: Pace::from_str(pace).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_does_what_is_small_and_slow_enough_for_it() {
        let bundle = Sha256::of(b"bundle");
        let planned = Resolution::new(512, 512).unwrap();
        let fast = Class::able(planned, bundle, Duration::from_secs(10));
        let slow = Class::able(planned, bundle, Duration::from_secs(100));
        let hopeless = Class::able(planned, bundle, Duration::from_secs(1000));
        assert_eq!((fast.len(), slow.len(), hopeless.len()), (18, 12, 6));
        assert!(fast.is_sorted_by_key(|class| class.priority));
        assert!(slow.iter().all(|class| class.pace != Pace::Urgent && class.size == Size::Small));
        assert!(hopeless.iter().all(|class| class.pace == Pace::Free));
        assert!(Class::able(Resolution::new(256, 256).unwrap(), bundle, Duration::ZERO).is_empty());
    }

    #[test]
    fn classes_of_slots_are_by_pixels_and_time_left() {
        assert_eq!(Size::of(Resolution::new(512, 512).unwrap()), Size::Small);
        assert_eq!(Size::of(Resolution::new(514, 512).unwrap()), Size::Medium);
        assert_eq!(Size::of(Resolution::new(1920, 1080).unwrap()), Size::Large);
        assert_eq!(Pace::of(None), Pace::Free);
        assert_eq!(Pace::of(Some(Duration::from_secs(59))), Pace::Urgent);
        assert_eq!(Pace::of(Some(Duration::from_secs(60))), Pace::Soon);
        assert_eq!(Pace::of(Some(Duration::from_secs(600))), Pace::Free);
    }
}
