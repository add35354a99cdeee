//! Whether the configured budgets fit under the configured limit: from settings to `vram`'s preflight.

use super::contradictions::precisions_of;
use super::settings::{ModelBudget, Settings};
use super::values::{Limit, Precision};
use crate::types::{Bytes, ModelId};
use crate::vram::policy::{self, Fit, Misfit, ModelNeed, Plan, Variant};

/// Jobs of two slots side by side: one is in video or verification while the next is in audio and image.
const LOOKING_AHEAD: &[&[ModelId]] = &[
    &[ModelId::Flux, ModelId::Kokoro, ModelId::LivePortrait],
    &[ModelId::Flux, ModelId::Kokoro, ModelId::ClipB, ModelId::ClipL],
];
/// Jobs of one slot side by side.
const ONE_SLOT: &[&[ModelId]] = &[&[ModelId::Flux, ModelId::Kokoro], &[ModelId::ClipB, ModelId::ClipL]];

/// Checks budgets, the largest concurrent workspaces and overhead against the hard limit and, where known, against what
/// is `free`.
///
/// `None` where the limit is a share of what is free and that is not known.
pub fn preflight(settings: &Settings, free: Option<Bytes>) -> Option<Result<Fit, Box<Misfit>>> {
    let limit = match (settings.memory.hard_limit, free) {
        (Limit::Amount(amount), _) => amount,
        (share, Some(free)) => share.resolve(free),
        (Limit::OfFree(_), None) => return None,
    };
    let models = ModelId::ALL.map(|model| {
        let set = settings.models.budget(model);
        let precision = set.precision.name().to_owned();
        let chosen = Variant { precision, resident: set.budget, workspace: set.workspace };
        ModelNeed { model, chosen, alternatives: alternatives(model, set) }
    });
    let concurrent = if settings.slots.lookahead.get() > 1 { LOOKING_AHEAD } else { ONE_SLOT };
    let overhead = settings.memory.overhead;
    Some(policy::preflight(&Plan { limit, free, overhead, models: &models, concurrent }))
}

/// The model in every precision in which it would hold less.
///
/// Scaled from the budget, whatever the weights' sizes: the published ones and small ones shrink alike. Parts that stay
/// as they are (an autoencoder, embeddings) are scaled with the rest, which errs by a few per cent; a load settles it.
fn alternatives(model: ModelId, set: ModelBudget) -> Vec<Variant> {
    let Some(now) = set.precision.bits_per_weight() else { return Vec::new() };
    let variant = |precision: &Precision| {
        let bits = precision.bits_per_weight().filter(|bits| *bits < now)?;
        // Activations are half as wide under any precision but f32; quantised weights are unpacked to sixteen bits.
        let narrower = if set.precision == Precision::F32 { 0.5 } else { 1.0 };
        Some(Variant {
            precision: precision.name().to_owned(),
            resident: set.budget.share(bits / now),
            workspace: set.workspace.share(narrower),
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

    /// Free at start on a card of each profile, context not yet made: sizes as `nvidia-smi` reports them, less 0.3 GB
    /// that the driver keeps; for `cpu` a small laptop.
    const SHIPPED: [(&str, Bytes); 3] =
        [("cpu", Bytes::gb(7)), ("rtx3060-12gb", Bytes::mb(12_500)), ("h200", Bytes::gb(150))];

    #[test]
    fn the_shipped_profiles_pass_their_own_preflight() {
        for (name, free) in SHIPPED {
            let fit = preflight(&profile(name, &[]), Some(free)).unwrap();
            assert!(fit.is_ok(), "{name}: {}", fit.unwrap_err());
        }
    }

    #[test]
    fn the_small_cards_profile_fits_even_under_the_soft_limit() {
        let settings = profile("rtx3060-12gb", &[]);
        let soft = settings.memory.soft_limit.resolve(Bytes::ZERO);
        assert!(preflight(&settings, None).unwrap().unwrap().needed <= soft);
    }

    #[test]
    fn a_profile_that_does_not_fit_says_by_how_much_and_what_would() {
        // 6.4 resident, 3.2 of flux, kokoro and liveportrait at once, 1.0 overhead: 10.6, of 10.0 free.
        let misfit = preflight(&profile("rtx3060-12gb", &[]), Some(Bytes::gb(10))).unwrap().unwrap_err();
        assert_eq!(misfit.missing(), Bytes::mb(600));
        let text = misfit.to_string();
        assert!(text.contains("600.0 MB too much") && text.contains("one job at a time"), "{text}");
    }

    #[test]
    fn a_card_too_small_is_told_which_model_would_fit_in_which_precision() {
        // The large card's profile needs 58.8 GB; Flux is 36 of them in bf16, 10.1 at 4.5 bits.
        let misfit = preflight(&profile("h200", &[]), Some(Bytes::gb(48))).unwrap().unwrap_err();
        let text = misfit.to_string();
        // 92 % of what is free.
        assert!(text.contains("44.16 GB are allowed: 14.64 GB too much"), "{text}");
        assert!(text.ends_with("what would fit: flux at nf4"), "{text}");
        let small = preflight(&profile("h200", &[]), Some(Bytes::gb(4))).unwrap().unwrap_err();
        assert!(small.to_string().contains("only "), "{small}");
    }

    #[test]
    fn alternatives_shrink_as_the_worked_card_does() {
        // Whole transformer: 6.69 GB in nf4, 6.13 nested; 23.8 in bf16.
        let set = |budget, precision| ModelBudget { budget, workspace: Bytes::gb(1), precision };
        let of = |all: &[Variant], name: &str| {
            let found = all.iter().find(|variant| variant.precision == name).unwrap();
            (found.resident.as_f64() / 1e8).round() / 10.0
        };
        let bf16 = alternatives(ModelId::Flux, set(Bytes::mb(23_780), Precision::Bf16));
        assert_eq!((of(&bf16, "nf4"), of(&bf16, "nf4_nested")), (6.7, 6.1));
        assert!(alternatives(ModelId::Flux, set(Bytes::gb(6), Precision::Bundle)).is_empty());
        assert!(alternatives(ModelId::Kokoro, set(Bytes::mb(400), Precision::F32)).is_empty());
        let portrait = alternatives(ModelId::LivePortrait, set(Bytes::mb(520), Precision::F32));
        assert_eq!((portrait.len(), portrait[0].workspace), (1, Bytes::mb(500)));
    }

    #[test]
    fn one_slot_at_a_time_needs_less() {
        let needed = |changes: &[(&str, &str)]| {
            preflight(&profile("rtx3060-12gb", changes), None).unwrap().unwrap().needed
        };
        assert_eq!(needed(&[]).saturating_sub(needed(&[("slots.lookahead", "1")])), Bytes::mb(1500));
    }

    #[test]
    fn a_share_of_an_unknown_amount_proves_nothing() {
        assert!(preflight(&profile("cpu", &[]), None).is_none());
        let tight = preflight(&profile("cpu", &[]), Some(Bytes::gb(2))).unwrap();
        assert!(tight.is_err(), "a share of too little must not fit");
    }
}
