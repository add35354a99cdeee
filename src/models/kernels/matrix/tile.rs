//! Up to 32 rows times one panel, a few rows at a time with their running sums in registers.
//!
//! Everything around the vectors is written out by macros: no loop, closure or iterator stands around the running sums,
//! so that they stay in registers in the dev profile too. Each sum is one chain of fused multiply-adds over the depth in
//! ascending order. Allocates nothing.

use pulp::Simd;

use crate::simd::{Row, SIDE};

/// At most so many rows of the left side, each value times a whole panel.
#[derive(Clone, Copy)]
pub(in super::super) enum Left<'a> {
    /// Rows side by side: all first values, then all second ones.
    Steps(&'a [Row]),
    /// Rows where they lie, so far apart.
    Rows(&'a [f32], usize),
}

/// Where sums go.
pub(in super::super) enum Out<'a, 'b> {
    /// Rows of one slice, so far apart.
    Strided(&'a mut [f32], usize),
    /// A panel of the left side of another product.
    Panel(&'a mut [Row]),
    /// Pieces of rows.
    Pieces(&'a mut [&'b mut [f32]]),
}

impl Out<'_, '_> {
    /// Of row `row`, `count` values from `column` on.
    #[inline(always)]
    fn row(&mut self, row: usize, column: usize, count: usize) -> &mut [f32] {
        match self {
            Self::Strided(data, stride) => &mut data[row * *stride + column..][..count],
            Self::Panel(rows) => &mut rows[row].0[column..][..count],
            Self::Pieces(rows) => &mut rows[row][column..][..count],
        }
    }
}

/// Where in an output a tile stands.
#[derive(Clone, Copy)]
pub(in super::super) struct At {
    pub(in super::super) row: usize,
    pub(in super::super) column: usize,
}

/// Some rows times some columns of a panel.
#[derive(Clone, Copy)]
pub(in super::super) struct Strip<'a> {
    pub(in super::super) left: Left<'a>,
    /// At most [`SIDE`].
    pub(in super::super) rows: usize,
    pub(in super::super) right: &'a [Row],
    /// The panel's first so many, at most [`SIDE`].
    pub(in super::super) columns: usize,
    /// Whether sums go on from what is in the output, which is overwritten otherwise.
    pub(in super::super) begun: bool,
}

/// Writes the sums of `strip` to `out`.
#[inline(always)]
pub(in super::super) fn multiply<S: Simd>(simd: S, strip: Strip<'_>, out: &mut Out<'_, '_>, at: At) {
    let Strip { left, rows, right, columns, begun } = strip;
    let (tallest, widest) = match S::F32_LANES {
        16 => (8, SIDE),
        8 | 4 => (6, SIDE / 2),
        _ => (4, SIDE),
    };
    let tiles = rows.div_ceil(tallest).max(1);
    let mut part = 0;
    while part < columns {
        let width = (columns - part).min(widest);
        for tile in 0..tiles {
            // As equal as can be: a last tile of one row would run at a fraction of the speed.
            let (first, last) = (rows * tile / tiles, rows * (tile + 1) / tiles);
            let tile = Tile { left, first, rows: last - first, right, part };
            let at = At { row: at.row + first, column: at.column + part };
            if width % S::F32_LANES == 0 {
                tile.of_whole_vectors(simd, width, begun, out, at);
            } else {
                tile.of_any(simd, width, begun, out, at);
            }
        }
        part += width;
    }
}

/// Some rows times a part of a panel.
#[derive(Clone, Copy)]
struct Tile<'a> {
    left: Left<'a>,
    first: usize,
    rows: usize,
    right: &'a [Row],
    /// The first column in the panel.
    part: usize,
}

impl Tile<'_> {
    /// Of columns that end within a vector: by way of a tile with room for whole ones.
    #[inline(always)]
    fn of_any<S: Simd>(self, simd: S, width: usize, begun: bool, out: &mut Out<'_, '_>, at: At) {
        let mut whole = [0.0; 8 * SIDE];
        for (row, values) in whole.chunks_exact_mut(SIDE).enumerate().take(self.rows) {
            values[..width].copy_from_slice(out.row(at.row + row, at.column, width));
        }
        let rounded = width.next_multiple_of(S::F32_LANES);
        let origin = At { row: 0, column: 0 };
        self.of_whole_vectors(simd, rounded, begun, &mut Out::Strided(&mut whole, SIDE), origin);
        for (row, values) in whole.chunks_exact(SIDE).enumerate().take(self.rows) {
            out.row(at.row + row, at.column, width).copy_from_slice(&values[..width]);
        }
    }

    #[inline(always)]
    fn of_whole_vectors<S: Simd>(self, simd: S, width: usize, begun: bool, out: &mut Out<'_, '_>, at: At) {
        macro_rules! by_rows {
            ($vectors:literal: $($rows:literal)*) => {
                match self.rows {
                    $($rows => Sums::<$rows, $vectors>::add(simd, self, begun, out, at),)*
                    _ => {}
                }
            };
        }
        match (S::F32_LANES, width / S::F32_LANES) {
            (16, 1) => by_rows!(1: 1 2 3 4 5 6 7 8),
            (16, _) => by_rows!(2: 1 2 3 4 5 6 7 8),
            (8, 1) => by_rows!(1: 1 2 3 4 5 6),
            (8, _) => by_rows!(2: 1 2 3 4 5 6),
            (4, 1) => by_rows!(1: 1 2 3 4 5 6),
            (4, 2) => by_rows!(2: 1 2 3 4 5 6),
            (4, 3) => by_rows!(3: 1 2 3 4 5 6),
            (4, _) => by_rows!(4: 1 2 3 4 5 6),
            _ => self.plain(width, begun, out, at),
        }
    }

    /// Without vectors that pulp knows: the compiler's own.
    #[inline(always)]
    fn plain(self, width: usize, begun: bool, out: &mut Out<'_, '_>, at: At) {
        for row in 0..self.rows {
            let out = out.row(at.row + row, at.column, width);
            let mut sums = [0.0f32; SIDE];
            if begun {
                sums[..width].copy_from_slice(out);
            }
            for (step, weights) in self.right.iter().enumerate() {
                let value = match self.left {
                    Left::Steps(steps) => steps[step].0[self.first + row],
                    Left::Rows(data, stride) => data[(self.first + row) * stride + step],
                };
                let part = &weights.0[self.part..][..width];
                sums.iter_mut().zip(part).for_each(|(sum, weight)| *sum += value * weight);
            }
            out.copy_from_slice(&sums[..width]);
        }
    }
}

/// The running sums of `ROWS` rows of `VECTORS` vectors.
struct Sums<const ROWS: usize, const VECTORS: usize>;

#[inline(always)]
fn vectors<S: Simd, const VECTORS: usize>(simd: S, values: &[f32]) -> [S::f32s; VECTORS] {
    match S::as_simd_f32s(values).0.first_chunk::<VECTORS>() {
        Some(vectors) => *vectors,
        None => [simd.splat_f32s(0.0); VECTORS],
    }
}

/// One step: every row's value times every vector. A value is loaded where it is spread to a vector: that is one
/// instruction, which leaves the units that multiply alone.
macro_rules! step {
    ($simd:ident, $sums:ident, $values:ident $at:tt, $weights:ident, [$($row:tt)*] $vectors:tt) => {
        $( step!(@ $simd, $sums, $values $at, $weights, $row, $vectors); )*
    };
    (@ $simd:ident, $sums:ident, $values:ident {$($at:tt)*}, $weights:ident, $row:tt, [$($vector:tt)*]) => {
        let value = $simd.splat_f32s($values[$row]$($at)*);
        $( $sums[$row][$vector] = $simd.mul_add_e_f32s(value, $weights[$vector], $sums[$row][$vector]); )*
    };
}

macro_rules! sums {
    ($rows:literal [$($row:tt)*]) => {
        sums!($rows [$($row)*] 1 [0]);
        sums!($rows [$($row)*] 2 [0 1]);
        sums!($rows [$($row)*] 3 [0 1 2]);
        sums!($rows [$($row)*] 4 [0 1 2 3]);
    };
    ($rows:literal [$($row:tt)*] $vectors:literal $each:tt) => {
        impl Sums<$rows, $vectors> {
            #[inline(always)]
            fn add<S: Simd>(simd: S, tile: Tile<'_>, begun: bool, out: &mut Out<'_, '_>, at: At) {
                let width = $vectors * S::F32_LANES;
                // What is known when this is compiled needs no branch in the loop.
                let part = if S::F32_LANES == 16 { 0 } else { tile.part };
                let mut sums = [[simd.splat_f32s(0.0); $vectors]; $rows];
                if begun {
                    $( sums[$row] = vectors::<S, $vectors>(simd, out.row(at.row + $row, at.column, width)); )*
                }
                match tile.left {
                    Left::Steps(steps) => {
                        for (values, weights) in steps.iter().zip(tile.right) {
                            let Some(values) = values.0[tile.first..].first_chunk::<$rows>() else { break };
                            let weights = vectors::<S, $vectors>(simd, &weights.0[part..]);
                            step!(simd, sums, values {}, weights, [$($row)*] $each);
                        }
                    }
                    Left::Rows(data, stride) => {
                        let depth = tile.right.len();
                        let rows = [$( &data[(tile.first + $row) * stride..][..depth] ),*];
                        for (step, weights) in tile.right.iter().enumerate() {
                            let weights = vectors::<S, $vectors>(simd, &weights.0[part..]);
                            step!(simd, sums, rows {[step]}, weights, [$($row)*] $each);
                        }
                    }
                }
                $(
                    let (whole, _) = S::as_mut_simd_f32s(out.row(at.row + $row, at.column, width));
                    if let Some(whole) = whole.first_chunk_mut::<$vectors>() {
                        *whole = sums[$row];
                    }
                )*
            }
        }
    };
}

sums!(1[0]);
sums!(2 [0 1]);
sums!(3 [0 1 2]);
sums!(4 [0 1 2 3]);
sums!(5 [0 1 2 3 4]);
sums!(6 [0 1 2 3 4 5]);
// Taller tiles have at most two vectors.
sums!(7 [0 1 2 3 4 5 6] 1 [0]);
sums!(7 [0 1 2 3 4 5 6] 2 [0 1]);
sums!(8 [0 1 2 3 4 5 6 7] 1 [0]);
sums!(8 [0 1 2 3 4 5 6 7] 2 [0 1]);
