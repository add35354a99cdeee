//! Layers that begin a network: a table of vectors, and a picture cut into patches.
//!
//! Owns how such weights are kept; positions and class tokens are the network's.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::linear::{Linear, Precision, is_stand_in};

/// One vector of `size` for each of a vocabulary; kept as the matrices are, since in CLIP B/32 it is a sixth of them.
#[derive(Clone, Debug)]
pub struct Embedding {
    table: Table,
    output: DType,
}

#[derive(Clone, Debug)]
enum Table {
    Plain(Tensor),
    Quantised(std::sync::Arc<QTensor>),
}

impl Embedding {
    /// `weight` [rows, size] from `vb`.
    pub fn load(rows: usize, size: usize, precision: Precision, vb: &VarBuilder<'_>) -> Result<Self> {
        let weight = vb.get_with_hints((rows, size), "weight", Init::Randn { mean: 0.0, stdev: 0.02 })?;
        let device = weight.device().clone();
        let output = precision.activations(&device);
        let table = if is_stand_in(&weight) {
            Table::Plain(weight)
        } else if precision == Precision::Q8_0 && size.is_multiple_of(GgmlDType::Q8_0.block_size()) {
            let quantised = QTensor::quantize(&weight.to_dtype(DType::F32)?, GgmlDType::Q8_0)?;
            Table::Quantised(quantised.into())
        } else {
            Table::Plain(weight.to_dtype(match precision {
                Precision::F32 => DType::F32,
                Precision::F16 | Precision::Q8_0 => DType::F16,
                Precision::Bf16 => DType::BF16,
            })?)
        };
        Ok(Self { table, output })
    }

    /// From a table [rows, size] of any float type; vectors come out as `output`.
    pub fn new(table: Tensor, output: DType) -> Self {
        Self { table: Table::Plain(table), output }
    }

    /// The vectors of `ids` (u32, any shape), appended to the shape.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        match &self.table {
            Table::Quantised(table) => table.embedding(ids)?.to_dtype(self.output),
            Table::Plain(table) => {
                let mut shape = ids.dims().to_vec();
                shape.push(table.dim(1)?);
                table.index_select(&ids.flatten_all()?, 0)?.reshape(shape)?.to_dtype(self.output)
            }
        }
    }

    /// Memory of its weights.
    pub fn size(&self) -> usize {
        match &self.table {
            Table::Plain(table) => table.elem_count() * table.dtype().size_in_bytes(),
            Table::Quantised(table) => table.storage_size_in_bytes(),
        }
    }
}

/// A convolution whose stride is its kernel: each patch of a picture times one matrix.
#[derive(Clone, Debug)]
pub struct Patches {
    linear: Linear,
    side: usize,
}

impl Patches {
    /// `weight` [outputs, channels, side, side], without bias, from `vb`.
    pub fn load(
        channels: usize,
        outputs: usize,
        side: usize,
        precision: Precision,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let init = candle_nn::init::DEFAULT_KAIMING_NORMAL;
        let weight = vb.get_with_hints((outputs, channels, side, side), "weight", init)?;
        let flat = weight.reshape((outputs, channels * side * side))?;
        Ok(Self { linear: Linear::from_tensors(&flat, None, precision)?, side })
    }

    /// Of pictures [batch, channels, height, width]: [batch, patches, outputs], rows of patches from the top. What is
    /// left over on the right and at the bottom is not looked at.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let side = self.side;
        let (rows, columns) = (height / side, width / side);
        let x = x.narrow(2, 0, rows * side)?.narrow(3, 0, columns * side)?.contiguous()?;
        let patches =
            x.reshape(&[batch, channels, rows, side, columns, side][..])?.permute([0, 2, 4, 1, 3, 5])?;
        let patches = patches.contiguous()?.reshape((batch, rows * columns, channels * side * side))?;
        self.linear.forward(&patches)
    }

    /// Memory of its weights.
    pub fn size(&self) -> usize {
        self.linear.size()
    }
}

/// A vector or small matrix of the network's own, as its activations are.
pub fn parameter(
    shape: impl Into<candle_core::Shape>,
    name: &str,
    precision: Precision,
    vb: &VarBuilder<'_>,
) -> Result<Tensor> {
    let device: Device = vb.device().clone();
    vb.get_with_hints(shape, name, Init::Randn { mean: 0.0, stdev: 0.02 })?
        .to_dtype(precision.activations(&device))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::models::noise::Noise;

    fn tensor(shape: &[usize], stream: u64) -> Tensor {
        Tensor::from_vec(Noise::new(6, stream).normals(shape.iter().product()), shape, &Device::Cpu).unwrap()
    }

    fn builder(weight: &Tensor) -> VarBuilder<'static> {
        VarBuilder::from_tensors(
            HashMap::from([("weight".to_owned(), weight.clone())]),
            DType::F32,
            &Device::Cpu,
        )
    }

    #[test]
    fn patches_are_a_convolution() {
        // 11 columns: the last is left over.
        let (x, weight) = (tensor(&[2, 3, 8, 11], 0), tensor(&[5, 3, 2, 2], 1));
        let patches = Patches::load(3, 5, 2, Precision::F32, &builder(&weight)).unwrap();
        let ours = patches.forward(&x).unwrap();
        let theirs = x.conv2d(&weight, 0, 2, 1, 1).unwrap().flatten_from(2).unwrap().transpose(1, 2).unwrap();
        let difference =
            (ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-5, "{difference}");
    }

    #[test]
    fn every_precision_finds_the_same_rows() {
        let weight = tensor(&[10, 64], 2);
        let ids = Tensor::new(&[[3u32, 9], [0, 3]], &Device::Cpu).unwrap();
        let exact = weight.index_select(&ids.flatten_all().unwrap(), 0).unwrap().reshape((2, 2, 64)).unwrap();
        for (precision, allowed, size) in
            [(Precision::F32, 0.0, 2560), (Precision::F16, 2e-3, 1280), (Precision::Q8_0, 2e-2, 680)]
        {
            let table = Embedding::load(10, 64, precision, &builder(&weight)).unwrap();
            let ours = table.forward(&ids).unwrap();
            let difference =
                (ours - &exact).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(difference <= allowed, "{precision:?}: {difference}");
            assert_eq!(table.size(), size);
        }
    }
}
