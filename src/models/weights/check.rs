//! Files against what a network asks for, without loading: missing, surplus, misshapen and mislabelled tensors by name.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

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

    /// Compares `weights` with what a network asks for as floats; names that begin as one of `beside` are no surplus.
    pub fn between(weights: &Weights, specs: &[TensorSpec], beside: &[&str]) -> Self {
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
        misfits.surplus = surplus(weights.weight_names(), specs, beside);
        misfits
    }

    /// The same for a GGUF file, of which names and shapes are known.
    pub fn of_gguf<'a>(
        file: &Path,
        shapes: impl Iterator<Item = (&'a str, &'a [usize])>,
        specs: &[TensorSpec],
        beside: &[&str],
    ) -> Self {
        let shapes: BTreeMap<&str, &[usize]> = shapes.collect();
        let mut misfits = Self::default();
        for spec in specs {
            match shapes.get(spec.name.as_str()) {
                None => misfits.missing.push(WeightsError::Missing {
                    files: file.display().to_string(),
                    tensor: spec.name.clone(),
                    expected: Some(spec.shape.clone()),
                    hint: String::new(),
                }),
                Some(found) if *found != spec.shape.dims() => misfits.wrong.push(WeightsError::WrongShape {
                    file: file.to_owned(),
                    tensor: spec.name.clone(),
                    expected: spec.shape.dims().to_vec(),
                    found: found.to_vec(),
                }),
                Some(_) => {}
            }
        }
        misfits.surplus = surplus(shapes.into_keys(), specs, beside);
        misfits
    }
}

fn surplus<'a>(names: impl Iterator<Item = &'a str>, specs: &[TensorSpec], beside: &[&str]) -> Vec<String> {
    let asked: HashSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let is_surplus = |name: &&str| !asked.contains(name) && !beside.iter().any(|start| name.starts_with(start));
    names.filter(is_surplus).map(str::to_owned).collect()
}
