//! Whether residents, the largest concurrent workspaces and overhead fit, before anything is loaded; where they do
//! not, by how much and what would. Pure.
//!
//! What would fit is searched in the order of what it costs the operator: another precision of one model, then of
//! several (the largest saving first), then running one job at a time, then both, then fewer models.

use std::cmp::Reverse;
use std::fmt;

use crate::types::{Bytes, ModelId};

/// A way to run a model: its precision, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// As configuration calls it: `nf4`, `f16`, …
    pub precision: String,
    /// Weights and permanent buffers.
    pub resident: Bytes,
    /// The largest workspace of one job.
    pub workspace: Bytes,
}

/// A model to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelNeed {
    /// The model.
    pub model: ModelId,
    /// As configured.
    pub chosen: Variant,
    /// Other ways to run it that its bundle offers.
    pub alternatives: Vec<Variant>,
}

/// What has to fit, and into what.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Nothing may go beyond this.
    pub limit: Bytes,
    /// Free on the device now, where it was looked at.
    pub free: Option<Bytes>,
    /// Context and libraries, not in any budget.
    pub overhead: Bytes,
    /// The models.
    pub models: &'a [ModelNeed],
    /// Which models may run jobs at the same time; each group's workspaces add up. A model in no group runs alone.
    pub concurrent: &'a [&'a [ModelId]],
}

/// What fits: the figures that preflight proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// All residents.
    pub residents: Bytes,
    /// The largest sum of workspaces at one time.
    pub workspaces: Bytes,
    /// Both and the overhead.
    pub needed: Bytes,
    /// What is left under the tighter of limit and free memory.
    pub spare: Bytes,
}

/// A change of configuration under which everything fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Run these models at these precisions.
    Precisions(Vec<(ModelId, String)>),
    /// Run one job at a time.
    OneAtATime,
    /// Both: these precisions, and one job at a time.
    PrecisionsOneAtATime(Vec<(ModelId, String)>),
    /// Load only these, as configured.
    Only(Vec<ModelId>),
}

/// What does not fit, by how much, and what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Misfit {
    /// Residents, workspaces and overhead.
    pub needed: Bytes,
    /// What there is room for: the limit, or what is free.
    pub room: Bytes,
    /// Whether `room` is what is free, rather than the limit.
    pub room_is_free_memory: bool,
    /// All residents.
    pub residents: Bytes,
    /// The largest sum of workspaces at one time.
    pub workspaces: Bytes,
    /// Context and libraries.
    pub overhead: Bytes,
    /// Residents, largest first.
    pub by_model: Vec<(ModelId, Bytes)>,
    /// Changes under which everything fits, the mildest first.
    pub remedies: Vec<Remedy>,
}

impl Misfit {
    /// By how much it misses.
    pub fn missing(&self) -> Bytes {
        self.needed.saturating_sub(self.room)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = if self.room_is_free_memory { "are free" } else { "are allowed" };
        write!(
            f,
            "the models need {} (residents {}, largest concurrent workspaces {}, overhead {}), and {} {room}: {} too \
             much; residents:",
            self.needed,
            self.residents,
            self.workspaces,
            self.overhead,
            self.room,
            self.missing()
        )?;
        for (place, (model, bytes)) in self.by_model.iter().enumerate() {
            write!(f, "{} {model} {bytes}", if place == 0 { "" } else { "," })?;
        }
        f.write_str("; what would fit: ")?;
        if self.remedies.is_empty() {
            return write!(f, "nothing of this bundle; room for {} is needed", self.needed);
        }
        for (place, remedy) in self.remedies.iter().enumerate() {
            let lead = if place == 0 { "" } else { ", or " };
            write!(f, "{lead}{remedy}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precisions = |f: &mut fmt::Formatter<'_>, changes: &[(ModelId, String)]| {
            for (place, (model, precision)) in changes.iter().enumerate() {
                write!(f, "{}{model} at {precision}", if place == 0 { "" } else { " and " })?;
            }
            Ok(())
        };
        match self {
            Self::Precisions(changes) => precisions(f, changes),
            Self::OneAtATime => f.write_str("one job at a time"),
            Self::PrecisionsOneAtATime(changes) => {
                precisions(f, changes)?;
                f.write_str(" and one job at a time")
            }
            Self::Only(models) => {
                let names: Vec<&str> = models.iter().map(|model| model.name()).collect();
                write!(f, "only {}", names.join(", "))
            }
        }
    }
}

/// Whether the plan fits.
pub fn preflight(plan: &Plan<'_>) -> Result<Fit, Box<Misfit>> {
    let chosen: Vec<Choice<'_>> = plan.models.iter().map(|need| (need.model, &need.chosen)).collect();
    let (residents, workspaces) = sums(&chosen, Some(plan.concurrent));
    let needed = total(plan, &chosen, Some(plan.concurrent));
    let room = room(plan);
    if needed <= room {
        return Ok(Fit { residents, workspaces, needed, spare: room.saturating_sub(needed) });
    }
    let mut by_model: Vec<_> = chosen.iter().map(|(model, variant)| (*model, variant.resident)).collect();
    by_model.sort_by_key(|(_, bytes)| Reverse(*bytes));
    Err(Box::new(Misfit {
        needed,
        room,
        room_is_free_memory: room < plan.limit,
        residents,
        workspaces,
        overhead: plan.overhead,
        by_model,
        remedies: remedies(plan, &chosen),
    }))
}

type Choice<'a> = (ModelId, &'a Variant);

fn room(plan: &Plan<'_>) -> Bytes {
    plan.free.map_or(plan.limit, |free| free.min(plan.limit))
}

/// Residents, and the largest workspaces at one time: of a group, or of a model alone.
fn sums(choices: &[Choice<'_>], concurrent: Option<&[&[ModelId]]>) -> (Bytes, Bytes) {
    let residents = choices.iter().map(|(_, variant)| variant.resident).sum();
    let alone = choices.iter().map(|(_, variant)| variant.workspace).max().unwrap_or_default();
    let group = |group: &&[ModelId]| -> Bytes {
        choices.iter().filter(|(model, _)| group.contains(model)).map(|(_, variant)| variant.workspace).sum()
    };
    (residents, concurrent.into_iter().flatten().map(group).max().unwrap_or_default().max(alone))
}

fn total(plan: &Plan<'_>, choices: &[Choice<'_>], concurrent: Option<&[&[ModelId]]>) -> Bytes {
    let (residents, workspaces) = sums(choices, concurrent);
    residents.saturating_add(workspaces).saturating_add(plan.overhead)
}

fn remedies(plan: &Plan<'_>, chosen: &[Choice<'_>]) -> Vec<Remedy> {
    let mut found = Vec::new();
    // One model at another precision: of those that fit, per model the one that changes least.
    for (place, need) in plan.models.iter().enumerate() {
        let fitting = need.alternatives.iter().filter(|variant| {
            let changed = with(chosen, place, variant);
            total(plan, &changed, Some(plan.concurrent)) <= room(plan)
        });
        if let Some(variant) = fitting.max_by_key(|variant| (variant.resident, variant.workspace)) {
            found.push(Remedy::Precisions(vec![(need.model, variant.precision.clone())]));
        }
    }
    if found.is_empty()
        && let Some(changes) = smaller_until_fit(plan, chosen, Some(plan.concurrent))
    {
        found.push(Remedy::Precisions(changes));
    }
    if total(plan, chosen, None) <= room(plan) {
        found.push(Remedy::OneAtATime);
    }
    if found.is_empty()
        && let Some(changes) = smaller_until_fit(plan, chosen, None)
    {
        found.push(Remedy::PrecisionsOneAtATime(changes));
    }
    if found.is_empty() {
        found.extend(fewer_until_fit(plan, chosen));
    }
    found
}

fn with<'a>(choices: &[Choice<'a>], place: usize, variant: &'a Variant) -> Vec<Choice<'a>> {
    let mut changed = choices.to_vec();
    changed[place].1 = variant;
    changed
}

/// Takes the single change that saves most, again and again, until everything fits or nothing saves any more.
fn smaller_until_fit(
    plan: &Plan<'_>,
    chosen: &[Choice<'_>],
    concurrent: Option<&[&[ModelId]]>,
) -> Option<Vec<(ModelId, String)>> {
    let mut choices = chosen.to_vec();
    while total(plan, &choices, concurrent) > room(plan) {
        let options = plan.models.iter().enumerate();
        let smallest = options
            .flat_map(|(place, need)| need.alternatives.iter().map(move |variant| (place, variant)))
            .map(|(place, variant)| with(&choices, place, variant))
            .min_by_key(|changed| total(plan, changed, concurrent))?;
        if total(plan, &smallest, concurrent) >= total(plan, &choices, concurrent) {
            return None;
        }
        choices = smallest;
    }
    let changed = choices.iter().zip(chosen).filter(|(now, before)| now.1 != before.1);
    Some(changed.map(|((model, variant), _)| (*model, variant.precision.clone())).collect())
}

/// Leaves out the model whose absence saves most, until the rest fits.
fn fewer_until_fit(plan: &Plan<'_>, chosen: &[Choice<'_>]) -> Option<Remedy> {
    let mut kept = chosen.to_vec();
    while total(plan, &kept, Some(plan.concurrent)) > room(plan) {
        let without = |place: &usize| {
            let mut fewer = kept.clone();
            fewer.remove(*place);
            total(plan, &fewer, Some(plan.concurrent))
        };
        let largest = (0..kept.len()).min_by_key(without)?;
        kept.remove(largest);
    }
    (!kept.is_empty()).then(|| Remedy::Only(kept.iter().map(|(model, _)| *model).collect()))
}

#[cfg(test)]
mod tests;
