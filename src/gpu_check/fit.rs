//! Whether what the bundle will hold fits, before anything of it is loaded; where not, by how much and what would.

use super::report::Outcome;
use crate::contract::ModelError;
use crate::models::bundle::{Bundle, Precision};
use crate::models::catalog;
use crate::types::{Bytes, ModelId};
use crate::vram::policy::{ModelNeed, Plan, Variant, preflight};

/// Compares the weights of `bundle`, planned from its files, with the limit and with what is free. Workspaces come
/// later: each job leases its own.
pub(super) fn fit(bundle: &Bundle, limit: Bytes, free: Option<Bytes>) -> Result<Outcome, ModelError> {
    let models = bundle.models.keys().map(|model| need(bundle, *model)).collect::<Result<Vec<_>, _>>()?;
    let plan = Plan { limit, free, overhead: Bytes::ZERO, models: &models, concurrent: &[] };
    Ok(match preflight(&plan) {
        Ok(fit) => {
            Outcome::passed(format!("the weights take {}, {} are left for jobs", fit.needed, fit.spare))
        }
        Err(misfit) => Outcome::failed(misfit.to_string()),
    })
}

fn need(bundle: &Bundle, model: ModelId) -> Result<ModelNeed, ModelError> {
    let chosen = bundle.model(model)?.precision;
    let others = Precision::of(model).iter().filter(|precision| **precision != chosen);
    let alternatives =
        others.map(|precision| variant(bundle, model, *precision)).collect::<Result<_, _>>()?;
    Ok(ModelNeed { model, chosen: variant(bundle, model, chosen)?, alternatives })
}

fn variant(bundle: &Bundle, model: ModelId, precision: Precision) -> Result<Variant, ModelError> {
    let mut changed = bundle.clone();
    changed.models.entry(model).and_modify(|entry| entry.precision = precision);
    let parts = catalog::plan(&changed, model)?;
    let resident = parts.iter().filter(|part| part.counts).map(|part| part.bytes).sum();
    Ok(Variant { precision: precision.name().to_owned(), resident, workspace: Bytes::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::synth::{Profile, write};

    #[test]
    fn a_card_too_small_is_told_by_how_much_and_what_would_fit() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = write(folder.path(), &ModelId::ALL, Profile::Tiny, 0, |_| {}).unwrap();
        let held = |bundle: &Bundle| {
            let each = ModelId::ALL.map(|model| need(bundle, model).unwrap().chosen.resident);
            each.into_iter().sum::<Bytes>()
        };
        let all = held(&bundle);
        assert_eq!(fit(&bundle, all, None).unwrap().ok, Some(true));
        let mut wide = bundle;
        wide.models.entry(ModelId::ClipL).and_modify(|entry| entry.precision = Precision::F32);
        assert!(held(&wide) > all);
        let outcome = fit(&wide, Bytes::gb(100), Some(all)).unwrap();
        assert_eq!(outcome.ok, Some(false));
        for said in ["are free", "too much", "what would fit", "clip_l at q8_0"] {
            assert!(outcome.what.contains(said), "{said:?} in {}", outcome.what);
        }
    }
}
