//! The product over panels: which rows and columns are multiplied when, so that what is used again is still in a cache.
//!
//! A task is a few panels wide and goes down the depth in blocks. Of one block its panels lie in the second-level cache,
//! unpacked once for all rows, and twelve rows of the left side in the first while they meet all these panels. Each
//! output is one chain of fused multiply-adds over the depth in ascending order, which rests in the output between
//! blocks: results depend neither on the number of threads nor on the other rows of the batch.

use std::ops::Range;

use rayon::prelude::*;

use super::disjoint::Disjoint;
use super::scratch::{with_left, with_room};
use super::tile::{Block, Store, interleave, tallest};
use super::{Columns, Finish, WIDTH};
use crate::profile::timed;
use crate::simd::{Row, vectorised};

/// Blocks of depth begin at multiples of this, so that blocks of stored weights are whole in them.
pub(in super::super) const UNIT: usize = 256;
/// Most of these in a block of depth: 96 KB of a panel, 36 KB of the left side's twelve rows.
const UNITS: usize = 3;
/// Most panels of a task, which share the left side's rows while these are in the nearest caches: 384 KB of a block, of
/// a second-level cache of 1 MB.
const ABREAST: usize = 4;
/// Bytes of left-hand rows that are laid out at once.
const PASS: usize = 1 << 25;

/// Some rows of the left side: the first, and how many.
pub(super) type Strip = (usize, usize);

/// The product of `x`, rows of `depth`, with `matrix`: rows of `columns`, finished.
pub(in super::super) fn product(matrix: &dyn Columns, x: &[f32], finish: Finish<'_>) -> Vec<f32> {
    let (depth, columns) = (matrix.depth(), matrix.columns());
    let rows = x.len().checked_div(depth).unwrap_or(0);
    let mut out = vec![0.0f32; rows * columns];
    let tallest = tallest();
    let pass = (PASS / (4 * depth.max(1))).clamp(tallest, rows.max(tallest));
    let shared = Disjoint::new(&mut out);
    for first in (0..rows).step_by(pass) {
        let last = (first + pass).min(rows);
        let tiles: Vec<Strip> = tiles(first, last, tallest).collect();
        with_left((last - first) * depth, |packed| {
            pack(&tiles, depth, packed, |start, count, piece| {
                timed!("packed input");
                interleave(&x[start * depth..], depth, count, depth, piece);
            });
            let packed = &*packed;
            let work = Work { matrix, first, packed, finish, out: &shared };
            let tasks = tasks(columns.div_ceil(WIDTH), &tiles);
            tasks.into_par_iter().for_each(|(panels, tiles)| {
                timed!("packed panels");
                with_room(panels.len() * work.most(), |room| work.run(panels, tiles, room));
            });
        });
    }
    out
}

/// Has `lay_out` write each of `tiles`, so many values for a row, to its piece of `packed`.
pub(super) fn pack<T: Send>(
    tiles: &[Strip],
    depth: usize,
    packed: &mut [T],
    lay_out: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let mut rest = packed;
    let pieces: Vec<_> = tiles
        .iter()
        .map(|(start, count)| {
            let (piece, after) = std::mem::take(&mut rest).split_at_mut(count * depth);
            rest = after;
            (*start, *count, piece)
        })
        .collect();
    pieces.into_par_iter().for_each(|(start, count, piece)| lay_out(start, count, piece));
}

/// Rows `first..last` in tiles of as equal a height as can be: a last tile of one row would run at a twelfth of the
/// speed.
pub(super) fn tiles(first: usize, last: usize, tallest: usize) -> impl Iterator<Item = Strip> {
    let rows = last - first;
    let count = rows.div_ceil(tallest).max(1);
    (0..count).map(move |i| {
        let (start, end) = (rows * i / count, rows * (i + 1) / count);
        (first + start, end - start)
    })
}

/// Panels and tiles in tasks, several for each thread where there are so many; few panels are shared by several tasks
/// with some of the tiles each.
pub(super) fn tasks(panels: usize, tiles: &[Strip]) -> Vec<(Range<usize>, &[Strip])> {
    let wanted = 4 * rayon::current_num_threads();
    let abreast = (panels / wanted).clamp(1, ABREAST);
    let groups = panels.div_ceil(abreast).max(1);
    let share = tiles.len().div_ceil(wanted.div_ceil(groups)).max(1);
    let groups = (0..panels).step_by(abreast).map(|start| start..(start + abreast).min(panels));
    groups.flat_map(|group| tiles.chunks(share).map(move |tiles| (group.clone(), tiles))).collect()
}

/// One pass over some rows of the left side.
struct Work<'a> {
    matrix: &'a dyn Columns,
    /// The first of these rows.
    first: usize,
    /// They, tile by tile, interleaved.
    packed: &'a [f32],
    finish: Finish<'a>,
    out: &'a Disjoint<'a>,
}

impl Work<'_> {
    /// Most rows of a panel that are unpacked at a time.
    fn most(&self) -> usize {
        if self.matrix.needs_room() { self.matrix.depth().min(UNITS * UNIT) } else { 0 }
    }

    /// `panels` times `tiles`; unpacked panels go to `room`, which has [`most`](Self::most) rows for each.
    fn run(&self, panels: Range<usize>, tiles: &[Strip], room: &mut [Row]) {
        let (depth, stride) = (self.matrix.depth(), self.matrix.columns());
        let units = depth.div_ceil(UNIT);
        let blocks = units.div_ceil(UNITS);
        let most = self.most();
        for block in 0..blocks {
            let edge = |block: usize| (units * block / blocks * UNIT).min(depth);
            let steps = edge(block)..edge(block + 1);
            let finish = (block + 1 == blocks).then_some(self.finish);
            let mut rest = &mut *room;
            let mut unpacked = Vec::with_capacity(ABREAST);
            for panel in panels.clone() {
                let (here, after) = std::mem::take(&mut rest).split_at_mut(steps.len().min(most));
                rest = after;
                unpacked.push(self.matrix.panel(panel, steps.clone(), here));
            }
            // The depth's next block, or what the next task begins with, most likely on this thread.
            let next = block + 1;
            let (coming, rows) = if next < blocks {
                (panels.clone(), edge(next)..edge(next + 1))
            } else {
                (panels.end..panels.end + panels.len(), 0..edge(1))
            };
            let coming: Vec<_> = coming.map(|panel| self.matrix.coming(panel, rows.clone())).collect();
            for (place, (start, count)) in tiles.iter().enumerate() {
                let packed =
                    &self.packed[(start - self.first) * depth + steps.start * count..][..steps.len() * count];
                for ((panel, weights), coming) in panels.clone().zip(&unpacked).zip(&coming) {
                    let ahead = coming.part(place, tiles.len(), steps.len());
                    let columns = panel * WIDTH..((panel + 1) * WIDTH).min(stride);
                    let begun = block > 0;
                    let store = Store { columns, stride, first: *start, begun, finish, out: self.out };
                    vectorised(Block { packed, count: *count, weights, ahead, store });
                }
            }
        }
    }
}
