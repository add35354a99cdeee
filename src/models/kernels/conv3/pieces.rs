//! How a result is shared out: some rows of one slice and all of its channels for a task.

use pulp::Simd;

use super::finish::{Finish, Place, Sums, WIDTH};
use super::tiles::Volume;
use super::transform::STEP;

/// Rows of one slice, all channels.
pub(super) struct Piece<'a> {
    pub(super) batch: usize,
    pub(super) z: usize,
    /// The first row, a multiple of [`STEP`], and how many.
    pub(super) top: usize,
    pub(super) rows: usize,
    /// Each channel's part of the result; none where it is pooled and no window lies in these rows.
    pub(super) out: Vec<&'a mut [f32]>,
}

/// Pieces of `high` rows, a multiple of [`STEP`], of the result of a layer with so many outputs.
pub(super) fn pieces<'a>(
    volume: Volume,
    high: usize,
    finish: &Finish<'_>,
    outputs: usize,
    out: &'a mut [f32],
) -> Vec<Piece<'a>> {
    let Volume { batch, depth, height, width } = volume;
    let (channels, count) = (finish.channels(outputs), height.div_ceil(high));
    let mut pieces: Vec<Piece<'a>> = (0..batch * depth * count)
        .map(|place| {
            let (slice, top) = (place / count, place % count * high);
            let rows = high.min(height - top);
            Piece { batch: slice / depth, z: slice % depth, top, rows, out: Vec::with_capacity(channels) }
        })
        .collect();
    let part = finish.plane(high, width);
    for (place, plane) in out.chunks_mut(finish.plane(height, width)).enumerate() {
        let slice = place / depth / channels * depth + place % depth;
        for (of, part) in plane.chunks_mut(part).enumerate() {
            pieces[slice * count + of].out.push(part);
        }
    }
    pieces
}

impl Piece<'_> {
    /// Has the sums of `channel` finished, and those that SPADE pairs with them in `other`.
    #[inline(always)]
    pub(super) fn write<S: Simd>(
        &mut self,
        simd: S,
        finish: &Finish<'_>,
        volume: Volume,
        channel: usize,
        [sums, other]: [Sums<'_>; 2],
    ) {
        for y in (0..self.rows).step_by(STEP) {
            for x in (0..volume.width).step_by(WIDTH) {
                let place = Place {
                    batch: self.batch,
                    channel,
                    depth: self.z,
                    volume,
                    y: self.top + y,
                    x,
                    width: WIDTH.min(volume.width - x),
                    from: y * sums.pitch + x,
                    top: self.top,
                };
                finish.write(simd, place, sums, other, self.out[channel]);
            }
        }
    }
}
