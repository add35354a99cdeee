//! Whether the models' budgets fit under the configured limit: from settings, and what a bundle needs where they leave
//! it open, to `vram`'s preflight.

use std::fmt;

use serde::Serialize;

use super::contradictions::precisions_of;
use super::settings::Settings;
use super::values::{Limit, Precision};
use crate::types::{Bytes, ModelId, PerModel};
use crate::vram::policy::{self, Fit, Misfit, ModelNeed, Plan, Variant};

/// Jobs of two slots side by side: one is in video or verification while the next is in audio and image.
const LOOKING_AHEAD: &[&[ModelId]] = &[
    &[ModelId::Flux, ModelId::Kokoro, ModelId::LivePortrait],
    &[ModelId::Flux, ModelId::Kokoro, ModelId::ClipB, ModelId::ClipL],
];
/// Jobs of one slot side by side.
const ONE_SLOT: &[&[ModelId]] = &[&[ModelId::Flux, ModelId::Kokoro], &[ModelId::ClipB, ModelId::ClipL]];

/// Where an amount of memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountSource {
    /// The settings.
    Setting,
    /// The bundle's description.
    Bundle,
    /// The tensors that the bundle's files hold, in the precision that the settings ask for.
    Tensors,
    /// The sizes in the bundle's configurations.
    Sizes,
}

impl fmt::Display for AmountSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Setting => "set",
            Self::Bundle => "of bundle.toml",
            Self::Tensors => "by its tensors",
            Self::Sizes => "by its sizes",
        })
    }
}

/// An amount of memory and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// The amount.
    pub bytes: Bytes,
    /// Who says so.
    pub from: AmountSource,
}

impl Amount {
    /// By the settings.
    pub const fn set(bytes: Bytes) -> Self {
        Self { bytes, from: AmountSource::Setting }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.bytes, self.from)
    }
}

/// What one model may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Weights and permanent buffers.
    #[serde(rename = "budget")]
    pub resident: Amount,
    /// Beyond that, at most, during a run.
    pub workspace: Amount,
}

/// What every model may take, in order of [`ModelId::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets(PerModel<Budget>);

impl Budgets {
    /// Asked for model by model; every model is asked for, and the last error tells of all.
    pub fn new<E>(of: impl FnMut(ModelId) -> Result<Budget, E>) -> Result<Self, E> {
        let mut failed = None;
        let nothing = Amount::set(Bytes::ZERO);
        let nothing = Budget { resident: nothing, workspace: nothing };
        let all = ModelId::ALL.map(of).map(|budget| {
            budget.unwrap_or_else(|error| {
                failed = Some(error);
                nothing
            })
        });
        failed.map_or(Ok(Self(PerModel::from_array(all))), Err)
    }

    /// Of one model.
    pub fn of(&self, model: ModelId) -> Budget {
        self.0[model]
    }

    /// Those of the settings, where they leave none to the bundle.
    pub fn set(settings: &Settings) -> Option<Self> {
        let is_set = |model: &ModelId| {
            let set = settings.models.budget(*model);
            set.budget.is_some() && set.workspace.is_some()
        };
        ModelId::ALL.iter().all(is_set).then(|| Self::at_least(settings))
    }

    /// What is set, and nothing for what the bundle says: the least that these settings can come to.
    pub(super) fn at_least(settings: &Settings) -> Self {
        let amount = |set: Option<Bytes>| Amount::set(set.unwrap_or_default());
        Self(PerModel::from_fn(|model| {
            let set = settings.models.budget(model);
            Budget { resident: amount(set.budget), workspace: amount(set.workspace) }
        }))
    }
}

/// Checks budgets, the largest concurrent workspaces and overhead against the hard limit and, where known, against what
/// is `free`.
///
/// `None` where the limit is a share of what is free and that is not known.
pub(crate) fn preflight(
    settings: &Settings,
    budgets: &Budgets,
    free: Option<Bytes>,
) -> Option<Result<Fit, Box<Misfit>>> {
    let limit = match (settings.memory.hard_limit, free) {
        (Limit::Amount(amount), _) => amount,
        (share, Some(free)) => share.resolve(free),
        (Limit::OfFree(_), None) => return None,
    };
    Some(judged(settings, budgets, limit, free))
}

/// What all of it adds up to, whatever the limit; the spare is none.
pub(crate) fn needed(settings: &Settings, budgets: &Budgets) -> Fit {
    let fit = judged(settings, budgets, Bytes::MAX, None);
    let (residents, workspaces, needed) = match fit {
        Ok(Fit { residents, workspaces, needed, .. }) => (residents, workspaces, needed),
        Err(misfit) => (misfit.residents, misfit.workspaces, misfit.needed),
    };
    Fit { residents, workspaces, needed, spare: Bytes::ZERO }
}

fn judged(
    settings: &Settings,
    budgets: &Budgets,
    limit: Bytes,
    free: Option<Bytes>,
) -> Result<Fit, Box<Misfit>> {
    let models = ModelId::ALL.map(|model| {
        let (budget, precision) = (budgets.of(model), settings.models.budget(model).precision);
        let chosen = Variant {
            precision: precision.name().to_owned(),
            resident: budget.resident.bytes,
            workspace: budget.workspace.bytes,
        };
        ModelNeed { model, alternatives: alternatives(model, precision, &chosen), chosen }
    });
    let concurrent = if settings.slots.lookahead.get() > 1 { LOOKING_AHEAD } else { ONE_SLOT };
    let overhead = settings.memory.overhead;
    policy::preflight(&Plan { limit, free, overhead, models: &models, concurrent })
}

/// The model in every precision in which it would hold less.
///
/// Scaled from the budget, whatever the weights' sizes: the published ones and small ones shrink alike. Parts that stay
/// as they are (an autoencoder, embeddings) are scaled with the rest, which errs by a few per cent; a load settles it.
fn alternatives(model: ModelId, precision: Precision, chosen: &Variant) -> Vec<Variant> {
    let Some(now) = precision.bits_per_weight() else { return Vec::new() };
    let variant = |other: &Precision| {
        let bits = other.bits_per_weight().filter(|bits| *bits < now)?;
        // Activations are half as wide under any precision but f32; quantised weights are unpacked to sixteen bits.
        let narrower = if precision == Precision::F32 { 0.5 } else { 1.0 };
        Some(Variant {
            precision: other.name().to_owned(),
            resident: chosen.resident.share(bits / now),
            workspace: chosen.workspace.share(narrower),
        })
    };
    precisions_of(model).iter().filter_map(variant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FlagSetting, Inputs, load};

    fn profile(name: &str, changes: &[(&str, &str)]) -> Settings {
        let flag = |(key, value): &(&str, &str)| FlagSetting {
            flag: "--set".into(),
            key: (*key).into(),
            value: (*value).into(),
        };
        let mut flags: Vec<FlagSetting> = changes.iter().map(flag).collect();
        flags.push(flag(&("profile", name)));
        let empty = tempfile::tempdir().unwrap();
        load(&Inputs { config_dir: Some(empty.path().to_owned()), flags, ..Inputs::default() })
            .unwrap()
            .settings
    }

    /// Of settings that leave nothing to the bundle.
    fn judge(settings: &Settings, free: Option<Bytes>) -> Option<Result<Fit, Box<Misfit>>> {
        let budgets = Budgets::set(settings).expect("an amount is left to the bundle");
        preflight(settings, &budgets, free)
    }

    /// Free at start on a card of each profile, context not yet made: sizes as `nvidia-smi` reports them, less 0.3 GB
    /// that the driver keeps.
    const SHIPPED: [(&str, Bytes); 2] = [("rtx3060-12gb", Bytes::mb(12_500)), ("h200", Bytes::gb(150))];

    #[test]
    fn the_shipped_cards_profiles_pass_their_own_preflight_whatever_the_bundle() {
        for (name, free) in SHIPPED {
            let fit = judge(&profile(name, &[]), Some(free)).unwrap();
            assert!(fit.is_ok(), "{name}: {}", fit.unwrap_err());
        }
    }

    #[test]
    fn the_processors_profile_leaves_every_amount_to_the_bundle() {
        let settings = profile("cpu", &[]);
        for model in ModelId::ALL {
            let set = settings.models.budget(model);
            assert_eq!((set.budget, set.workspace), (None, None), "{model}");
        }
        let amount = |mb| Amount { bytes: Bytes::mb(mb), from: AmountSource::Bundle };
        let small = Budgets::new(|_| Ok::<_, ()>(Budget { resident: amount(20), workspace: amount(50) }));
        let small = small.unwrap();
        // 5 × 20 resident, 4 × 50 side by side, 200 overhead.
        assert_eq!(needed(&settings, &small).needed, Bytes::mb(500));
        assert!(preflight(&settings, &small, Some(Bytes::mb(600))).unwrap().is_ok());
        assert!(preflight(&settings, &small, Some(Bytes::mb(500))).unwrap().is_err(), "92 % of it is less");
    }

    #[test]
    fn the_small_cards_profile_fits_even_under_the_soft_limit() {
        let settings = profile("rtx3060-12gb", &[]);
        let soft = settings.memory.soft_limit.resolve(Bytes::ZERO);
        assert!(judge(&settings, None).unwrap().unwrap().needed <= soft);
    }

    #[test]
    fn a_profile_that_does_not_fit_says_by_how_much_and_what_would() {
        // 6.8 resident, 3.03 of flux, kokoro and liveportrait at once, 1.0 overhead: 10.83, of 10.0 free.
        let misfit = judge(&profile("rtx3060-12gb", &[]), Some(Bytes::gb(10))).unwrap().unwrap_err();
        assert_eq!(misfit.missing(), Bytes::mb(830));
        let text = misfit.to_string();
        assert!(text.contains("830.0 MB too much") && text.contains("one job at a time"), "{text}");
    }

    #[test]
    fn a_card_too_small_is_told_which_model_would_fit_in_which_precision() {
        // The large card's profile needs 69.3 GB; Flux is 36 of them in bf16, 10.1 at 4.5 bits.
        let misfit = judge(&profile("h200", &[]), Some(Bytes::gb(48))).unwrap().unwrap_err();
        let text = misfit.to_string();
        // 92 % of what is free.
        assert!(text.contains("44.16 GB are allowed: 25.14 GB too much"), "{text}");
        assert!(text.ends_with("what would fit: flux at nf4"), "{text}");
        let small = judge(&profile("h200", &[]), Some(Bytes::gb(4))).unwrap().unwrap_err();
        assert!(small.to_string().contains("only "), "{small}");
    }

    #[test]
    fn alternatives_shrink_as_the_worked_card_does() {
        // Whole transformer: 6.69 GB in nf4, 6.13 nested; 23.8 in bf16.
        let of = |all: &[Variant], name: &str| {
            let found = all.iter().find(|variant| variant.precision == name).unwrap();
            (found.resident.as_f64() / 1e8).round() / 10.0
        };
        let all = |model, resident, precision: Precision| {
            let workspace = Bytes::gb(1);
            alternatives(model, precision, &Variant { precision: String::new(), resident, workspace })
        };
        let bf16 = all(ModelId::Flux, Bytes::mb(23_780), Precision::Bf16);
        assert_eq!((of(&bf16, "nf4"), of(&bf16, "nf4_nested")), (6.7, 6.1));
        assert!(all(ModelId::Flux, Bytes::gb(6), Precision::Bundle).is_empty());
        assert!(all(ModelId::Kokoro, Bytes::mb(400), Precision::F32).is_empty());
        let portrait = all(ModelId::LivePortrait, Bytes::mb(520), Precision::F32);
        assert_eq!((portrait.len(), portrait[0].workspace), (1, Bytes::mb(500)));
    }

    #[test]
    fn one_slot_at_a_time_needs_less() {
        let needed = |changes: &[(&str, &str)]| {
            judge(&profile("rtx3060-12gb", changes), None).unwrap().unwrap().needed
        };
        assert_eq!(needed(&[]).saturating_sub(needed(&[("slots.lookahead", "1")])), Bytes::mb(1500));
    }

    #[test]
    fn a_share_of_an_unknown_amount_proves_nothing() {
        assert!(judge(&profile("h200", &[]), None).is_none());
        let tight = judge(&profile("h200", &[]), Some(Bytes::gb(2))).unwrap();
        assert!(tight.is_err(), "a share of too little must not fit");
    }
}
