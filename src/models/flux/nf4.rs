//! [NF4 matrices](crate::models::kernels::nf4) in bitsandbytes' layout: what `Linear4bit.state_dict()` names.
//!
//! `X` u8 \[bytes, 1\]; `X.absmax` f32 or, nested, u8 \[blocks\]; `X.quant_map` f32 \[16\]; `X.nested_absmax`,
//! `X.nested_quant_map`; `X.quant_state.bitsandbytes__nf4`, a JSON text as bytes with shape, block size, dtype, offset.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use crate::models::kernels::nf4::{Absmax, BLOCK, NESTED_BLOCK, Nf4};
use crate::models::weights::Weights;

#[derive(Deserialize)]
struct State {
    quant_type: String,
    blocksize: usize,
    dtype: String,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_offset: Option<f32>,
}

/// The packed matrix `name` where `tensors` hold one in this layout, else `None`.
pub fn read(tensors: &VarBuilder<'_>, name: &str, device: &Device) -> Result<Option<Nf4>> {
    let part = |part: &str| format!("{name}.{part}");
    if tensors.contains_tensor(&part(FP4)) {
        candle_core::bail!("{name} is stored as fp4; of bitsandbytes' 4-bit types nf4 is understood")
    }
    let state_name = part(NF4);
    if !tensors.contains_tensor(&state_name) {
        return Ok(None);
    }
    let host = tensors.clone().set_device(Device::Cpu);
    let text = host.get_unchecked_dtype(&state_name, DType::U8)?.flatten_all()?.to_vec1::<u8>()?;
    let Said { state, rows, cols, rounding } = Said::of(name, &text)?;
    let count = rows * cols;
    let blocks = count.div_ceil(BLOCK);
    let packed = host.get_with_hints_dtype((count.div_ceil(2), 1), name, candle_nn::init::ZERO, DType::U8)?;
    let floats = |part_name: &str, len: usize| {
        host.get_with_hints_dtype(len, &part(part_name), candle_nn::init::ZERO, DType::F32)
    };
    let levels = floats("quant_map", 16)?.to_vec1::<f32>()?;
    let mut table = [0f32; 16];
    table.copy_from_slice(&levels);
    let absmax = if let Some(offset) = state.nested_offset {
        Absmax::Nested {
            codes: host.get_with_hints_dtype(blocks, &part("absmax"), candle_nn::init::ZERO, DType::U8)?,
            map: floats("nested_quant_map", 256)?,
            scales: floats("nested_absmax", blocks.div_ceil(NESTED_BLOCK))?,
            offset,
        }
    } else {
        Absmax::Plain(floats("absmax", blocks)?)
    };
    finite(name, &absmax)?;
    Ok(Some(Nf4::new((rows, cols), &packed, absmax, table, rounding)?.to_device(device)?))
}

/// How one of bitsandbytes' 4-bit matrices is marked.
const NF4: &str = "quant_state.bitsandbytes__nf4";
const FP4: &str = "quant_state.bitsandbytes__fp4";

/// Whether `weights` have the matrix `name` in one of bitsandbytes' 4-bit layouts.
pub fn is_stored(weights: &Weights, name: &str) -> bool {
    [NF4, FP4].iter().any(|state| weights.find(&format!("{name}.{state}")).is_some())
}

/// Fails where [`read`] could not read a matrix of `shape` from the packed one that `weights` have as `name`. Looks at
/// shapes and descriptions only.
pub fn fits(weights: &Weights, name: &str, shape: &[usize]) -> Result<()> {
    let Some(state) = weights.find(&format!("{name}.{NF4}")) else {
        candle_core::bail!("is stored as fp4; of bitsandbytes' 4-bit types nf4 is understood")
    };
    let Said { state, rows, cols, .. } = Said::of(name, state.bytes)?;
    if [rows, cols] != *shape {
        candle_core::bail!("stands for a matrix of shape [{rows}, {cols}], expected {shape:?}")
    }
    let blocks = (rows * cols).div_ceil(BLOCK);
    let expect = |part: &str, shape: &[usize], dtype: DType| -> Result<()> {
        let name = format!("{name}{part}");
        let found = weights.find(&name).ok_or_else(|| weights.missing(&name, Some(shape.into())));
        let checked =
            found.and_then(|found| found.expect_shape(shape).and_then(|()| found.expect_dtype(dtype)));
        checked.map_err(candle_core::Error::wrap)
    };
    expect("", &[(rows * cols).div_ceil(2), 1], DType::U8)?;
    expect(".quant_map", &[16], DType::F32)?;
    if state.nested_offset.is_none() {
        return expect(".absmax", &[blocks], DType::F32);
    }
    expect(".absmax", &[blocks], DType::U8)?;
    expect(".nested_quant_map", &[256], DType::F32)?;
    expect(".nested_absmax", &[blocks.div_ceil(NESTED_BLOCK)], DType::F32)
}

/// What a description says, checked.
struct Said {
    state: State,
    rows: usize,
    cols: usize,
    rounding: DType,
}

impl Said {
    fn of(name: &str, text: &[u8]) -> Result<Self> {
        let state: State = match serde_json::from_slice(text) {
            Ok(state) => state,
            Err(error) => candle_core::bail!("{name}.{NF4} does not say how {name} is packed: {error}"),
        };
        let rounding = check(name, &state)?;
        let &[rows, cols] = state.shape.as_slice() else {
            candle_core::bail!("{name} has shape {:?}; an NF4 weight is a matrix", state.shape)
        };
        // A corrupted shape must not overflow the sizes computed from it.
        if rows.checked_mul(cols).is_none_or(|count| count == 0 || count >= isize::MAX as usize / 8) {
            candle_core::bail!("{name} has shape {:?}, which no matrix has", state.shape)
        }
        Ok(Self { state, rows, cols, rounding })
    }
}

fn check(name: &str, state: &State) -> Result<DType> {
    if state.quant_type != "nf4" {
        candle_core::bail!("{name} is quantised as {:?}; nf4 is understood", state.quant_type)
    }
    if state.blocksize != BLOCK || state.nested_blocksize.is_some_and(|size| size != NESTED_BLOCK) {
        candle_core::bail!(
            "{name} has blocks of {} (nested {:?}); blocks of {BLOCK} (nested {NESTED_BLOCK}) are understood",
            state.blocksize,
            state.nested_blocksize
        )
    }
    match state.dtype.as_str() {
        "float32" => Ok(DType::F32),
        "bfloat16" => Ok(DType::BF16),
        "float16" => Ok(DType::F16),
        other => {
            candle_core::bail!("{name} decodes to {other:?}; float32, bfloat16 and float16 are understood")
        }
    }
}

fn finite(name: &str, absmax: &Absmax) -> Result<()> {
    let scales: &Tensor = match absmax {
        Absmax::Plain(values) => values,
        Absmax::Nested { scales, .. } => scales,
    };
    match scales.flatten_all()?.to_vec1::<f32>()?.iter().position(|value| !value.is_finite()) {
        Some(bad) => candle_core::bail!("magnitude {bad} of {name} is not a finite number"),
        None => Ok(()),
    }
}
