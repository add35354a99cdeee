//! Sums of products of eight-bit integers: some rows times a panel of 32 columns, in blocks of 32 inputs with a scale each.
//!
//! Here and not with the kernels, because it takes instructions by name: those that multiply bytes four at a time. Each
//! block's sum of integers is exact, and its product with the scales is added in the blocks' order, rounded after the
//! multiplication and after the addition: every kind of processor gives the same bits.

use std::sync::OnceLock;

use half::f16;

use super::{Row, SIDE, Width, widest};

/// Inputs that share a scale.
pub(crate) const BLOCK: usize = 32;
/// Inputs that one instruction multiplies and adds.
const TOGETHER: usize = 4;
/// Instructions for a block.
const STEPS: usize = BLOCK / TOGETHER;
/// Most rows at a time: two vectors of running integers and two of running sums for each, of AVX-512's 32.
pub(crate) const TALLEST: usize = 6;

/// A block of a panel: as many bytes as GGUF has for it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Weights {
    scales: [f16; SIDE],
    /// Four inputs of each column, and again; each 128 more than it stands for, because instructions multiply unsigned
    /// bytes with signed ones.
    steps: [[u8; TOGETHER * SIDE]; STEPS],
}

impl Weights {
    /// Zeros.
    pub(crate) const ZERO: Self = Self { scales: [f16::ZERO; SIDE], steps: [[128; TOGETHER * SIDE]; STEPS] };

    /// Puts in a column.
    pub(crate) fn set(&mut self, column: usize, scale: f16, values: &[i8; BLOCK]) {
        self.scales[column] = scale;
        for (step, values) in self.steps.iter_mut().zip(values.as_chunks::<TOGETHER>().0) {
            step[TOGETHER * column..][..TOGETHER]
                .copy_from_slice(&values.map(|value| value.cast_unsigned() ^ 128));
        }
    }
}

/// Numbers of one row and block in the left side.
pub(crate) const LEFT: usize = 2 + STEPS;

/// Writes a block of row `row` of `rows` to `left`, which has room for that block of all rows: for each row −128 times the
/// sum of its values, then for each its scale, then four values of each, and again.
#[inline(always)]
pub(crate) fn lay_out(left: &mut [i32], rows: usize, row: usize, scale: f32, values: &[i8; BLOCK]) {
    let mut sum = 0;
    for (step, values) in values.as_chunks::<TOGETHER>().0.iter().enumerate() {
        left[(2 + step) * rows + row] = i32::from_le_bytes(values.map(i8::cast_unsigned));
        for value in values {
            sum += i32::from(*value);
        }
    }
    left[row] = -128 * sum;
    left[rows + row] = scale.to_bits().cast_signed();
}

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whatever the compiler makes of plain loops.
    Plain,
    /// AVX2, which multiplies bytes to sums of sixteen bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-VNNI: 256 bits.
    #[cfg(target_arch = "x86_64")]
    Vnni,
    /// AVX-512 VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni512,
}

impl Kind {
    const ALL: &[Self] = &[
        Self::Plain,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Vnni,
        #[cfg(target_arch = "x86_64")]
        Self::Vnni512,
    ];

    /// Those that this processor has and no wider than `limit`, the best one last.
    fn all(limit: Width) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |kind| kind.width() <= limit && kind.is_here())
    }

    fn width(self) -> Width {
        match self {
            Self::Plain => Width::Baseline,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Vnni => Width::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512 => Width::Avx512,
        }
    }

    fn is_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        use std::arch::is_x86_feature_detected as has;
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => has!("avx2") && has!("f16c"),
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => Self::Avx2.is_here() && has!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512 => has!("avx512f") && has!("avx512vnni"),
        }
    }

    fn best() -> Self {
        static BEST: OnceLock<Kind> = OnceLock::new();
        *BEST.get_or_init(|| Self::all(widest()).last().unwrap_or(Self::Plain))
    }

    #[cfg_attr(
        target_arch = "x86_64",
        expect(
            unsafe_code,
            reason = "functions with instructions of their own, once the processor was asked for them"
        )
    )]
    fn multiply(self, left: &[i32], rows: usize, panel: &[Weights], sums: &mut [Row; TALLEST]) {
        match self {
            Self::Plain => plain(left, rows, panel, sums),
            // SAFETY: the processor has these instructions, or `all` would not have given this kind.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::avx2(left, rows, panel, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => unsafe { x86::vnni(left, rows, panel, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512 => unsafe { x86::vnni512(left, rows, panel, sums) },
        }
    }
}

/// `rows` rows, [laid out](lay_out) block by block, times `panel` into as many of `sums`. At most [`TALLEST`] rows.
pub(crate) fn dot(left: &[i32], rows: usize, panel: &[Weights], sums: &mut [Row; TALLEST]) {
    Kind::best().multiply(left, rows, panel, sums);
}

fn plain(left: &[i32], rows: usize, panel: &[Weights], sums: &mut [Row; TALLEST]) {
    let rows = rows.min(TALLEST);
    sums[..rows].fill(Row::ZERO);
    for (left, weights) in left.chunks_exact((LEFT * rows).max(1)).zip(panel) {
        let scales = weights.scales.map(f16::to_f32);
        // Each input's weights side by side, for all rows.
        let mut inputs = [[[0i16; SIDE]; TOGETHER]; STEPS];
        for (inputs, weights) in inputs.iter_mut().zip(&weights.steps) {
            for (column, weights) in weights.as_chunks::<TOGETHER>().0.iter().enumerate() {
                for (input, weight) in inputs.iter_mut().zip(weights) {
                    input[column] = i16::from(*weight);
                }
            }
        }
        for (row, sums) in sums.iter_mut().enumerate().take(rows) {
            let mut whole = [left[row]; SIDE];
            for (values, inputs) in left[2 * rows + row..].iter().step_by(rows).zip(&inputs) {
                for (value, weights) in values.to_le_bytes().into_iter().zip(inputs) {
                    let value = i32::from(value.cast_signed());
                    for (whole, weight) in whole.iter_mut().zip(weights) {
                        *whole += value * i32::from(*weight);
                    }
                }
            }
            let scale = f32::from_bits(left[rows + row].cast_unsigned());
            for ((sum, whole), weight) in sums.0.iter_mut().zip(whole).zip(scales) {
                *sum += whole as f32 * (weight * scale);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;
