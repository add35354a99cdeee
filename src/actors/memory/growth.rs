//! Whose growth it is, where a device counts memory per process.
//!
//! How much all have grown together is told without any estimate: use is compared between looks with the *same* leases
//! out. Whose it is, equations tell: what changed from one look to a later one, beyond what leases came and went, is so
//! much for every look that each model was at work, so much for every run that began or ended, and, for such runs, what their leases promise too much or too little, which comes back with the opposite sign. The rates that
//! fit best say whose the growth is, also where two models are at work together and only one of them grows.

use std::collections::HashMap;

use enum_map::Enum;

use crate::types::{Bytes, ModelId, PerModel};
use crate::vram::Usage;

/// Which memory is promised to whom: residents, workspaces.
type Leases = (PerModel<Bytes>, PerModel<Bytes>);

/// Combinations of leases remembered: 32 of who is at work, twice over for what they take; forgetting them costs only
/// the growth until each is seen again.
const REMEMBERED: usize = 64;

/// What an equation counts for once the next one has come: growth that has begun lately shows.
const FADING: f64 = 0.99;

/// Rounds of fitting; each begins where the last equation's ended, so that few are needed.
const ROUNDS: usize = 25;

/// Against explaining growth by leases that are off where a leak explains it as well.
const RIDGE: f64 = 0.01;

const MODELS: usize = ModelId::ALL.len();

/// Unknowns of the fit, by the models' places: bytes for a look at work, for a run begun, for a run ended, and how far a
/// run's lease is above what it takes. All but the last are never below zero. Where a run begins as another ends, the one
/// that begins is the first to be blamed: what a run keeps, it takes while it is at work.
const UNKNOWNS: usize = 4 * MODELS;
const BEGUN: usize = MODELS;
const ENDED: usize = 2 * MODELS;
const OFF: usize = 3 * MODELS;

type Row = [f64; UNKNOWNS];

/// How far each model's use has drifted from what its leases stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growth {
    rates: Row,
    /// Normal equations of the fit.
    products: [Row; UNKNOWNS],
    sums: Row,
    /// Where the last equation ended, and what has happened since.
    level: Option<f64>,
    row: Row,
    /// Growth of all together, as of the last stretch without a change of leases.
    drift: f64,
    /// Own use beyond the leases without any growth, for each combination of leases.
    baselines: HashMap<Leases, f64>,
    last: Option<Leases>,
    /// Own use beyond the leases at the last look that had the same leases as the one before.
    steady: Option<f64>,
    /// Looks at work, runs begun and ended since each model was loaded.
    since_loaded: [f64; OFF],
    of_model: PerModel<f64>,
}

impl Growth {
    /// Own use at a look, the leases then, and who is at work.
    pub(crate) fn observe(&mut self, own: Bytes, usage: &Usage, at_work: &PerModel<bool>) {
        let leases = (usage.resident, usage.workspace);
        let is_same = self.last == Some(leases);
        if !is_same {
            self.stretch_ended();
            let before = self.last.replace(leases).map(|(_, workspaces)| workspaces);
            self.runs_changed(&before.unwrap_or(leases.1), &leases.1);
        }
        for model in ModelId::ALL {
            let looks = f64::from(u8::from(at_work[model]));
            self.row[model.into_usize()] += looks;
            self.since_loaded[model.into_usize()] += looks;
        }
        if is_same {
            // The first look after a change may have caught a run before it had taken its memory.
            let beyond = own.as_f64() - usage.reserved.as_f64();
            if self.steady.replace(beyond).is_none() {
                self.equation(beyond);
            }
        }
    }

    fn runs_changed(&mut self, before: &PerModel<Bytes>, now: &PerModel<Bytes>) {
        for model in ModelId::ALL {
            let (had, has) = (before[model] > Bytes::ZERO, now[model] > Bytes::ZERO);
            let place = model.into_usize();
            if had && !has {
                self.row[ENDED + place] += 1.0;
                self.row[OFF + place] += 1.0;
                self.since_loaded[ENDED + place] += 1.0;
            } else if has && !had {
                self.row[BEGUN + place] += 1.0;
                self.row[OFF + place] -= 1.0;
                self.since_loaded[BEGUN + place] += 1.0;
            }
        }
    }

    /// Takes the present stretch into account before it has ended: for whoever has to choose now.
    pub(crate) fn settle(&mut self) {
        let beyond = self.steady;
        self.stretch_ended();
        self.steady = beyond;
    }

    fn stretch_ended(&mut self) {
        let (Some(leases), Some(beyond)) = (self.last, self.steady.take()) else { return };
        self.equation(beyond);
        if self.baselines.len() >= REMEMBERED && !self.baselines.contains_key(&leases) {
            self.baselines.clear();
        }
        let drift = self.drift;
        let baseline = *self.baselines.entry(leases).or_insert(beyond - drift);
        self.drift = (beyond - baseline).max(0.0);
        self.attribute();
    }

    /// Enters what has happened since the last equation, and fits the rates anew.
    fn equation(&mut self, beyond: f64) {
        let row = std::mem::take(&mut self.row);
        let Some(level) = self.level.replace(beyond) else { return };
        if row.iter().all(|it| *it == 0.0) {
            return;
        }
        for (products, left) in self.products.iter_mut().zip(row) {
            products
                .iter_mut()
                .zip(row)
                .for_each(|(product, right)| *product = *product * FADING + left * right);
        }
        let grown = beyond - level;
        self.sums.iter_mut().zip(row).for_each(|(sum, it)| *sum = *sum * FADING + it * grown);
        for _ in 0..ROUNDS {
            self.round();
        }
    }

    /// Coordinate descent: each unknown at its best while the others stand.
    fn round(&mut self) {
        for (place, (products, sum)) in self.products.iter().zip(&self.sums).enumerate() {
            let own = products[place];
            if own == 0.0 {
                continue;
            }
            let explained: f64 = products.iter().zip(&self.rates).map(|(product, rate)| product * rate).sum();
            let rest = sum - explained + own * self.rates[place];
            self.rates[place] = if place < OFF { (rest / own).max(0.0) } else { rest / (own + RIDGE) };
        }
    }

    /// Puts the growth of all down to the models by their rates and what each has done since it was loaded.
    fn attribute(&mut self) {
        let by_rate = |place: usize| self.rates[place] * self.since_loaded[place];
        let raw = PerModel::from_fn(|model: ModelId| {
            [0, BEGUN, ENDED].into_iter().map(|kind| by_rate(kind + model.into_usize())).sum()
        });
        let sum: f64 = raw.values().sum();
        let scale = if sum > 0.0 { self.drift / sum } else { 0.0 };
        self.of_model = raw.map(|_, growth| growth * scale);
    }

    /// A model was dropped: its growth went with it. The others' stays theirs, and what was learnt of all is kept: where
    /// the new one's lease is another, its combinations are new ones, too.
    pub(crate) fn forget(&mut self, model: ModelId) {
        let place = model.into_usize();
        [0, BEGUN, ENDED].into_iter().for_each(|kind| self.since_loaded[kind + place] = 0.0);
        self.drift = (self.drift - self.of_model[model]).max(0.0);
        self.of_model[model] = 0.0;
        // What came free is not what anybody's work has done.
        (self.last, self.steady, self.level, self.row) = (None, None, None, [0.0; UNKNOWNS]);
    }

    /// What each model has grown by.
    pub(crate) fn of_models(&self) -> PerModel<Bytes> {
        self.of_model.map(|_, growth| Bytes::new(growth as u64))
    }
}

#[cfg(test)]
mod tests;
