//! Bidirectional LSTMs of one layer (Hochreiter & Schmidhuber 1997), gates in torch's order i, f, g, o.
//!
//! The inputs' share of all steps is one matrix product; what is left for each step is the hidden state's. No step goes
//! through the host on another device.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops;
use candle_nn::{Init, VarBuilder};

use self::matvec::{COLUMNS, MatVec};
use super::elementary::{sigmoid, tanh};
use super::form::Kernels;
use super::host::with_values;
use crate::profile::timed;
use crate::simd::kernel;

mod matvec;

/// Both directions; the output is [forward | backward].
#[derive(Debug)]
pub struct BiLstm {
    hidden: usize,
    directions: [Direction; 2],
    /// [2, hidden, 4·hidden], where the steps are candle's.
    recurrent: Option<Tensor>,
}

#[derive(Debug)]
struct Direction {
    /// [inputs, 4·hidden].
    input: Tensor,
    /// [4·hidden], both biases.
    bias: Tensor,
    /// `[panel][hidden][COLUMNS]` of the gates' columns, where the steps are ours.
    recurrent: Vec<f32>,
}

impl BiLstm {
    /// From `inputs` to `2 · hidden` features; torch's names.
    pub fn new(inputs: usize, hidden: usize, vb: &VarBuilder<'_>, kernels: Kernels) -> Result<Self> {
        let bound = 1.0 / (hidden as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let mut all = Vec::with_capacity(2);
        let mut direction = |suffix: &str| -> Result<Direction> {
            let get = |name: &str, shape: (usize, usize)| {
                vb.get_with_hints(shape, &format!("{name}_l0{suffix}"), init)
            };
            let bias =
                |name: &str| vb.get_with_hints(4 * hidden, &format!("{name}_l0{suffix}"), Init::Const(0.0));
            let recurrent = get("weight_hh", (4 * hidden, hidden))?.t()?.contiguous()?;
            let packed = match kernels {
                Kernels::Fused => with_values(&recurrent, |values| Ok(pack(values, hidden)))?,
                Kernels::Stock(_) | Kernels::Listed => Vec::new(),
            };
            all.push(recurrent);
            Ok(Direction {
                input: get("weight_ih", (4 * hidden, inputs))?.t()?.contiguous()?,
                bias: (bias("bias_ih")? + bias("bias_hh")?)?,
                recurrent: packed,
            })
        };
        let directions = [direction("")?, direction("_reverse")?];
        let recurrent = match kernels {
            Kernels::Fused => None,
            Kernels::Stock(_) | Kernels::Listed => Some(Tensor::stack(&all, 0)?),
        };
        Ok(Self { hidden, directions, recurrent })
    }

    /// [1, steps, inputs] to [1, steps, 2·hidden].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        timed!("lstm", x = x.dims(), hidden = self.hidden);
        let (_, steps, _) = x.dims3()?;
        let x = x.squeeze(0)?;
        let given = |direction: &Direction| x.matmul(&direction.input)?.broadcast_add(&direction.bias);
        let (forward, backward) = (given(&self.directions[0])?, given(&self.directions[1])?);
        match &self.recurrent {
            Some(recurrent) => self.steps_of_tensors(&forward, &backward, recurrent),
            None => with_values(&forward, |forward| {
                with_values(&backward, |backward| {
                    let run = |which: usize, given, order: &dyn Fn(usize) -> usize| {
                        self.run(&self.directions[which].recurrent, given, steps, order)
                    };
                    let (ahead, back) =
                        rayon::join(|| run(0, forward, &|t| t), || run(1, backward, &|t| steps - 1 - t));
                    let both = ahead.chunks_exact(self.hidden).zip(back.chunks_exact(self.hidden));
                    let joined = both.flat_map(|(ahead, back)| ahead.iter().chain(back)).copied().collect();
                    Tensor::from_vec(joined, (1, steps, 2 * self.hidden), &Device::Cpu)
                })
            }),
        }
    }

    /// One direction: what the inputs give ([steps, 4·hidden]), taken in this order, to [steps, hidden].
    fn run(
        &self,
        recurrent: &[f32],
        given: &[f32],
        steps: usize,
        order: &dyn Fn(usize) -> usize,
    ) -> Vec<f32> {
        timed!("lstm direction");
        let hidden = self.hidden;
        let mut out = vec![0.0; steps * hidden];
        let (mut state, mut cell) = (vec![0.0f32; hidden], vec![0.0f32; hidden]);
        let mut gates = vec![0.0f32; (4 * hidden).next_multiple_of(COLUMNS)];
        for t in (0..steps).map(order) {
            gates[..4 * hidden].copy_from_slice(&given[t * 4 * hidden..(t + 1) * 4 * hidden]);
            MatVec { matrix: recurrent, values: &state, sums: &mut gates }.run();
            open_gates(&gates[..4 * hidden], &mut cell, &mut state);
            out[t * hidden..(t + 1) * hidden].copy_from_slice(&state);
        }
        out
    }

    fn steps_of_tensors(&self, forward: &Tensor, backward: &Tensor, recurrent: &Tensor) -> Result<Tensor> {
        let (steps, hidden) = (forward.dim(0)?, self.hidden);
        // Both directions side by side: half as many launches.
        let mut state = Tensor::zeros((2, 1, hidden), forward.dtype(), forward.device())?;
        let mut cell = state.clone();
        let (mut ahead, mut back) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
        for t in 0..steps {
            let given = Tensor::stack(&[forward.narrow(0, t, 1)?, backward.narrow(0, steps - 1 - t, 1)?], 0)?;
            let gates = (given + state.matmul(recurrent)?)?;
            let gate = |which: usize| gates.narrow(D::Minus1, which * hidden, hidden);
            cell = ((ops::sigmoid(&gate(1)?)? * &cell)? + (ops::sigmoid(&gate(0)?)? * gate(2)?.tanh()?)?)?;
            state = (ops::sigmoid(&gate(3)?)? * cell.tanh()?)?;
            ahead.push(state.narrow(0, 0, 1)?);
            back.push(state.narrow(0, 1, 1)?);
        }
        back.reverse();
        Tensor::cat(&[Tensor::cat(&ahead, 1)?, Tensor::cat(&back, 1)?], 2)
    }
}

kernel! {
    /// One step of every unit: what is forgotten, taken in and told of its cell, by gates i, f, g, o of all units each.
    pub(super) fn open_gates<'a>(gates: &'a [f32], cell: &'a mut [f32], state: &'a mut [f32]) {
        let (input, rest) = gates.split_at(cell.len());
        let (forget, rest) = rest.split_at(cell.len());
        let (fresh, output) = rest.split_at(cell.len());
        let sides = input.iter().zip(forget).zip(fresh.iter().zip(output));
        for ((cell, state), ((input, forget), (fresh, output))) in cell.iter_mut().zip(state).zip(sides) {
            *cell = sigmoid(*forget) * *cell + sigmoid(*input) * tanh(*fresh);
            *state = sigmoid(*output) * tanh(*cell);
        }
    }
}

/// \[hidden\]\[4·hidden\] into `[panel][hidden][COLUMNS]`, missing columns zero.
fn pack(values: &[f32], hidden: usize) -> Vec<f32> {
    let columns = 4 * hidden;
    let mut panels = vec![0.0; hidden * columns.next_multiple_of(COLUMNS)];
    for (panel, into) in panels.chunks_exact_mut(hidden * COLUMNS).enumerate() {
        for (row, into) in values.chunks_exact(columns).zip(into.chunks_exact_mut(COLUMNS)) {
            let here = &row[panel * COLUMNS..columns.min((panel + 1) * COLUMNS)];
            into[..here.len()].copy_from_slice(here);
        }
    }
    panels
}

#[cfg(test)]
mod tests;
