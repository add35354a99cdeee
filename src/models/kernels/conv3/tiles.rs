//! Where tiles lie and how their inputs are read: a vector of neighbouring tiles at a time.
//!
//! Tiles are counted row by row. A vector whose tiles all stand in one row is read from lines laid out with their margin,
//! four pixels apart by shuffles of whole vectors; any other is gathered pixel by pixel. Owns no memory.

use pulp::Simd;

use super::transform::{SIDE, STEP, forward, vector};

/// Most tiles of a vector: those of AVX-512.
pub(super) const MOST: usize = 16;

/// Where the inputs lie: some channels of `[batch, total, depth, height / factor, width / factor]`.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) data: &'a [f32],
    /// Channels of the tensor.
    pub(super) total: usize,
    /// The first one to take.
    pub(super) first: usize,
    /// Every pixel stands for `factor` × `factor` of the input.
    pub(super) factor: usize,
}

/// Size of input and output alike.
#[derive(Clone, Copy)]
pub(super) struct Volume {
    pub(super) batch: usize,
    pub(super) depth: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Volume {
    /// Rows and columns of tiles.
    pub(super) fn tiles(self) -> (usize, usize) {
        (self.height.div_ceil(STEP), self.width.div_ceil(STEP))
    }
}

/// One slice of one channel.
#[derive(Clone, Copy)]
pub(super) struct Slice<'a> {
    data: &'a [f32],
    factor: usize,
    height: usize,
    width: usize,
}

impl<'a> Source<'a> {
    /// Of picture `batch`, channel `channel` of those taken, slice `depth`.
    pub(super) fn slice(self, volume: Volume, batch: usize, channel: usize, depth: usize) -> Slice<'a> {
        let size = (volume.height / self.factor) * (volume.width / self.factor);
        let plane = (batch * self.total + self.first + channel) * volume.depth + depth;
        Slice {
            data: &self.data[plane * size..][..size],
            factor: self.factor,
            height: volume.height,
            width: volume.width,
        }
    }
}

impl Slice<'_> {
    /// Values of one line of [`Slice::lay_out`]: a margin on both sides, whole vectors.
    pub(super) fn pitch(width: usize) -> usize {
        (STEP * width.div_ceil(STEP) + STEP).next_multiple_of(MOST)
    }

    /// The lines that the tiles of row `row` and the `count` − 1 rows after it read, [`Slice::pitch`] values each: the
    /// first is the pixel left of the picture, and what lies outside is zero.
    #[inline(always)]
    pub(super) fn lay_out(self, row: usize, count: usize, lines: &mut [f32]) {
        let pitch = Self::pitch(self.width);
        let lines = &mut lines[..(STEP * count + SIDE - STEP) * pitch];
        for (place, line) in lines.chunks_exact_mut(pitch).enumerate() {
            let y = (STEP * row + place).wrapping_sub(1);
            if y >= self.height {
                line.fill(0.0);
                continue;
            }
            let width = self.width / self.factor;
            let source = &self.data[y / self.factor * width..][..width];
            line[0] = 0.0;
            let (inner, after) = line[1..].split_at_mut(self.width);
            match self.factor {
                1 => inner.copy_from_slice(source),
                2 => repeat::<2>(inner, source),
                4 => repeat::<4>(inner, source),
                factor => {
                    for (x, value) in inner.iter_mut().enumerate() {
                        *value = source[x / factor];
                    }
                }
            }
            after.fill(0.0);
        }
    }

    /// The pixel at (x − 1, y − 1); zero outside.
    #[inline(always)]
    fn pixel(self, x: usize, y: usize) -> f32 {
        let (x, y) = (x.wrapping_sub(1), y.wrapping_sub(1));
        if x >= self.width || y >= self.height {
            return 0.0;
        }
        self.data[y / self.factor * (self.width / self.factor) + x / self.factor]
    }
}

/// Every value `N` times.
#[inline(always)]
pub(super) fn repeat<const N: usize>(out: &mut [f32], source: &[f32]) {
    out.as_chunks_mut::<N>().0.iter_mut().zip(source).for_each(|(out, value)| *out = [*value; N]);
}

/// Transforms the vector of tiles from column `column` on, whose lines begin at `lines`; point p goes to
/// `out[p · stride]`. The tiles come out in the order in which `interleave_shfl_f32s` puts them back.
#[inline(always)]
pub(super) fn transform_row<S: Simd>(
    simd: S,
    lines: &[f32],
    pitch: usize,
    column: usize,
    out: &mut [S::f32s],
    stride: usize,
) {
    let zero = simd.splat_f32s(0.0);
    let mut d = [[zero; SIDE]; SIDE];
    let lanes = S::F32_LANES;
    for (i, row) in d.iter_mut().enumerate() {
        let line = &lines[i * pitch + STEP * column..][..STEP * lanes + STEP];
        let at = |from: usize| vector(simd, &line[from..]);
        let near = simd.deinterleave_shfl_f32s([at(0), at(lanes), at(2 * lanes), at(3 * lanes)]);
        let far = simd.deinterleave_shfl_f32s([
            at(STEP),
            at(STEP + lanes),
            at(STEP + 2 * lanes),
            at(STEP + 3 * lanes),
        ]);
        *row = [near[0], near[1], near[2], near[3], far[0], far[1]];
    }
    forward(simd, d, out, stride);
}

/// The same of any tiles: `tile(lane)` gives the slice that a lane's tile reads and its row and column; none is zero.
#[inline(always)]
pub(super) fn transform_any<'a, S: Simd>(
    simd: S,
    tile: impl Fn(usize) -> Option<(Slice<'a>, usize, usize)>,
    out: &mut [S::f32s],
    stride: usize,
) {
    let mut gathered = [[[0.0f32; MOST]; SIDE]; SIDE];
    for lane in 0..S::F32_LANES {
        let Some((slice, row, column)) = tile(lane) else { continue };
        for (i, values) in gathered.iter_mut().enumerate() {
            for (j, values) in values.iter_mut().enumerate() {
                values[lane] = slice.pixel(STEP * column + j, STEP * row + i);
            }
        }
    }
    let mut d = [[simd.splat_f32s(0.0); SIDE]; SIDE];
    for (row, values) in d.iter_mut().zip(&gathered) {
        for (to, values) in row.iter_mut().zip(values) {
            *to = vector(simd, values);
        }
    }
    forward(simd, d, out, stride);
}
