//! Fully connected layers in every precision, each with the fastest product that the device offers.
//!
//! Owns the choice of product; the shapes and names are the network's. A layer is kept in one of three ways:
//! - packed into the processor's order when it is loaded ([`panels`](super::panels)), as floats or as integers: small
//!   networks that stay in memory;
//! - as eight-bit blocks that candle multiplies as they are, on another device;
//! - as it is stored, in parts of any precision, unpacked only while it is multiplied ([`weight`]): networks of billions
//!   of parameters, and everything on another device.

mod blocks;
mod held;
mod weight;

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, D, DType, Device, Layout, Module, Result, Shape, Tensor, bail,
};
use candle_nn::{Init, VarBuilder, init};

use self::held::Stack;
pub use self::weight::{Gguf, Weight};
use super::activation::Activation;
use super::form::Kernels;
use super::host::{contiguous_f32, on_host, on_processor, values};
use super::panels::{Bytes, Finish, Kept, Panels, product};
use crate::profile::timed;

/// How a network keeps its matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Four bytes a weight.
    F32,
    /// Two bytes a weight, of the IEEE kind. Activations are f16 on a CUDA device, f32 on the processor.
    F16,
    /// Two bytes a weight, of the brain kind. Activations are bf16 on a CUDA device, f32 on the processor.
    Bf16,
    /// GGUF's Q8_0: blocks of 32 eight-bit weights and one f16 scale, multiplied as integers with what is quantised like
    /// them. Matrices whose rows do not divide into blocks stay f16 on the processor and f32 elsewhere.
    Q8_0,
}

impl Precision {
    /// The type of everything but the matrices: what a `VarBuilder` should hand out and activations have.
    pub fn activations(self, device: &Device) -> DType {
        match (self, device.is_cpu()) {
            (Self::F16, false) => DType::F16,
            (Self::Bf16, false) => DType::BF16,
            _ => DType::F32,
        }
    }
}

/// y = activation(x·Wᵀ + b).
#[derive(Clone, Debug)]
pub struct Linear {
    kind: Kind,
    bias: Option<Bias>,
    inputs: usize,
    outputs: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    Packed(Arc<Panels>),
    Bytes(Arc<Bytes>),
    Quantised {
        matmul: QMatMul,
        bytes: usize,
    },
    /// One below the other: separate queries, keys and values of one checkpoint are the fused matrix of another, and
    /// packed blocks of different parts cannot be joined.
    Parts(Arc<[Weight]>),
}

#[derive(Clone, Debug)]
enum Bias {
    Host(Arc<[f32]>),
    Tensor(Tensor),
}

impl Linear {
    /// `weight` \[outputs, inputs\] and, if wanted, `bias` \[outputs\] from `vb`.
    pub fn load(
        inputs: usize,
        outputs: usize,
        bias: bool,
        precision: Precision,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        Self::join(inputs, &[outputs], bias, precision, std::slice::from_ref(vb))
    }

    /// Several layers with the same input as one: `weight`s and `bias`es of each of `vbs`, outputs after each other.
    pub fn join(
        inputs: usize,
        outputs: &[usize],
        bias: bool,
        precision: Precision,
        vbs: &[VarBuilder<'_>],
    ) -> Result<Self> {
        let each = || outputs.iter().zip(vbs);
        let weights = each()
            .map(|(outputs, vb)| {
                vb.get_with_hints((*outputs, inputs), "weight", init::DEFAULT_KAIMING_NORMAL)
            })
            .collect::<Result<Vec<_>>>()?;
        let spread = 1.0 / (inputs.max(1) as f64).sqrt();
        let uniform = Init::Uniform { lo: -spread, up: spread };
        let biases = each()
            .filter(|_| bias)
            .map(|(outputs, vb)| vb.get_with_hints(*outputs, "bias", uniform))
            .collect::<Result<Vec<_>>>()?;
        if weights.iter().any(is_stand_in) {
            let weight = Tensor::zeros((), weights[0].dtype(), weights[0].device())?;
            let outputs: usize = outputs.iter().sum();
            return Self::of_parts(vec![Weight::Plain(weight.broadcast_as((outputs, inputs))?)], None);
        }
        let joined = |tensors: &[Tensor]| match tensors {
            [one] => Ok(one.clone()),
            several => Tensor::cat(several, 0),
        };
        let bias = if bias { Some(joined(&biases)?) } else { None };
        Self::from_tensors(&joined(&weights)?, bias.as_ref(), precision)
    }

    /// From `weight` \[outputs, inputs\] and `bias` \[outputs\]; kept as `precision` says, whatever type they come in.
    pub fn from_tensors(weight: &Tensor, bias: Option<&Tensor>, precision: Precision) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let device = weight.device();
        let kind = match precision {
            Precision::Q8_0 if inputs > 0 && inputs.is_multiple_of(GgmlDType::Q8_0.block_size()) => {
                let quantised = QTensor::quantize(&weight.to_dtype(DType::F32)?, GgmlDType::Q8_0)?;
                if device.is_cpu() {
                    Kind::Bytes(Arc::new(Bytes::pack(&quantised.data()?, outputs, inputs)))
                } else {
                    let bytes = quantised.storage_size_in_bytes();
                    Kind::Quantised { matmul: QMatMul::from_qtensor(quantised)?, bytes }
                }
            }
            _ if device.is_cpu() => {
                let values = weight.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                let kept = match precision {
                    Precision::F32 => Kept::F32,
                    Precision::F16 | Precision::Q8_0 => Kept::F16,
                    Precision::Bf16 => Kept::Bf16,
                };
                Kind::Packed(Arc::new(Panels::pack(&values, outputs, inputs, kept)))
            }
            _ => {
                let weight = weight.to_dtype(precision.activations(device))?.contiguous()?;
                Kind::Parts([Weight::Plain(weight)].into())
            }
        };
        let bias = match bias {
            None => None,
            Some(bias) if device.is_cpu() => {
                Some(Bias::Host(bias.to_dtype(DType::F32)?.to_vec1::<f32>()?.into()))
            }
            Some(bias) => Some(Bias::Tensor(bias.to_dtype(precision.activations(device))?)),
        };
        Ok(Self { kind, bias, inputs, outputs })
    }

    /// From `weight` \[outputs, inputs\] and `bias` \[outputs\], for the form of a network's operators.
    pub fn in_form(weight: &Tensor, bias: &Tensor, kernels: Kernels) -> Result<Self> {
        match kernels {
            Kernels::Fused => Self::from_tensors(weight, Some(bias), Precision::F32),
            Kernels::Stock(dtype) => {
                let weight = Weight::Plain(weight.to_dtype(dtype)?.contiguous()?);
                Self::of_parts(vec![weight], Some(bias.to_dtype(dtype)?))
            }
            Kernels::Listed => Self::of_parts(Vec::new(), None),
        }
    }

    /// Of `parts`, one below the other, as they are stored; `bias` is \[outputs\].
    pub fn of_parts(parts: Vec<Weight>, bias: Option<Tensor>) -> Result<Self> {
        let dims = parts.iter().map(Weight::dims).collect::<Result<Vec<_>>>()?;
        let outputs = dims.iter().map(|(rows, _)| rows).sum();
        let inputs = dims.first().map_or(0, |(_, columns)| *columns);
        if dims.iter().any(|(_, columns)| *columns != inputs) {
            bail!("parts of one layer take {dims:?} inputs")
        }
        if let Some(bias) = &bias
            && bias.dims() != [outputs]
        {
            bail!("a layer of {outputs} outputs was given biases {:?}", bias.shape())
        }
        Ok(Self { kind: Kind::Parts(parts.into()), bias: bias.map(Bias::Tensor), inputs, outputs })
    }

    /// Of `x` [.., inputs]: activation(x·Wᵀ + b) [.., outputs].
    pub fn forward_then(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        self.product(x, activation, None)
    }

    /// Of `x` [.., inputs] and `residual` [.., outputs]: residual + x·Wᵀ + b.
    pub fn forward_onto(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.product(x, Activation::Identity, Some(residual))
    }

    /// Features in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Features out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Memory of its weights.
    pub fn size(&self) -> usize {
        let weight = match &self.kind {
            Kind::Packed(panels) => panels.size(),
            Kind::Bytes(panels) => panels.size(),
            Kind::Quantised { bytes, .. } => *bytes,
            Kind::Parts(parts) => parts.iter().map(Weight::size).sum(),
        };
        let bias = match &self.bias {
            None => 0,
            Some(Bias::Host(bias)) => size_of_val(bias.as_ref()),
            Some(Bias::Tensor(bias)) => bias.elem_count() * bias.dtype().size_in_bytes(),
        };
        weight + bias
    }

    fn product(&self, x: &Tensor, activation: Activation, residual: Option<&Tensor>) -> Result<Tensor> {
        timed!("linear", x = x.dims(), outputs = self.outputs);
        if x.dim(D::Minus1)? != self.inputs {
            bail!("a linear layer of {} inputs was given {:?}", self.inputs, x.shape());
        }
        let y = match &self.kind {
            Kind::Packed(_) | Kind::Bytes(_) => {
                let bias = match &self.bias {
                    Some(Bias::Host(bias)) => Some(bias.as_ref()),
                    _ => None,
                };
                let op = Packed { layer: self, bias, activation };
                let x = x.to_dtype(DType::F32)?.contiguous()?;
                return match residual {
                    None => x.apply_op1_no_bwd(&op),
                    Some(residual) => x.apply_op2_no_bwd(&residual.contiguous()?, &op),
                };
            }
            Kind::Quantised { matmul, .. } => self.plus_bias(matmul.forward(&x.contiguous()?)?)?,
            Kind::Parts(parts) if on_processor(x) => return self.in_panels(parts, x, activation, residual),
            Kind::Parts(parts) => self.unpacking(parts, x)?,
        };
        let y = activation.forward(&y)?;
        match residual {
            None => Ok(y),
            Some(residual) => residual + y,
        }
    }

    fn plus_bias(&self, y: Tensor) -> Result<Tensor> {
        match &self.bias {
            None => Ok(y),
            Some(Bias::Tensor(bias)) => y.broadcast_add(&bias.to_device(y.device())?.to_dtype(y.dtype())?),
            Some(Bias::Host(bias)) => y.broadcast_add(&Tensor::from_slice(bias, bias.len(), y.device())?),
        }
    }

    /// x·Wᵀ + b on `x`'s device and in its type, wherever the weights are.
    fn unpacking(&self, parts: &[Weight], x: &Tensor) -> Result<Tensor> {
        let rows = x.reshape((x.elem_count() / self.inputs.max(1), self.inputs))?;
        let parts = parts
            .iter()
            .map(|part| rows.matmul(&part.unpacked(x.dtype(), x.device())?.t()?))
            .collect::<Result<Vec<_>>>()?;
        let y = if let [one] = parts.as_slice() { one.clone() } else { Tensor::cat(&parts, 1)? };
        self.plus_bias(y)?.reshape(self.shape(x))
    }

    /// The same on the processor, whatever else is done to an output in the same pass.
    fn in_panels(
        &self,
        parts: &[Weight],
        x: &Tensor,
        activation: Activation,
        residual: Option<&Tensor>,
    ) -> Result<Tensor> {
        let shape = self.shape(x);
        if let Some(residual) = residual
            && residual.dims() != shape
        {
            bail!("a linear layer gives {shape:?}, which cannot be added to {:?}", residual.dims());
        }
        let matrix = Stack::of(parts, self.inputs, self.outputs)?;
        let bias = match &self.bias {
            None => None,
            Some(Bias::Host(bias)) => Some(bias.to_vec()),
            Some(Bias::Tensor(bias)) => Some(values(bias)?),
        };
        let tensors: Vec<&Tensor> = std::iter::once(x).chain(residual).collect();
        let out = on_host(&tensors, |values| {
            let residual = values.get(1).copied();
            let finish = Finish { bias: bias.as_deref(), activation, residual, ..Finish::default() };
            product(&matrix, values[0], finish)
        })?;
        Tensor::from_vec(out, shape, x.device())
    }

    /// Of what this layer makes of `x`.
    fn shape(&self, x: &Tensor) -> Vec<usize> {
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.outputs;
        }
        shape
    }
}

impl Module for Linear {
    /// Of `x` [.., inputs]: x·Wᵀ + b [.., outputs].
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_then(x, Activation::Identity)
    }
}

/// A tensor that stands in for one that was not loaded (`spec::record`): one number broadcast to the whole shape.
/// Packing or joining it would take the memory that it saves.
pub(super) fn is_stand_in(tensor: &Tensor) -> bool {
    tensor.elem_count() > 1 && tensor.stride().iter().all(|stride| *stride == 0)
}

struct Packed<'a> {
    layer: &'a Linear,
    bias: Option<&'a [f32]>,
    activation: Activation,
}

impl Packed<'_> {
    fn shape(&self, layout: &Layout) -> Shape {
        let mut dims = layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = self.layer.outputs;
        }
        Shape::from(dims)
    }

    fn run(&self, x: &CpuStorage, layout: &Layout, residual: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let (bias, activation) = (self.bias, self.activation);
        let finish = Finish { bias, activation, residual, ..Finish::default() };
        let x = contiguous_f32(x, layout, "a linear layer")?;
        let out = match &self.layer.kind {
            Kind::Packed(panels) => panels.multiply(x, finish),
            Kind::Bytes(panels) => panels.multiply(x, finish),
            _ => bail!("a layer that was not packed"),
        };
        Ok((CpuStorage::F32(out), self.shape(layout)))
    }
}

impl CustomOp1 for Packed<'_> {
    fn name(&self) -> &'static str {
        "packed-linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(x, layout, None)
    }
}

impl CustomOp2 for Packed<'_> {
    fn name(&self) -> &'static str {
        "packed-linear-onto"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l1: &Layout,
        onto: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if self.shape(l1).dims() != l2.dims() {
            bail!("a linear layer gives {:?}, which cannot be added to {:?}", self.shape(l1), l2.dims());
        }
        self.run(x, l1, Some(contiguous_f32(onto, l2, "a residual")?))
    }
}

#[cfg(test)]
mod tests;
