//! The models against recordings of their reference implementations: what tests and `gpu-check` both compare.
//!
//! A fixture set is a folder with small weights and what the reference made of them; nothing here knows its sizes. Each
//! family's file runs its networks and fills a [`Sheet`]; [`judge`] holds every tolerance. Whatever cannot be compared
//! is a comparison that failed, with the reason: nothing is left out silently.

pub(crate) mod clip;
pub mod flux;
mod host;
pub mod judge;
pub mod kokoro;
pub mod liveportrait;
mod packed;
pub mod recorded;
pub mod sets;
mod sheet;

use std::path::Path;

use candle_core::Device;
use serde::Serialize;

use self::judge::Judged;
use self::recorded::Recorded;
use self::sets::{Kind, Set};
pub use self::sheet::Sheet;
use super::device;
use crate::contract::ModelError;
use crate::types::{Bytes, DeviceId};

/// What an output was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The recording.
    Reference,
    /// What this program makes on the processor.
    Processor,
}

/// One output compared with one other.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The set's folder, from where sets were looked for.
    pub set: String,
    /// The output's recorded name.
    pub output: String,
    /// With what.
    pub against: Against,
    /// Where it was made.
    pub device: DeviceId,
    /// In what.
    pub precision: &'static str,
    /// How far apart.
    #[serde(flatten)]
    pub judged: Judged,
}

/// One way to run a family's networks, and the processor's way that it is compared with.
struct Form<F> {
    precision: &'static str,
    here: F,
    on_processor: F,
}

/// Compares everything that `set` records with what `id` makes of it, and on a card also with what the processor makes.
pub fn compare(set: &Set, id: DeviceId) -> Vec<Comparison> {
    let made = match device::open(id, Bytes::ZERO) {
        Ok(device) => all(set, id, &device),
        Err(error) => Err(error),
    };
    made.unwrap_or_else(|error| vec![failed(set, id, "every output", error.chain())])
}

/// A comparison that could not be made.
fn failed(set: &Set, id: DeviceId, output: &str, why: String) -> Comparison {
    Comparison {
        set: set.name.clone(),
        output: output.to_owned(),
        against: Against::Reference,
        device: id,
        precision: "-",
        judged: Judged::failed(why),
    }
}

/// That no set of `kind` was found where one was wanted.
pub fn missing(kind: Kind, root: &Path, id: DeviceId) -> Comparison {
    let set = Set { kind: Some(kind), name: kind.name().to_owned(), folder: root.to_owned() };
    let why = format!("{} holds no set of {}: {}", root.display(), kind.name(), kind.looks_like());
    failed(&set, id, "every output", why)
}

fn all(set: &Set, id: DeviceId, device: &Device) -> Result<Vec<Comparison>, ModelError> {
    let folder = set.folder.as_path();
    let is_card = !device.is_cpu();
    match set.kind {
        Some(Kind::Clip) => Ok(each(set, id, device, &clip::forms(), |form, device, sheet| {
            clip::run(folder, *form, device, sheet)
        })),
        Some(Kind::Flux) => Ok(each(set, id, device, &flux::forms(is_card), |options, device, sheet| {
            flux::run(&super::flux::files::FluxFiles::find(folder)?, options, device, sheet)
        })),
        Some(Kind::Kokoro) => Ok(each(set, id, device, &kokoro::forms(is_card), |kernels, device, sheet| {
            kokoro::run(folder, *kernels, device, sheet)
        })),
        Some(Kind::LivePortrait) => {
            Ok(each(set, id, device, &liveportrait::forms(is_card), |kernels, device, sheet| {
                liveportrait::run(folder, *kernels, device, sheet)
            }))
        }
        Some(Kind::Nf4) => packed::nf4(folder, device).map(|sheets| pairs(set, id, "nf4", &sheets)),
        Some(Kind::Gguf) => packed::gguf(folder, device).map(|sheets| pairs(set, id, "gguf", &sheets)),
        // Pictures are prepared and texts are split on the processor, whatever the device.
        Some(Kind::Pictures) => host::pictures(folder).map(|sheet| host_rows(set, &sheet)),
        Some(Kind::Texts) => host::texts(folder).map(|sheet| host_rows(set, &sheet)),
        None => Err(ModelError::own(format!("{}: {}", set.folder.display(), sets::unknown(folder)))),
    }
}

/// A sheet filled on the device and, on a card, one filled on the processor.
type Sheets = (Sheet, Option<Sheet>);

fn pairs(set: &Set, id: DeviceId, precision: &'static str, (here, there): &Sheets) -> Vec<Comparison> {
    rows(set, id, precision, here, there.as_ref())
}

fn host_rows(set: &Set, sheet: &Sheet) -> Vec<Comparison> {
    rows(set, DeviceId::Cpu, "exact", sheet, None)
}

/// Every form's rows.
fn each<F>(
    set: &Set,
    id: DeviceId,
    device: &Device,
    forms: &[Form<F>],
    run: impl Fn(&F, &Device, &mut Sheet) -> Result<(), ModelError>,
) -> Vec<Comparison> {
    let mut found = Vec::new();
    for (place, form) in forms.iter().enumerate() {
        let filled = |how: &F, device: &Device| -> Result<Sheet, ModelError> {
            let mut sheet = Sheet::new(Recorded::read(&set.folder)?);
            run(how, device, &mut sheet)?;
            Ok(sheet)
        };
        let sheets = filled(&form.here, device).and_then(|here| {
            let there = (!device.is_cpu()).then(|| filled(&form.on_processor, &Device::Cpu)).transpose()?;
            Ok((here, there))
        });
        match sheets {
            Ok((here, there)) => {
                found.extend(rows(set, id, form.precision, &here, there.as_ref()));
                // The first form shows everything; the others only what is judged in their precision.
                let left_out = if place == 0 { here.left_out() } else { Vec::new() };
                found.extend(left_out.into_iter().map(|(output, why)| failed(set, id, &output, why)));
            }
            Err(error) => {
                let mut row = failed(set, id, "every output", error.chain());
                row.precision = form.precision;
                found.push(row);
            }
        }
    }
    found
}

fn rows(
    set: &Set,
    id: DeviceId,
    precision: &'static str,
    here: &Sheet,
    there: Option<&Sheet>,
) -> Vec<Comparison> {
    let is_card = id != DeviceId::Cpu;
    let row = |output: &str, against, judged| Comparison {
        set: set.name.clone(),
        output: output.to_owned(),
        against,
        device: id,
        precision,
        judged,
    };
    let mut found = Vec::new();
    for shown in here.shown() {
        let judged = judge::judge(&shown.ours, &shown.reference, shown.rule, shown.noise, is_card);
        found.push(row(&shown.name, Against::Reference, judged));
    }
    for shown in here.shown().iter().filter(|_| there.is_some()) {
        let judged = match there.and_then(|there| there.ours(&shown.name)) {
            Some(theirs) => judge::judge(&shown.ours, theirs, shown.rule, shown.noise, is_card),
            None => Judged::failed("the processor shows no such output".to_owned()),
        };
        found.push(row(&shown.name, Against::Processor, judged));
    }
    found
}
