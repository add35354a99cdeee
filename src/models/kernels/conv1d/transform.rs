//! The transforms of a convolution in time (Toom 1963, Cook 1966; Winograd 1980), and how two of them nest.
//!
//! A kernel is cut into pieces of [`STEP`] taps, its output into tiles of [`STEP`] samples: a piece sees of a tile what another
//! piece sees of the next one. Inside a piece, 4 outputs of 4 taps are products at [`INNER`] points instead of 16 products
//! (0, ±1, ±2, ½, ∞). Across pieces, 4 tiles of 2 or 3 pieces are products at 5 or 6 points instead of 8 or 12 (0, ±1, ½, ∞;
//! 0, ±1, ±2, ∞). Points are small and near 1, so that sums in f32 lose a digit at most. Owns no memory.

use pulp::Simd;

/// Taps of a piece, outputs of a tile, and tiles that several pieces share.
pub(super) const STEP: usize = 4;
/// Points of a piece.
pub(super) const INNER: usize = 7;

/// How many pieces a kernel has, as a type: their transforms differ.
pub(super) trait Pieces: Send + Sync {
    /// Pieces.
    const COUNT: usize;
    /// Points across them.
    const OUTER: usize;
    /// Tiles of outputs that are transformed together.
    const TILES: usize;
    /// Points in all.
    const POINTS: usize = Self::OUTER * INNER;
    /// Outputs of a group of tiles.
    const OUTPUTS: usize = Self::TILES * STEP;
    /// Tiles of inputs that such a group sees.
    const INPUTS: usize = Self::TILES + Self::COUNT - 1;

    /// Across tiles of inputs: `INPUTS` values to `OUTER` points.
    fn forward<S: Simd>(simd: S, tiles: [S::f32s; 6]) -> [S::f32s; 6];
    /// Across pieces of the kernel: `COUNT` values to `OUTER` points.
    fn kernel<S: Simd>(simd: S, pieces: [S::f32s; 3]) -> [S::f32s; 6];
    /// `OUTER` products to `TILES` tiles.
    fn inverse<S: Simd>(simd: S, products: [S::f32s; 6]) -> [S::f32s; STEP];
}

/// Up to four taps.
pub(super) struct One;
/// Up to eight.
pub(super) struct Two;
/// Up to twelve.
pub(super) struct Three;

impl Pieces for One {
    const COUNT: usize = 1;
    const OUTER: usize = 1;
    const TILES: usize = 1;

    #[inline(always)]
    fn forward<S: Simd>(_: S, tiles: [S::f32s; 6]) -> [S::f32s; 6] {
        tiles
    }

    #[inline(always)]
    fn kernel<S: Simd>(_: S, pieces: [S::f32s; 3]) -> [S::f32s; 6] {
        [pieces[0]; 6]
    }

    #[inline(always)]
    fn inverse<S: Simd>(_: S, products: [S::f32s; 6]) -> [S::f32s; STEP] {
        [products[0]; STEP]
    }
}

impl Pieces for Two {
    const COUNT: usize = 2;
    const OUTER: usize = 5;
    const TILES: usize = STEP;

    #[inline(always)]
    fn forward<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 6] {
        let f = [
            and(simd, -0.5, x[0], x[1]),
            and(simd, -0.5, x[1], x[2]),
            and(simd, -0.5, x[2], x[3]),
            and(simd, -0.5, x[3], x[4]),
        ];
        let half = simd.sub_f32s(x[3], x[1]);
        let far = simd.sub_f32s(f[3], f[1]);
        [simd.sub_f32s(f[2], f[0]), simd.add_f32s(f[2], f[1]), simd.sub_f32s(f[2], f[1]), half, far, far]
    }

    #[inline(always)]
    fn kernel<S: Simd>(simd: S, [a, b, _]: [S::f32s; 3]) -> [S::f32s; 6] {
        let half = and(simd, 0.5, b, a);
        [
            times(simd, 2.0, a),
            simd.add_f32s(a, b),
            times(simd, -1.0 / 3.0, simd.sub_f32s(a, b)),
            times(simd, -8.0 / 3.0, half),
            b,
            b,
        ]
    }

    #[inline(always)]
    fn inverse<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; STEP] {
        let (even, odd) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
        [
            simd.add_f32s(simd.add_f32s(m[0], even), m[3]),
            and(simd, 0.5, m[3], odd),
            and(simd, 0.25, m[3], even),
            simd.add_f32s(and(simd, 0.125, m[3], odd), m[4]),
        ]
    }
}

impl Pieces for Three {
    const COUNT: usize = 3;
    const OUTER: usize = 6;
    const TILES: usize = STEP;

    #[inline(always)]
    fn forward<S: Simd>(simd: S, tiles: [S::f32s; 6]) -> [S::f32s; 6] {
        six(simd, tiles)
    }

    #[inline(always)]
    fn kernel<S: Simd>(simd: S, [a, b, c]: [S::f32s; 3]) -> [S::f32s; 6] {
        let even = simd.add_f32s(a, c);
        let (wide, twice) = (and(simd, 4.0, c, a), simd.add_f32s(b, b));
        [
            times(simd, 0.25, a),
            times(simd, -1.0 / 6.0, simd.add_f32s(even, b)),
            times(simd, -1.0 / 6.0, simd.sub_f32s(even, b)),
            times(simd, 1.0 / 24.0, simd.add_f32s(wide, twice)),
            times(simd, 1.0 / 24.0, simd.sub_f32s(wide, twice)),
            c,
        ]
    }

    #[inline(always)]
    fn inverse<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; STEP] {
        let [y0, y1, y2, y3] = pairs(simd, m[1], m[2], m[3], m[4]);
        [simd.add_f32s(y0, m[0]), y1, y2, simd.add_f32s(y3, m[5])]
    }
}

// Functions, and no closures: those would be compiled for the target's own vectors where they are not inlined.
#[inline(always)]
fn times<S: Simd>(simd: S, factor: f32, value: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(factor), value)
}

#[inline(always)]
fn and<S: Simd>(simd: S, factor: f32, value: S::f32s, sum: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), value, sum)
}

/// Six values at 0, ±1, ±2 and ∞.
#[inline(always)]
fn six<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 6] {
    let (near, next) = (and(simd, -4.0, x[1], x[3]), and(simd, -4.0, x[2], x[4]));
    let (odd, even) = (simd.sub_f32s(x[3], x[1]), simd.sub_f32s(x[4], x[2]));
    [
        and(simd, 4.0, x[0], and(simd, -5.0, x[2], x[4])),
        simd.add_f32s(next, near),
        simd.sub_f32s(next, near),
        and(simd, 2.0, odd, even),
        and(simd, -2.0, odd, even),
        and(simd, 4.0, x[1], and(simd, -5.0, x[3], x[5])),
    ]
}

/// What products at 1, −1, 2 and −2 add to four outputs.
#[inline(always)]
fn pairs<S: Simd>(simd: S, one: S::f32s, less: S::f32s, two: S::f32s, less_two: S::f32s) -> [S::f32s; STEP] {
    let (even, odd) = (simd.add_f32s(one, less), simd.sub_f32s(one, less));
    let (wide, far) = (simd.add_f32s(two, less_two), simd.sub_f32s(two, less_two));
    [
        simd.add_f32s(even, wide),
        and(simd, 2.0, far, odd),
        and(simd, 4.0, wide, even),
        and(simd, 8.0, far, odd),
    ]
}

/// Seven neighbouring inputs at 0, ±1, ±2, ∞ and ½.
#[inline(always)]
pub(super) fn forward<S: Simd>(simd: S, x: [S::f32s; INNER]) -> [S::f32s; INNER] {
    let mut f = [x[0]; 6];
    for i in 0..6 {
        f[i] = and(simd, -0.5, x[i], x[i + 1]);
    }
    let [zero, one, less, two, less_two, far] = six(simd, f);
    [zero, one, less, two, less_two, far, and(simd, 4.0, x[1], and(simd, -5.0, x[3], x[5]))]
}

/// Four taps at the same points.
#[inline(always)]
pub(super) fn kernel<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; STEP]) -> [S::f32s; INNER] {
    let (even, odd) = (simd.add_f32s(a, c), simd.add_f32s(b, d));
    let (wide, far) = (and(simd, 4.0, c, a), and(simd, 8.0, d, simd.add_f32s(b, b)));
    let half = and(simd, 0.125, d, and(simd, 0.25, c, and(simd, 0.5, b, a)));
    [
        times(simd, -0.5, a),
        times(simd, -1.0 / 3.0, simd.add_f32s(even, odd)),
        times(simd, 1.0 / 9.0, simd.sub_f32s(even, odd)),
        times(simd, 1.0 / 36.0, simd.add_f32s(wide, far)),
        times(simd, -1.0 / 60.0, simd.sub_f32s(wide, far)),
        d,
        times(simd, 32.0 / 45.0, half),
    ]
}

/// Products at those points to four outputs.
#[inline(always)]
pub(super) fn inverse<S: Simd>(simd: S, m: [S::f32s; INNER]) -> [S::f32s; STEP] {
    let [y0, y1, y2, y3] = pairs(simd, m[1], m[2], m[3], m[4]);
    [
        simd.add_f32s(simd.add_f32s(y0, m[0]), m[6]),
        and(simd, 0.5, m[6], y1),
        and(simd, 0.25, m[6], y2),
        simd.add_f32s(and(simd, 0.125, m[6], y3), m[5]),
    ]
}
