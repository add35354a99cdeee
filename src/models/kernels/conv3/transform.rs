//! The transforms of Winograd's minimal filtering: F(4×4, 3×3), 36 products for 16 outputs instead of 144, and
//! F(4×4, 4×4), 49 instead of 256.
//!
//! Lavin & Gray 2015. Interpolation points come in pairs ±p, which share half of their work; they are chosen for entries of
//! all three matrices near one, so that rounding stays within a few times that of the direct sum. No loop and no closure
//! stands around the vectors: they stay in registers however little the compiler optimises. Owns no memory.

use pulp::Simd;

/// Outputs of a tile along one axis.
pub(super) const STEP: usize = 4;
/// Inputs of the largest tile along one axis.
pub(super) const MOST_SIDE: usize = 7;

/// One of the two.
pub(super) trait Tile: Send + Sync {
    /// Taps of the kernel along one axis.
    const KERNEL: usize;
    /// Inputs of a tile along one axis.
    const SIDE: usize = STEP + Self::KERNEL - 1;
    /// Products of a tile.
    const POINTS: usize = Self::SIDE * Self::SIDE;

    /// Bᵀ d B of a vector of tiles; point p goes to `out[p · stride]`.
    fn forward<S: Simd>(simd: S, d: Lines<'_>, out: &mut [S::f32s], stride: usize);

    /// Aᵀ m A of a vector of tiles, point p at `m[p · stride]`: by row and column of the tile.
    fn inverse<S: Simd>(simd: S, m: &[S::f32s], stride: usize) -> [[S::f32s; STEP]; STEP];

    /// G g Gᵀ of one kernel, in f64: it is made once.
    fn kernel(taps: &[f32]) -> Vec<f32>;
}

/// What the tiles of a vector read, one after the other: their first four columns in each of the rows of `near`, the next
/// four in those of `far`, rows `pitch` values apart.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) near: &'a [f32],
    pub(super) far: &'a [f32],
    pub(super) pitch: usize,
}

impl Lines<'_> {
    /// Columns of row `i`, in the order of tiles that `interleave_shfl_f32s` undoes.
    #[inline(always)]
    fn row<S: Simd>(self, simd: S, i: usize) -> [S::f32s; 2 * STEP] {
        let near = columns(simd, &self.near[i * self.pitch..]);
        let far = columns(simd, &self.far[i * self.pitch..]);
        [near[0], near[1], near[2], near[3], far[0], far[1], far[2], far[3]]
    }
}

/// Every fourth of the pixels from the first, second, third and fourth on.
#[inline(always)]
fn columns<S: Simd>(simd: S, line: &[f32]) -> [S::f32s; STEP] {
    let lanes = S::F32_LANES;
    let line = &line[..STEP * lanes];
    simd.deinterleave_shfl_f32s([
        vector(simd, line),
        vector(simd, &line[lanes..]),
        vector(simd, &line[2 * lanes..]),
        vector(simd, &line[3 * lanes..]),
    ])
}

/// A whole vector from the beginning of `values`, which hold at least one.
#[inline(always)]
pub(super) fn vector<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values).0 {
        [first, ..] => *first,
        [] => simd.splat_f32s(0.0),
    }
}

/// `value + factor · other`.
#[inline(always)]
fn add<S: Simd>(simd: S, value: S::f32s, factor: f32, other: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), other, value)
}

/// Column `j` of the transformed points, of `N` rows of `N`.
#[inline(always)]
fn put<V: Copy, const N: usize>(out: &mut [V], stride: usize, j: usize, column: &[V; N]) {
    for (i, value) in column.iter().enumerate() {
        out[(i * N + j) * stride] = *value;
    }
}

/// F(4×4, 3×3), with the points 0, ±√½, ±√2, ∞: each pair multiplies to one.
pub(super) struct Three;

const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;

impl Three {
    /// The same of inputs by row and column.
    #[inline(always)]
    pub(super) fn transform<S: Simd>(simd: S, d: &[[S::f32s; 6]; 6], out: &mut [S::f32s], stride: usize) {
        let [a, b, c, d, e, f] = d;
        let rows = [
            Self::input(simd, *a),
            Self::input(simd, *b),
            Self::input(simd, *c),
            Self::input(simd, *d),
            Self::input(simd, *e),
            Self::input(simd, *f),
        ];
        put(out, stride, 0, &Self::column(simd, &rows, 0));
        put(out, stride, 1, &Self::column(simd, &rows, 1));
        put(out, stride, 2, &Self::column(simd, &rows, 2));
        put(out, stride, 3, &Self::column(simd, &rows, 3));
        put(out, stride, 4, &Self::column(simd, &rows, 4));
        put(out, stride, 5, &Self::column(simd, &rows, 5));
    }

    /// Bᵀ of column `j`.
    #[inline(always)]
    fn column<S: Simd>(simd: S, rows: &[[S::f32s; 6]; 6], j: usize) -> [S::f32s; 6] {
        Self::input(simd, [rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]])
    }

    /// Bᵀd along one axis.
    #[inline(always)]
    fn input<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
        let outer = add(simd, simd.add_f32s(d[0], d[4]), -2.5, d[2]);
        let even = add(simd, d[4], -2.0, d[2]);
        let odd = simd.mul_f32s(simd.splat_f32s(A), add(simd, d[3], -2.0, d[1]));
        let even_far = add(simd, d[4], -0.5, d[2]);
        let odd_far = simd.mul_f32s(simd.splat_f32s(B), add(simd, d[3], -0.5, d[1]));
        let infinite = add(simd, simd.add_f32s(d[1], d[5]), -2.5, d[3]);
        [
            outer,
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.add_f32s(even_far, odd_far),
            simd.sub_f32s(even_far, odd_far),
            infinite,
        ]
    }

    /// Aᵀ of column `j` of the products.
    #[inline(always)]
    fn products<S: Simd>(simd: S, m: &[S::f32s], stride: usize, j: usize) -> [S::f32s; STEP] {
        let m = &m[j * stride..];
        let row = 6 * stride;
        Self::output(simd, [m[0], m[row], m[2 * row], m[3 * row], m[4 * row], m[5 * row]])
    }

    /// Aᵀm along one axis.
    #[inline(always)]
    fn output<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; STEP] {
        let (sum, difference) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
        let (sum_far, difference_far) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
        [
            simd.add_f32s(m[0], simd.add_f32s(sum, sum_far)),
            add(simd, simd.mul_f32s(simd.splat_f32s(B), difference_far), A, difference),
            add(simd, simd.mul_f32s(simd.splat_f32s(2.0), sum_far), 0.5, sum),
            add(simd, add(simd, m[5], B * 2.0, difference_far), A * 0.5, difference),
        ]
    }
}

impl Tile for Three {
    const KERNEL: usize = 3;

    #[inline(always)]
    fn forward<S: Simd>(simd: S, d: Lines<'_>, out: &mut [S::f32s], stride: usize) {
        let rows = [
            six(d.row(simd, 0)),
            six(d.row(simd, 1)),
            six(d.row(simd, 2)),
            six(d.row(simd, 3)),
            six(d.row(simd, 4)),
            six(d.row(simd, 5)),
        ];
        Self::transform(simd, &rows, out, stride);
    }

    #[inline(always)]
    fn inverse<S: Simd>(simd: S, m: &[S::f32s], stride: usize) -> [[S::f32s; STEP]; STEP] {
        let columns = [
            Self::products(simd, m, stride, 0),
            Self::products(simd, m, stride, 1),
            Self::products(simd, m, stride, 2),
            Self::products(simd, m, stride, 3),
            Self::products(simd, m, stride, 4),
            Self::products(simd, m, stride, 5),
        ];
        let [a, b, c, d, e, f] = columns;
        [
            Self::output(simd, [a[0], b[0], c[0], d[0], e[0], f[0]]),
            Self::output(simd, [a[1], b[1], c[1], d[1], e[1], f[1]]),
            Self::output(simd, [a[2], b[2], c[2], d[2], e[2], f[2]]),
            Self::output(simd, [a[3], b[3], c[3], d[3], e[3], f[3]]),
        ]
    }

    fn kernel(taps: &[f32]) -> Vec<f32> {
        let (a, b) = (0.5f64.sqrt(), 2f64.sqrt());
        let g: [[f64; 3]; 6] = [
            [1.0, 0.0, 0.0],
            [-1.0 / 1.5, -a / 1.5, -0.5 / 1.5],
            [-1.0 / 1.5, a / 1.5, -0.5 / 1.5],
            [1.0 / 6.0, b / 6.0, 2.0 / 6.0],
            [1.0 / 6.0, -b / 6.0, 2.0 / 6.0],
            [0.0, 0.0, 1.0],
        ];
        both_axes(&g, taps)
    }
}

#[inline(always)]
fn six<V: Copy>(row: [V; 8]) -> [V; 6] {
    [row[0], row[1], row[2], row[3], row[4], row[5]]
}

/// F(4×4, 4×4), with the points ±⅜, ±⅞, ±1½, ∞: their squares and products have few digits, and of such triples they
/// round best.
pub(super) struct Four;

const P: [f32; 3] = [0.375, 0.875, 1.5];
/// Their squares.
const Q: [f32; 3] = [P[0] * P[0], P[1] * P[1], P[2] * P[2]];

impl Four {
    /// Bᵀ of column `j`.
    #[inline(always)]
    fn column<S: Simd>(simd: S, rows: &[[S::f32s; 7]; 7], j: usize) -> [S::f32s; 7] {
        let [a, b, c, d, e, f, g] = rows;
        Self::input(simd, [a[j], b[j], c[j], d[j], e[j], f[j], g[j]])
    }

    /// Bᵀd along one axis: of each pair (x ± p)·E(x), E without the roots ±p.
    #[inline(always)]
    fn input<S: Simd>(simd: S, d: [S::f32s; 7]) -> [S::f32s; 7] {
        let [a, b] = Self::pair(simd, d, P[0], Q[1], Q[2]);
        let [c, e] = Self::pair(simd, d, P[1], Q[0], Q[2]);
        let [f, g] = Self::pair(simd, d, P[2], Q[0], Q[1]);
        let all = add(simd, d[6], -(Q[0] + Q[1] + Q[2]), d[4]);
        let all = add(simd, all, Q[0] * Q[1] + Q[0] * Q[2] + Q[1] * Q[2], d[2]);
        [a, b, c, e, f, g, add(simd, all, -(Q[0] * Q[1] * Q[2]), d[0])]
    }

    #[inline(always)]
    fn pair<S: Simd>(simd: S, d: [S::f32s; 7], p: f32, q: f32, r: f32) -> [S::f32s; 2] {
        let even = add(simd, add(simd, d[4], -(q + r), d[2]), q * r, d[0]);
        let odd = add(simd, add(simd, d[5], -(q + r), d[3]), q * r, d[1]);
        [add(simd, odd, p, even), add(simd, odd, -p, even)]
    }

    /// Aᵀ of column `j` of the products.
    #[inline(always)]
    fn products<S: Simd>(simd: S, m: &[S::f32s], stride: usize, j: usize) -> [S::f32s; STEP] {
        let m = &m[j * stride..];
        let row = 7 * stride;
        Self::output(simd, [m[0], m[row], m[2 * row], m[3 * row], m[4 * row], m[5 * row], m[6 * row]])
    }

    /// Aᵀm along one axis.
    #[inline(always)]
    fn output<S: Simd>(simd: S, m: [S::f32s; 7]) -> [S::f32s; STEP] {
        let sums = [simd.add_f32s(m[0], m[1]), simd.add_f32s(m[2], m[3]), simd.add_f32s(m[4], m[5])];
        let odd = [simd.sub_f32s(m[0], m[1]), simd.sub_f32s(m[2], m[3]), simd.sub_f32s(m[4], m[5])];
        let first = simd.mul_f32s(simd.splat_f32s(P[0]), odd[0]);
        let second = simd.mul_f32s(simd.splat_f32s(Q[0]), sums[0]);
        let third = add(simd, m[6], P[0] * Q[0], odd[0]);
        [
            simd.add_f32s(sums[0], simd.add_f32s(sums[1], sums[2])),
            add(simd, add(simd, first, P[1], odd[1]), P[2], odd[2]),
            add(simd, add(simd, second, Q[1], sums[1]), Q[2], sums[2]),
            add(simd, add(simd, third, P[1] * Q[1], odd[1]), P[2] * Q[2], odd[2]),
        ]
    }
}

impl Tile for Four {
    const KERNEL: usize = 4;

    #[inline(always)]
    fn forward<S: Simd>(simd: S, d: Lines<'_>, out: &mut [S::f32s], stride: usize) {
        let rows = [
            Self::input(simd, seven(d.row(simd, 0))),
            Self::input(simd, seven(d.row(simd, 1))),
            Self::input(simd, seven(d.row(simd, 2))),
            Self::input(simd, seven(d.row(simd, 3))),
            Self::input(simd, seven(d.row(simd, 4))),
            Self::input(simd, seven(d.row(simd, 5))),
            Self::input(simd, seven(d.row(simd, 6))),
        ];
        put(out, stride, 0, &Self::column(simd, &rows, 0));
        put(out, stride, 1, &Self::column(simd, &rows, 1));
        put(out, stride, 2, &Self::column(simd, &rows, 2));
        put(out, stride, 3, &Self::column(simd, &rows, 3));
        put(out, stride, 4, &Self::column(simd, &rows, 4));
        put(out, stride, 5, &Self::column(simd, &rows, 5));
        put(out, stride, 6, &Self::column(simd, &rows, 6));
    }

    #[inline(always)]
    fn inverse<S: Simd>(simd: S, m: &[S::f32s], stride: usize) -> [[S::f32s; STEP]; STEP] {
        let columns = [
            Self::products(simd, m, stride, 0),
            Self::products(simd, m, stride, 1),
            Self::products(simd, m, stride, 2),
            Self::products(simd, m, stride, 3),
            Self::products(simd, m, stride, 4),
            Self::products(simd, m, stride, 5),
            Self::products(simd, m, stride, 6),
        ];
        let [a, b, c, d, e, f, g] = columns;
        [
            Self::output(simd, [a[0], b[0], c[0], d[0], e[0], f[0], g[0]]),
            Self::output(simd, [a[1], b[1], c[1], d[1], e[1], f[1], g[1]]),
            Self::output(simd, [a[2], b[2], c[2], d[2], e[2], f[2], g[2]]),
            Self::output(simd, [a[3], b[3], c[3], d[3], e[3], f[3], g[3]]),
        ]
    }

    fn kernel(taps: &[f32]) -> Vec<f32> {
        let [p, q] = [P, Q].map(|part| part.map(f64::from));
        // (p − all other points), their product.
        let scale = |i: usize| {
            let others = (0..3).filter(|other| *other != i).map(|other| q[i] - q[other]);
            1.0 / (2.0 * p[i] * others.product::<f64>())
        };
        let mut g = [[0.0; 4]; 7];
        for (i, [plus, minus]) in g.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let powers = [1.0, p[i], q[i], p[i] * q[i]].map(|power| power * scale(i));
            *plus = powers;
            *minus = [-powers[0], powers[1], -powers[2], powers[3]];
        }
        g[6][3] = 1.0;
        both_axes(&g, taps)
    }
}

#[inline(always)]
fn seven<V: Copy>(row: [V; 8]) -> [V; 7] {
    [row[0], row[1], row[2], row[3], row[4], row[5], row[6]]
}

/// g · taps · gᵀ.
fn both_axes<const K: usize, const N: usize>(g: &[[f64; K]; N], taps: &[f32]) -> Vec<f32> {
    let mut out = Vec::with_capacity(N * N);
    for row in g {
        for column in g {
            let mut sum = 0.0;
            for (y, down) in row.iter().enumerate() {
                for (x, along) in column.iter().enumerate() {
                    sum += down * f64::from(taps[K * y + x]) * along;
                }
            }
            out.push(sum as f32);
        }
    }
    out
}
