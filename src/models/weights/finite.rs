//! Finds the first value of a tensor that no computation survives: NaN, infinite, or beyond the target precision.

use candle_core::DType;
use half::{bf16, f16};
use safetensors::Dtype;

/// Index and value of the first number in `bytes` that is not finite once converted to `target`.
pub(super) fn first_unusable(bytes: &[u8], dtype: Dtype, target: DType) -> Option<(usize, f64)> {
    // Only f16 has a range that finite published weights can leave; f64 beyond f32 counts as well.
    let limit = match target {
        DType::F16 => f64::from(f16::MAX),
        DType::F64 => f64::MAX,
        _ => f64::from(f32::MAX),
    };
    match dtype {
        Dtype::F16 => scan(bytes, |b| f16::from_le_bytes(b).to_f32(), f32::MAX),
        // The limit in the source's own precision keeps the loop free of wide conversions.
        Dtype::BF16 => scan(bytes, |b| bf16::from_le_bytes(b).to_f32(), limit as f32),
        Dtype::F32 => scan(bytes, f32::from_le_bytes, limit as f32),
        Dtype::F64 => scan64(bytes, limit),
        _ => None,
    }
}

fn scan<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32, limit: f32) -> Option<(usize, f64)> {
    // Blocks without a branch inside are vectorised; only a block with a find is looked at again.
    const BLOCK: usize = 4096;
    let fits = |value: f32| value.abs() <= limit; // false for NaN
    let (values, _) = bytes.as_chunks::<N>();
    for (block, chunk) in values.chunks(BLOCK).enumerate() {
        if !chunk.iter().fold(true, |all, value| all & fits(read(*value))) {
            let inside = chunk.iter().position(|value| !fits(read(*value)))?;
            return Some((block * BLOCK + inside, f64::from(read(chunk[inside]))));
        }
    }
    None
}

fn scan64(bytes: &[u8], limit: f64) -> Option<(usize, f64)> {
    let (values, _) = bytes.as_chunks::<8>();
    let fits = |value: f64| value.abs() <= limit;
    let index = values.iter().position(|value| !fits(f64::from_le_bytes(*value)))?;
    Some((index, f64::from_le_bytes(values[index])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn a_single_bad_value_is_found_wherever_it_stands() {
        for place in [0, 1, 4095, 4096, 9999] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = vec![0.5f32; 10_000];
                values[place] = bad;
                let found = first_unusable(&bytes_of(&values), Dtype::F32, DType::F32).unwrap();
                assert_eq!((found.0, found.1.to_bits()), (place, f64::from(bad).to_bits()));
            }
        }
        assert_eq!(first_unusable(&bytes_of(&[f32::MAX, f32::MIN]), Dtype::F32, DType::F32), None);
    }

    #[test]
    fn what_is_too_large_for_half_precision_is_unusable_there_only() {
        let bytes = bytes_of(&[65504.0, 65520.0]);
        assert_eq!(first_unusable(&bytes, Dtype::F32, DType::F16), Some((1, 65520.0)));
        assert_eq!(first_unusable(&bytes, Dtype::F32, DType::BF16), None);
    }

    #[test]
    fn every_float_dtype_is_searched() {
        let half: Vec<u8> = [f16::ONE, f16::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(first_unusable(&half, Dtype::F16, DType::F16).unwrap().0, 1);
        let brain: Vec<u8> = [bf16::ONE, bf16::INFINITY].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(first_unusable(&brain, Dtype::BF16, DType::F32).unwrap().0, 1);
        let double: Vec<u8> = [1.0, 1e300f64].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(first_unusable(&double, Dtype::F64, DType::F32), Some((1, 1e300)));
        assert_eq!(first_unusable(&double, Dtype::F64, DType::F64), None);
    }
}
