//! The product in blocks: which rows and columns meet when, so that what is used again is still in a cache.
//!
//! A task takes some rows and columns of the output down the depth in blocks. Of one block a few panels of the right side
//! are packed together, since their rows are then read in longer pieces, and each stays in the first-level cache while all
//! rows of the left side meet it. Those are read where they lie, unless their columns are what lies in order: then they
//! are packed too. Sums rest in the output between blocks.
//!
//! Owns a bounded room for each thread.

use std::cell::RefCell;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{At, Left, Matrix, Out, Strip, Threads, multiply, pack};
use crate::profile::timed;
use crate::simd::{Row, SIDE, vectorised};

/// Steps of a block of depth: a panel of them is 32 KB of a first-level cache.
const STEPS: usize = 256;
/// Panels packed at once: 128 KB of the second-level cache, from rows that are read 512 bytes at a time.
const ABREAST: usize = 4;
/// Rows of the left side that meet a panel: 512 KB of a block, and 256 KB of the output.
const ROWS: usize = 512;

thread_local! {
    /// Packed panels, and packed rows of the left side: at most 640 KB.
    static ROOM: RefCell<Vec<Row>> = const { RefCell::new(Vec::new()) };
}

/// The output: rows `stride` apart, whose values are `kept` and added to, or overwritten.
pub(super) struct Strided<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) kept: bool,
}

/// `out` = or += a · (scale · b), whose shapes fit and are not empty.
pub(super) fn product(out: Strided<'_>, scale: f32, a: Matrix<'_>, b: Matrix<'_>, threads: Threads) {
    let Strided { data, stride, kept } = out;
    let count = rayon::current_num_threads();
    if threads == Threads::One || count == 1 {
        let (rows, columns) = (0..a.rows, 0..b.columns);
        run(Work { a, b, scale, kept, rows, columns, out: Out::Strided(data, stride) });
        return;
    }
    let wanted = 4 * count;
    let width = b.columns.div_ceil(wanted).next_multiple_of(SIDE).min(ROWS);
    let strips = b.columns.div_ceil(width);
    let height = a.rows.div_ceil(wanted.div_ceil(strips)).next_multiple_of(SIDE);
    let mut tasks = Vec::new();
    for (band, data) in data.chunks_mut(height.saturating_mul(stride.max(1))).enumerate() {
        let rows = band * height..((band + 1) * height).min(a.rows);
        if rows.is_empty() {
            break;
        }
        let mut pieces: Vec<Vec<&mut [f32]>> = (0..strips).map(|_| Vec::with_capacity(rows.len())).collect();
        for row in data.chunks_mut(stride.max(1)).take(rows.len()) {
            let in_row = row.len().min(b.columns);
            for (pieces, piece) in pieces.iter_mut().zip(row[..in_row].chunks_mut(width)) {
                pieces.push(piece);
            }
        }
        tasks.extend(pieces.into_iter().enumerate().map(|(strip, pieces)| {
            let columns = strip * width..((strip + 1) * width).min(b.columns);
            (rows.clone(), columns, pieces)
        }));
    }
    tasks.into_par_iter().for_each(|(rows, columns, mut pieces)| {
        timed!("part of a product");
        run(Work { a, b, scale, kept, rows, columns, out: Out::Pieces(&mut pieces) });
    });
}

/// One task, in this thread's room.
fn run(work: Work<'_, '_>) {
    // Taken out for as long as it is used: a panic or a product within this one then finds an empty one.
    let mut room = ROOM.with_borrow_mut(std::mem::take);
    vectorised(Product { work, room: &mut room });
    ROOM.set(room);
}

/// Some rows and columns of the output.
struct Work<'a, 'b> {
    a: Matrix<'a>,
    b: Matrix<'a>,
    scale: f32,
    kept: bool,
    rows: Range<usize>,
    columns: Range<usize>,
    /// From the first of these rows and columns on.
    out: Out<'a, 'b>,
}

struct Product<'a, 'b> {
    work: Work<'a, 'b>,
    room: &'a mut Vec<Row>,
}

impl WithSimd for Product<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work: Work { a, b, scale, kept, rows, columns, mut out }, room } = self;
        let depth = a.columns;
        let most = depth.min(STEPS);
        let in_place = a.column_stride == 1 && depth > 0;
        let abreast = columns.len().div_ceil(SIDE).min(ABREAST);
        let strips = if in_place { 0 } else { rows.len().min(ROWS).div_ceil(SIDE) };
        if room.len() < (abreast + strips) * most {
            room.resize((abreast + strips) * most, Row::ZERO);
        }
        let (panels, lefts) = room.split_at_mut(abreast * most);
        for rows_from in (0..rows.len()).step_by(ROWS) {
            let rows_to = (rows_from + ROWS).min(rows.len());
            for from in (0..columns.len()).step_by(abreast.max(1) * SIDE) {
                let group = from..(from + abreast * SIDE).min(columns.len());
                // Without depth there is one block of no steps, which writes zeros.
                for first in (0..depth.max(1)).step_by(STEPS) {
                    let steps = first..(first + STEPS).min(depth);
                    let begun = kept || first > 0;
                    if !in_place {
                        let of = rows.start + rows_from..rows.start + rows_to;
                        pack(a.t(), steps.clone(), of, 1.0, lefts, most);
                    }
                    let of = columns.start + group.start..columns.start + group.end;
                    pack(b, steps.clone(), of, scale, panels, most);
                    for (panel, column) in group.clone().step_by(SIDE).enumerate() {
                        let right = &panels[panel * most..][..steps.len()];
                        let width = (group.end - column).min(SIDE);
                        for (strip, row) in (rows_from..rows_to).step_by(SIDE).enumerate() {
                            let left = if in_place {
                                a.part(rows.start + row, steps.start)
                            } else {
                                Left::Steps(&lefts[strip * most..][..steps.len()])
                            };
                            let count = (rows_to - row).min(SIDE);
                            let strip = Strip { left, rows: count, right, columns: width, begun };
                            multiply(simd, strip, &mut out, At { row, column });
                        }
                    }
                }
            }
        }
    }
}
