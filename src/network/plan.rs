//! Which nodes an order goes to. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;

use super::class::{Class, Pace, Priority, Recipient, Size};
use super::registry::{NodeEntry, Strain};
use super::subjects::WorkSubject;
use crate::types::{Resolution, Sha256, SlotId, TraceParent, WorkId};

/// What is to be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The slot.
    pub slot: SlotId,
    /// The recipe, byte for byte.
    pub recipe: Bytes,
    /// The public key that it is signed with, if it is.
    pub signer: Option<String>,
    /// How large the video is.
    pub resolution: Resolution,
    /// When it must be there, since the Unix epoch.
    pub deadline: Option<Duration>,
    /// By how many nodes.
    pub replicas: NonZeroU32,
    /// What goes first.
    pub priority: Priority,
    /// With which bundle; whichever a node has where none is named.
    pub bundle: Option<Sha256>,
    /// What if it was handed in before.
    pub epoch: EpochRule,
    /// Its place in a trace.
    pub traceparent: Option<TraceParent>,
}

/// What happens to a slot that was handed in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochRule {
    /// It is told how that stands.
    First,
    /// If that has ended, it is rendered once more.
    Again,
}

/// Why an order goes to nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The deadline has passed.
    #[error("slot {slot} was due {ago:?} ago")]
    Late {
        /// Which.
        slot: SlotId,
        /// How long ago.
        ago: Duration,
    },
    /// Nobody who is there does what it asks for.
    #[error("no node of the network can render slot {slot} ({class}):{}", listed(.nodes, "no node is in the registry"))]
    Nobody {
        /// Which.
        slot: SlotId,
        /// What it asks for.
        class: String,
        /// Every node and why it cannot.
        nodes: Vec<(String, Unfit)>,
    },
    /// There are not as many distinct nodes.
    #[error(
        "slot {slot} ({class}) is to be rendered by {wanted} distinct nodes of one bundle, and {found} can:{}",
        listed(.nodes, "no other is in the registry")
    )]
    TooFew {
        /// Which.
        slot: SlotId,
        /// What it asks for.
        class: String,
        /// How many are wanted.
        wanted: u32,
        /// How many there are.
        found: usize,
        /// Every other node and why it cannot.
        nodes: Vec<(String, Unfit)>,
    },
}

/// Why a node does not do a piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is about to end.
    Draining,
    /// It cannot render for now.
    NotReady(Vec<String>),
    /// It is planned for smaller pictures.
    Small(u64),
    /// It is too slow for what is left until the deadline.
    Slow(Pace, u64),
    /// It does not do this class, for whatever reason.
    Class,
    /// It has another bundle.
    Bundle(String, Sha256),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => f.write_str("is about to end"),
            Self::NotReady(why) if why.is_empty() => f.write_str("is not ready"),
            Self::NotReady(why) => write!(f, "is not ready: {}", why.join(", ")),
            Self::Small(pixels) => write!(f, "is planned for pictures of {pixels} pixels at most"),
            Self::Slow(pace, seconds) => {
                write!(f, "takes {seconds} s for a slot, too long for what is {pace}")
            }
            Self::Class => f.write_str("does no work of this class"),
            Self::Bundle(name, sha256) => write!(f, "has bundle {name} ({})", Class::bundle_name(*sha256)),
        }
    }
}

fn listed(nodes: &[(String, Unfit)], none: &str) -> String {
    if nodes.is_empty() {
        return format!(" {none}");
    }
    nodes.iter().map(|(node, why)| format!("\n  node {node} {why}")).collect()
}

impl Order {
    /// What it asks of a node, with whichever bundle.
    fn class(&self, now: Duration) -> Result<Class, PlanError> {
        let left = match self.deadline {
            Some(deadline) if deadline <= now => {
                return Err(PlanError::Late { slot: self.slot, ago: now.saturating_sub(deadline) });
            }
            Some(deadline) => Some(deadline.saturating_sub(now)),
            None => None,
        };
        Ok(Class {
            priority: self.priority,
            size: Size::of(self.resolution),
            bundle: self.bundle.map(Class::bundle_name),
            pace: Pace::of(left),
        })
    }
}

/// Where an order's renderings go at `now` since the Unix epoch, as `epoch`. One rendering is for anybody; several are for as
/// many distinct nodes that are ready and have the same bundle, those with the most room first.
pub fn plan(
    order: &Order,
    nodes: &[NodeEntry],
    now: Duration,
    epoch: NonZeroU32,
) -> Result<Vec<WorkSubject>, PlanError> {
    let class = order.class(now)?;
    let director = order.signer.as_deref().map(WorkSubject::director_name);
    let subject = |to: Recipient, class: &Class, replica: NonZeroU32| WorkSubject {
        to,
        class: class.clone(),
        director: director.clone(),
        work: WorkId { slot: order.slot, epoch, replica },
    };
    if order.replicas == NonZeroU32::MIN {
        let unfit: Vec<(String, Unfit)> =
            nodes.iter().map_while(|node| Some((node.node.clone(), never(node, order, &class)?))).collect();
        if unfit.len() == nodes.len() {
            return Err(PlanError::Nobody { slot: order.slot, class: class.to_string(), nodes: unfit });
        }
        return Ok(vec![subject(Recipient::Any, &class, NonZeroU32::MIN)]);
    }
    let mut unfit = Vec::new();
    let mut able: BTreeMap<Sha256, Vec<&NodeEntry>> = BTreeMap::new();
    for node in nodes {
        match now_not(node).or_else(|| never(node, order, &class)) {
            Some(why) => unfit.push((node.node.clone(), why)),
            None => able.entry(node.bundle.sha256).or_default().push(node),
        }
    }
    let room = |nodes: &[&NodeEntry]| nodes.iter().map(|node| u64::from(node.free())).sum::<u64>();
    let best = able.iter().max_by_key(|(_, nodes)| (nodes.len(), room(nodes)));
    let (bundle, mut chosen) = match best {
        Some((bundle, nodes)) => (Some(*bundle), nodes.clone()),
        None => (None, Vec::new()),
    };
    let wanted = order.replicas.get();
    if chosen.len() < wanted as usize {
        let others = able.iter().filter(|(other, _)| Some(**other) != bundle).flat_map(|(_, nodes)| nodes);
        unfit
            .extend(others.map(|node| {
                (node.node.clone(), Unfit::Bundle(node.bundle.name.clone(), node.bundle.sha256))
            }));
        let (slot, class, found) = (order.slot, class.to_string(), chosen.len());
        return Err(PlanError::TooFew { slot, class, wanted, found, nodes: unfit });
    }
    chosen.sort_by_key(|node| {
        let is_short = node.pressure != Strain::None;
        (is_short, std::cmp::Reverse(node.free()), node.node.clone())
    });
    let class = Class { bundle: bundle.map(Class::bundle_name), ..class };
    let replicas = (1..=wanted).filter_map(NonZeroU32::new);
    Ok(chosen
        .into_iter()
        .zip(replicas)
        .map(|(node, replica)| subject(Recipient::Node(node.node.clone()), &class, replica))
        .collect())
}

/// Why a node does not take anything at the moment.
fn now_not(node: &NodeEntry) -> Option<Unfit> {
    if node.draining {
        Some(Unfit::Draining)
    } else if !node.ready {
        Some(Unfit::NotReady(node.not_ready.clone()))
    } else {
        None
    }
}

/// Why a node would not take it at any time.
fn never(node: &NodeEntry, order: &Order, class: &Class) -> Option<Unfit> {
    if order.bundle.is_some_and(|bundle| bundle != node.bundle.sha256) {
        return Some(Unfit::Bundle(node.bundle.name.clone(), node.bundle.sha256));
    }
    let does = |class: &Class| node.classes.contains(&class.to_string());
    if does(class) {
        return None;
    }
    let free = Class { pace: Pace::Free, ..class.clone() };
    Some(if order.resolution.pixels() > node.max_pixels {
        Unfit::Small(node.max_pixels)
    } else if does(&free) {
        Unfit::Slow(class.pace, node.expected_seconds.max(0.0).round() as u64)
    } else {
        Unfit::Class
    })
}

#[cfg(test)]
mod tests;
