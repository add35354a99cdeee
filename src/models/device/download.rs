//! The way off a device for what leaves it again and again: frames. On a card through page-locked memory that is kept
//! between uses.

use candle_core::{DType, Result, Tensor};

/// Reads tensors of one device.
#[derive(Debug, Default)]
pub(crate) struct Download {
    #[cfg(feature = "cuda")]
    pinned: crate::cuda::Pinned,
}

impl Download {
    /// Holds nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Shows the numbers of `tensor`, in f32 and in order, to `see`. Waits for what makes them and for nothing else.
    pub(crate) fn read<T>(&mut self, tensor: &Tensor, see: impl FnOnce(&[f32]) -> T) -> Result<T> {
        let tensor = tensor.to_dtype(DType::F32)?.contiguous()?;
        #[cfg(feature = "cuda")]
        if tensor.device().is_cuda() {
            return self.off_a_card(&tensor, see);
        }
        crate::models::kernels::with_values(&tensor, |values| Ok(see(values)))
    }

    #[cfg(feature = "cuda")]
    fn off_a_card<T>(&mut self, tensor: &Tensor, see: impl FnOnce(&[f32]) -> T) -> Result<T> {
        let (storage, layout) = tensor.storage_and_layout();
        let (candle_core::Storage::Cuda(storage), Some((start, end))) =
            (&*storage, layout.contiguous_offsets())
        else {
            candle_core::bail!("a contiguous tensor on a card is expected")
        };
        let stream = storage.device.cuda_stream();
        let values = storage.as_cuda_slice::<f32>()?.slice(start..end);
        self.pinned.read(&values, &stream, see).map_err(|error| {
            candle_core::Error::Cuda(Box::new(candle_core::cuda_backend::CudaError::from(error)))
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn numbers_come_in_order_whatever_the_layout() {
        let mut download = Download::new();
        let tensor = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap().t().unwrap();
        assert_eq!(download.read(&tensor, <[f32]>::to_vec).unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let half = tensor.to_dtype(DType::F16).unwrap().narrow(0, 1, 1).unwrap();
        assert_eq!(download.read(&half, <[f32]>::to_vec).unwrap(), [1.0, 4.0]);
    }
}
