//! Packed weights against the libraries that define their formats: unpacked values to the bit, products to the float.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use serde_json::Value;

use super::judge::Rule;
use super::recorded::{self, Recorded};
use super::{Sheet, Sheets};
use crate::contract::ModelError;
use crate::models::error::Context;
use crate::models::flux::gguf::GgufFile;
use crate::models::flux::nf4;
use crate::models::kernels::{Linear, Weight};

type Tensors = HashMap<String, Tensor>;

/// Fills a sheet on `device` and, where that is a card, one on the processor.
fn sheets(
    device: &Device,
    fill: impl Fn(&Device, &mut Sheet) -> Result<(), ModelError>,
) -> Result<Sheets, ModelError> {
    let filled = |device: &Device| -> Result<Sheet, ModelError> {
        let mut sheet = Sheet::new(Recorded::nothing());
        fill(device, &mut sheet)?;
        Ok(sheet)
    };
    let there = (!device.is_cpu()).then(|| filled(&Device::Cpu)).transpose()?;
    Ok((filled(device)?, there))
}

fn find<'a>(io: &'a Tensors, name: &str, file: &Path) -> Result<&'a Tensor, ModelError> {
    io.get(name).ok_or_else(|| ModelError::own(format!("{} records no {name}", file.display())))
}

/// How far the recorded product is from itself in f64.
fn noise(about: &Value, what: &str) -> Result<Option<f64>, ModelError> {
    const FIELD: &str = "y_float32_matmul_vs_float64_max_abs";
    let noise = about[FIELD].as_f64();
    noise.map(Some).ok_or_else(|| ModelError::own(format!("meta.json has no {FIELD} of {what}")))
}

/// A matrix's values and what it makes of the recorded rows.
struct Of<'a> {
    name: &'a str,
    weight: Weight,
    values: &'a Tensor,
    product: Option<(&'a Tensor, &'a Tensor, Option<f64>)>,
}

fn show(of: Of<'_>, device: &Device, sheet: &mut Sheet) -> Result<(), ModelError> {
    let Of { name, weight, values, product } = of;
    let put = |sheet: &mut Sheet| -> candle_core::Result<()> {
        let unpacked = weight.unpacked(DType::F32, device)?;
        let values = values.to_dtype(DType::F32)?;
        sheet.put_beside(&format!("{name} unpacked"), &unpacked, values, (Rule::Unpacked, None))?;
        if let Some((x, y, noise)) = product {
            let ours = Linear::of_parts(vec![weight], None)?.forward(&x.to_device(device)?)?;
            sheet.put_beside(&format!("{name} product"), &ours, y.clone(), (Rule::Floats, noise))?;
        }
        Ok(())
    };
    put(sheet).context(|| format!("running {name}"))
}

/// Every matrix of a folder, with plain and nested magnitudes.
pub(super) fn nf4(folder: &Path, device: &Device) -> Result<Sheets, ModelError> {
    let meta = recorded::meta(folder)?;
    let matrices = meta["matrices"].as_object().filter(|all| !all.is_empty());
    let matrices = matrices
        .ok_or_else(|| ModelError::own(format!("{}/meta.json tells of no matrices", folder.display())))?;
    sheets(device, |device, sheet| {
        for (matrix, about) in matrices {
            let file = folder.join(format!("{matrix}_io.safetensors"));
            let io = recorded::tensors(&file)?;
            for mode in ["plain", "nested"] {
                let stored = recorded::tensors(&folder.join(format!("{matrix}_{mode}.safetensors")))?;
                let builder = VarBuilder::from_tensors(stored, DType::F32, &Device::Cpu);
                let name = format!("{matrix} {mode}");
                let packed = nf4::read(&builder, "layer.weight", device)
                    .context(|| format!("reading {name}"))?
                    .ok_or_else(|| ModelError::own(format!("{name} is no packed matrix")))?;
                // The magnitudes are checked by themselves: a wrong one hides behind a zero.
                let magnitudes = packed.host_absmax().context(|| format!("reading {name}"))?;
                let magnitudes = Tensor::new(magnitudes, &Device::Cpu).context(|| name.clone())?;
                let expected = find(&io, &format!("{mode}.absmax_f32"), &file)?.clone();
                let rule = (Rule::Unpacked, None);
                sheet
                    .put_beside(&format!("{name} magnitudes"), &magnitudes, expected, rule)
                    .context(|| name.clone())?;
                let rounded = io.get(&format!("{mode}.dequant_bf16"));
                let values = match rounded {
                    Some(values) => values,
                    None => find(&io, &format!("{mode}.dequant_f32"), &file)?,
                };
                let (x, y) = (find(&io, "x", &file)?, find(&io, &format!("{mode}.y"), &file)?);
                let product = Some((x, y, noise(&about[mode], &name)?));
                show(Of { name: &name, weight: Weight::Nf4(packed), values, product }, device, sheet)?;
            }
        }
        Ok(())
    })
}

/// Every tensor of a folder's GGUF file.
pub(super) fn gguf(folder: &Path, device: &Device) -> Result<Sheets, ModelError> {
    let meta = recorded::meta(folder)?;
    let described = meta["tensors"].as_object().filter(|all| !all.is_empty());
    let described = described
        .ok_or_else(|| ModelError::own(format!("{}/meta.json tells of no tensors", folder.display())))?;
    let recording = folder.join("io.safetensors");
    let io = recorded::tensors(&recording)?;
    let model = Rc::new(GgufFile::open(&folder.join("model.gguf"))?);
    sheets(device, |device, sheet| {
        for (name, about) in described {
            let values = find(&io, &format!("dequant/{name}"), &recording)?;
            let kind = about["type"].as_str().unwrap_or_default();
            let called = format!("{kind} {name}");
            match values.dims() {
                [rows, cols] => {
                    let weight = model.matrix(name, (*rows, *cols), device);
                    let weight = weight.context(|| format!("reading {name}"))?;
                    let product = match (io.get(&format!("x/{name}")), io.get(&format!("y/{name}"))) {
                        (Some(x), Some(y)) => Some((x, y, noise(about, name)?)),
                        _ => None,
                    };
                    show(Of { name: &called, weight, values, product }, device, sheet)?;
                }
                dims => {
                    let ours = model.tensor(name, dims, device).context(|| format!("reading {name}"))?;
                    let rule = (Rule::Unpacked, None);
                    sheet
                        .put_beside(&format!("{called} unpacked"), &ours, values.clone(), rule)
                        .context(|| called.clone())?;
                }
            }
        }
        Ok(())
    })
}
