//! From tensors in host memory to the slices that the kernels work on.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

/// Whether the kernels of this library take a tensor: f32 on the processor. Anything else goes through candle.
pub(super) fn on_processor(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

/// Calls `f` with the values of f32 tensors in host memory, in order; copies only those that do not lie in order.
pub(in crate::models) fn on_host<R>(tensors: &[&Tensor], f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    let whole = tensors.iter().map(|tensor| tensor.contiguous()).collect::<Result<Vec<_>>>()?;
    let guards: Vec<_> = whole.iter().map(Tensor::storage_and_layout).collect();
    let slices = guards
        .iter()
        .map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => contiguous_f32(storage, layout, "a kernel on the processor"),
            _ => bail!("the kernels take f32 on the processor, not tensors elsewhere"),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(f(&slices))
}

/// The same with one tensor.
pub(in crate::models) fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    on_host(&[tensor], |values| f(values[0]))?
}

/// The numbers of a small tensor, copied.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}

/// The elements of a contiguous f32 tensor in host memory.
pub(super) fn contiguous_f32<'a>(storage: &'a CpuStorage, layout: &Layout, doing: &str) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("{doing} needs a contiguous tensor, not {layout:?}")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn views_are_handed_over_in_their_own_order() {
        let x = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        let (turned, part) = (x.t().unwrap(), x.narrow(0, 1, 1).unwrap());
        on_host(&[&turned, &part], |values| {
            assert_eq!(values, [&[0.0, 3.0, 1.0, 4.0, 2.0, 5.0][..], &[3.0, 4.0, 5.0]]);
        })
        .unwrap();
        let half = x.to_dtype(DType::F16).unwrap();
        assert!(with_values(&half, |_| Ok(())).is_err());
    }
}
