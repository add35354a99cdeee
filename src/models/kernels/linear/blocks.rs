//! GGUF's blocks back to floats, straight from their bytes.
//!
//! ggml's `ggml-common.h` has the layouts and `ggml-quants.c` the formulas; the bits are those of candle's
//! `dequantize`, which this is tested against. candle unpacks whole tensors into new ones; here a few blocks of a row go
//! where they are multiplied.

use candle_core::quantized::GgmlDType;
use half::f16;

use crate::simd::kernel;

/// Whether [`unpack`] knows blocks of this type. No weights are published in the others.
pub(super) fn is_known(dtype: GgmlDType) -> bool {
    use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    matches!(dtype, Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0 | Q2K | Q3K | Q4K | Q5K | Q6K)
}

kernel! {
    /// The values of `bytes`, whole blocks of `dtype`.
    pub(super) fn unpack<'a>(dtype: GgmlDType, bytes: &'a [u8], out: &'a mut [f32]) {
        match dtype {
            GgmlDType::Q4_0 => each::<18, 32>(bytes, out, q4_0),
            GgmlDType::Q4_1 => each::<20, 32>(bytes, out, q4_1),
            GgmlDType::Q5_0 => each::<22, 32>(bytes, out, q5_0),
            GgmlDType::Q5_1 => each::<24, 32>(bytes, out, q5_1),
            GgmlDType::Q8_0 => each::<34, 32>(bytes, out, q8_0),
            GgmlDType::Q2K => each::<84, 256>(bytes, out, q2_k),
            GgmlDType::Q3K => each::<110, 256>(bytes, out, q3_k),
            GgmlDType::Q4K => each::<144, 256>(bytes, out, q4_k),
            GgmlDType::Q5K => each::<176, 256>(bytes, out, q5_k),
            GgmlDType::Q6K => each::<210, 256>(bytes, out, q6_k),
            _ => {}
        }
    }
}

#[inline(always)]
fn each<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (out, _) = out.as_chunks_mut::<VALUES>();
    for (bytes, out) in blocks.iter().zip(out) {
        block(bytes, out);
    }
}

#[inline(always)]
fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// The low halves of sixteen bytes, then the high ones.
#[inline(always)]
fn nibbles(bytes: &[u8], out: &mut [f32; 32], value: impl Fn(usize, u8) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for (i, ((low, high), byte)) in low.iter_mut().zip(high).zip(bytes).enumerate() {
        *low = value(i, byte & 15);
        *high = value(i + 16, byte >> 4);
    }
}

#[inline(always)]
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block, 0);
    nibbles(&block[2..], out, |_, q| f32::from(i16::from(q) - 8) * d);
}

#[inline(always)]
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    nibbles(&block[4..], out, |_, q| f32::from(q) * d + m);
}

/// The fifth bits of a block's values, one after another.
#[inline(always)]
fn fifth(bits: u32, index: usize) -> u8 {
    ((bits >> index & 1) << 4) as u8
}

#[inline(always)]
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = half(block, 0);
    let bits = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    nibbles(&block[6..], out, |i, q| f32::from(i16::from(q | fifth(bits, i)) - 16) * d);
}

#[inline(always)]
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    let bits = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    nibbles(&block[8..], out, |i, q| f32::from(q | fifth(bits, i)) * d + m);
}

#[inline(always)]
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for (out, byte) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(*byte as i8) * d;
    }
}

/// Sixteen scales and minima of four bits, 64 bytes of four values each, and the two factors.
#[inline(always)]
fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (d, min) = (half(block, 80), half(block, 82));
    for (run, out) in out.chunks_exact_mut(16).enumerate() {
        let scale = block[run];
        let (scale, least) = (d * f32::from(scale & 15), min * f32::from(scale >> 4));
        let (bytes, shift) = (&block[16 + run / 8 * 32 + run % 2 * 16..], run % 8 / 2 * 2);
        for (out, byte) in out.iter_mut().zip(bytes) {
            *out = scale * f32::from(byte >> shift & 3) - least;
        }
    }
}

/// 32 bytes of third bits, 64 of four values each, sixteen scales of six bits in twelve, and the factor.
#[inline(always)]
fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let (d, scales) = (half(block, 108), &block[96..108]);
    for (run, out) in out.chunks_exact_mut(16).enumerate() {
        let low = scales[run % 8] >> (run / 8 * 4) & 15;
        let high = scales[8 + run % 4] >> (run / 4 * 2) & 3;
        let scale = d * (f32::from(low | high << 4) - 32.0);
        let (place, shift) = (run % 2 * 16, run % 8 / 2 * 2);
        let bytes = block[32 + run / 8 * 32 + place..].iter().zip(&block[place..]);
        for (out, (byte, third)) in out.iter_mut().zip(bytes) {
            let third = third >> (run / 2) & 1;
            *out = scale * f32::from((byte >> shift & 3 | third << 2) as i8 - 4);
        }
    }
}

/// Scale and minimum `index` of eight, of six bits each, in twelve bytes.
#[inline(always)]
fn scale_and_least(bytes: &[u8], index: usize) -> (u8, u8) {
    if index < 4 {
        return (bytes[index] & 63, bytes[index + 4] & 63);
    }
    let of = |bits: u8, with: usize| bits | bytes[with] >> 6 << 4;
    (of(bytes[index + 4] & 15, index - 4), of(bytes[index + 4] >> 4, index))
}

#[inline(always)]
fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, min) = (half(block, 0), half(block, 2));
    for (run, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, least) = scale_and_least(&block[4..16], run);
        let (scale, least) = (d * f32::from(scale), min * f32::from(least));
        for (out, byte) in out.iter_mut().zip(&block[16 + run / 2 * 32..]) {
            *out = scale * f32::from(byte >> (run % 2 * 4) & 15) - least;
        }
    }
}

#[inline(always)]
fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, min) = (half(block, 0), half(block, 2));
    for (run, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, least) = scale_and_least(&block[4..16], run);
        let (scale, least) = (d * f32::from(scale), min * f32::from(least));
        let bytes = block[48 + run / 2 * 32..].iter().zip(&block[16..48]);
        for (out, (byte, fifth)) in out.iter_mut().zip(bytes) {
            let value = byte >> (run % 2 * 4) & 15 | (fifth >> run & 1) << 4;
            *out = scale * f32::from(value) - least;
        }
    }
}

/// 128 bytes of two low halves, 64 of four high quarters, sixteen signed scales, and the factor.
#[inline(always)]
fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half(block, 208);
    for (run, out) in out.chunks_exact_mut(16).enumerate() {
        let (half, place) = (run / 8, run % 2 * 16);
        let scale = d * f32::from(block[192 + run] as i8);
        let low = &block[half * 64 + run % 4 / 2 * 32 + place..];
        let high = &block[128 + half * 32 + place..];
        for (out, (low, high)) in out.iter_mut().zip(low.iter().zip(high)) {
            let value = low >> (run % 8 / 4 * 4) & 15 | (high >> (run % 8 / 2 * 2) & 3) << 4;
            *out = scale * f32::from(value as i8 - 32);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::models::noise::Noise;
    use crate::simd::tests::runs_wide;

    const TYPES: [GgmlDType; 10] = [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q2K,
        GgmlDType::Q3K,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ];

    #[test]
    fn blocks_of_every_type_are_unpacked_to_candles_bits() {
        for (stream, dtype) in TYPES.into_iter().enumerate() {
            assert!(is_known(dtype));
            let values = Noise::new(5, stream as u64).normals(8 * 256);
            let values = Tensor::from_vec(values, (8, 256), &Device::Cpu).unwrap();
            let packed = QTensor::quantize(&values, dtype).unwrap();
            let expected = packed.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
            let mut found = vec![0.0; 8 * 256];
            unpack(dtype, &packed.data().unwrap(), &mut found);
            assert_eq!(found, expected.to_vec1::<f32>().unwrap(), "{dtype:?}");
        }
        assert!(!is_known(GgmlDType::Q8K) && !is_known(GgmlDType::F16));
    }

    #[test]
    fn blocks_are_unpacked_on_the_widest_vectors() {
        runs_wide(&["unpack"], || unpack(GgmlDType::Q8_0, &[0; 34], &mut [0.0; 32]));
    }
}
