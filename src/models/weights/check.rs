//! Files against what a network asks for, without loading: missing, surplus, misshapen and mislabelled tensors by name.

use candle_core::DType;

use super::spec::TensorSpec;
use super::{Weights, WeightsError};

/// Everything that does not fit; empty lists mean that the network can be built.
#[derive(Debug, Default)]
pub struct Misfits {
    /// Asked for and not there.
    pub missing: Vec<WeightsError>,
    /// There with another shape or kind of number.
    pub wrong: Vec<WeightsError>,
    /// There and never asked for: harmless, but a sign of the wrong file. Surplus buffers are left out.
    pub surplus: Vec<String>,
}

impl Misfits {
    /// Whether the network can be built.
    pub fn is_usable(&self) -> bool {
        self.missing.is_empty() && self.wrong.is_empty()
    }

    /// Compares `weights` with what a network asks for as floats.
    pub fn between(weights: &Weights, specs: &[TensorSpec]) -> Self {
        let mut misfits = Self::default();
        for spec in specs {
            match weights.find(&spec.name) {
                None => misfits.missing.push(weights.missing(&spec.name, Some(spec.shape.clone()))),
                Some(found) => {
                    let fits =
                        found.expect_shape(spec.shape.dims()).and_then(|()| found.expect_dtype(DType::F32));
                    misfits.wrong.extend(fits.err());
                }
            }
        }
        let asked: std::collections::HashSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        misfits.surplus =
            weights.weight_names().filter(|name| !asked.contains(name)).map(str::to_owned).collect();
        misfits
    }
}
