//! The transforms of Winograd's minimal filtering F(4×4, 3×3): 36 products give 16 outputs instead of 144.
//!
//! Lavin & Gray 2015. Of the interpolation points 0, ±√½, ±√2, ∞ each pair multiplies to one, which keeps the entries
//! of all three matrices near one and the rounding within a few times that of the direct sum. Owns no memory.

use pulp::Simd;

/// Outputs of a tile along one axis.
pub(super) const STEP: usize = 4;
/// Inputs of a tile along one axis.
pub(super) const SIDE: usize = 6;
/// Products of a tile.
pub(super) const POINTS: usize = SIDE * SIDE;

const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;

/// Bᵀd along one axis, for a vector of tiles.
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, d: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
    let splat = |value| simd.splat_f32s(value);
    let outer = simd.mul_add_e_f32s(splat(-2.5), d[2], simd.add_f32s(d[0], d[4]));
    let even = simd.mul_add_e_f32s(splat(-2.0), d[2], d[4]);
    let odd = simd.mul_f32s(splat(A), simd.mul_add_e_f32s(splat(-2.0), d[1], d[3]));
    let even_far = simd.mul_add_e_f32s(splat(-0.5), d[2], d[4]);
    let odd_far = simd.mul_f32s(splat(B), simd.mul_add_e_f32s(splat(-0.5), d[1], d[3]));
    let infinite = simd.mul_add_e_f32s(splat(-2.5), d[3], simd.add_f32s(d[1], d[5]));
    [
        outer,
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        simd.add_f32s(even_far, odd_far),
        simd.sub_f32s(even_far, odd_far),
        infinite,
    ]
}

/// Aᵀm along one axis, for a vector of tiles.
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: [S::f32s; SIDE]) -> [S::f32s; STEP] {
    let splat = |value| simd.splat_f32s(value);
    let (sum, difference) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (sum_far, difference_far) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(sum, sum_far)),
        simd.mul_add_e_f32s(splat(A), difference, simd.mul_f32s(splat(B), difference_far)),
        simd.mul_add_e_f32s(splat(0.5), sum, simd.mul_f32s(splat(2.0), sum_far)),
        simd.mul_add_e_f32s(
            splat(A * 0.5),
            difference,
            simd.mul_add_e_f32s(splat(B * 2.0), difference_far, m[5]),
        ),
    ]
}

/// A whole vector from the beginning of `values`, which hold at least one.
#[inline(always)]
pub(super) fn vector<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    S::as_simd_f32s(values).0.first().copied().unwrap_or(simd.splat_f32s(0.0))
}

/// Bᵀ d B of a vector of tiles, `d` by row and column; point p goes to `out[p · stride]`.
#[inline(always)]
pub(super) fn forward<S: Simd>(simd: S, d: [[S::f32s; SIDE]; SIDE], out: &mut [S::f32s], stride: usize) {
    let mut half = d;
    for row in &mut half {
        *row = input(simd, *row);
    }
    for j in 0..SIDE {
        let column = input(simd, [half[0][j], half[1][j], half[2][j], half[3][j], half[4][j], half[5][j]]);
        for i in 0..SIDE {
            out[(i * SIDE + j) * stride] = column[i];
        }
    }
}

/// Aᵀ m A of a vector of tiles, point p at `m[p · stride]`: by row and column of the tile.
#[inline(always)]
pub(super) fn inverse<S: Simd>(simd: S, m: &[S::f32s], stride: usize) -> [[S::f32s; STEP]; STEP] {
    let zero = simd.splat_f32s(0.0);
    let mut half = [[zero; SIDE]; STEP];
    for j in 0..SIDE {
        let at = |i: usize| m[(i * SIDE + j) * stride];
        let column = output(simd, [at(0), at(1), at(2), at(3), at(4), at(5)]);
        for i in 0..STEP {
            half[i][j] = column[i];
        }
    }
    [output(simd, half[0]), output(simd, half[1]), output(simd, half[2]), output(simd, half[3])]
}

/// G g Gᵀ of one 3×3 kernel, in f64: it is made once.
pub(super) fn kernel(taps: &[f32]) -> [f32; POINTS] {
    let (a, b) = (0.5f64.sqrt(), 2f64.sqrt());
    let g: [[f64; 3]; SIDE] = [
        [1.0, 0.0, 0.0],
        [-1.0 / 1.5, -a / 1.5, -0.5 / 1.5],
        [-1.0 / 1.5, a / 1.5, -0.5 / 1.5],
        [1.0 / 6.0, b / 6.0, 2.0 / 6.0],
        [1.0 / 6.0, -b / 6.0, 2.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    std::array::from_fn(|point| {
        let (row, column) = (point / SIDE, point % SIDE);
        let mut sum = 0.0;
        for y in 0..3 {
            for x in 0..3 {
                sum += g[row][y] * f64::from(taps[3 * y + x]) * g[column][x];
            }
        }
        sum as f32
    })
}
