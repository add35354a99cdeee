//! Stored matrices, one below the other, as panels for the processor's product: a block of their values is unpacked and
//! turned into a panel in the cache, each time that it is multiplied. No second copy of the weights exists.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{CpuStorage, Result, Storage, Tensor, bail};
use half::slice::HalfFloatSliceExt;
use parking_lot::RwLockReadGuard;

use super::super::nf4;
use super::super::panels::{Columns, UNIT, WIDTH};
use super::blocks;
use super::weight::{Gguf, Weight};
use crate::simd::{Coming, Row, kernel, turn};

/// Values between the beginnings of rows that are unpacked to be turned: a power of two would put them all into a few
/// lines of the first-level cache.
const STRIDE: usize = UNIT + 16;

/// One stored matrix in host memory.
enum Held<'a> {
    Plain { storage: RwLockReadGuard<'a, Storage>, start: usize },
    Nf4(nf4::Held<'a>),
    Gguf { pieces: Vec<Cow<'a, [u8]>>, piece_rows: usize, dtype: GgmlDType },
}

impl<'a> Held<'a> {
    fn of(weight: &'a Weight) -> Result<Self> {
        match weight {
            Weight::Plain(tensor) => Self::of_floats(tensor),
            Weight::Nf4(packed) => Ok(Self::Nf4(packed.held()?)),
            Weight::Gguf(Gguf { piece_rows, pieces, .. }) => {
                let dtype = pieces.first().map_or(GgmlDType::Q8_0, QTensor::dtype);
                if !blocks::is_known(dtype) || !UNIT.is_multiple_of(dtype.block_size()) {
                    bail!("a matrix of {dtype:?} blocks in host memory cannot be multiplied")
                }
                let pieces = pieces.iter().map(QTensor::data).collect::<Result<_>>()?;
                Ok(Self::Gguf { pieces, piece_rows: *piece_rows, dtype })
            }
        }
    }

    fn of_floats(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let known =
            matches!(&*storage, Storage::Cpu(CpuStorage::F32(_) | CpuStorage::F16(_) | CpuStorage::BF16(_)));
        let start = layout.start_offset();
        match (known, layout.is_contiguous()) {
            (true, true) => Ok(Self::Plain { storage, start }),
            (false, _) => bail!("a matrix of {:?} cannot be multiplied in host memory", tensor.dtype()),
            (_, false) => bail!("a matrix in host memory is kept in one piece"),
        }
    }

    /// Values `steps` of `row`, one of rows of `cols` values, into `out`.
    fn unpack(&self, row: usize, cols: usize, steps: &Range<usize>, out: &mut [f32]) {
        let first = row * cols + steps.start;
        match self {
            Self::Plain { storage, start } => {
                let range = start + first..start + first + steps.len();
                match &**storage {
                    Storage::Cpu(CpuStorage::F32(values)) => out.copy_from_slice(&values[range]),
                    Storage::Cpu(CpuStorage::F16(values)) => values[range].convert_to_f32_slice(out),
                    Storage::Cpu(CpuStorage::BF16(values)) => widen(&values[range], out),
                    _ => {}
                }
            }
            Self::Nf4(held) => held.values(first, out),
            Self::Gguf { pieces, piece_rows, dtype } => {
                let bytes = |values: usize| values / dtype.block_size() * dtype.type_size();
                let begin = bytes(row % piece_rows * cols + steps.start);
                let piece = &pieces[row / piece_rows];
                blocks::unpack(*dtype, &piece[begin..begin + bytes(steps.len())], out);
            }
        }
    }

    /// Where values `steps` of `row` lie, and of the `count` rows from there on.
    fn coming(&self, row: usize, count: usize, cols: usize, steps: &Range<usize>) -> Option<Coming> {
        let first = row * cols + steps.start;
        match self {
            Self::Plain { storage, start } => {
                let range = start + first..start + first + steps.len();
                match &**storage {
                    Storage::Cpu(CpuStorage::F32(values)) => {
                        Some(Coming::of(values.get(range)?).in_rows(count, 4 * cols))
                    }
                    Storage::Cpu(CpuStorage::F16(values)) => {
                        Some(Coming::of(values.get(range)?).in_rows(count, 2 * cols))
                    }
                    Storage::Cpu(CpuStorage::BF16(values)) => {
                        Some(Coming::of(values.get(range)?).in_rows(count, 2 * cols))
                    }
                    _ => None,
                }
            }
            Self::Nf4(held) => Some(Coming::of(held.bytes(first, steps.len())?).in_rows(count, cols / 2)),
            Self::Gguf { pieces, piece_rows, dtype } => {
                let bytes = |values: usize| values / dtype.block_size() * dtype.type_size();
                let begin = bytes(row % piece_rows * cols + steps.start);
                let piece = pieces.get(row / piece_rows)?.get(begin..begin + bytes(steps.len()))?;
                Some(Coming::of(piece).in_rows(count.min(piece_rows - row % piece_rows), bytes(cols)))
            }
        }
    }

    /// All values where they are floats of 32 bits.
    fn floats(&self) -> Option<&[f32]> {
        let Self::Plain { storage, start } = self else { return None };
        match &**storage {
            Storage::Cpu(CpuStorage::F32(values)) => Some(&values[*start..]),
            _ => None,
        }
    }
}

kernel! {
    fn widen<'a>(values: &'a [half::bf16], out: &'a mut [f32]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out = f32::from_bits(u32::from(value.to_bits()) << 16);
        }
    }
}

/// Stored matrices of the same number of inputs, one below the other.
pub(super) struct Stack<'a> {
    /// Each with the first of its outputs.
    parts: Vec<(usize, Held<'a>)>,
    inputs: usize,
    outputs: usize,
}

impl<'a> Stack<'a> {
    /// Of `parts`, which have `inputs` inputs and `outputs` outputs in all and lie in host memory.
    pub(super) fn of(parts: &'a [Weight], inputs: usize, outputs: usize) -> Result<Self> {
        let mut first = 0;
        let mut held = Vec::with_capacity(parts.len());
        for part in parts {
            held.push((first, Held::of(part)?));
            first += part.dims()?.0;
        }
        if first != outputs {
            bail!("parts of {first} outputs in a layer of {outputs}")
        }
        Ok(Self { parts: held, inputs, outputs })
    }

    /// The part that `column` lies in, and that part's first column.
    fn part(&self, column: usize) -> Option<&(usize, Held<'a>)> {
        self.parts.get(self.parts.partition_point(|(first, _)| *first <= column).checked_sub(1)?)
    }
}

impl Columns for Stack<'_> {
    fn depth(&self) -> usize {
        self.inputs
    }

    fn columns(&self) -> usize {
        self.outputs
    }

    fn panel<'a>(&'a self, index: usize, steps: Range<usize>, room: &'a mut [Row]) -> &'a [Row] {
        let columns = index * WIDTH..((index + 1) * WIDTH).min(self.outputs);
        let parts = [columns.start, columns.end - 1].map(|column| self.part(column));
        if let [Some((first, part)), Some((last, _))] = parts
            && first == last
            && columns.len() == WIDTH
            && let Some(values) = part.floats()
        {
            turn(&values[(columns.start - first) * self.inputs + steps.start..], self.inputs, room);
            return room;
        }
        // Columns that the last panel lacks stay zeros.
        let mut rows = [0.0; WIDTH * STRIDE];
        for (unit, room) in room.chunks_mut(UNIT).enumerate() {
            let start = steps.start + unit * UNIT;
            let steps = start..start + room.len();
            for (column, row) in columns.clone().zip(rows.chunks_exact_mut(STRIDE)) {
                if let Some((first, part)) = self.part(column) {
                    part.unpack(column - first, self.inputs, &steps, &mut row[..room.len()]);
                }
            }
            turn(&rows, STRIDE, room);
        }
        room
    }

    fn coming(&self, index: usize, steps: Range<usize>) -> Coming {
        let columns = index * WIDTH..((index + 1) * WIDTH).min(self.outputs);
        // Of a panel that two parts share, the first one's columns.
        let found = self.part(columns.start).filter(|_| !columns.is_empty());
        let coming = found
            .and_then(|(first, part)| part.coming(columns.start - first, columns.len(), self.inputs, &steps));
        coming.unwrap_or(Coming::NOTHING)
    }

    fn needs_room(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::tests::runs_wide;

    #[test]
    fn halves_are_widened_on_the_widest_vectors() {
        runs_wide(&["widen"], || {
            let mut out = [0.0; 3];
            widen(&[1.5, -2.0, 0.25].map(half::bf16::from_f32), &mut out);
            assert_eq!(out, [1.5, -2.0, 0.25]);
        });
    }
}
