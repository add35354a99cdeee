//! bitsandbytes' layout: what `Linear4bit.state_dict()` names.
//!
//! `X` u8 \[bytes, 1\]; `X.absmax` f32 or, nested, u8 \[blocks\]; `X.quant_map` f32 \[16\]; `X.nested_absmax`,
//! `X.nested_quant_map`; `X.quant_state.bitsandbytes__nf4`, a JSON text as bytes with shape, block size, dtype, offset.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use super::{Absmax, BLOCK, NESTED_BLOCK, Nf4};

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
    if tensors.contains_tensor(&part("quant_state.bitsandbytes__fp4")) {
        candle_core::bail!("{name} is stored as fp4; of bitsandbytes' 4-bit types nf4 is understood")
    }
    let state_name = part("quant_state.bitsandbytes__nf4");
    if !tensors.contains_tensor(&state_name) {
        return Ok(None);
    }
    let host = tensors.clone().set_device(Device::Cpu);
    let text = host.get_unchecked_dtype(&state_name, DType::U8)?.flatten_all()?.to_vec1::<u8>()?;
    let state: State = match serde_json::from_slice(&text) {
        Ok(state) => state,
        Err(error) => candle_core::bail!("{state_name} does not say how {name} is packed: {error}"),
    };
    let rounding = check(name, &state)?;
    let &[rows, cols] = state.shape.as_slice() else {
        candle_core::bail!("{name} has shape {:?}; an NF4 weight is a matrix", state.shape)
    };
    // A corrupted shape must not overflow the sizes computed from it.
    let Some(count) = rows.checked_mul(cols).filter(|count| *count > 0 && *count < isize::MAX as usize / 8)
    else {
        candle_core::bail!("{name} has shape {:?}, which no matrix has", state.shape)
    };
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
