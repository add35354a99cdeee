//! Building a network from mapped files: what it asks for is looked up, checked, converted, counted and reported.

use std::collections::BTreeSet;
use std::sync::Arc;

use candle_core::{DType, Device, Error as Candle, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use parking_lot::{Mutex, MutexGuard};

use super::{Weights, WeightsError};
use crate::contract::{Cancelled, ModelError, Progress, Run, Unit};
use crate::models::error::Context;
use crate::types::Bytes;

#[cfg(test)]
mod tests;

/// How a network's weights are to be loaded.
#[derive(Clone, Debug)]
pub struct Options {
    /// What floats become, unless the network asks for a tensor in another dtype.
    pub dtype: DType,
    /// Where the tensors go.
    pub device: Device,
    /// Whether every value is looked at: NaN, infinite, or too large for `dtype` is an error that names the tensor.
    pub finite: bool,
}

impl Options {
    /// As `dtype` on `device`, every value looked at.
    pub fn new(dtype: DType, device: &Device) -> Self {
        Self { dtype, device: device.clone(), finite: true }
    }
}

/// What a load came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Tensors handed to the network.
    pub tensors: usize,
    /// The memory that these take on their device.
    pub bytes: Bytes,
    /// Weights in the files that the network did not ask for, in alphabetical order; surplus buffers left out.
    pub unused: Vec<String>,
}

/// Builds a network from `weights`; whatever was built of it is dropped again where anything fails.
///
/// `run` sees a step of [`Unit::Parts`] for every tensor.
pub fn load<T>(
    weights: &Arc<Weights>,
    options: &Options,
    run: &Run,
    build: impl FnOnce(VarBuilder<'static>) -> Result<T, Candle>,
) -> Result<(T, Loaded), ModelError> {
    let loading = Loading::new(weights, options, run);
    let network = build(loading.builder()).map_err(|error| loading.explain(error))?;
    Ok((network, loading.finish()))
}

/// A load in progress, for networks that need more than [`load`]: several builders, or errors of their own.
#[derive(Debug)]
pub struct Loading {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    weights: Arc<Weights>,
    options: Options,
    run: Run,
    total: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: BTreeSet<String>,
    tensors: usize,
    bytes: Bytes,
    failed: Option<ModelError>,
}

impl Loading {
    /// Starts counting.
    pub fn new(weights: &Arc<Weights>, options: &Options, run: &Run) -> Self {
        let total = u32::try_from(weights.weight_names().count()).unwrap_or(u32::MAX);
        let (weights, options, run) = (Arc::clone(weights), options.clone(), run.clone());
        Self { shared: Arc::new(Shared { weights, options, run, total, state: Mutex::default() }) }
    }

    /// What the network takes its tensors from.
    pub fn builder(&self) -> VarBuilder<'static> {
        let Options { dtype, ref device, .. } = self.shared.options;
        VarBuilder::from_backend(Box::new(Backend(Arc::clone(&self.shared))), dtype, device.clone())
    }

    /// The error behind what the network's constructor returned: file, tensor, expected and found, or a cancellation.
    pub fn explain(&self, error: Candle) -> ModelError {
        let failed = self.shared.state().failed.take();
        // A network may have tried a name, gone on without it, and failed elsewhere.
        match failed {
            Some(failed) if error.to_string().contains(&failed.to_string()) => failed,
            _ => match Err::<(), _>(error).context(|| format!("loading {}", self.shared.files())) {
                Err(error) => error,
                Ok(()) => ModelError::own("loading failed"),
            },
        }
    }

    /// What was loaded.
    pub fn finish(self) -> Loaded {
        let state = self.shared.state();
        let unused = self.shared.weights.weight_names().filter(|name| !state.asked.contains(*name));
        Loaded { tensors: state.tensors, bytes: state.bytes, unused: unused.map(str::to_owned).collect() }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn files(&self) -> String {
        let names: Vec<String> = self.weights.files().map(|file| file.display().to_string()).collect();
        names.join(", ")
    }

    fn tensor(
        &self,
        name: &str,
        shape: Option<&Shape>,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor, Candle> {
        let found =
            self.weights.find(name).ok_or_else(|| self.fail(self.weights.missing(name, shape.cloned())))?;
        let checked = || -> Result<(), WeightsError> {
            if let Some(shape) = shape {
                found.expect_shape(shape.dims())?;
            }
            found.expect_dtype(dtype)?;
            if self.options.finite { found.expect_finite(dtype) } else { Ok(()) }
        };
        checked().map_err(|error| self.fail(error))?;
        let tensor = found.to_tensor(dtype, device).map_err(|error| error.with_path(found.file))?;
        let done = {
            let mut state = self.state();
            state.asked.insert(name.to_owned());
            state.tensors += 1;
            let bytes = Bytes::of::<u8>(tensor.elem_count().saturating_mul(dtype.size_in_bytes()));
            state.bytes = state.bytes.saturating_add(bytes);
            u32::try_from(state.asked.len()).unwrap_or(u32::MAX)
        };
        let progress = Progress::new(Unit::Parts, done, self.total.max(done));
        self.run.step(progress).map_err(|Cancelled| self.fail(Cancelled))?;
        Ok(tensor)
    }

    /// Keeps the real error aside, since candle carries only its text.
    fn fail(&self, error: impl Into<ModelError>) -> Candle {
        let error = error.into();
        let text = error.to_string();
        self.state().failed = Some(error);
        Candle::Msg(text)
    }
}

struct Backend(Arc<Shared>);

impl SimpleBackend for Backend {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor, Candle> {
        self.0.tensor(name, Some(&shape), dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor, Candle> {
        self.0.tensor(name, None, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.weights.find(name).is_some()
    }
}
