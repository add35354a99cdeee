//! LivePortrait against its reference implementation: the whole way from two pictures to a third.

use std::path::Path;

use candle_core::{DType, Device, Result as CandleResult, Tensor};

use super::judge::Rule;
use super::{Form, Sheet};
use crate::contract::{ModelError, Run};
use crate::models::error::Context;
use crate::models::kernels::Kernels;
use crate::models::liveportrait::files::LivePortraitFiles;
use crate::models::liveportrait::keypoints::{KeyPoints, Motion, rotation};
use crate::models::liveportrait::networks::Networks;
use crate::models::liveportrait::parts::Probe;

/// What f16 may come to at the ends of the networks: shares of an output's standard deviation, root mean square.
const HALF: [(&str, f64); 3] = [("F.feature_3d", 0.01), ("kp.stitched", 0.01), ("image", 0.1)];

/// On the processor both kinds of kernels; a card has one. Half precision runs on both.
pub(super) fn forms(is_card: bool) -> Vec<Form<Kernels>> {
    let form = |precision, here| Form { precision, here, on_processor: Kernels::Fused };
    let (stock, half) = (Kernels::Stock(DType::F32), form("f16", Kernels::Stock(DType::F16)));
    match is_card {
        false => vec![form("f32", Kernels::Fused), form("f32 portable", stock), half],
        true => vec![form("f32", stock), half],
    }
}

/// The networks of `folder`.
pub fn load(folder: &Path, kernels: Kernels, device: &Device) -> Result<Networks, ModelError> {
    let files = LivePortraitFiles::in_folder(folder);
    files.networks(&files.config()?, kernels, device, &Run::unobserved())
}

/// Loads the networks of `folder` and shows what they make of the recorded pictures.
pub fn run(folder: &Path, kernels: Kernels, device: &Device, sheet: &mut Sheet) -> Result<(), ModelError> {
    let networks = load(folder, kernels, device)?;
    let io = &sheet.recorded;
    let picture = |name: &str| {
        let carried = io.input(name)?.to_device(device).and_then(|it| it.to_dtype(kernels.dtype()));
        carried.context(|| format!("carrying over {name}"))
    };
    let inputs = Inputs {
        source: picture("source")?,
        driving: picture("driving")?,
        eyes: rows(io.input("eye_close_ratio")?)?,
        lips: rows(io.input("lip_close_ratio")?)?,
    };
    let seen = walk(&networks, &inputs).context(|| format!("running {}", folder.display()))?;
    show(&seen, kernels, sheet).context(|| format!("reading back {}", folder.display()))
}

struct Inputs {
    source: Tensor,
    driving: Tensor,
    eyes: Vec<[f32; 3]>,
    lips: Vec<[f32; 2]>,
}

/// Everything that a run shows, in order, by the fixtures' names.
type Seen = Vec<(String, Tensor)>;

fn seeing<T>(
    seen: &mut Seen,
    who: &str,
    run: impl FnOnce(&mut Probe<'_>) -> CandleResult<T>,
) -> CandleResult<T> {
    let mut see = |name: &str, tensor: &Tensor| {
        // M's heads are recorded once per picture, its stages once.
        let name = match name.strip_prefix("M.") {
            Some(head) if !head.starts_with("stage") => format!("M.{who}.{head}"),
            _ => name.to_owned(),
        };
        if seen.iter().all(|(other, _)| *other != name) {
            seen.push((name, tensor.clone()));
        }
    };
    run(&mut Probe::on(&mut see))
}

fn points(all: &[KeyPoints]) -> CandleResult<Tensor> {
    let values: Vec<f32> = all.iter().flatten().flatten().copied().collect();
    let each = all.first().map_or(0, Vec::len);
    Tensor::from_vec(values, (all.len(), each, 3), &Device::Cpu)
}

fn pose(seen: &mut Seen, who: &str, motions: &[Motion]) -> CandleResult<Vec<KeyPoints>> {
    for (axis, name) in ["pitch", "yaw", "roll"].iter().enumerate() {
        let angles: Vec<f32> = motions.iter().map(|motion| motion.angles[axis]).collect();
        seen.push((format!("M.{who}.{name}_degree"), Tensor::new(angles, &Device::Cpu)?));
    }
    let turned = motions.iter().flat_map(|motion| rotation(motion.angles)).flatten();
    let turned: Vec<f32> = turned.map(|value| value as f32).collect();
    let turned = Tensor::from_vec(turned, (motions.len(), 3, 3), &Device::Cpu)?;
    seen.push((format!("M.{who}.rotation"), turned));
    let all: Vec<KeyPoints> = motions.iter().map(Motion::key_points).collect();
    seen.push((format!("kp.{who}"), points(&all)?));
    Ok(all)
}

fn rows<const N: usize>(tensor: &Tensor) -> Result<Vec<[f32; N]>, ModelError> {
    let rows = tensor.to_vec2::<f32>().context(|| "reading the recorded ratios".to_owned())?;
    let narrowed = rows.into_iter().map(|row| {
        let count = row.len();
        row.try_into()
            .map_err(|_| ModelError::own(format!("a recorded ratio has {count} values, expected {N}")))
    });
    narrowed.collect()
}

fn walk(networks: &Networks, inputs: &Inputs) -> CandleResult<Seen> {
    let mut seen = Seen::new();
    let source = seeing(&mut seen, "source", |probe| networks.motion.forward(&inputs.source, probe))?;
    let source = pose(&mut seen, "source", &source)?;
    let driving = seeing(&mut seen, "driving", |probe| networks.motion.forward(&inputs.driving, probe))?;
    let driving = pose(&mut seen, "driving", &driving)?;

    let eyes = networks.retargeting.eyes(&source, &inputs.eyes)?;
    let lips = networks.retargeting.lips(&source, &inputs.lips)?;
    let stitched = networks.retargeting.stitch(&source, &driving)?;
    seen.push(("retarget_eye.delta".to_owned(), points(&eyes)?));
    seen.push(("retarget_lip.delta".to_owned(), points(&lips)?));
    seen.push(("kp.stitched".to_owned(), points(&stitched)?));

    seeing(&mut seen, "", |probe| {
        let feature = networks.appearance.forward(&inputs.source, probe)?;
        let prepared = networks.warping.source(feature, source, probe)?;
        let warped = networks.warping.forward(&prepared, &stitched, probe)?;
        networks.generator.forward(&warped, probe)
    })?;
    Ok(seen)
}

/// What is recorded of a tensor: fixtures keep large ones sub-sampled.
fn as_recorded(name: &str, ours: &Tensor, reference: &Tensor) -> CandleResult<Tensor> {
    match name {
        "F.first" => {
            let (_, _, height, width) = ours.dims4()?;
            let every = |count: usize| {
                let places: Vec<u32> = (0..count as u32).step_by(4).collect();
                Tensor::new(places, ours.device())
            };
            ours.index_select(&every(height)?, 2)?.index_select(&every(width)?, 3)
        }
        "W.hourglass" | "W.deformed_feature" => ours.narrow(1, 0, reference.dim(1)?),
        _ => Ok(ours.clone()),
    }
}

fn show(seen: &Seen, kernels: Kernels, sheet: &mut Sheet) -> CandleResult<()> {
    let is_half = kernels.dtype() != DType::F32;
    for (name, ours) in seen {
        let Ok(reference) = sheet.recorded.output(name) else { continue };
        let ours = as_recorded(name, ours, reference)?;
        let bound = HALF.iter().find(|(known, _)| known == name);
        match bound {
            Some((_, share)) if is_half => sheet.put_by(name, &ours, Rule::Spread(*share))?,
            _ if is_half => {}
            _ => sheet.put(name, &ours)?,
        }
        if name == "image" && !is_half {
            // The published wrapper cuts off instead of rounding; one level is the rule for pictures.
            sheet.put_by("image_u8", &(ours * 255.0)?.floor()?, Rule::Within(1.0))?;
        }
    }
    Ok(())
}
