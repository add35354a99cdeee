//! How matrices are kept in memory.

use std::fmt;
use std::str::FromStr;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device};

use crate::models::bundle;
use crate::models::kernels::nf4::Nf4;

/// How a network's matrices are kept. Everything else (biases, norms, convolutions) has the compute type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As the file has them, packed or not.
    Stored,
    /// Four bytes a value.
    F32,
    /// Two bytes, IEEE.
    F16,
    /// Two bytes, with f32's exponent.
    Bf16,
    /// 4-bit NormalFloat; magnitudes in f32, or nested.
    Nf4 {
        /// Whether the blocks' magnitudes are quantised too.
        nested: bool,
    },
    /// Blocks of GGUF.
    Gguf(GgmlDType),
}

const NAMES: [(&str, Precision); 11] = [
    ("stored", Precision::Stored),
    ("f32", Precision::F32),
    ("f16", Precision::F16),
    ("bf16", Precision::Bf16),
    ("nf4", Precision::Nf4 { nested: false }),
    ("nf4-nested", Precision::Nf4 { nested: true }),
    ("q4_0", Precision::Gguf(GgmlDType::Q4_0)),
    ("q8_0", Precision::Gguf(GgmlDType::Q8_0)),
    ("q4_k", Precision::Gguf(GgmlDType::Q4K)),
    ("q5_k", Precision::Gguf(GgmlDType::Q5K)),
    ("q6_k", Precision::Gguf(GgmlDType::Q6K)),
];

impl Precision {
    /// Bytes of a matrix [rows, cols]; `stored` is what the file keeps it as, for [`Precision::Stored`].
    pub fn size_of(self, rows: usize, cols: usize, stored: DType) -> usize {
        let count = rows * cols;
        match self {
            Self::Stored => count * stored.size_in_bytes(),
            Self::F32 => 4 * count,
            Self::F16 | Self::Bf16 => 2 * count,
            Self::Nf4 { nested } => Nf4::size_of(rows, cols, nested),
            Self::Gguf(dtype) => {
                let dtype = blocks_for(dtype, cols);
                count / dtype.block_size() * dtype.type_size()
            }
        }
    }
}

/// The blocks that rows of `cols` values are quantised in where `wanted` is asked for: that, or Q8_0's shorter ones
/// where the rows do not divide into it. Flux' own first layer has rows of 64, and k-quants have blocks of 256.
pub fn blocks_for(wanted: GgmlDType, cols: usize) -> GgmlDType {
    if cols.is_multiple_of(wanted.block_size()) { wanted } else { GgmlDType::Q8_0 }
}

/// The type of activations on `device`: f32 on a processor, where nothing narrower is faster; bf16 elsewhere, unless
/// matrices are f32.
///
/// Never f16, not even for f16 weights: T5-XXL's activations and Flux' residual stream exceed its range of 65,504.
pub fn compute_type(precision: Precision, device: &Device) -> DType {
    if device.is_cpu() || precision == Precision::F32 { DType::F32 } else { DType::BF16 }
}

impl From<bundle::Precision> for Precision {
    fn from(precision: bundle::Precision) -> Self {
        match precision {
            bundle::Precision::F32 => Self::F32,
            bundle::Precision::F16 => Self::F16,
            bundle::Precision::Bf16 => Self::Bf16,
            bundle::Precision::Nf4 => Self::Nf4 { nested: false },
            bundle::Precision::Nf4Nested => Self::Nf4 { nested: true },
            bundle::Precision::Q4_0 => Self::Gguf(GgmlDType::Q4_0),
            bundle::Precision::Q4K => Self::Gguf(GgmlDType::Q4K),
            bundle::Precision::Q5K => Self::Gguf(GgmlDType::Q5K),
            bundle::Precision::Q6K => Self::Gguf(GgmlDType::Q6K),
            bundle::Precision::Q8_0 => Self::Gguf(GgmlDType::Q8_0),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, precision)| precision == self) {
            Some((name, _)) => f.pad(name),
            None => write!(f, "{self:?}"),
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, precision)| *precision).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is not a precision; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_answered_with_them() {
        for (name, precision) in NAMES {
            assert_eq!(name.parse::<Precision>().unwrap(), precision);
            assert_eq!(precision.to_string(), name);
        }
        assert!("int4".parse::<Precision>().unwrap_err().contains("nf4-nested"));
    }

    #[test]
    fn sizes_follow_the_formats() {
        let size = |name: &str| name.parse::<Precision>().unwrap().size_of(3072, 3072, DType::BF16);
        assert_eq!(size("stored"), 2 * 3072 * 3072);
        assert_eq!(size("q4_0"), 3072 * 3072 / 32 * 18);
        assert_eq!(size("q4_k"), 3072 * 3072 / 256 * 144);
        assert_eq!(size("nf4"), 3072 * 3072 / 2 + 3072 * 3072 / 64 * 4 + 2048);
    }
}
