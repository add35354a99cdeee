//! RGB pictures.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Bytes;

/// A picture's size in pixels; both sides at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// Columns.
    pub width: NonZeroU32,
    /// Rows.
    pub height: NonZeroU32,
}

/// Pixels that do not fill the stated size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {width}x{height} RGB picture has {expected} bytes, these are {found}")]
pub struct WrongImageSize {
    width: u32,
    height: u32,
    expected: u64,
    found: usize,
}

impl Resolution {
    /// `width` × `height`, unless one is zero.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        Some(Self { width: NonZeroU32::new(width)?, height: NonZeroU32::new(height)? })
    }

    /// How many pixels a picture of this size has.
    pub fn pixels(self) -> u64 {
        u64::from(self.width.get()) * u64::from(self.height.get())
    }

    /// Bytes of one u8 RGB picture of this size.
    pub fn rgb_bytes(self) -> Bytes {
        Bytes::new(self.pixels()).times(3)
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Resolution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let side = |digits: &str| {
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<NonZeroU32>().ok()).flatten()
        };
        text.split_once('x')
            .and_then(|(width, height)| Some(Self { width: side(width)?, height: side(height)? }))
            .ok_or_else(|| {
                format!("{text:?} is not a resolution; write WIDTHxHEIGHT in pixels, such as \"512x512\"")
            })
    }
}

impl Serialize for Resolution {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Resolution {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An owned picture: u8 RGB, rows from the top, three bytes a pixel, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    resolution: Resolution,
    data: Vec<u8>,
}

impl RgbImage {
    /// From `data` of exactly `3 · width · height` bytes.
    pub fn new(resolution: Resolution, data: Vec<u8>) -> Result<Self, WrongImageSize> {
        let expected = resolution.rgb_bytes().get();
        if data.len() as u64 == expected {
            return Ok(Self { resolution, data });
        }
        let (width, height) = (resolution.width.get(), resolution.height.get());
        Err(WrongImageSize { width, height, expected, found: data.len() })
    }

    /// Its size.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.resolution.width.get()
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.resolution.height.get()
    }

    /// The pixels.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The pixels, given away.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}

impl fmt::Debug for RgbImage {
    /// The size only: a megabyte of pixels helps nobody in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RgbImage({})", self.resolution)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_the_exact_number_of_bytes_makes_a_picture(width in 1u32..40, height in 1u32..40, found in 0usize..5000) {
            let size = Resolution::new(width, height).unwrap();
            let fits = found == (3 * width * height) as usize;
            prop_assert_eq!(RgbImage::new(size, vec![0; found]).is_ok(), fits);
        }

        #[test]
        fn resolutions_read_back(width in 1u32.., height in 1u32..) {
            let size = Resolution::new(width, height).unwrap();
            prop_assert_eq!(size.to_string().parse::<Resolution>().unwrap(), size);
        }
    }

    #[test]
    fn resolutions_of_nothing_are_refused() {
        for text in ["0x512", "512x0", "512", "512x", "x512", "+5x5", "512X512", "512x512x3", "99999999999x1"]
        {
            assert!(text.parse::<Resolution>().unwrap_err().contains("512x512"), "{text}");
        }
    }
}
