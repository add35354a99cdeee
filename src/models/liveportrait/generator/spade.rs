//! A residual block whose normalisations are modulated by the warped features: SPADE (Park et al. 2019).

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::super::parts::{Probe, beside, conv_weights, kernel, spectral_weights};
use super::SLOPE;
use crate::models::kernels::buffers::give_back;
use crate::models::kernels::conv::Conv;
use crate::models::kernels::conv3::{Conv3, Finish, Input};
use crate::models::kernels::instance_norm::Statistics;
use crate::models::kernels::resample::enlarge;
use crate::models::kernels::{Activation, Kernels};
use crate::profile::timed;

/// The first layers of some blocks' SPADEs, all of the same features, as one.
pub(super) struct Shared {
    layer: Conv3,
    hidden: usize,
}

/// Input and output channels of a block, channels of the features, hidden channels.
type Sizes = [usize; 4];

/// The SPADEs of a block: two, and one more where its shortcut is learned.
fn norms([from, to, ..]: Sizes) -> &'static [&'static str] {
    if from == to { &["norm_0", "norm_1"] } else { &["norm_0", "norm_1", "norm_s"] }
}

impl Shared {
    /// `factor`: how much the features will always be enlarged.
    pub(super) fn new(
        blocks: &[VarBuilder<'_>],
        sizes: Sizes,
        factor: usize,
        kernels: Kernels,
    ) -> Result<Self> {
        let [_, _, features, hidden] = sizes;
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for block in blocks {
            for norm in norms(sizes) {
                let vb = block.pp(norm).pp("mlp_shared.0");
                let (weight, bias) = conv_weights(&vb, &kernel(hidden, features, &[3, 3]))?;
                weights.push(weight);
                biases.push(bias);
            }
        }
        let (weight, bias) = (beside(&weights, kernels)?, beside(&biases, kernels)?);
        let layer = Conv3::of_enlarged(&weight, &bias, factor, kernels)?;
        Ok(Self { layer, hidden })
    }

    /// Of the features as enlarged `factor` times.
    pub(super) fn forward(&self, features: &Tensor, factor: usize) -> Result<Activations> {
        let finish = Finish::activated(Activation::Relu);
        let all = self.layer.forward(Input::new(features).enlarged(factor), finish)?;
        Ok(Activations { all, hidden: self.hidden })
    }

    pub(super) fn bytes(&self) -> usize {
        self.layer.bytes()
    }
}

/// What a shared layer gave: `hidden` channels for each SPADE.
pub(super) struct Activations {
    all: Tensor,
    hidden: usize,
}

impl Activations {
    /// Keeps their memory: no block needs them any more.
    pub(super) fn spent(self, probe: &Probe<'_>, kernels: Kernels) -> Result<()> {
        probe.spent(self.all, kernels)
    }

    fn of(&self, norm: usize) -> Input<'_> {
        Input::new(&self.all).channels(norm * self.hidden, self.hidden)
    }
}

/// Keeps the memory of a result inside a block, which no probe sees.
fn spent(tensor: Tensor, kernels: Kernels) -> Result<()> {
    if kernels == Kernels::Fused { give_back(tensor) } else { Ok(()) }
}

/// The block.
pub(super) struct SpadeBlock {
    /// γ and β of each SPADE, as one layer each.
    modulations: Vec<Conv3>,
    convs: [Conv3; 2],
    shortcut: Option<Conv>,
}

impl SpadeBlock {
    pub(super) fn new(vb: &VarBuilder<'_>, sizes: Sizes, kernels: Kernels) -> Result<Self> {
        let [from, to, _, hidden] = sizes;
        let middle = from.min(to);
        let modulations = norms(sizes)
            .iter()
            .zip([from, middle, from])
            .map(|(norm, channels)| {
                let [gamma, beta] = ["mlp_gamma", "mlp_beta"]
                    .map(|name| conv_weights(&vb.pp(norm).pp(name), &kernel(channels, hidden, &[3, 3])));
                let ((gamma, gamma_bias), (beta, beta_bias)) = (gamma?, beta?);
                let bias = beside(&[gamma_bias, beta_bias], kernels)?;
                Conv3::new(&beside(&[gamma, beta], kernels)?, &bias, kernels)
            })
            .collect::<Result<_>>()?;
        let conv = |name: &str, outputs: usize, inputs: usize| {
            let (weight, bias) =
                spectral_weights(&vb.pp(name), &kernel(outputs, inputs, &[3, 3]), true, kernels)?;
            Conv3::new(&weight, &bias, kernels)
        };
        let shortcut = if from == to {
            None
        } else {
            let (weight, bias) =
                spectral_weights(&vb.pp("conv_s"), &kernel(to, from, &[1, 1]), false, kernels)?;
            Some(Conv::new(&weight, &bias, kernels)?)
        };
        Ok(Self {
            modulations,
            convs: [conv("conv_0", middle, from)?, conv("conv_1", to, middle)?],
            shortcut,
        })
    }

    /// Of `x` as enlarged `factor` times. `place` is the block's place among those that share `shared`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        factor: usize,
        shared: &Activations,
        place: usize,
        activation: Activation,
        kernels: Kernels,
    ) -> Result<Tensor> {
        timed!("spade block", x = x.dims());
        let first = place * self.modulations.len();
        let leaky = Activation::Leaky(SLOPE);
        // Enlarging by repetition changes neither mean nor variance.
        let statistics = Statistics::of(x, kernels)?;
        let modulated = self.modulations[0].modulate(shared.of(first), x, factor, &statistics, leaky)?;
        let inner = self.convs[0].forward(Input::new(&modulated), Finish::default())?;
        spent(modulated, kernels)?;
        let inner_statistics = Statistics::of(&inner, kernels)?;
        let modulated =
            self.modulations[1].modulate(shared.of(first + 1), &inner, 1, &inner_statistics, leaky)?;
        spent(inner, kernels)?;
        let shortcut = match &self.shortcut {
            Some(conv) => {
                let normed = self.modulations[2].modulate(
                    shared.of(first + 2),
                    x,
                    factor,
                    &statistics,
                    Activation::Identity,
                )?;
                let shortcut = conv.forward(&normed, Activation::Identity)?;
                spent(normed, kernels)?;
                shortcut
            }
            None => enlarge(x, factor)?,
        };
        let finish = Finish { residual: Some(&shortcut), activation, pool: false };
        let out = self.convs[1].forward(Input::new(&modulated), finish)?;
        spent(modulated, kernels)?;
        if self.shortcut.is_some() {
            spent(shortcut, kernels)?;
        }
        Ok(out)
    }

    /// The first SPADE's result before its activation; for probes.
    pub(super) fn first_norm(
        &self,
        x: &Tensor,
        shared: &Activations,
        place: usize,
        kernels: Kernels,
    ) -> Result<Tensor> {
        let first = place * self.modulations.len();
        let statistics = Statistics::of(x, kernels)?;
        self.modulations[0].modulate(shared.of(first), x, 1, &statistics, Activation::Identity)
    }

    pub(super) fn bytes(&self) -> usize {
        let modulations = self.modulations.iter().map(Conv3::bytes).sum::<usize>();
        let shortcut = self.shortcut.as_ref().map_or(0, Conv::bytes);
        modulations + self.convs.iter().map(Conv3::bytes).sum::<usize>() + shortcut
    }
}
