//! Which model to restart when memory is short. Pure; carrying it out is the supervisor's.

use serde::Serialize;

use crate::types::{Bytes, ModelId};

/// What a model was given and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ModelUse {
    /// Which.
    pub model: ModelId,
    /// Resident budget from configuration.
    pub budget: Bytes,
    /// Resident use as attributed to it now.
    pub used: Bytes,
}

impl ModelUse {
    /// How far it has grown beyond its budget.
    pub fn growth(&self) -> Bytes {
        self.used.saturating_sub(self.budget)
    }
}

/// The model that grew most beyond its budget; of equals the larger, then the first in [`ModelId`]'s order. `None`
/// where none grew: a restart would free nothing that belongs to somebody else.
pub fn choose_victim(models: &[ModelUse]) -> Option<ModelUse> {
    let grown = models.iter().filter(|model| model.growth() > Bytes::ZERO);
    grown.max_by_key(|model| (model.growth(), model.used, std::cmp::Reverse(model.model))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(model: ModelId, budget: u64, used: u64) -> ModelUse {
        ModelUse { model, budget: Bytes::mb(budget), used: Bytes::mb(used) }
    }

    #[test]
    fn growth_counts_not_size() {
        let models = [
            model(ModelId::Flux, 6000, 6100),
            model(ModelId::Kokoro, 400, 900),
            model(ModelId::ClipB, 300, 100),
        ];
        assert_eq!(choose_victim(&models), Some(models[1]));
    }

    #[test]
    fn nobody_is_chosen_where_nobody_grew() {
        assert_eq!(choose_victim(&[]), None);
        assert_eq!(choose_victim(&[model(ModelId::Flux, 6000, 6000), model(ModelId::ClipL, 600, 1)]), None);
    }

    #[test]
    fn of_equals_the_larger_then_the_first() {
        let (small, large) = (model(ModelId::Flux, 100, 200), model(ModelId::Kokoro, 300, 400));
        assert_eq!(choose_victim(&[small, large]), Some(large));
        assert_eq!(choose_victim(&[large, small]), Some(large));
        let (first, second) = (model(ModelId::Flux, 100, 200), model(ModelId::ClipL, 100, 200));
        assert_eq!(choose_victim(&[first, second]), Some(first));
        assert_eq!(choose_victim(&[second, first]), Some(first));
    }
}
