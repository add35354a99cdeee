//! Some queries of one head: scores, softmax and the weighted sum of values while they are in a core's caches.
//!
//! Scores stand in columns, a panel of 32 queries side by side and one key after the other: keys are then read where they
//! lie, softmax is the same for a whole vector of queries, and the weights are in the order in which the second product
//! takes its left side. Keys that a causal mask hides are not multiplied. Each number is a chain over the head's size or the
//! keys in ascending order, whatever the other queries are.
//!
//! Owns a room for each thread, which grows with the keys.

use std::cell::RefCell;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::super::elementary::exp;
use super::super::matrix::{At, Left, Matrix, Out, Strip, multiply, pack};
use super::vectorised;
use crate::simd::{Row, SIDE};

/// Keys that meet all panels of queries before the next ones do. Of values they are panels of 32 KB of a first-level
/// cache.
const KEYS: usize = 256;
/// Numbers of a head that are multiplied before the next ones are: 32 KB of a panel of queries.
const STEPS: usize = 256;
/// Weights that are added up before their sum is added to the others', so that thousands lose no digits.
const RUN: usize = 32;

thread_local! {
    static ROOM: RefCell<(Vec<Row>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Which keys are seen.
pub(super) enum Keys<'a> {
    All,
    /// Those up to each query's own.
    Before,
    /// All, with a number for each query and key added to the score.
    Biased(Matrix<'a>),
}

/// One task of attention.
pub(super) struct Tile<'a, 'b> {
    /// The number of the first query.
    pub(super) first: usize,
    pub(super) scale: f32,
    pub(super) queries: Matrix<'a>,
    pub(super) keys: Matrix<'a>,
    pub(super) values: Matrix<'a>,
    pub(super) seen: Keys<'a>,
    /// For each query as many numbers as a value has.
    pub(super) out: &'a mut [&'b mut [f32]],
}

impl Tile<'_, '_> {
    pub(super) fn run(self) {
        let (mut rows, mut sums) = ROOM.with_borrow_mut(std::mem::take);
        vectorised(Attend { tile: self, rows: &mut rows, sums: &mut sums });
        ROOM.set((rows, sums));
    }

    /// How many keys any of `queries` sees.
    #[inline(always)]
    fn seen_by(&self, queries: Range<usize>) -> usize {
        match self.seen {
            Keys::Before => (self.first + queries.end).min(self.keys.rows()),
            _ => self.keys.rows(),
        }
    }

    /// Scores of the panel of `queries`, packed as `panel`, for the keys of `block`.
    #[inline(always)]
    fn score<S: Simd>(
        &self,
        simd: S,
        queries: Range<usize>,
        block: Range<usize>,
        panel: &[Row],
        scores: &mut [Row],
    ) {
        let block = block.start..block.end.min(self.seen_by(queries.clone()));
        if block.is_empty() {
            return;
        }
        let scores = &mut scores[block.clone()];
        let biased = match self.seen {
            Keys::Biased(bias) => {
                pack(bias.t(), block.clone(), queries.clone(), 1.0, scores, 0);
                true
            }
            _ => false,
        };
        let mut out = Out::Panel(scores);
        for (index, right) in panel.chunks(STEPS).enumerate() {
            for row in block.clone().step_by(SIDE) {
                let (left, rows) = (self.keys.part(row, index * STEPS), (block.end - row).min(SIDE));
                let begun = biased || index > 0;
                let strip = Strip { left, rows, right, columns: queries.len(), begun };
                multiply(simd, strip, &mut out, At { row: row - block.start, column: 0 });
            }
        }
    }
}

struct Attend<'a, 'b, 'c> {
    tile: Tile<'a, 'b>,
    rows: &'c mut Vec<Row>,
    sums: &'c mut Vec<f32>,
}

impl WithSimd for Attend<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tile, rows, sums } = self;
        let (count, size, keys) = (tile.out.len(), tile.queries.columns(), tile.keys.rows());
        let panels = || (0..count).step_by(SIDE).map(|from| from..(from + SIDE).min(count)).enumerate();
        let number = count.div_ceil(SIDE);
        let wanted = number * (size + keys) + KEYS;
        if rows.len() < wanted {
            rows.resize(wanted, Row::ZERO);
        }
        if sums.len() < count * size {
            sums.resize(count * size, 0.0);
        }
        let (packed, rest) = rows.split_at_mut(number * size);
        let (scores, room) = rest.split_at_mut(number * keys);

        pack(tile.queries.t(), 0..size, 0..count, tile.scale, packed, size);
        for from in (0..keys).step_by(KEYS) {
            for (panel, queries) in panels() {
                let block = from..(from + KEYS).min(keys);
                let packed = &packed[panel * size..][..size];
                tile.score(simd, queries, block, packed, &mut scores[panel * keys..][..keys]);
            }
        }
        let mut shares = [Row::ZERO; super::TILE / SIDE];
        for ((panel, queries), share) in panels().zip(&mut shares) {
            let seen = tile.seen_by(queries.clone());
            let scores = &mut scores[panel * keys..][..seen];
            if let Keys::Before = tile.seen {
                hide(scores, tile.first + queries.start);
            }
            *share = weigh(scores);
        }
        for from in (0..keys).step_by(KEYS) {
            let block = from..(from + KEYS).min(keys.min(tile.seen_by(0..count)));
            if block.is_empty() {
                break;
            }
            for column in (0..size).step_by(SIDE) {
                let columns = column..(column + SIDE).min(size);
                pack(tile.values, block.clone(), columns.clone(), 1.0, room, 0);
                for (panel, queries) in panels() {
                    let steps = block.start..block.end.min(tile.seen_by(queries.clone()));
                    if steps.is_empty() {
                        continue;
                    }
                    let right = &room[..steps.len()];
                    let left = Left::Steps(&scores[panel * keys..][steps]);
                    let (rows, columns, begun) = (queries.len(), columns.len(), from > 0);
                    let strip = Strip { left, rows, right, columns, begun };
                    multiply(simd, strip, &mut Out::Strided(sums, size), At { row: queries.start, column });
                }
            }
        }
        let shares = shares.iter().flat_map(|row| &row.0);
        for ((out, sums), share) in tile.out.iter_mut().zip(sums.chunks_exact(size)).zip(shares) {
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * share);
        }
    }
}

/// Hides every key after each query's own; the panel's first query is number `first`.
#[inline(always)]
fn hide(scores: &mut [Row], first: usize) {
    for (key, row) in scores.iter_mut().enumerate().skip(first + 1) {
        row.0.iter_mut().take(key - first).for_each(|score| *score = f32::NEG_INFINITY);
    }
}

/// Makes scores of one key after another, a query in each column, to weights; one over each query's sum. A query that
/// sees nothing gets NaN, as it does by the definition, and a NaN makes all its weights NaN.
#[inline(always)]
fn weigh(scores: &mut [Row]) -> Row {
    let mut top = [f32::NEG_INFINITY; SIDE];
    for row in scores.iter() {
        for (top, score) in top.iter_mut().zip(&row.0) {
            *top = if *score > *top { *score } else { *top };
        }
    }
    let mut total = [0.0; SIDE];
    for run in scores.chunks_mut(RUN) {
        let mut sum = [0.0; SIDE];
        for row in run {
            for ((score, top), sum) in row.0.iter_mut().zip(&top).zip(&mut sum) {
                *score = exp(*score - top);
                *sum += *score;
            }
        }
        total.iter_mut().zip(&sum).for_each(|(total, sum)| *total += sum);
    }
    Row(total.map(|total| 1.0 / total))
}
