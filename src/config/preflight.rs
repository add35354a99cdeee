//! Whether the configured budgets fit under the configured limit: from settings to `vram`'s preflight.

use super::settings::Settings;
use super::values::Limit;
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
        ModelNeed { model, chosen, alternatives: Vec::new() }
    });
    let concurrent = if settings.slots.lookahead.get() > 1 { LOOKING_AHEAD } else { ONE_SLOT };
    let overhead = settings.memory.overhead;
    Some(policy::preflight(&Plan { limit, free, overhead, models: &models, concurrent }))
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
