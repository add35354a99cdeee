//! A few rows times one panel, with the running sums in registers, however little the compiler optimises: they are so
//! many variables, and no loop and no closure stands around them.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::disjoint::Disjoint;
use super::{Finish, WIDTH};
use crate::simd::{Ahead, Row, lanes};

/// Most rows of a tile on any processor.
pub(super) const MAX_ROWS: usize = 12;

/// Running results of one tile.
type Tile = [Row; MAX_ROWS];

/// Rows of the tallest tile whose running sums fit into this processor's registers, two vectors for each: twelve where
/// there are 32 registers, six with the sixteen of AVX2.
pub(super) fn tallest() -> usize {
    match lanes() {
        16 | 4 => MAX_ROWS,
        8 => 6,
        _ => 4,
    }
}

/// Where a tile goes.
pub(super) struct Store<'a> {
    pub columns: Range<usize>,
    pub stride: usize,
    pub first: usize,
    /// Whether the output holds sums that this tile goes on with.
    pub begun: bool,
    /// What is done to the sums, where this tile ends them.
    pub finish: Option<Finish<'a>>,
    pub out: &'a Disjoint<'a>,
}

impl Store<'_> {
    fn start(&self, index: usize) -> usize {
        (self.first + index) * self.stride + self.columns.start
    }

    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "that is what `Disjoint` is for")]
    #[expect(unsafe_code, reason = "a tile is a strip of the output's rows; see `disjoint`")]
    fn row(&self, index: usize) -> &mut [f32] {
        // SAFETY: a panel's columns and a tile's rows belong to one task alone, which asks for one row after the other.
        unsafe { self.out.piece(self.start(index), self.columns.len()) }
    }

    #[inline(always)]
    fn load(&self, tile: &mut Tile, count: usize) {
        if self.begun {
            for (index, row) in tile.iter_mut().enumerate().take(count) {
                *row = padded(self.row(index));
            }
        }
    }

    #[inline(always)]
    fn store<S: Simd>(&self, simd: S, tile: &mut [Row]) {
        let bias = self.finish.and_then(|finish| finish.bias);
        let bias = bias.map(|bias| padded(&bias[self.columns.clone()]));
        for (index, row) in tile.iter_mut().enumerate() {
            if let Some(finish) = &self.finish {
                if let Some(bias) = &bias {
                    add(simd, row, bias);
                }
                if let Some(bias) = finish.of_rows {
                    add(simd, row, &Row([bias[self.first + index]; WIDTH]));
                }
                finish.activation.apply(&mut row.0);
                if let Some(residual) = finish.residual {
                    add(simd, row, &padded(&residual[self.start(index)..][..self.columns.len()]));
                }
            }
            let out = self.row(index);
            match out.first_chunk_mut::<WIDTH>() {
                Some(out) => *out = row.0,
                None => out.copy_from_slice(&row.0[..out.len()]),
            }
        }
    }
}

/// At most a panel's columns, with zeros for those that lack.
#[inline(always)]
fn padded(values: &[f32]) -> Row {
    if let Some(values) = values.first_chunk::<WIDTH>() {
        return Row(*values);
    }
    let mut row = Row::ZERO;
    row.0[..values.len()].copy_from_slice(values);
    row
}

#[inline(always)]
fn add<S: Simd>(simd: S, row: &mut Row, other: &Row) {
    let (row, rest) = S::as_mut_simd_f32s(&mut row.0);
    let (other, other_rest) = S::as_simd_f32s(&other.0);
    for (value, other) in row.iter_mut().zip(other) {
        *value = simd.add_f32s(*value, *other);
    }
    for (value, other) in rest.iter_mut().zip(other_rest) {
        *value += *other;
    }
}

/// One tile, [`interleave`]d, times one panel.
pub(super) struct Block<'a> {
    pub packed: &'a [f32],
    pub count: usize,
    pub weights: &'a [Row],
    /// What is needed after this, in as many steps as `weights` has rows.
    pub ahead: Ahead,
    pub store: Store<'a>,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut tile = [Row::ZERO; MAX_ROWS];
        self.store.load(&mut tile, self.count);
        multiply_tile(simd, self.packed, self.count, self.weights, self.ahead, &mut tile);
        self.store.store(simd, &mut tile[..self.count]);
    }
}

/// Rows whose sums are complete.
pub(super) struct Finished<'a> {
    pub tile: &'a mut [Row],
    pub store: Store<'a>,
}

impl WithSimd for Finished<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.store.store(simd, self.tile);
    }
}

/// Puts `count` rows of `depth`, `stride` apart, side by side: all first values, then all second ones.
#[inline(always)]
pub(super) fn interleave(x: &[f32], stride: usize, count: usize, depth: usize, packed: &mut [f32]) {
    for row in 0..count {
        let values = &x[row * stride..][..depth];
        packed[row..].iter_mut().step_by(count).zip(values).for_each(|(to, from)| *to = *from);
    }
}

/// `count` interleaved rows times one panel, onto `tile`. At most as many rows as are [`tallest`].
#[inline(always)]
fn multiply_tile<S: Simd>(
    simd: S,
    packed: &[f32],
    count: usize,
    panel: &[Row],
    ahead: Ahead,
    tile: &mut Tile,
) {
    match S::F32_LANES {
        16 => up_to_twelve::<S, 0>(simd, packed, count, panel, ahead, tile),
        8 => {
            up_to_six::<S, 0>(simd, packed, count, panel, ahead, tile);
            up_to_six::<S, 1>(simd, packed, count, panel, ahead, tile);
        }
        4 => {
            up_to_twelve::<S, 0>(simd, packed, count, panel, ahead, tile);
            up_to_twelve::<S, 1>(simd, packed, count, panel, ahead, tile);
            up_to_twelve::<S, 2>(simd, packed, count, panel, ahead, tile);
            up_to_twelve::<S, 3>(simd, packed, count, panel, ahead, tile);
        }
        _ => plain(packed, count, panel, tile),
    }
}

/// The running sums of each row by name, for one pair of a panel's vectors. `packed` holds as many values for each row of
/// the panel, so that the loop follows two pointers only.
macro_rules! rows {
    ($part:ident, $simd:ident, $packed:ident, $panel:ident, $ahead:ident, $tile:ident, $rows:literal: $($index:literal $sum:ident)*) => {{
        $(let mut $sum = pair::<S, $part>($simd, &$tile[$index]);)*
        let mut ahead = $ahead;
        let every = ahead.every();
        let packed = $packed.as_chunks::<$rows>().0;
        for (packed, panel) in packed.chunks(every).zip($panel.chunks(every)) {
            let mut line = ahead.row();
            for (values, weights) in packed.iter().zip(panel) {
                let weights = pair::<S, $part>($simd, weights);
                $($sum = onto($simd, $sum, values[$index], weights);)*
                // Of several passes over a panel the first.
                if $part == 0 {
                    line.step();
                }
            }
        }
        $(put::<S, $part>(&mut $tile[$index], $sum);)*
    }};
}

/// Up to six rows times pair `PART` of the panel's vectors.
#[inline(always)]
fn up_to_six<S: Simd, const PART: usize>(
    simd: S,
    packed: &[f32],
    count: usize,
    panel: &[Row],
    ahead: Ahead,
    tile: &mut Tile,
) {
    match count {
        1 => rows!(PART, simd, packed, panel, ahead, tile, 1: 0 a),
        2 => rows!(PART, simd, packed, panel, ahead, tile, 2: 0 a 1 b),
        3 => rows!(PART, simd, packed, panel, ahead, tile, 3: 0 a 1 b 2 c),
        4 => rows!(PART, simd, packed, panel, ahead, tile, 4: 0 a 1 b 2 c 3 d),
        5 => rows!(PART, simd, packed, panel, ahead, tile, 5: 0 a 1 b 2 c 3 d 4 e),
        6 => rows!(PART, simd, packed, panel, ahead, tile, 6: 0 a 1 b 2 c 3 d 4 e 5 f),
        _ => {}
    }
}

/// Up to twelve.
#[inline(always)]
fn up_to_twelve<S: Simd, const PART: usize>(
    simd: S,
    packed: &[f32],
    count: usize,
    panel: &[Row],
    ahead: Ahead,
    tile: &mut Tile,
) {
    match count {
        7 => rows!(PART, simd, packed, panel, ahead, tile, 7: 0 a 1 b 2 c 3 d 4 e 5 f 6 g),
        8 => rows!(PART, simd, packed, panel, ahead, tile, 8: 0 a 1 b 2 c 3 d 4 e 5 f 6 g 7 h),
        9 => rows!(PART, simd, packed, panel, ahead, tile, 9: 0 a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i),
        10 => rows!(PART, simd, packed, panel, ahead, tile, 10: 0 a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j),
        11 => rows!(PART, simd, packed, panel, ahead, tile, 11: 0 a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10 k),
        12 => {
            rows!(PART, simd, packed, panel, ahead, tile, 12: 0 a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10 k 11 l)
        }
        _ => up_to_six::<S, PART>(simd, packed, count, panel, ahead, tile),
    }
}

/// Pair `PART` of a row's vectors.
#[inline(always)]
fn pair<S: Simd, const PART: usize>(simd: S, row: &Row) -> [S::f32s; 2] {
    match S::as_simd_f32s(&row.0).0.as_chunks::<2>().0.get(PART) {
        Some(pair) => *pair,
        None => [simd.splat_f32s(0.0); 2],
    }
}

#[inline(always)]
fn put<S: Simd, const PART: usize>(row: &mut Row, sums: [S::f32s; 2]) {
    if let Some(pair) = S::as_mut_simd_f32s(&mut row.0).0.as_chunks_mut::<2>().0.get_mut(PART) {
        *pair = sums;
    }
}

/// `sums + value · weights`.
#[inline(always)]
fn onto<S: Simd>(simd: S, sums: [S::f32s; 2], value: f32, weights: [S::f32s; 2]) -> [S::f32s; 2] {
    let value = simd.splat_f32s(value);
    [simd.mul_add_e_f32s(value, weights[0], sums[0]), simd.mul_add_e_f32s(value, weights[1], sums[1])]
}

/// Without vectors that pulp knows: the compiler's own.
fn plain(packed: &[f32], count: usize, panel: &[Row], tile: &mut Tile) {
    for (index, out) in tile.iter_mut().enumerate().take(count) {
        let mut sums = out.0;
        for (value, weights) in packed[index..].iter().step_by(count).zip(panel) {
            sums.iter_mut().zip(&weights.0).for_each(|(sum, weight)| *sum += value * weight);
        }
        out.0 = sums;
    }
}
