//! Tensors stored in eight bits a value: e4m3fn and e5m2 (Micikevicius et al. 2022, arXiv 2209.05433), bare or scaled.
//!
//! Nothing here computes in float8: values are decoded to f32 when they are read, times their scale where one is stored
//! beside them. ComfyUI stores one number a tensor as `X.scale_weight`, compressed-tensors one a tensor or a row as
//! `X.weight_scale`, DeepSeek one for 128 × 128 values as `X.weight_scale_inv`, which is multiplied with all the same.
//! ComfyUI marks files that have scales; where such a mark stands and a scale does not, the values mean nothing.

use std::sync::LazyLock;

use half::{bf16, f16};
use safetensors::Dtype;

/// Rows and columns that share a scale where a matrix has a matrix of them.
const BLOCK: usize = 128;

/// What stands beside the weights of a file in float8 and is none: scales, those of activations, and a mark that the
/// file has scales. By the last part of the name.
pub(super) const BESIDE: [&str; 7] =
    ["scale_weight", "weight_scale", "weight_scale_inv", "scale_input", "input_scale", SCALED, SCALED_LAYER];

/// ComfyUI's mark of a network whose matrices have scales, and its newer one, which stands beside each of them.
const SCALED: &str = "scaled_fp8";
const SCALED_LAYER: &str = "comfy_quant";

/// Which tensors are promised a scale by marks in their file.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// What the names of marked networks and layers begin with.
    prefixes: Vec<String>,
}

impl Marks {
    /// Notes the tensor `name` of a file where it is such a mark.
    pub(super) fn note(&mut self, name: &str) {
        let (before, last) = name.rsplit_once('.').map_or(("", name), |(before, last)| (before, last));
        if last == SCALED || last == SCALED_LAYER {
            self.prefixes.push(if before.is_empty() { String::new() } else { format!("{before}.") });
        }
    }

    /// Whether the tensor stored as `name` must have a scale: a matrix of a layer. Tables that rows are looked up in
    /// have none in such files either.
    pub(super) fn promise(&self, name: &str, shape: &[usize]) -> bool {
        const TABLES: [&str; 4] = ["embed", "embd", "shared.weight", "relative_attention_bias"];
        shape.len() == 2
            && self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
            && !TABLES.iter().any(|table| name.contains(table))
    }
}

/// Whether a tensor is stored so.
pub(super) fn is_float8(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F8_E4M3 | Dtype::F8_E5M2)
}

/// Under which names the scale of the tensor `name` may stand.
pub(super) fn scale_names(name: &str) -> [String; 3] {
    let (layer, last) = name.rsplit_once('.').map_or(("", name), |(layer, last)| (layer, last));
    let dot = if layer.is_empty() { "" } else { "." };
    [format!("{layer}{dot}scale_{last}"), format!("{name}_scale"), format!("{name}_scale_inv")]
}

/// The scale of a tensor: one number for all of it, for each row, or for each block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale<'a> {
    pub(super) dtype: Dtype,
    pub(super) shape: &'a [usize],
    pub(super) bytes: &'a [u8],
}

/// How scales are spread over the values.
#[derive(Clone, Copy)]
enum Spread {
    One,
    Rows,
    Blocks { across: usize },
}

impl Scale<'_> {
    /// Whether it can be the scale of a tensor of `shape`; else what would be accepted.
    pub(super) fn fits(&self, shape: &[usize]) -> Result<(), String> {
        if !matches!(self.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(format!("a scale in F32, F16 or BF16, found {}", self.dtype));
        }
        match self.spread(shape) {
            Some(_) => Ok(()),
            None => Err(format!(
                "one scale, one a row, or one for {BLOCK}x{BLOCK} values of shape {shape:?}, found scales of shape {:?}",
                self.shape
            )),
        }
    }

    fn spread(&self, shape: &[usize]) -> Option<Spread> {
        let count: usize = self.shape.iter().product();
        let rows = shape.first().copied().unwrap_or(1);
        match (self.shape, shape) {
            (scales, _) if count == 1 && scales.iter().all(|size| *size == 1) => Some(Spread::One),
            ([first, rest @ ..], _) if *first == rows && rest.iter().all(|size| *size == 1) => {
                Some(Spread::Rows)
            }
            ([down, across], [rows, cols])
                if (*down, *across) == (rows.div_ceil(BLOCK), cols.div_ceil(BLOCK)) =>
            {
                Some(Spread::Blocks { across: *across })
            }
            _ => None,
        }
    }

    fn at(&self, place: usize) -> f32 {
        let wide = |at: usize| self.bytes.get(at * 4..at * 4 + 4).and_then(|b| b.try_into().ok());
        let half = |at: usize| self.bytes.get(at * 2..at * 2 + 2).and_then(|b| b.try_into().ok());
        let value = match self.dtype {
            Dtype::F32 => wide(place).map(f32::from_le_bytes),
            Dtype::F16 => half(place).map(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => half(place).map(|bytes| bf16::from_le_bytes(bytes).to_f32()),
            _ => None,
        };
        value.unwrap_or(f32::NAN)
    }
}

/// The values `first..` of a tensor of `shape` that `bytes` encode, times their scales. `first` and the length are
/// whole rows.
pub(super) fn decode(
    dtype: Dtype,
    shape: &[usize],
    scale: Option<Scale<'_>>,
    first: usize,
    bytes: &[u8],
) -> Vec<f32> {
    let table: &[f32; 256] = if dtype == Dtype::F8_E5M2 { &E5M2 } else { &E4M3 };
    let mut values: Vec<f32> = bytes.iter().map(|byte| table[usize::from(*byte)]).collect();
    let Some((scale, spread)) = scale.and_then(|scale| Some((scale, scale.spread(shape)?))) else {
        return values;
    };
    let width = shape.iter().skip(1).product::<usize>().max(1);
    for (row, values) in values.chunks_mut(width).enumerate() {
        let row = first / width + row;
        match spread {
            Spread::One | Spread::Rows => {
                let by = scale.at(if matches!(spread, Spread::One) { 0 } else { row });
                values.iter_mut().for_each(|value| *value *= by);
            }
            Spread::Blocks { across } => {
                for (column, values) in values.chunks_mut(BLOCK).enumerate() {
                    let by = scale.at(row / BLOCK * across + column);
                    values.iter_mut().for_each(|value| *value *= by);
                }
            }
        }
    }
    values
}

/// Four bits of exponent (bias 7), three of fraction; no infinity, and all ones is not a number.
static E4M3: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| match byte & 0x7f {
        0x7f => f32::NAN,
        _ => signed(byte, byte >> 3 & 15, byte & 7, 3, 7),
    })
});

/// Five bits of exponent (bias 15), two of fraction: the upper byte of an IEEE half.
static E5M2: LazyLock<[f32; 256]> =
    LazyLock::new(|| std::array::from_fn(|byte| f16::from_bits((byte as u16) << 8).to_f32()));

fn signed(byte: usize, exponent: usize, fraction: usize, bits: i32, bias: i32) -> f32 {
    let fraction = fraction as f32 / f32::from(1u8 << bits);
    let size = match exponent {
        0 => fraction * 2f32.powi(1 - bias),
        _ => (1.0 + fraction) * 2f32.powi(exponent as i32 - bias),
    };
    if byte & 0x80 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that the paper's tables 1 and 2 name.
    #[test]
    fn codes_have_the_published_values() {
        for (byte, value) in [
            (0x00, 0.0),
            (0x01, 2f32.powi(-9)),
            (0x07, 0.875 * 2f32.powi(-6)),
            (0x08, 2f32.powi(-6)),
            (0x38, 1.0),
            (0x39, 1.125),
            (0xb8, -1.0),
            (0x7e, 448.0),
        ] {
            assert_eq!(E4M3[byte], value, "e4m3 {byte:#x}");
        }
        for (byte, value) in [
            (0x01, 2f32.powi(-16)),
            (0x03, 0.75 * 2f32.powi(-14)),
            (0x04, 2f32.powi(-14)),
            (0x3c, 1.0),
            (0x3d, 1.25),
            (0x7b, 57_344.0),
            (0x7c, f32::INFINITY),
            (0xfc, f32::NEG_INFINITY),
        ] {
            assert_eq!(E5M2[byte], value, "e5m2 {byte:#x}");
        }
        assert!(E4M3[0x7f].is_nan() && E4M3[0xff].is_nan() && E5M2[0x7d].is_nan());
    }

    #[test]
    fn scales_of_every_spread_multiply_the_right_values() {
        let one = 0x38;
        let scale = |shape: &'static [usize], values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (shape, bytes)
        };
        let decoded =
            |(shape, bytes): &(&'static [usize], Vec<u8>), of: &[usize], first: usize, count: usize| {
                let scale = Scale { dtype: Dtype::F32, shape, bytes };
                scale.fits(of).unwrap();
                decode(Dtype::F8_E4M3, of, Some(scale), first, &vec![one; count])
            };
        assert_eq!(decoded(&scale(&[], &[0.5]), &[2, 2], 0, 4), [0.5; 4]);
        assert_eq!(decoded(&scale(&[2, 1], &[0.5, 3.0]), &[2, 2], 0, 4), [0.5, 0.5, 3.0, 3.0]);
        assert_eq!(decoded(&scale(&[2], &[0.5, 3.0]), &[2, 2], 2, 2), [3.0, 3.0], "from the second row on");
        let blocks = decoded(&scale(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), &[129, 130], 0, 129 * 130);
        let at = |row: usize, column: usize| blocks[row * 130 + column];
        assert_eq!((at(0, 127), at(127, 128), at(128, 0), at(128, 129)), (1.0, 2.0, 3.0, 4.0));
        let odd = Scale { dtype: Dtype::F32, shape: &[3], bytes: &[0; 12] };
        assert!(odd.fits(&[2, 2]).unwrap_err().contains("found scales of shape [3]"));
        let eight = Scale { dtype: Dtype::F8_E8M0, shape: &[1], bytes: &[0] };
        assert!(eight.fits(&[2, 2]).unwrap_err().contains("found F8_E8M0"));
    }

    #[test]
    fn scales_are_looked_for_under_the_names_that_people_use() {
        let expected = ["a.b.scale_weight", "a.b.weight_scale", "a.b.weight_scale_inv"];
        assert_eq!(scale_names("a.b.weight"), expected);
        assert_eq!(scale_names("weight")[0], "scale_weight");
    }

    #[test]
    fn a_mark_promises_scales_to_the_layers_of_its_own_network() {
        let mut marks = Marks::default();
        for name in ["text.t5.scaled_fp8", "unet.a.comfy_quant", "unet.b.weight"] {
            marks.note(name);
        }
        let promised = |name: &str| marks.promise(name, &[2, 2]);
        assert!(promised("text.t5.q.weight") && promised("unet.a.weight"));
        assert!(!promised("unet.b.weight") && !promised("text.clip.q.weight"));
        assert!(!promised("text.t5.shared.weight") && !promised("text.t5.embed_tokens.weight"));
        assert!(!marks.promise("text.t5.norm.weight", &[2]));
        marks.note("scaled_fp8");
        assert!(marks.promise("anything.weight", &[2, 2]));
    }
}
