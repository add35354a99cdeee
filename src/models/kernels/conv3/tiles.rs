//! Where tiles lie and how their inputs are read: a vector of neighbouring tiles at a time.
//!
//! Tiles are counted row by row, and read from lines laid out with their margin, four pixels apart by shuffles of whole
//! vectors: those of one row where they lie, those of several after their parts were copied together. Only volumes whose
//! slices do not begin with a vector are gathered pixel by pixel. Owns no memory.

use pulp::Simd;

use super::transform::{Lines, MOST_SIDE, STEP, Three, Tile, vector};

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
    /// What stands at (x, y) is the pixel at (x + `shift[1]`, y + `shift[0]`); none where pixels are enlarged.
    shift: [isize; 2],
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
            shift: [0, 0],
        }
    }
}

impl Slice<'_> {
    /// The same with its pixels elsewhere.
    pub(super) fn shifted(self, shift: [isize; 2]) -> Self {
        Self { shift, ..self }
    }

    /// Values of one line of [`Slice::lay_out`]: a margin on both sides, whole vectors.
    pub(super) fn pitch(width: usize) -> usize {
        (STEP * width.div_ceil(STEP) + STEP).next_multiple_of(MOST)
    }

    /// The lines that `T`'s tiles of row `row` and the `count` − 1 rows after it read, [`Slice::pitch`] values each.
    #[inline(always)]
    pub(super) fn lay_out<T: Tile>(self, row: usize, count: usize, lines: &mut [f32]) {
        self.lay_out_lines(STEP * row, STEP * count + T::SIDE - STEP, Self::pitch(self.width), lines);
    }

    /// `count` lines of `pitch` values from the one above row `row` on: each begins with the pixel left of the picture, and
    /// what lies outside is zero.
    #[inline(always)]
    pub(super) fn lay_out_lines(self, row: usize, count: usize, pitch: usize, lines: &mut [f32]) {
        let [down, along] = self.shift;
        // The first pixel of a row that is seen, and where it goes.
        let first = along.saturating_sub(1).max(0).unsigned_abs().min(self.width);
        let before = 1isize.saturating_sub(along).max(0).unsigned_abs().min(pitch);
        let seen = (self.width - first).min(pitch - before);
        for place in 0..count {
            let y = (row + place).wrapping_add_signed(down - 1);
            let (above, line) = lines[..(place + 1) * pitch].split_at_mut(place * pitch);
            if y >= self.height {
                line.fill(0.0);
                continue;
            }
            if place > 0 && !y.is_multiple_of(self.factor) {
                line.copy_from_slice(&above[(place - 1) * pitch..]);
                continue;
            }
            let width = self.width / self.factor;
            let source = &self.data[y / self.factor * width..][..width];
            line[..before].fill(0.0);
            line[before + seen..].fill(0.0);
            let inner = &mut line[before..before + seen];
            match self.factor {
                1 => inner.copy_from_slice(&source[first..first + seen]),
                2 => repeat::<2>(inner, source),
                4 => repeat::<4>(inner, source),
                factor => {
                    for (x, value) in inner.iter_mut().enumerate() {
                        *value = source[x / factor];
                    }
                }
            }
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

/// Transforms the vector of tiles from tile `first` on of those whose lines were laid out, `columns` in a row and `tiles` in
/// all; point p goes to `out[p · stride]`. The tiles come out in the order in which `interleave_shfl_f32s` puts them back.
#[inline(always)]
pub(super) fn transform<S: Simd, T: Tile>(
    simd: S,
    lines: &[f32],
    pitch: usize,
    [first, columns, tiles]: [usize; 3],
    out: &mut [S::f32s],
    stride: usize,
) {
    let of = |tile: usize| tile / columns * STEP * pitch + tile % columns * STEP;
    if first % columns + S::F32_LANES <= columns {
        let near = &lines[of(first)..];
        return T::forward(simd, Lines { near, far: &near[STEP..], pitch }, out, stride);
    }
    let mut parts = [[[0.0; STEP * MOST]; MOST_SIDE]; 2];
    let (mut at, end) = (first, tiles.min(first + S::F32_LANES));
    while at < end {
        let count = (columns - at % columns).min(end - at);
        let to = STEP * (at - first)..STEP * (at - first + count);
        for i in 0..T::SIDE {
            let line = &lines[of(at) + i * pitch..][..STEP * (count + 1)];
            parts[0][i][to.clone()].copy_from_slice(&line[..STEP * count]);
            parts[1][i][to.clone()].copy_from_slice(&line[STEP..]);
        }
        at += count;
    }
    let [near, far] = &parts;
    let (near, far) = (near.as_flattened(), far.as_flattened());
    T::forward(simd, Lines { near, far, pitch: STEP * MOST }, out, stride);
}

/// The same of any tiles, in their own order: `tile(lane)` gives the slice that a lane's tile reads and its row and column;
/// none is zero.
#[inline(always)]
pub(super) fn transform_any<'a, S: Simd>(
    simd: S,
    tile: impl Fn(usize) -> Option<(Slice<'a>, usize, usize)>,
    out: &mut [S::f32s],
    stride: usize,
) {
    const SIDE: usize = Three::SIDE;
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
    Three::transform(simd, &d, out, stride);
}
