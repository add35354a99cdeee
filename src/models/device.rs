//! Where a model's tensors live: opens a device for one model, and what only devices need: waiting, trimming, reading
//! back, and what their errors mean.
//!
//! Each model opens a device of its own: on a card that is a stream of its own, so that speech and picture overlap; the
//! context and the memory pool are the card's. Owns no tensors. Never panics where a driver is missing.

mod class;
mod download;

use candle_core::Device;

pub(crate) use class::{class_of, class_of_text};
pub(crate) use download::Download;

use super::error::Context;
use crate::contract::{ErrorClass, ModelError};
use crate::cuda::Fault;
use crate::types::{Bytes, DeviceId};

/// Opens `id` for one model. `keep` is what the card's pool may hold unused between jobs; ignored on the processor.
pub(crate) fn open(id: DeviceId, keep: Bytes) -> Result<Device, ModelError> {
    match id {
        DeviceId::Cpu => Ok(Device::Cpu),
        DeviceId::Cuda(ordinal) => card::open(ordinal, keep),
        DeviceId::Scripted(_) => Err(ModelError::own("a scripted device holds no tensors")),
    }
}

/// What a fault of a card says about who must act.
pub(crate) fn fault(id: DeviceId, fault: Fault) -> ModelError {
    let class = match &fault {
        // Whoever has it may let it go.
        Fault::Busy { .. } => ErrorClass::Transient,
        Fault::Full { .. } => ErrorClass::OutOfMemory,
        Fault::Driver { code, .. } => class_of_text(code),
        _ => ErrorClass::Own,
    };
    ModelError::new(class, format!("{id} cannot be used")).because(fault)
}

/// Waits until `device` has done all that this model asked of it.
pub(crate) fn synchronise(device: &Device) -> Result<(), ModelError> {
    device.synchronize().context(|| "waiting for the device".to_owned())
}

/// Hands on how a run ended, after a failed or cancelled one only once the device has come to rest: nothing of it may
/// still be running when the next begins, and what it asked for last may have failed without anybody having waited.
pub(crate) fn settled<T>(device: &Device, result: Result<T, ModelError>) -> Result<T, ModelError> {
    let Err(error) = result else { return result };
    if device.is_cpu() || error.class() == ErrorClass::Poisoned {
        return Err(error);
    }
    match synchronise(device) {
        Err(worse) if worse.class() == ErrorClass::Poisoned => {
            Err(ModelError::poisoned(format!("{}, after {}", worse.chain(), error.chain())))
        }
        _ => Err(error),
    }
}

/// Gives back what the card's pool holds unused, for all models; nothing on the processor. A card that cannot be asked
/// gives nothing back: whoever needs it next is told why.
pub(crate) fn trim(device: &Device) -> Bytes {
    card::trim(device)
}

#[cfg(feature = "cuda")]
mod card {
    //! Cards of the build with a GPU path.
    #![expect(unsafe_code, reason = "switching off what guards tensors used on several streams")]

    use std::panic::{AssertUnwindSafe, catch_unwind};

    use candle_core::Device;

    use crate::contract::ModelError;
    use crate::cuda::{Card, Fault};
    use crate::models::error::Context;
    use crate::types::{Bytes, DeviceId};

    pub(super) fn open(ordinal: u32, keep: Bytes) -> Result<Device, ModelError> {
        let failed = |fault| super::fault(DeviceId::Cuda(ordinal), fault);
        let card = Card::open(ordinal).map_err(failed)?;
        card.keep_in_pool(keep).map_err(failed)?;
        let device = catch_unwind(AssertUnwindSafe(|| Device::new_cuda_with_stream(ordinal as usize)))
            .map_err(|_| {
                let (doing, message) = ("opening a stream".to_owned(), "a symbol is missing".to_owned());
                failed(Fault::Panicked { doing, message })
            })?
            .context(|| format!("opening a stream on cuda:{ordinal}"))?;
        let of_cuda = device.as_cuda_device().context(|| "looking at the device".to_owned())?;
        // SAFETY: the events order uses of one tensor by several streams; a model's tensors never leave its device,
        // which has one stream. Without them every operation is two driver calls cheaper.
        unsafe { of_cuda.disable_event_tracking() };
        Ok(device)
    }

    pub(super) fn trim(device: &Device) -> Bytes {
        let Ok(of_cuda) = device.as_cuda_device() else { return Bytes::ZERO };
        Card::of(of_cuda.cuda_stream().context().clone()).trim().unwrap_or_default()
    }
}

#[cfg(not(feature = "cuda"))]
mod card {
    //! Cards of the build without a GPU path: there are none.

    use candle_core::Device;

    use crate::contract::ModelError;
    use crate::cuda::Fault;
    use crate::types::{Bytes, DeviceId};

    pub(super) fn open(ordinal: u32, _: Bytes) -> Result<Device, ModelError> {
        Err(super::fault(DeviceId::Cuda(ordinal), Fault::NotBuilt))
    }

    pub(super) fn trim(_: &Device) -> Bytes {
        Bytes::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_opens_and_needs_no_rest() {
        let device = open(DeviceId::Cpu, Bytes::ZERO).unwrap();
        assert!(device.is_cpu() && synchronise(&device).is_ok() && trim(&device) == Bytes::ZERO);
        assert_eq!(settled(&device, Ok(7)).unwrap(), 7);
        let cancelled: Result<(), _> = Err(crate::contract::Cancelled.into());
        assert_eq!(settled(&device, cancelled).unwrap_err().class(), ErrorClass::Cancelled);
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let error = open(DeviceId::Scripted(0), Bytes::ZERO).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Own);
        // On a machine with a card there is hardly one of this number.
        let error = open(DeviceId::Cuda(4_000_000), Bytes::ZERO).unwrap_err();
        assert!(error.chain().contains("cuda:4000000 cannot be used: "), "{}", error.chain());
        #[cfg(not(feature = "cuda"))]
        assert!(error.chain().contains("built without cuda"), "{}", error.chain());
    }

    #[test]
    fn faults_of_cards_are_sorted_by_who_must_act() {
        let class = |it: Fault| fault(DeviceId::Cuda(0), it).class();
        assert_eq!(class(Fault::Busy { ordinal: 0, code: String::new() }), ErrorClass::Transient);
        assert_eq!(class(Fault::Full { ordinal: 0, code: String::new() }), ErrorClass::OutOfMemory);
        let driver = |code: &str| Fault::Driver { doing: String::new(), code: code.to_owned() };
        assert_eq!(class(driver("CUDA_ERROR_ECC_UNCORRECTABLE")), ErrorClass::Poisoned);
        assert_eq!(class(driver("CUDA_ERROR_INVALID_VALUE")), ErrorClass::Own);
        assert_eq!(class(Fault::NoDriver), ErrorClass::Own);
    }
}
