//! From a picture to what the vision tower sees, as the published `preprocessor_config.json` says: bicubic resize,
//! centre crop, rescale, normalise.
//!
//! Owns the rules of sizes and rounding; done once for each keyframe.

use serde::Deserialize;

use super::resize::{Window, resize};
use crate::contract::ModelError;
use crate::types::RgbImage;

/// A checked `preprocessor_config.json`.
#[derive(Clone, Debug)]
pub(crate) struct Preprocess {
    size: Option<Size>,
    crop: (usize, usize),
    /// What each of the 256 levels of each channel becomes.
    levels: [Vec<f32>; 3],
}

/// What the resized picture measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Size {
    /// A number alone, in files before transformers 4.24, means the shorter side.
    Number(usize),
    Short {
        shortest_edge: usize,
    },
    Exact {
        height: usize,
        width: usize,
    },
}

#[derive(Deserialize)]
#[serde(default)]
struct Published {
    do_resize: bool,
    size: Size,
    resample: u32,
    do_center_crop: bool,
    crop_size: Size,
    do_rescale: bool,
    rescale_factor: f64,
    do_normalize: bool,
    image_mean: [f64; 3],
    image_std: [f64; 3],
}

impl Default for Published {
    /// transformers' `CLIPImageProcessor`.
    fn default() -> Self {
        Self {
            do_resize: true,
            size: Size::Number(224),
            resample: 3,
            do_center_crop: true,
            crop_size: Size::Number(224),
            do_rescale: true,
            rescale_factor: 1.0 / 255.0,
            do_normalize: true,
            image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
        }
    }
}

/// Sides beyond this are a mistake in a file.
const LARGEST: usize = 1 << 14;

impl Preprocess {
    /// From the text of `preprocessor_config.json`; errors name the field, its value and what would be accepted.
    pub(crate) fn from_json(text: &str) -> Result<Self, ModelError> {
        // By way of an object: a list would be read as the fields in order.
        let published: Published = serde_json::from_str::<serde_json::Map<_, _>>(text)
            .and_then(|fields| serde_json::from_value(fields.into()))
            .map_err(|error| ModelError::own("not a CLIP preprocessor_config.json").because(error))?;
        let wrong = |what: String| Err(ModelError::own(format!("preprocessor_config.json: {what}")));
        if published.do_resize && published.resample != 3 {
            return wrong(format!("resample is {}, expected 3 (bicubic)", published.resample));
        }
        let crop = match published.crop_size {
            Size::Number(side) | Size::Short { shortest_edge: side } => (side, side),
            Size::Exact { height, width } => (width, height),
        };
        let resized = match published.size {
            Size::Number(side) | Size::Short { shortest_edge: side } => (side, side),
            Size::Exact { height, width } => (width, height),
        };
        for (name, (width, height)) in [("crop_size", crop), ("size", resized)] {
            if !(1..=LARGEST).contains(&width) || !(1..=LARGEST).contains(&height) {
                return wrong(format!("{name} is {width}x{height}, expected sides of 1 to {LARGEST}"));
            }
        }
        if !published.do_center_crop {
            return wrong("do_center_crop is false, expected true: the network takes one size".to_owned());
        }
        if published.do_resize && (resized.0 < crop.0 || resized.1 < crop.1) {
            return wrong(format!("crop_size {crop:?} is larger than size {resized:?}"));
        }
        for (name, values) in [("image_mean", published.image_mean), ("image_std", published.image_std)] {
            let usable = |value: &f64| value.is_finite() && (name == "image_mean" || *value > 0.0);
            if !values.iter().all(usable) || !published.rescale_factor.is_finite() {
                return wrong(format!(
                    "{name} is {values:?}, expected finite numbers, above zero for image_std"
                ));
            }
        }
        // Rescaled in f64 and rounded, then normalised in f32, as the published processor computes it.
        let level = |channel: usize, value: usize| {
            let factor = if published.do_rescale { published.rescale_factor } else { 1.0 };
            let value = (value as f64 * factor) as f32;
            if !published.do_normalize {
                return value;
            }
            (value - published.image_mean[channel] as f32) / published.image_std[channel] as f32
        };
        let levels = [0, 1, 2].map(|channel| (0..256).map(|value| level(channel, value)).collect());
        Ok(Self { size: published.do_resize.then_some(published.size), crop, levels })
    }

    /// Width and height of what comes out.
    pub(crate) fn output(&self) -> (usize, usize) {
        self.crop
    }

    /// What each of the 256 levels of `channel` (red, green, blue) becomes.
    pub(crate) fn levels(&self, channel: usize) -> &[f32] {
        self.levels.get(channel).map_or(&[], Vec::as_slice)
    }

    /// Resized and cropped, still u8 RGB.
    pub(crate) fn crop(&self, image: &RgbImage) -> Result<Vec<u8>, ModelError> {
        let from = (image.width() as usize, image.height() as usize);
        let to = match self.size {
            None => from,
            Some(Size::Exact { height, width }) => (width, height),
            Some(Size::Number(side) | Size::Short { shortest_edge: side }) => {
                // The longer side is truncated, not rounded.
                let other = |long: usize, short: usize| (side as f64 * long as f64 / short as f64) as usize;
                if from.0 <= from.1 { (side, other(from.1, from.0)) } else { (other(from.0, from.1), side) }
            }
        };
        let (width, height) = self.crop;
        if to.0 < width || to.1 < height {
            return Err(ModelError::own(format!(
                "a picture of {from:?} cannot be cropped to {width}x{height}: expected at least that size"
            )));
        }
        let window = Window { left: (to.0 - width) / 2, top: (to.1 - height) / 2, width, height };
        Ok(resize(image.data(), from, to, window))
    }

    /// Appends what the network sees of `cropped`: three planes, red, green, blue.
    pub(crate) fn normalise(&self, cropped: &[u8], pixels: &mut Vec<f32>) {
        for (channel, levels) in self.levels.iter().enumerate() {
            pixels.extend(cropped.iter().skip(channel).step_by(3).map(|value| levels[usize::from(*value)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Resolution;

    #[test]
    fn old_files_give_plain_numbers() {
        let old =
            Preprocess::from_json(r#"{"crop_size": 32, "size": 40, "feature_extractor_type": "x"}"#).unwrap();
        assert_eq!((old.output(), old.size), ((32, 32), Some(Size::Number(40))));
        let image = RgbImage::new(Resolution::new(80, 100).unwrap(), vec![9; 3 * 80 * 100]).unwrap();
        assert_eq!(old.crop(&image).unwrap(), vec![9; 3 * 32 * 32]);
    }

    #[test]
    fn impossible_rules_are_refused_by_name() {
        for (json, expected) in [
            (r#"{"resample": 2}"#, "resample is 2"),
            (r#"{"crop_size": 300}"#, "crop_size (300, 300) is larger"),
            (r#"{"size": {"shortest_edge": 0}}"#, "size is 0x0"),
            (r#"{"image_std": [0.2, 0, 0.2]}"#, "image_std"),
            (r#"{"do_center_crop": false}"#, "do_center_crop"),
            (r#"{"size": "large"}"#, "preprocessor_config.json"),
        ] {
            let error = Preprocess::from_json(json).unwrap_err().chain();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn thin_pictures_do_not_become_huge_ones() {
        // Resized as a whole this would be 224 pixels times ten million.
        let rules = Preprocess::from_json("{}").unwrap();
        let image = RgbImage::new(Resolution::new(1, 50_000).unwrap(), vec![200; 150_000]).unwrap();
        assert_eq!(rules.crop(&image).unwrap(), vec![200; 3 * 224 * 224]);
    }
}
