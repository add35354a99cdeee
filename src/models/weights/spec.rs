//! Which tensors a network asks for, learned by building it: no second list that could drift from the code.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use parking_lot::Mutex;

/// A tensor that a network asks for.
#[derive(Clone, Debug)]
pub struct TensorSpec {
    /// Its name in the published checkpoint.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// How the network would have it initialised; synthetic weights follow it.
    pub init: Init,
}

/// Builds a network on nothing and tells which tensors it asked for, in order, each once.
///
/// What the network gets are zeros that take no memory as long as it does not rearrange them while it is built.
pub fn record<T>(dtype: DType, build: impl FnOnce(VarBuilder<'_>) -> Result<T>) -> Result<Vec<TensorSpec>> {
    let asked = Arc::new(Mutex::new(Vec::<TensorSpec>::new()));
    let backend = Recorder { asked: Arc::clone(&asked) };
    build(VarBuilder::from_backend(Box::new(backend), dtype, Device::Cpu))?;
    let mut specs = std::mem::take(&mut *asked.lock());
    let mut seen = std::collections::HashSet::new();
    specs.retain(|spec| seen.insert(spec.name.clone()));
    Ok(specs)
}

struct Recorder {
    asked: Arc<Mutex<Vec<TensorSpec>>>,
}

impl SimpleBackend for Recorder {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let spec = TensorSpec { name: name.to_owned(), shape: shape.clone(), init };
        self.asked.lock().push(spec);
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} is asked for without a shape, so what it should be cannot be told")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_tells_what_it_needs_once_each() {
        let specs = record(DType::F32, |vb| {
            candle_nn::linear(3, 2, vb.pp("a"))?;
            candle_nn::linear(3, 2, vb.pp("a"))
        })
        .unwrap();
        let told: Vec<_> =
            specs.iter().map(|spec| (spec.name.as_str(), spec.shape.dims().to_vec())).collect();
        assert_eq!(told, [("a.weight", vec![2, 3]), ("a.bias", vec![2])]);
    }
}
