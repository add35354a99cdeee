//! Voice packs: one style vector for each length of text, and blends of several voices.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};

use crate::contract::ModelError;
use crate::models::error::Context;
use crate::models::weights::Weights;
use crate::types::{VoiceBlend, nearest};

/// Every voice of a bundle, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Voices {
    packs: BTreeMap<String, Pack>,
}

/// `rows` style vectors, [decoder | predictor]; row n is for n + 1 symbols.
#[derive(Clone, Debug)]
struct Pack {
    rows: usize,
    values: Vec<f32>,
}

impl Voices {
    /// Reads the packs, each a safetensors file of one tensor [rows, 1, width] (or [rows, width]) named by its file.
    pub(crate) fn read(files: &[PathBuf], width: usize) -> Result<Self, ModelError> {
        let mut packs = BTreeMap::new();
        for file in files {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if packs.insert(name.clone(), Pack::read(file, width)?).is_some() {
                return Err(ModelError::own(format!(
                    "two voice packs are called {name:?}: {}",
                    file.display()
                )));
            }
        }
        if packs.is_empty() {
            return Err(ModelError::own("no voice pack was given; Kokoro needs at least one"));
        }
        Ok(Self { packs })
    }

    /// Their names, in alphabetical order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.packs.keys().map(String::as_str)
    }

    /// Numbers in all packs together.
    pub(crate) fn values(&self) -> usize {
        self.packs.values().map(|pack| pack.values.len()).sum()
    }

    /// Fails unless every part of the blend is there; the error names the voice most like it.
    pub(crate) fn check(&self, blend: &VoiceBlend) -> Result<(), ModelError> {
        blend.parts().iter().try_for_each(|(name, _)| self.pack(name).map(|_| ()))
    }

    /// The blend's style vector for a text of `symbols` symbols; longer texts than the pack knows take its last row.
    pub(crate) fn style(&self, blend: &VoiceBlend, symbols: usize) -> Result<Vec<f32>, ModelError> {
        let mut sum: Vec<f32> = Vec::new();
        for (name, share) in blend.parts() {
            let row = self.pack(name)?.row(symbols);
            if sum.is_empty() {
                sum = vec![0.0; row.len()];
            }
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += share * value);
        }
        Ok(sum)
    }

    fn pack(&self, name: &str) -> Result<&Pack, ModelError> {
        self.packs.get(name).ok_or_else(|| {
            let hint = nearest(name, self.names())
                .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            let all: Vec<&str> = self.names().collect();
            ModelError::own(format!("there is no voice {name:?}{hint} (voices: {})", all.join(", ")))
        })
    }
}

impl Pack {
    fn read(file: &Path, width: usize) -> Result<Self, ModelError> {
        let weights = Weights::open([file])?;
        let wrong = |what: String| {
            ModelError::own(format!(
                "the voice pack {} {what}; expected one tensor [rows, 1, {width}]",
                file.display()
            ))
        };
        let names: Vec<&str> = weights.names().collect();
        let [name] = names[..] else {
            return Err(wrong(format!("holds {} tensors", names.len())));
        };
        let found = weights.find(name).ok_or_else(|| weights.missing(name, None))?;
        let rows = match found.shape {
            [rows, 1, columns] | [rows, columns] if *rows > 0 && *columns == width => *rows,
            shape => return Err(wrong(format!("holds a tensor {shape:?}"))),
        };
        found.expect_dtype(DType::F32)?;
        found.expect_finite(DType::F32)?;
        let doing = || format!("reading the voice pack {}", file.display());
        let tensor = found.to_tensor(DType::F32, &Device::Cpu).context(doing)?;
        let values = tensor.flatten_all().and_then(|values| values.to_vec1()).context(doing)?;
        Ok(Self { rows, values })
    }

    fn row(&self, symbols: usize) -> &[f32] {
        let width = self.values.len() / self.rows;
        let row = symbols.saturating_sub(1).min(self.rows - 1);
        &self.values[row * width..(row + 1) * width]
    }
}

#[cfg(test)]
mod tests;
