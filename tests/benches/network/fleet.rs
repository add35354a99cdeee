//! The nodes of a simulated network: how fast each is, what it can do, and what it holds.

use std::collections::VecDeque;
use std::time::Duration;

use vortex_node::network::{Claim, Class, Pace, Priority, Size};
use vortex_node::types::{Resolution, Sha256};

use super::dice::Dice;

/// The middle of the nodes renders a slot of middle length in.
const RENDER: Duration = Duration::from_secs(30);
/// How far the nodes' speeds are apart, and the slots' lengths: sigma of the logarithm.
const SPEEDS: f64 = 0.3;
const LENGTHS: f64 = 0.25;
/// So many nodes are slow, and so much slower.
const SLOW: (f64, f64) = (0.05, 4.0);
/// Of 100 slots: high, normal, low priority; urgent, soon, without a near deadline; any bundle, the fleet's own.
const PRIORITIES: [f64; 3] = [10.0, 80.0, 10.0];
const PACES: [f64; 3] = [5.0, 15.0, 80.0];
const BUNDLES: [f64; 2] = [50.0, 50.0];

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is on its way, or its node looks whether there is something to do.
    Arriving,
    /// It waits for the slots before it.
    Queued,
    /// Since then.
    Rendering(Duration),
    /// It took so long; its artifacts, its result or its acknowledgement are on their way.
    Ending(Duration),
    /// The node has nothing to do with it any more.
    Gone,
}

/// A slot at a node.
pub struct Delivery {
    pub slot: u32,
    pub node: u32,
    pub claim: Claim,
    pub stage: Stage,
}

/// One node.
pub struct Node {
    /// For a slot of middle length.
    pub render: Duration,
    /// What it can do, by place in [`Classes`], what goes first before the others.
    pub classes: Vec<u16>,
    pub is_up: bool,
    /// How often it has been started.
    pub life: u32,
    /// It asks for work, or waits for some.
    pub is_asking: bool,
    /// When it asked for what it waits for.
    pub asked: Duration,
    /// What it holds, in the order in which it came.
    pub holds: Vec<u32>,
    pub queue: VecDeque<u32>,
    pub rendering: Option<u32>,
    /// It has rendered so long, for nothing or not.
    pub busy: Duration,
    /// Results of its that stand.
    pub finished: u32,
}

/// The classes that slots have, each with a consumer.
pub struct Classes(Vec<Class>);

impl Classes {
    pub fn new() -> Self {
        let own = Class::bundle_name(bundle());
        let mut all = Vec::new();
        for priority in Priority::ALL {
            for pace in Pace::ALL {
                for bundle in [None, Some(own.clone())] {
                    all.push(Class { priority, size: Size::Small, bundle, pace });
                }
            }
        }
        Self(all)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Of one slot.
    pub fn throw(&self, dice: &mut Dice) -> u16 {
        let priority = dice.place(&PRIORITIES);
        let pace = dice.place(&PACES);
        let bundle = dice.place(&BUNDLES);
        ((priority * Pace::ALL.len() + pace) * 2 + bundle) as u16
    }

    /// What a node can do that renders a slot in `render`: as the program itself decides it.
    fn able(&self, render: Duration) -> Vec<u16> {
        let planned = Resolution::new(512, 512).unwrap();
        let place = |class: &Class| self.0.iter().position(|known| known == class).unwrap() as u16;
        Class::able(planned, bundle(), render).iter().map(place).collect()
    }
}

fn bundle() -> Sha256 {
    Sha256::of(b"the bundle of the fleet")
}

/// How much longer than the middle a slot takes.
pub fn length(dice: &mut Dice) -> f32 {
    dice.log_normal(LENGTHS) as f32
}

/// So many nodes.
pub fn throw(count: u32, classes: &Classes, dice: &mut Dice) -> Vec<Node> {
    let mut node = || {
        let (spread, is_slow) = (dice.log_normal(SPEEDS), dice.unit() < SLOW.0);
        let render = RENDER.mul_f64(if is_slow { spread * SLOW.1 } else { spread });
        Node {
            render,
            classes: classes.able(render),
            is_up: true,
            life: 0,
            is_asking: false,
            asked: Duration::ZERO,
            holds: Vec::new(),
            queue: VecDeque::new(),
            rendering: None,
            busy: Duration::ZERO,
            finished: 0,
        }
    };
    (0..count).map(|_| node()).collect()
}

/// Slots a second, were every node always rendering and none ever lost.
pub fn ideal(nodes: &[Node]) -> f64 {
    // The mean of what has its middle at 1.
    let length = (LENGTHS * LENGTHS / 2.0).exp();
    nodes.iter().map(|node| 1.0 / (node.render.as_secs_f64() * length)).sum()
}
