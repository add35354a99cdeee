//! What a network made of a recording's inputs, beside what was recorded: filled by a family, judged afterwards.

use candle_core::{DType, Device, Result, Tensor};

use super::judge::Rule;
use super::recorded::Recorded;

/// One output, in host memory.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its recorded name.
    pub name: String,
    /// As it came out.
    pub ours: Tensor,
    /// As it should.
    pub reference: Tensor,
    /// How it is judged.
    pub rule: Rule,
    /// The reference's own error.
    pub noise: Option<f64>,
}

/// All outputs of one run.
#[derive(Debug)]
pub struct Sheet {
    /// The recording that they belong to.
    pub recorded: Recorded,
    /// How outputs are judged that have no rule of their own.
    pub usual: Rule,
    shown: Vec<Shown>,
}

impl Sheet {
    /// Nothing shown yet.
    pub fn new(recorded: Recorded) -> Self {
        Self { recorded, usual: Rule::Floats, shown: Vec::new() }
    }

    /// Shows an output; ignored where nothing of this name was recorded.
    pub fn put(&mut self, name: &str, ours: &Tensor) -> Result<()> {
        self.put_by(name, ours, self.usual)
    }

    /// The same, judged by a rule of its own.
    pub fn put_by(&mut self, name: &str, ours: &Tensor, rule: Rule) -> Result<()> {
        match self.recorded.output(name) {
            Ok(reference) => {
                let reference = reference.clone();
                let noise = self.recorded.noise(name);
                self.put_beside(name, ours, reference, (rule, noise))
            }
            Err(_) => Ok(()),
        }
    }

    /// Shows an output beside a reference that is not recorded in this form.
    pub fn put_beside(
        &mut self,
        name: &str,
        ours: &Tensor,
        reference: Tensor,
        (rule, noise): (Rule, Option<f64>),
    ) -> Result<()> {
        let mut ours = ours.to_device(&Device::Cpu)?;
        if matches!(ours.dtype(), DType::F16 | DType::BF16) {
            ours = ours.to_dtype(DType::F32)?;
        }
        self.shown.push(Shown { name: name.to_owned(), ours, reference, rule, noise });
        Ok(())
    }

    /// Everything that was shown.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// Our value of an output.
    pub fn ours(&self, name: &str) -> Option<&Tensor> {
        self.shown.iter().find(|shown| shown.name == name).map(|shown| &shown.ours)
    }

    /// Outputs that were recorded and not shown, or told of and not recorded, each with which it is.
    pub fn left_out(&self) -> Vec<(String, String)> {
        let unshown = self.recorded.output_names().into_iter().filter(|name| self.ours(name).is_none());
        let unshown =
            unshown.map(|name| (name.to_owned(), "it is recorded, and nothing here makes it".to_owned()));
        let lost = self.recorded.told().into_iter().filter(|name| !self.recorded.has_output(name));
        let lost = lost
            .map(|name| (name.to_owned(), "meta.json tells of it, and io.safetensors lacks it".to_owned()));
        unshown.chain(lost).collect()
    }
}
