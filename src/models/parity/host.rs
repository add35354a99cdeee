//! What is made of pictures and texts before a network sees them; on the processor, whatever the device.

use std::path::Path;

use candle_core::{Device, Result as CandleResult, Tensor};

use super::Sheet;
use super::judge::Rule;
use super::recorded::{self, Recorded};
use crate::contract::ModelError;
use crate::models::clip::preprocess::Preprocess;
use crate::models::error::Context;
use crate::models::tokenizer::TextTokenizer;
use crate::types::{Resolution, RgbImage};

/// A level divided, shifted and scaled in f32.
const LEVEL: f64 = 1e-6;

/// Pictures, cropped and resized as Pillow does, and normalised as transformers does.
pub(super) fn pictures(folder: &Path) -> Result<Sheet, ModelError> {
    let rules = folder.join("preprocessor_config.json");
    let rules = Preprocess::from_json(&recorded::text(&rules)?)
        .map_err(|error| ModelError::own(rules.display().to_string()).because(error))?;
    let mut sheet = Sheet::new(Recorded::read(folder)?);
    let io = sheet.recorded.clone();
    let (width, height) = rules.output();
    let table = io.tensor("lut")?;
    for channel in 0..3 {
        put(&mut sheet, &format!("levels of channel {channel}"), || {
            Ok((Tensor::new(rules.levels(channel), &Device::Cpu)?, table.get(channel)?, LEVEL))
        })?;
    }
    let images = io.meta()["images"].as_object().filter(|images| !images.is_empty());
    let images = images
        .ok_or_else(|| ModelError::own(format!("{}/meta.json tells of no images", folder.display())))?;
    for name in images.keys() {
        let input = io.tensor(&format!("in{name}"))?;
        let reading = || format!("reading picture {name} of {}", folder.display());
        let (rows, columns, _) = input.dims3().context(reading)?;
        let data = input.flatten_all().and_then(|flat| flat.to_vec1::<u8>()).context(reading)?;
        let size = Resolution::new(columns as u32, rows as u32)
            .ok_or_else(|| ModelError::own(format!("picture {name} has no pixels")))?;
        let image = RgbImage::new(size, data).map_err(|error| ModelError::own(reading()).because(error))?;
        let cropped = rules.crop(&image)?;
        let same_size = (columns, rows) == (width, height);
        let expected = if same_size { input } else { io.tensor(&format!("crop_u8.{name}"))? };
        put(&mut sheet, &format!("picture {name}"), || {
            Ok((Tensor::from_slice(&cropped, (height, width, 3), &Device::Cpu)?, expected.clone(), 0.0))
        })?;
        let mut pixels = Vec::new();
        rules.normalise(&cropped, &mut pixels);
        let expected = io.tensor(&format!("pixel_values_sub8.{name}"))?;
        put(&mut sheet, &format!("pixel values {name}"), || {
            let sampled: Vec<f32> = pixels
                .iter()
                .enumerate()
                .filter(|(i, _)| i / width % height % 8 == 1 && i % width % 8 == 2)
                .map(|(_, value)| *value)
                .collect();
            Ok((Tensor::new(sampled, &Device::Cpu)?, expected.flatten_all()?, LEVEL))
        })?;
    }
    Ok(sheet)
}

/// Texts, split and numbered as the tokenizers library does.
pub(super) fn texts(folder: &Path) -> Result<Sheet, ModelError> {
    let file = folder.join("texts.json");
    let texts = recorded::json(&file)?;
    let texts: Vec<&str> = texts
        .as_array()
        .and_then(|texts| texts.iter().map(|text| text["text"].as_str()).collect())
        .filter(|texts: &Vec<&str>| !texts.is_empty())
        .ok_or_else(|| ModelError::own(format!("{} is no list of texts", file.display())))?;
    let mut sheet = Sheet::new(Recorded::read(folder)?);
    let io = sheet.recorded.clone();
    let about = io.meta().as_object().into_iter().flatten();
    let kinds: Vec<(&String, &str)> =
        about.filter_map(|(name, about)| Some((name, about["file"].as_str()?))).collect();
    if kinds.is_empty() {
        return Err(ModelError::own(format!("{}/meta.json tells of no tokenizer", folder.display())));
    }
    for (name, path) in kinds {
        let file = folder.join(path);
        let tokenizer = TextTokenizer::load(
            std::slice::from_ref(&file),
            Some(&file.with_file_name("tokenizer_config.json")),
        )?;
        let ids = io.tensor(&format!("{name}.ids"))?;
        let length = ids.dims().last().copied().unwrap_or(0);
        let (mut padded, mut whole, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for text in &texts {
            let encoded = tokenizer.encode(text, length)?;
            padded.extend(encoded.padded(length, tokenizer.pad()).into_iter().map(i64::from));
            whole.push(encoded.whole_length as i64);
            kept.push(encoded.ids.len() as i64);
        }
        let whole_length = io.tensor(&format!("{name}.length_before_truncation"))?;
        let mask = io.tensor(&format!("{name}.attention_mask"))?;
        put(&mut sheet, &format!("{name} ids"), || {
            Ok((Tensor::new(padded, &Device::Cpu)?, ids.flatten_all()?, 0.0))
        })?;
        put(&mut sheet, &format!("{name} whole lengths"), || {
            Ok((Tensor::new(whole, &Device::Cpu)?, whole_length.clone(), 0.0))
        })?;
        put(&mut sheet, &format!("{name} lengths"), || {
            Ok((Tensor::new(kept, &Device::Cpu)?, mask.sum(1)?, 0.0))
        })?;
    }
    Ok(sheet)
}

/// Shows ours beside the reference, within a bound.
fn put(
    sheet: &mut Sheet,
    name: &str,
    made: impl FnOnce() -> CandleResult<(Tensor, Tensor, f64)>,
) -> Result<(), ModelError> {
    made()
        .and_then(|(ours, reference, bound)| {
            sheet.put_beside(name, &ours, reference, (Rule::Within(bound), None))
        })
        .context(|| format!("comparing {name}"))
}
