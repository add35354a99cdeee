//! Where a tower's layers come from: the published tensors of CLIP itself, or of the file that a larger model keeps its
//! text encoder in.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::models::kernels::{Embedding, LayerNorm, Linear, Precision, parameter};

/// Makes layers of the tensors of these names; how they are kept is the maker's.
pub trait Layers {
    /// Linear layers with the same `inputs` as one, `outputs` of each after those of the one before: `{name}.weight`
    /// [outputs, inputs] and, where wanted, `{name}.bias` of each of `names`.
    fn linear(&self, names: &[String], inputs: usize, outputs: usize, bias: bool) -> Result<Linear>;

    /// A layer norm: `{name}.weight` and `{name}.bias`, both \[size\].
    fn norm(&self, name: &str, size: usize, eps: f64) -> Result<LayerNorm>;

    /// A vector for each of a vocabulary: `{name}.weight` [rows, size].
    fn embedding(&self, name: &str, rows: usize, size: usize) -> Result<Embedding>;

    /// A small tensor of the tower's own, added to its activations.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor>;
}

/// From CLIP's own file, matrices kept in one precision.
pub(crate) struct Published<'a> {
    /// The whole file.
    pub vb: &'a VarBuilder<'a>,
    /// How matrices are kept.
    pub precision: Precision,
}

impl Layers for Published<'_> {
    fn linear(&self, names: &[String], inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let parts: Vec<VarBuilder<'_>> = names.iter().map(|name| self.vb.pp(name)).collect();
        Linear::join(inputs, &vec![outputs; names.len()], bias, self.precision, &parts)
    }

    fn norm(&self, name: &str, size: usize, eps: f64) -> Result<LayerNorm> {
        LayerNorm::load(size, eps, &self.vb.pp(name))
    }

    fn embedding(&self, name: &str, rows: usize, size: usize) -> Result<Embedding> {
        Embedding::load(rows, size, self.precision, &self.vb.pp(name))
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        parameter(shape, name, self.precision, self.vb)
    }
}
