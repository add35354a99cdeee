//! Limits read again while a node runs: what shares of free memory come to, and whether everything still fits.

use candle_core::Device;

use super::BuildError;
use super::bundle::fit;
use super::settings::{limits_problem, slot_limits};
use crate::actors::limits::Limits;
use crate::actors::tree::DeviceTree;
use crate::config::Settings;
use crate::models::bundle::Bundle;
use crate::models::workspace::SlotSize;
use crate::types::Bytes;

/// One card of a node, and what its limits were worked out from.
pub(crate) struct Card {
    pub(super) tree: DeviceTree,
    pub(super) device: Device,
    /// How much of it was free at start, before anything was loaded: what shares are of.
    pub(super) free: Bytes,
    /// The largest slot that memory is planned for.
    pub(super) size: SlotSize,
    /// What it was started with: budgets and precisions hold until a restart, whatever is read again.
    pub(super) started_with: Settings,
}

impl Card {
    /// Its limits by `settings`, where they do not contradict each other and every model of `bundle` still fits.
    pub(crate) fn limits(&self, settings: &Settings, bundle: &Bundle) -> Result<Limits, BuildError> {
        let (memory, now) = (&settings.memory, self.tree.limits());
        let (soft, hard) = (memory.soft_limit.resolve(self.free), memory.hard_limit.resolve(self.free));
        let thresholds = now.thresholds.with_limits(soft, hard, memory.hysteresis, memory.dwell);
        let thresholds =
            thresholds.map_err(|source| limits_problem(settings, self.tree.device(), self.free, source))?;
        let mut then = self.started_with.clone();
        (then.memory.hard_limit, then.slots.lookahead) = (memory.hard_limit, settings.slots.lookahead);
        fit(bundle, &then, &self.device, self.free, self.size)?;
        Ok(Limits { slots: slot_limits(settings), thresholds })
    }

    /// Puts `limits` in force.
    pub(crate) fn change(&self, limits: Limits) {
        self.tree.change_limits(limits);
    }
}
