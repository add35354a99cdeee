//! What the card says of itself.

use serde::Serialize;

use crate::cuda::{Card, Fault};
use crate::types::{Bytes, DeviceId};

/// A card's own figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    /// What it is called.
    pub name: String,
    /// Its identifier.
    pub uuid: String,
    /// Compute capability.
    pub capability: String,
    /// The CUDA version that its driver supports.
    pub driver_cuda: String,
    /// All its memory.
    pub total: Bytes,
    /// Of it free before anything was loaded.
    pub free: Bytes,
}

/// Looks at the card; nothing to look at on the processor. The error says why it cannot be used.
pub(crate) fn facts(device: DeviceId) -> Result<Option<Facts>, String> {
    let DeviceId::Cuda(ordinal) = device else { return Ok(None) };
    let ask = || -> Result<Facts, Fault> {
        let card = Card::open(ordinal)?;
        let (memory, driver, (major, minor)) = (card.memory()?, card.driver()?, card.capability()?);
        Ok(Facts {
            name: card.name()?,
            uuid: card.uuid()?,
            capability: format!("{major}.{minor}"),
            driver_cuda: format!("{}.{}", driver / 1000, driver % 1000 / 10),
            total: memory.total,
            free: memory.free,
        })
    };
    ask().map(Some).map_err(|fault| fault.to_string())
}
