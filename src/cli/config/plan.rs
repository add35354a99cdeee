//! The memory that these settings and their bundle come to, and where each amount comes from.

use std::io;

use candle_core::Device;
use serde_json::{Value, json};

use crate::app::bundle::{budgets, there};
use crate::app::settings;
use crate::cli::Console;
use crate::config::preflight::{Budget, Budgets, needed, preflight};
use crate::config::{Loaded, Settings};
use crate::models::workspace::SlotSize;
use crate::types::{Bytes, DeviceId, ModelId};
use crate::vram::policy::Fit;

/// What is planned for the largest usual slot.
pub(super) struct Planned {
    /// Of which bundle; none where the settings name every amount.
    bundle: Option<String>,
    budgets: Budgets,
    overhead: Bytes,
    needed: Fit,
    /// Below the hard limit; none where that is a share of what will be free.
    spare: Option<Bytes>,
}

/// Adds up; where that cannot be done, why.
pub(super) fn plan(loaded: &Loaded) -> Result<Planned, String> {
    let settings = &loaded.settings;
    let (bundle, budgets) = match Budgets::set(settings) {
        Some(budgets) => (None, budgets),
        None => {
            let chosen = there(None, loaded)
                .ok_or("no weights are configured, and random ones are only made up where they are used")?;
            let chosen = chosen.map_err(|error| error.to_string())?;
            let device = device(settings)?;
            let budgets = budgets(&chosen.bundle, settings, &device, SlotSize::PLANNED)
                .map_err(|error| error.to_string())?;
            (Some(chosen.bundle.name), budgets)
        }
    };
    let spare = match preflight(settings, &budgets, None) {
        None => None,
        Some(Ok(fit)) => Some(fit.spare),
        Some(Err(misfit)) => return Err(misfit.to_string()),
    };
    let (overhead, needed) = (settings.memory.overhead, needed(settings, &budgets));
    Ok(Planned { bundle, budgets, overhead, needed, spare })
}

/// The first device that the models would live on.
fn device(settings: &Settings) -> Result<Device, String> {
    let devices = settings::devices(settings).map_err(|error| error.to_string())?;
    match devices.first() {
        Some(DeviceId::Cpu) | None => Ok(Device::Cpu),
        Some(other) => settings::open(*other, settings).map_err(|error| error.to_string()),
    }
}

impl Planned {
    pub(super) fn json(&self) -> Value {
        let models: Value = ModelId::ALL
            .iter()
            .map(|model| (model.name().to_owned(), json!(self.budgets.of(*model))))
            .collect();
        json!({
            "bundle": self.bundle, "models": models, "residents": self.needed.residents,
            "workspaces": self.needed.workspaces, "overhead": self.overhead, "needed": self.needed.needed,
            "spare": self.spare,
        })
    }

    pub(super) fn print(&self, console: &mut Console) -> io::Result<()> {
        let of = self.bundle.as_ref().map(|name| format!(" of bundle {name}")).unwrap_or_default();
        writeln!(console.out(), "memory plan{of}, for slots of 45 s at 512x512:")?;
        for model in ModelId::ALL {
            let Budget { resident, workspace } = self.budgets.of(model);
            let resident = resident.to_string();
            writeln!(console.out(), "  {model:13} budget {resident:28} a job {workspace}")?;
        }
        let Fit { residents, workspaces, needed, .. } = self.needed;
        let overhead = self.overhead;
        let spare = match self.spare {
            Some(spare) => format!(", {spare} below the hard limit"),
            None => "; the limits are shares of what is free at start".to_owned(),
        };
        writeln!(
            console.out(),
            "  residents {residents} + workspaces at once {workspaces} + overhead {overhead} = {needed}{spare}"
        )
    }
}
