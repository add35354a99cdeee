//! What the tree's actors tell, as messages to whoever runs the command.
//!
//! Owns the channel's sending end; actors and models' threads call it and go on at once.

use tokio::sync::mpsc::UnboundedSender;

use crate::actors::events::{NodeEvent, SlotEvent, Subscriber};
use crate::types::{Bytes, DeviceId, ModelId};
use crate::vram::policy::Level;

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// To the slot.
    Slot(SlotEvent),
    /// A model passed its canary.
    Ready(ModelId),
    /// An actor went down.
    Down {
        /// Its name.
        actor: &'static str,
        /// What happened.
        message: String,
    },
    /// An actor is started again.
    Restarted(&'static str),
    /// Memory was looked at.
    Memory(Bytes),
    /// Memory pressure changed.
    Pressure(Level),
    /// A model is given up for now.
    Cordoned(ModelId),
    /// The card is given up.
    Escalated(String),
    /// Nothing runs on the card any more; the slot goes on on this one, if there is one.
    Lost(Option<DeviceId>),
}

/// What happened, and on which card; of a slot's own events the slot's acceptance tells the card.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The card, where it happened to the card.
    pub(super) device: Option<DeviceId>,
    /// What happened.
    pub(super) heard: Heard,
}

/// The sending end. Unbounded, as what it carries is bounded by the steps of one slot.
pub(super) struct Ear(pub(super) UnboundedSender<Told>);

impl Ear {
    fn tell(&self, device: Option<DeviceId>, heard: Heard) {
        // Where the command has ended nobody listens any more.
        let _ = self.0.send(Told { device, heard });
    }
}

impl Subscriber for Ear {
    fn hear(&self, event: &SlotEvent) {
        self.tell(None, Heard::Slot(event.clone()));
    }

    fn notice(&self, device: DeviceId, event: &NodeEvent) {
        let heard = match event {
            NodeEvent::ActorDown { actor, message, .. } => Heard::Down { actor, message: message.clone() },
            NodeEvent::ActorRestarted { actor } => Heard::Restarted(actor),
            NodeEvent::ModelReady { model, .. } => Heard::Ready(*model),
            NodeEvent::Sampled(sample) => Heard::Memory(sample.used),
            NodeEvent::PressureCrossed(crossing) => Heard::Pressure(crossing.to),
            NodeEvent::Cordoned(model) => Heard::Cordoned(*model),
            NodeEvent::Escalated { cause, .. } => Heard::Escalated(cause.clone()),
            NodeEvent::CardLost { others, .. } => Heard::Lost(others.first().copied()),
            // The slot's end says it with its numbers, or the log does.
            NodeEvent::LeaseRefused(_)
            | NodeEvent::Trimmed { .. }
            | NodeEvent::ProbeSwitched(_)
            | NodeEvent::VictimChosen(_)
            | NodeEvent::VictimNone
            | NodeEvent::ModelLoaded { .. }
            | NodeEvent::ModelStalled { .. }
            | NodeEvent::LeakChecked(_)
            | NodeEvent::Blind(_) => return,
        };
        self.tell(Some(device), heard);
    }
}
