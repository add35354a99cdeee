//! Who has been promised how much of a device's memory. One ledger per device; leases return what they hold by `Drop`.
//!
//! Owns the book of leases behind one short lock and the signal that it changed. Allocates nothing on the device and
//! never waits: a claim is granted, or refused with numbers before anything is allocated; whoever can wait watches
//! [`Ledger::changes`] and claims again.
//!
//! Always: leases + free = limit, unless the limit was lowered below what is out. A lease cannot be copied, so nothing is returned twice; what is returned is what the
//! book says, so nothing goes negative; a lease that is dropped anywhere, in an unwinding thread too, is returned.

mod book;

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::types::{Bytes, DeviceId, ModelId, PerModel, SlotId};

use super::policy::Slope;
use super::sample::Sample;
use book::{Book, Key};

/// What a lease is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Weights and permanent buffers of a model.
    Resident,
    /// What one job needs beyond them.
    Workspace,
}

/// A wish for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// For which model.
    pub model: ModelId,
    /// For which slot, where there is one.
    pub slot: Option<SlotId>,
    /// What it is for: weights, or one run.
    pub purpose: Purpose,
    /// The amount.
    pub bytes: Bytes,
}

impl Claim {
    /// For the weights of `model`: its budget, until [`Lease::settle`] says what they take.
    pub fn resident(model: ModelId, bytes: Bytes) -> Self {
        Self { model, slot: None, purpose: Purpose::Resident, bytes }
    }

    /// For one job of `model`.
    pub fn workspace(model: ModelId, slot: Option<SlotId>, bytes: Bytes) -> Self {
        Self { model, slot, purpose: Purpose::Workspace, bytes }
    }
}

/// A granted claim, as shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Whose.
    pub model: ModelId,
    /// For which slot.
    pub slot: Option<SlotId>,
    /// What it is for: weights, or one run.
    pub purpose: Purpose,
    /// The amount.
    pub bytes: Bytes,
}

/// A claim that would have crossed the limit. Nothing was allocated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Refusal {
    /// On which device.
    pub device: DeviceId,
    /// Who claimed.
    pub model: ModelId,
    /// What it is for: weights, or one run.
    pub purpose: Purpose,
    /// Promised by leases, or taken by what no lease stands for.
    pub used: Bytes,
    /// Of `used`, the part that no lease stands for.
    pub unaccounted: Bytes,
    /// How much more was claimed.
    pub needed: Bytes,
    /// What may be used in all.
    pub limit: Bytes,
    /// Whether it would fit once the workspaces now out are returned: waiting may help.
    pub fits_later: bool,
    /// All leases, largest first.
    pub holders: Vec<Holding>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.purpose {
            Purpose::Resident => "its weights",
            Purpose::Workspace => "a job",
        };
        write!(
            f,
            "{} needs {} on {} for {what}, and {} of {} are taken",
            self.model, self.needed, self.device, self.used, self.limit
        )?;
        if self.unaccounted > Bytes::ZERO {
            write!(f, " ({} of them by no lease)", self.unaccounted)?;
        }
        // Three are enough to act on; the rest is in the structured event.
        for (place, holding) in self.holders.iter().take(3).enumerate() {
            let purpose = match holding.purpose {
                Purpose::Resident => "resident",
                Purpose::Workspace => "workspace",
            };
            let lead = if place == 0 { "; largest holders: " } else { ", " };
            write!(f, "{lead}{} {purpose} {}", holding.model, holding.bytes)?;
        }
        Ok(())
    }
}

/// One device's account at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// What may be used in all.
    pub limit: Bytes,
    /// What leases stand for.
    pub reserved: Bytes,
    /// `limit − reserved`.
    pub free: Bytes,
    /// Of `free`, what may still be claimed: the rest is taken by what no lease stands for.
    pub available: Bytes,
    /// Used on the device at the last usable sample.
    pub actual: Option<Bytes>,
    /// Device use − leases at that sample; zero where more is promised than allocated.
    pub unaccounted: Option<Bytes>,
    /// How fast it grows, over the last hour, without others' memory where that is told apart; none in the first minutes.
    pub unaccounted_slope: Option<Slope>,
    /// The most that was ever reserved.
    pub peak_reserved: Bytes,
    /// The most that was ever used, as far as sampled.
    pub peak_actual: Option<Bytes>,
    /// Resident leases.
    pub resident: PerModel<Bytes>,
    /// Workspace leases.
    pub workspace: PerModel<Bytes>,
    /// Leases out.
    pub leases: u32,
}

/// Where the ledger stood before a sample was taken, so that leases that come or go meanwhile are noticed.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

struct Shared {
    device: DeviceId,
    book: Mutex<Book>,
    changed: watch::Sender<u64>,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing inside panics halfway through a change, so a poisoned book is still a true one.
        self.book.lock()
    }

    /// Tells waiters, after the lock is gone, that there may be room. A later change may have been told already; the
    /// book it was told of contains this one.
    fn announce(&self, generation: u64) {
        self.changed.send_if_modified(|told| {
            let newer = generation > *told;
            *told = generation.max(*told);
            newer
        });
    }
}

/// The account of one device; clones are handles to the same one.
#[derive(Clone)]
pub struct Ledger(Arc<Shared>);

impl Ledger {
    /// Nothing promised. `limit` is never promised beyond; `overhead` is taken by context and libraries before any
    /// sample says so.
    pub fn new(device: DeviceId, limit: Bytes, overhead: Bytes) -> Self {
        let book = Mutex::new(Book::new(limit, overhead));
        Self(Arc::new(Shared { device, book, changed: watch::Sender::new(0) }))
    }

    /// The device.
    pub fn device(&self) -> DeviceId {
        self.0.device
    }

    /// Grants `claim`, or refuses it before anything is allocated.
    pub fn reserve(&self, claim: Claim) -> Result<Lease, Refusal> {
        let mut book = self.0.book();
        match book.grant(claim) {
            Some((key, generation)) => {
                drop(book);
                self.0.announce(generation);
                Ok(Lease { ledger: self.clone(), key, claim })
            }
            None => Err(self.refusal(&book, claim)),
        }
    }

    /// Changes whenever a lease comes, goes or changes, or what no lease stands for does. To wait for room: take the
    /// receiver, claim, and where refused with [`Refusal::fits_later`] await its change and claim again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Promises nothing beyond `limit` from now on; what is promised already stays, whatever it comes to.
    pub fn change_limit(&self, limit: Bytes) {
        let generation = self.0.book().change_limit(limit);
        self.0.announce(generation);
    }

    /// To be taken before a sample is.
    pub fn mark(&self) -> Mark {
        Mark(self.0.book().generation())
    }

    /// Takes in a usable sample, whose taking began at `mark`. Allocates nothing.
    pub fn observe(&self, sample: &Sample, mark: Mark) {
        let generation = self.0.book().observe(sample, mark.0);
        self.0.announce(generation);
    }

    /// The account now. Allocates nothing.
    pub fn usage(&self) -> Usage {
        self.0.book().usage()
    }

    /// All leases, largest first.
    pub fn holdings(&self) -> Vec<Holding> {
        self.0.book().holdings()
    }

    /// What a single run could have at best: beside all residents, with every workspace returned and nothing else on the
    /// device.
    pub fn room(&self) -> Bytes {
        self.0.book().room()
    }

    /// By how much a lease of `needed` would cross the limit even if every workspace were returned; zero where it would
    /// fit. Allocates nothing.
    pub fn shortfall(&self, needed: Bytes) -> Bytes {
        self.0.book().shortfall(needed)
    }

    fn refusal(&self, book: &Book, claim: Claim) -> Refusal {
        let usage = book.usage();
        let unaccounted = book.floor();
        Refusal {
            device: self.0.device,
            model: claim.model,
            purpose: claim.purpose,
            used: usage.reserved.saturating_add(unaccounted),
            unaccounted,
            needed: claim.bytes,
            limit: usage.limit,
            fits_later: book.shortfall(claim.bytes) == Bytes::ZERO,
            holders: book.holdings(),
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("device", &self.0.device).field("usage", &self.usage()).finish()
    }
}

/// Memory promised to its holder; returned on drop. Moves with the model or the job that uses it, across threads.
#[must_use = "dropping it returns the memory"]
pub struct Lease {
    ledger: Ledger,
    key: Key,
    claim: Claim,
}

impl Lease {
    /// How much it stands for.
    pub fn bytes(&self) -> Bytes {
        self.claim.bytes
    }

    /// Whose it is.
    pub fn model(&self) -> ModelId {
        self.claim.model
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.claim.purpose
    }

    /// Makes it stand for `bytes`. Less is always granted; more may be refused, and then it stays as it was.
    pub fn resize(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        self.change(bytes, false)
    }

    /// Makes a resident lease stand for what a load measured, and says that all of it is allocated now. Where that
    /// is more than may be promised, it is refused and the lease stays as it was: the load has to be undone.
    pub fn settle(&mut self, measured: Bytes) -> Result<(), Refusal> {
        self.change(measured, true)
    }

    fn change(&mut self, bytes: Bytes, settled: bool) -> Result<(), Refusal> {
        let shared = &self.ledger.0;
        let mut book = shared.book();
        match book.resize(self.key, bytes, settled) {
            Some(generation) => {
                drop(book);
                shared.announce(generation);
                self.claim.bytes = bytes;
                Ok(())
            }
            None => {
                let needed = bytes.saturating_sub(self.claim.bytes);
                Err(self.ledger.refusal(&book, Claim { bytes: needed, ..self.claim }))
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let generation = self.ledger.0.book().release(self.key);
        self.ledger.0.announce(generation);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("device", &self.ledger.0.device).field("claim", &self.claim).finish()
    }
}

#[cfg(test)]
mod tests;
