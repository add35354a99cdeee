//! Memory that is fetched while something else is computed.

/// What is fetched where nothing is coming: a line that there is, as the tables of pages would be searched for any other.
static SOMEWHERE: u8 = 0;

/// Where values lie that will be needed soon: rows of as many bytes each, `pitch` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coming {
    start: *const u8,
    bytes: usize,
    rows: usize,
    pitch: usize,
}

impl Coming {
    pub(crate) const NOTHING: Self = Self { start: &raw const SOMEWHERE, bytes: 0, rows: 0, pitch: 0 };

    /// Values side by side.
    pub(crate) fn of<T>(values: &[T]) -> Self {
        Self { start: values.as_ptr().cast(), bytes: size_of_val(values), rows: 1, pitch: 0 }
    }

    /// As many bytes again in each of `rows` rows, of which this is the first.
    pub(crate) fn in_rows(self, rows: usize, pitch: usize) -> Self {
        Self { rows, pitch, ..self }
    }

    /// The part `index` of `count` that are about equal, for a loop of `steps` that does other work.
    pub(crate) fn part(self, index: usize, count: usize, steps: usize) -> Ahead {
        let Self { start, bytes, rows, pitch } = self;
        if bytes == 0 || rows == 0 || steps == 0 || index >= count {
            return Ahead { every: steps.max(1), ..Ahead::NOTHING };
        }
        if count < rows {
            // Some whole rows, one after the other.
            let [first, last] = [index, index + 1].map(|index| index * rows / count);
            let every = (steps / (last - first)).max(1);
            return Ahead {
                row: start.wrapping_add(first * pitch),
                pitch,
                every,
                stride: bytes.div_ceil(every),
            };
        }
        // A piece of one row.
        let row = index * rows / count;
        let [first, last] = [row, row + 1].map(|row| (row * count).div_ceil(rows));
        let [from, to] = [index, index + 1].map(|index| bytes * (index - first) / (last - first));
        let stride = (to - from).div_ceil(steps);
        Ahead { row: start.wrapping_add(row * pitch + from), pitch: 0, every: steps, stride }
    }
}

/// Fetches a part of what is coming a step at a time: its cache lines are on the way to the second-level cache when they
/// are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ahead {
    row: *const u8,
    /// Bytes from row to row.
    pitch: usize,
    /// Steps that a row takes.
    every: usize,
    /// Bytes from step to step.
    stride: usize,
}

impl Ahead {
    const NOTHING: Self = Self { row: &raw const SOMEWHERE, pitch: 0, every: 1, stride: 0 };

    /// How many steps a row takes, at least one.
    #[inline(always)]
    pub(crate) fn every(&self) -> usize {
        self.every
    }

    /// Goes on to the next row; the one that was current.
    #[inline(always)]
    pub(crate) fn row(&mut self) -> Line {
        let line = Line { at: self.row, stride: self.stride };
        self.row = self.row.wrapping_add(self.pitch);
        line
    }
}

/// What is left of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    at: *const u8,
    stride: usize,
}

impl Line {
    #[inline(always)]
    pub(crate) fn step(&mut self) {
        fetch(self.at);
        self.at = self.at.wrapping_add(self.stride);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fetch(at: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
    // SAFETY: a hint, which reads nothing that the program could see and faults for no address. SSE is part of x86-64.
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(at.cast());
    }
}

// Elsewhere stable Rust has no such instruction.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn fetch(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes after `start` whose lines are fetched by all parts together.
    fn fetched(coming: Coming, start: *const u8, count: usize, steps: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for index in 0..count {
            let mut ahead = coming.part(index, count, steps);
            let mut left = steps;
            while left > 0 {
                let mut line = ahead.row();
                for _ in 0..ahead.every().min(left) {
                    found.push(line.at.addr() - start.addr());
                    line.step();
                }
                left -= ahead.every().min(left);
            }
        }
        found
    }

    #[test]
    fn parts_together_touch_every_whole_line_of_every_row() {
        let values = vec![0u8; 40 * 1000];
        for (rows, pitch, bytes) in
            [(1, 0, 40_000), (1, 0, 1000), (32, 1000, 768), (32, 1000, 130), (3, 9000, 700)]
        {
            let coming = Coming::of(&values[..bytes]).in_rows(rows, pitch);
            for count in [1, 2, 5, 7, 31, 32, 33, 43, 86] {
                // As many steps as there are lines, at least.
                let steps = (rows * (bytes / 64 + 2)).div_ceil(count).max(rows).next_multiple_of(16);
                let found = fetched(coming, values.as_ptr(), count, steps);
                // A row's last bytes may have a line to themselves, which is left to whoever reads them.
                for line in (0..rows).flat_map(|row| (row * pitch..row * pitch + bytes - 63).step_by(64)) {
                    let seen = found.iter().any(|at| at / 64 == line / 64);
                    assert!(seen, "{rows} rows of {bytes}, {count} parts of {steps}: {line} is missed");
                }
                // Steps are of whole bytes and rows of whole steps, so the last ones may lie a row behind the end.
                let last = rows * pitch + bytes + steps;
                assert!(found.iter().all(|at| *at < last), "{rows} rows, {count} parts: beyond the end");
            }
        }
    }

    #[test]
    fn nothing_is_fetched_of_nothing() {
        for coming in [Coming::NOTHING, Coming::of::<f32>(&[]), Coming::of(&[1.0]).in_rows(0, 64)] {
            assert_eq!(coming.part(0, 3, 10), Ahead { every: 10, ..Ahead::NOTHING });
        }
    }
}
