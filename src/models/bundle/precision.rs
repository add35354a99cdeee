//! What weights become in memory, what that takes, and which model can run in which precision.

use crate::types::{Bytes, ModelId, names};

names! {
    /// How weights are kept in memory.
    Precision, "a precision" {
        /// IEEE single.
        F32 => "f32",
        /// IEEE half.
        F16 => "f16",
        /// Brain float.
        Bf16 => "bf16",
        /// bitsandbytes' 4-bit normal float, one f32 scale for 64 weights.
        Nf4 => "nf4",
        /// The same with its scales in 8 bits, nested by 256.
        Nf4Nested => "nf4_nested",
        /// GGUF: 4 bits, blocks of 32.
        Q4_0 => "q4_0",
        /// GGUF: 4-bit k-quant.
        Q4K => "q4_k",
        /// GGUF: 5-bit k-quant.
        Q5K => "q5_k",
        /// GGUF: 6-bit k-quant.
        Q6K => "q6_k",
        /// GGUF: 8 bits, blocks of 32; quantised while loading.
        Q8_0 => "q8_0",
    }
}

impl Precision {
    /// Those that `model` can run in.
    pub const fn of(model: ModelId) -> &'static [Self] {
        match model {
            // Everything: its blocks are linear layers, and it alone is too large for most cards.
            ModelId::Flux => &Self::ALL,
            // Convolutions and grid sampling: there are no quantised kernels for them.
            ModelId::LivePortrait => &[Self::F16, Self::F32],
            // A phase of up to 1e4 rad runs through its vocoder: half precision would be noise.
            ModelId::Kokoro => &[Self::F32],
            ModelId::ClipB | ModelId::ClipL => &[Self::Q8_0, Self::F16, Self::F32],
        }
    }

    /// What this many weights take, all of them in this precision: bits per block over weights per block, as ggml's
    /// block structures and bitsandbytes' (arXiv 2305.14314, double quantisation) have them.
    pub fn size(self, weights: u64) -> Bytes {
        let (bytes, block): (u64, u64) = match self {
            Self::F32 => (4, 1),
            Self::F16 | Self::Bf16 => (2, 1),
            Self::Nf4 => (32 + 4, 64),
            Self::Nf4Nested => ((32 + 1) * 256 + 4, 64 * 256),
            Self::Q4_0 => (18, 32),
            Self::Q4K => (144, 256),
            Self::Q5K => (176, 256),
            Self::Q6K => (210, 256),
            Self::Q8_0 => (34, 32),
        };
        let total = u128::from(weights) * u128::from(bytes) / u128::from(block);
        Bytes::new(u64::try_from(total).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_agree_with_the_worked_card() {
        // 11.89 B parameters: the design's worked example has 6.69 GB, nested 6.13 GB.
        let gb = |precision: Precision| (precision.size(11_890_000_000).as_f64() / 1e7).round() / 100.0;
        assert_eq!((gb(Precision::Nf4), gb(Precision::Nf4Nested)), (6.69, 6.13));
        assert_eq!(Precision::Q8_0.size(320), Bytes::new(340));
    }
}
