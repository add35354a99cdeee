//! What step and text do to every block: shifts, scales and gates, for all steps of a job at once.
//!
//! These layers are a quarter of the parameters and see one row per step. Their weights stay where they were put, which
//! may be host memory; each is unpacked on the compute device while its few rows are multiplied, and dropped.

use candle_core::{DType, Device, Module, Result, Tensor};

use super::super::config::TransformerConfig;
use super::super::source::Source;
use super::Layout;
use super::blocks::DoubleModulation;
use crate::models::kernels::{Activation, Linear};

/// Numbers that describe a time or a guidance strength to the network.
const FREQUENCIES: usize = 256;

#[derive(Debug)]
struct Embedder {
    first: Linear,
    second: Linear,
}

impl Embedder {
    fn new(source: &Source<'_>, name: &str, inputs: usize, width: usize) -> Result<Self> {
        Ok(Self {
            first: source.linear(&format!("{name}.in_layer"), inputs, &[width], true)?,
            second: source.linear(&format!("{name}.out_layer"), width, &[width], true)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.second.forward(&Activation::Silu.forward(&self.first.forward(x)?)?)
    }

    fn size(&self) -> usize {
        self.first.size() + self.second.size()
    }
}

/// The embedders of time, guidance and pooled text, and every block's modulation layer.
#[derive(Debug)]
pub struct Modulators {
    layout: Layout,
    time: Embedder,
    pooled: Embedder,
    guidance: Option<Embedder>,
    doubles: Vec<(Linear, Linear)>,
    singles: Vec<Linear>,
    last: Linear,
}

impl Modulators {
    pub(super) fn new(config: &TransformerConfig, source: &Source<'_>, layout: Layout) -> Result<Self> {
        let width = config.width;
        let layer = |name: String, count: usize| source.linear(&name, width, &[count * width], true);
        let guidance =
            config.guidance.then(|| Embedder::new(source, "guidance_in", FREQUENCIES, width)).transpose()?;
        Ok(Self {
            layout,
            time: Embedder::new(source, "time_in", FREQUENCIES, width)?,
            pooled: Embedder::new(source, "vector_in", config.pooled, width)?,
            guidance,
            doubles: (0..config.doubles)
                .map(|index| {
                    let name = |stream| format!("double_blocks.{index}.{stream}_mod.lin");
                    Ok((layer(name("img"), 6)?, layer(name("txt"), 6)?))
                })
                .collect::<Result<_>>()?,
            singles: (0..config.singles)
                .map(|index| layer(format!("single_blocks.{index}.modulation.lin"), 3))
                .collect::<Result<_>>()?,
            last: layer("final_layer.adaLN_modulation.1".to_owned(), 2)?,
        })
    }

    /// Bytes it holds.
    pub fn size(&self) -> usize {
        let embedders =
            self.time.size() + self.pooled.size() + self.guidance.as_ref().map_or(0, Embedder::size);
        let doubles: usize = self.doubles.iter().map(|(image, text)| image.size() + text.size()).sum();
        embedders + doubles + self.singles.iter().map(Linear::size).sum::<usize>() + self.last.size()
    }

    /// The conditioning vector of every step, [steps, width]: time, pooled text [1, pooled] and, where the network was
    /// distilled for it, guidance.
    pub fn vectors(&self, times: &[f64], pooled: &Tensor, guidance: f64) -> Result<Tensor> {
        let (dtype, device) = (pooled.dtype(), pooled.device());
        let time = self.time.forward(&sinusoids(times, dtype, device)?)?;
        let mut vector = time.broadcast_add(&self.pooled.forward(pooled)?)?;
        if let Some(embedder) = &self.guidance {
            vector = vector.broadcast_add(&embedder.forward(&sinusoids(&[guidance], dtype, device)?)?)?;
        }
        Ok(vector)
    }

    /// Every block's modulations for the vectors [steps, width]; `each` is called per layer and may stop the work.
    pub fn modulations(&self, vectors: &Tensor, each: &mut dyn FnMut() -> Result<()>) -> Result<Modulations> {
        let active = Activation::Silu.forward(vectors)?;
        let mut made = |layer: &Linear| {
            each()?;
            layer.forward(&active)
        };
        let mut doubles = Vec::with_capacity(self.doubles.len());
        for (image, text) in &self.doubles {
            doubles.push(StepModulations { image: made(image)?, text: made(text)? });
        }
        let singles = self.singles.iter().map(&mut made).collect::<Result<_>>()?;
        Ok(Modulations { layout: self.layout, doubles, singles, last: made(&self.last)? })
    }

    /// How many times [`modulations`](Self::modulations) calls back.
    pub fn layers(&self) -> usize {
        2 * self.doubles.len() + self.singles.len() + 1
    }
}

/// A double block's modulations, [steps, 6 · width] each.
#[derive(Debug)]
pub struct StepModulations {
    image: Tensor,
    text: Tensor,
}

impl StepModulations {
    /// Those of one step.
    pub fn at(&self, step: usize) -> Result<DoubleModulation> {
        let row = |rows: &Tensor| rows.narrow(0, step, 1)?.squeeze(0);
        Ok(DoubleModulation { image: row(&self.image)?, text: row(&self.text)? })
    }
}

/// All modulations of a job: a few megabytes.
#[derive(Debug)]
pub struct Modulations {
    layout: Layout,
    /// Per double block.
    pub doubles: Vec<StepModulations>,
    /// Per single block, [steps, 3 · width].
    pub singles: Vec<Tensor>,
    last: Tensor,
}

impl Modulations {
    /// Shift and scale before the last layer in one step, \[width\] each.
    pub(super) fn last(&self, step: usize) -> Result<(Tensor, Tensor)> {
        let parts = self.last.narrow(0, step, 1)?.squeeze(0)?.chunk(2, 0)?;
        let [first, second] = parts.as_slice() else { candle_core::bail!("no last modulation") };
        Ok(match self.layout {
            Layout::BlackForestLabs => (first.clone(), second.clone()),
            Layout::Diffusers => (second.clone(), first.clone()),
        })
    }
}

/// Cosines and sines of 1000·t at falling frequencies, [times, 256].
///
/// In f64: an argument of 1000 in f32 is off by 3e-5, which would show.
fn sinusoids(times: &[f64], dtype: DType, device: &Device) -> Result<Tensor> {
    const TIME_FACTOR: f64 = 1000.0;
    const LONGEST_PERIOD: f64 = 10_000.0;
    let half = FREQUENCIES / 2;
    let mut values = Vec::with_capacity(times.len() * FREQUENCIES);
    for time in times {
        let angle = |i: usize| TIME_FACTOR * time * (-LONGEST_PERIOD.ln() * i as f64 / half as f64).exp();
        values.extend((0..half).map(|i| angle(i).cos() as f32));
        values.extend((0..half).map(|i| angle(i).sin() as f32));
    }
    Tensor::from_vec(values, (times.len(), FREQUENCIES), device)?.to_dtype(dtype)
}
