//! Convolution of volumes by stock tensor operations: candle has none.
//!
//! Each row of the kernel along x becomes outputs of its own, so that what is left are shifts by whole rows: one matrix
//! product per (z, y) tap on a view of the padded volume, then a sum of shifted columns. Nothing is laid out per tap, so
//! memory stays at (kernel width) times the output whatever the kernel's size. Stride one, zero padding to the same size.

use crate::profile::timed;
use candle_core::{DType, Result, Tensor, bail};

/// A volume kernel as a stack of matrices.
pub(crate) struct Stencil {
    /// Per (z, y): `[kernel width · outputs, inputs]`.
    matrices: Vec<Tensor>,
    kernel: [usize; 3],
    outputs: usize,
    /// `[1, outputs, 1, 1, 1]`.
    bias: Tensor,
}

impl Stencil {
    /// From `weight` `[outputs, inputs, depth, height, width]`, all three odd, and `bias` `[outputs]`.
    pub(crate) fn new(weight: &Tensor, bias: &Tensor, dtype: DType) -> Result<Self> {
        let (outputs, inputs, depth, height, width) = weight.dims5()?;
        if [depth, height, width].iter().any(|side| side % 2 == 0) {
            bail!("a kernel of {depth}x{height}x{width} has no middle");
        }
        // [z, y, x, o, i]
        let weight = weight.permute((2, 3, 4, 0, 1))?.contiguous()?.to_dtype(dtype)?;
        let stacked = weight.reshape((depth * height, width * outputs, inputs))?;
        let matrices = (0..depth * height).map(|tap| stacked.get(tap)).collect::<Result<_>>()?;
        let bias = bias.to_dtype(dtype)?.reshape((1, outputs, 1, 1, 1))?;
        Ok(Self { matrices, kernel: [depth, height, width], outputs, bias })
    }

    /// Bytes of the weights.
    pub(crate) fn bytes(&self) -> usize {
        let weights: usize = self.matrices.iter().map(Tensor::elem_count).sum();
        (weights + self.outputs) * self.bias.dtype().size_in_bytes()
    }

    /// `[batch, inputs, depth, height, width]` to `[batch, outputs, depth, height, width]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("stencil", x = x.dims());
        let (batch, inputs, depth, height, width) = x.dims5()?;
        let [kd, kh, kw] = self.kernel;
        let padded = x.pad_with_zeros(2, kd / 2, kd / 2)?.pad_with_zeros(3, kh / 2, kh / 2)?;
        let mut sum: Option<Tensor> = None;
        for (tap, matrix) in self.matrices.iter().enumerate() {
            let view = padded.narrow(2, tap / kh, depth)?.narrow(3, tap % kh, height)?;
            let view = view.contiguous()?.reshape((batch, inputs, depth * height * width))?;
            let product = matrix.broadcast_left(batch)?.contiguous()?.matmul(&view)?;
            sum = Some(match sum {
                Some(sum) => (sum + product)?,
                None => product,
            });
        }
        let Some(sum) = sum else { bail!("a kernel without taps") };
        let columns = sum.reshape((batch, kw, self.outputs, depth * height, width))?.pad_with_zeros(
            4,
            kw / 2,
            kw / 2,
        )?;
        let mut out: Option<Tensor> = None;
        for tap in 0..kw {
            let shifted = columns.narrow(1, tap, 1)?.narrow(4, tap, width)?;
            out = Some(match out {
                Some(out) => (out + shifted)?,
                None => shifted,
            });
        }
        let Some(out) = out else { bail!("a kernel without columns") };
        out.reshape((batch, self.outputs, depth, height, width))?.broadcast_add(&self.bias)
    }
}
