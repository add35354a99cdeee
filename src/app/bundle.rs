//! Which bundle of weights is used, and whether the node can hold it: asked for, else the demo that ships with the
//! configuration, else one of random weights, made up once and kept in the data folder.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::app::{BuildError, settings};
use crate::config::preflight::{Amount, AmountSource, Budget, Budgets, preflight};
use crate::config::{BundleChoice, Loaded, Precision, Settings};
use crate::models::bundle::{Bundle, FILE_NAME, Lock, Precision as Kept, Sha256, verify};
use crate::models::catalog::load::flux_options;
use crate::models::catalog::{self, Part};
use crate::models::error::of_load;
use crate::models::flux::files::FluxFiles;
use crate::models::flux::plan::Options as FluxOptions;
use crate::models::synth::{self, Profile};
use crate::models::workspace::{self, Loading, SlotSize};
use crate::types::{Bytes, ModelId};
use crate::vram::policy::Fit;

#[cfg(test)]
mod tests;

/// Where the demo weights lie in the configuration folder.
const DEMO: &str = "bundles/demo";
/// Raised whenever made-up weights of the same seed come out otherwise, so that no older cache is taken for them.
const SYNTHETIC_VERSION: u32 = 2;
/// Any would do; it is part of the cache's name.
const SYNTHETIC_SEED: u64 = 0;

/// How a bundle came to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By flag or setting.
    Given,
    /// The demo weights that ship with the project.
    Demo,
    /// Made up on the spot, or earlier.
    Synthetic,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Given => "given",
            Self::Demo => "demo",
            Self::Synthetic => "synthetic",
        })
    }
}

/// The bundle that is used.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// With all five models, or those that were asked for; the settings' precisions are laid over its own.
    pub bundle: Bundle,
    /// Of its `bundle.toml`.
    pub sha256: Sha256,
    /// Of its lock, where it has one.
    pub lock_sha256: Option<Sha256>,
    /// What tells these weights from all others: of `bundle.toml`, which holds the hashes of everything else; where it
    /// leaves some to the lock, of both.
    pub identity: Sha256,
    /// How it came to be used.
    pub origin: Origin,
    /// What a user has to know of it.
    pub notes: Vec<String>,
}

/// The bundle that `flag`, else the setting `bundle`, names; where both leave it open, the demo bundle, else a made-up
/// one. Hashes only what is made up: tampering with the others is for `check` and `weights verify` to find, and where there
/// is a lock for whoever loads them.
pub fn choose(flag: Option<&Path>, loaded: &Loaded) -> Result<Chosen, BuildError> {
    choose_with(&ModelId::ALL, flag, loaded)
}

/// The same for whoever needs only these models of it.
pub fn choose_with(models: &[ModelId], flag: Option<&Path>, loaded: &Loaded) -> Result<Chosen, BuildError> {
    let settings = &loaded.settings;
    if let Some(there) = there_with(models, flag, loaded) {
        return there;
    }
    let folder = cached(&settings.data_dir.join("bundles"))?;
    let note = format!(
        "no weights are configured and {} is not there, nor shipped with this executable: using random ones from {}, whose pictures and sounds are \
         noise. For real ones fetch a bundle that ships (`vortex-node weights list`), as by `vortex-node weights pull \
         schnell-12gb --into weights`, and name its folder by --bundle or the setting bundle",
        loaded.dir.join(DEMO).display(),
        folder.display()
    );
    chosen(models, &folder, Origin::Synthetic, vec![note], settings)
}

/// The same, where nothing has to be made up for it.
pub fn there(flag: Option<&Path>, loaded: &Loaded) -> Option<Result<Chosen, BuildError>> {
    there_with(&ModelId::ALL, flag, loaded)
}

/// The same for whoever needs only these models of it.
pub fn there_with(
    models: &[ModelId],
    flag: Option<&Path>,
    loaded: &Loaded,
) -> Option<Result<Chosen, BuildError>> {
    let (path, origin) = match (flag, &loaded.settings.bundle) {
        (Some(path), _) => (path.to_owned(), Origin::Given),
        (None, BundleChoice::At(path)) => (path.clone(), Origin::Given),
        (None, BundleChoice::Auto) => (loaded.folder_with(DEMO, FILE_NAME)?, Origin::Demo),
    };
    Some(chosen(models, &path, origin, Vec::new(), &loaded.settings))
}

/// The prompts that the configured bundle, else the demo, is known to paint well; none where there is neither.
pub fn known_prompts(loaded: &Loaded) -> Result<Vec<String>, BuildError> {
    let place = match &loaded.settings.bundle {
        BundleChoice::At(path) => Some(path.clone()),
        BundleChoice::Auto => loaded.folder_with(DEMO, FILE_NAME),
    };
    let Some(place) = place else { return Ok(Vec::new()) };
    Ok(Bundle::open(&place)?.image.vocabulary.map(|words| words.prompts).unwrap_or_default())
}

/// The names of the voices that `bundle` has: those of their files.
pub fn voices_of(bundle: &Bundle) -> Vec<String> {
    let files = bundle.paths(ModelId::Kokoro, "voices");
    files.iter().filter_map(|file| Some(file.file_stem()?.to_string_lossy().into_owned())).collect()
}

/// The voices of the bundle that `flag`, else the setting `bundle`, names, else of the demo, else of a made-up one.
/// Reads the description only; nothing is made up.
pub fn known_voices(flag: Option<&Path>, loaded: &Loaded) -> Result<Vec<String>, BuildError> {
    let demo = loaded.dir.join(DEMO);
    let place = match (flag, &loaded.settings.bundle) {
        (Some(path), _) => path,
        (None, BundleChoice::At(path)) => path.as_path(),
        (None, BundleChoice::Auto) if demo.join(FILE_NAME).exists() => &demo,
        (None, BundleChoice::Auto) => return Ok(synth::VOICES.map(str::to_owned).to_vec()),
    };
    Ok(voices_of(&Bundle::open(place)?))
}

fn chosen(
    models: &[ModelId],
    path: &Path,
    origin: Origin,
    notes: Vec<String>,
    settings: &Settings,
) -> Result<Chosen, BuildError> {
    let bundle = Bundle::open(path)?;
    let missing: Vec<ModelId> =
        models.iter().copied().filter(|model| !bundle.models.contains_key(model)).collect();
    if !missing.is_empty() {
        return Err(BuildError::Incomplete {
            there: bundle.models.keys().copied().collect(),
            bundle: bundle.name,
            path: path.to_owned(),
            missing,
        });
    }
    let description = bundle.folder.join(FILE_NAME);
    let description = if path.is_dir() { &description } else { path };
    let hash = |path: &Path| {
        let read = fs::read(path).map(|text| Sha256::of(&text));
        read.map_err(|source| BuildError::Unreadable { path: path.to_owned(), source })
    };
    let sha256 = hash(description)?;
    let lock_sha256 = bundle.lock.as_ref().map(|_| hash(&Lock::beside(description))).transpose()?;
    let identity = bundle.identity(sha256);
    let bundle = settings::with_precisions(bundle, settings);
    Ok(Chosen { bundle, sha256, lock_sha256, identity, origin, notes })
}

/// The folder of the made-up bundle below `folder`, made where it is not there or not sound.
fn cached(folder: &Path) -> Result<PathBuf, BuildError> {
    let name = format!("synthetic-{}-v{SYNTHETIC_VERSION}-seed{SYNTHETIC_SEED}", Profile::Tiny);
    let place = folder.join(name);
    if is_sound(&place) {
        return Ok(place);
    }
    let failed = |what, path: &Path, source| BuildError::Cache { path: path.to_owned(), what, source };
    fs::create_dir_all(folder).map_err(|error| failed("cannot be made", folder, error))?;
    // Whatever happens, the workshop and all that is left in it go when this ends.
    let workshop = tempfile::Builder::new()
        .prefix(".making-")
        .tempdir_in(folder)
        .map_err(|error| failed("cannot be written", folder, error))?;
    let made = workshop.path().join("made");
    synth::write(&made, &ModelId::ALL, Profile::Tiny, SYNTHETIC_SEED, |_| {})?;
    // A damaged one is moved out of the way first: folders are not replaced.
    if place.exists() {
        fs::rename(&place, workshop.path().join("damaged"))
            .map_err(|error| failed("cannot be moved away", &place, error))?;
    }
    match fs::rename(&made, &place) {
        // Another process was faster; what it made is the same.
        Err(_) if is_sound(&place) => Ok(place),
        Err(error) => Err(failed("cannot be put in place", &place, error)),
        Ok(()) => Ok(place),
    }
}

/// Whether a bundle with all models stands there, every file as described and as this version's networks ask.
fn is_sound(place: &Path) -> bool {
    let Ok(bundle) = Bundle::open(place) else { return false };
    ModelId::ALL.iter().all(|model| bundle.models.contains_key(model))
        && verify::files(&bundle, &ModelId::ALL, |_| {})
            .iter()
            .all(|file| matches!(file.standing, verify::Standing::Sound))
        && verify::networks(&bundle, &ModelId::ALL, false)
            .iter()
            .all(|network| network.outcome.as_ref().is_ok_and(|misfits| misfits.is_usable()))
        && verify::parts(&bundle, &ModelId::ALL).iter().all(|part| part.outcome.is_ok())
}

/// What `model` will hold once loaded on `device` as the settings would have it, part by part.
pub fn plan(
    bundle: &Bundle,
    model: ModelId,
    settings: &Settings,
    device: &candle_core::Device,
) -> Result<Vec<Part>, BuildError> {
    if model != ModelId::Flux {
        return plan_other(bundle, model, device);
    }
    plan_flux(bundle, &settings::flux_options(bundle, settings)?, device)
}

/// Of any model but Flux.
fn plan_other(
    bundle: &Bundle,
    model: ModelId,
    device: &candle_core::Device,
) -> Result<Vec<Part>, BuildError> {
    if model == ModelId::LivePortrait && device.is_cpu() {
        // There it computes in f32, whatever the bundle says.
        let mut wide = bundle.clone();
        wide.models.entry(model).and_modify(|entry| entry.precision = Kept::F32);
        return Ok(catalog::plan(&wide, model).map_err(of_load)?);
    }
    Ok(catalog::plan(bundle, model).map_err(of_load)?)
}

/// The same, loaded as the bundle would have it.
fn own_plan(bundle: &Bundle, model: ModelId, device: &candle_core::Device) -> Result<Vec<Part>, BuildError> {
    if model != ModelId::Flux {
        return Ok(catalog::plan(bundle, model).map_err(of_load)?);
    }
    plan_flux(bundle, &flux_options(bundle.model(model)?), device)
}

fn plan_flux(
    bundle: &Bundle,
    options: &FluxOptions,
    device: &candle_core::Device,
) -> Result<Vec<Part>, BuildError> {
    let parts = FluxFiles::of_bundle(bundle)
        .and_then(|files| crate::models::flux::load::plan(&files, options, device))
        .map_err(of_load)?;
    // On the processor, the device's memory is the host's.
    let counted = |part: Part| Part { counts: part.counts || (device.is_cpu() && part.is_held()), ..part };
    Ok(parts.iter().map(Part::of_flux).map(counted).collect())
}

/// What of `parts` counts against a budget.
pub fn planned(parts: &[Part]) -> Bytes {
    parts.iter().filter(|part| part.counts).map(|part| part.bytes).sum()
}

/// What every model of `bundle` may take on `device`, in slots of `size`; all budgets that are too small at once.
pub fn budgets(
    bundle: &Bundle,
    settings: &Settings,
    device: &candle_core::Device,
    size: SlotSize,
) -> Result<Budgets, BuildError> {
    let mut beyond = Vec::new();
    let all = Budgets::new(|model| {
        budget(bundle, model, settings, device, size).inspect_err(|error| {
            if let BuildError::OverBudget { beyond: found, .. } = error {
                beyond.extend_from_slice(found);
            }
        })
    });
    match all {
        Err(BuildError::OverBudget { bundle, .. }) => Err(BuildError::OverBudget { bundle, beyond }),
        other => other,
    }
}

/// What `model` may take: as the settings say, where they leave it open as the bundle does. A budget of either that is
/// less than the model's tensors is refused. Reads configurations and headers only.
pub fn budget(
    bundle: &Bundle,
    model: ModelId,
    settings: &Settings,
    device: &candle_core::Device,
    size: SlotSize,
) -> Result<Budget, BuildError> {
    let set = settings.models.budget(model);
    let needed = planned(&plan(bundle, model, settings, device)?);
    let resident = match set.budget {
        Some(budget) if needed > budget => {
            let beyond = vec![over_budget(model, needed, budget)];
            return Err(BuildError::OverBudget { bundle: bundle.name.clone(), beyond });
        }
        Some(budget) => Amount::set(budget),
        None => resident(bundle, model, set.precision, needed, device)?,
    };
    let workspace = match set.workspace {
        Some(bytes) => Amount::set(bytes),
        None => {
            let flux = settings::flux_options(bundle, settings)?;
            let loading = Loading { flux: &flux, batch: settings.models.liveportrait.frame_batch, device };
            let bytes = workspace::workspace(bundle, model, &loading, size)?;
            Amount { bytes, from: AmountSource::Sizes }
        }
    };
    Ok(Budget { resident, workspace })
}

/// What `model` may take on `device` by `bundle` alone, without settings.
pub fn own_budget(
    bundle: &Bundle,
    model: ModelId,
    device: &candle_core::Device,
) -> Result<Amount, BuildError> {
    let parts = match model {
        ModelId::Flux => own_plan(bundle, model, device)?,
        _ => plan_other(bundle, model, device)?,
    };
    resident(bundle, model, Precision::Bundle, planned(&parts), device)
}

/// The bundle's own budget where it holds what is `needed`. Where the settings ask for more than the bundle was made for
/// (another precision, T5 on the device), by the tensors; a bundle that its own budget does not hold is refused.
fn resident(
    bundle: &Bundle,
    model: ModelId,
    precision: Precision,
    needed: Bytes,
    device: &candle_core::Device,
) -> Result<Amount, BuildError> {
    let by_tensors =
        Amount { bytes: needed.share(beside_tensors(model, device)), from: AmountSource::Tensors };
    if precision != Precision::Bundle {
        return Ok(by_tensors);
    }
    let of_bundle = bundle.model(model)?.budget;
    if needed <= of_bundle {
        return Ok(Amount { bytes: of_bundle, from: AmountSource::Bundle });
    }
    let own = planned(&own_plan(bundle, model, device)?);
    if own <= of_bundle {
        return Ok(by_tensors);
    }
    let beyond = format!(
        "{model} will hold {own} and its budget in {FILE_NAME} is {of_bundle}, {} too little; accepted: a budget of at \
         least {own} there, or models.{model}.budget = \"{needed}\" or more in the settings, which goes before it",
        own.saturating_sub(of_bundle)
    );
    Err(BuildError::OverBudget { bundle: bundle.name.clone(), beyond: vec![beyond] })
}

/// A loaded model's memory as a multiple of its tensors'. On a processor LivePortrait keeps 3×3 convolutions as 36 numbers
/// for 9: by the shapes of the published ones, all of W and G, 1.7 GB of 0.52 (the demo's, 11.4 MB of 8.6). Kokoro holds
/// its voices beside (13.6 MB of 12.2), the others nothing.
fn beside_tensors(model: ModelId, device: &candle_core::Device) -> f64 {
    match model {
        ModelId::LivePortrait if device.is_cpu() => 3.6,
        _ => 1.2,
    }
}

/// Whether the budgets and workspaces of slots of `size`, with the overhead, stay below the hard limit and what is
/// `free`; refuses what does not by how much and with what would.
pub fn fit(
    bundle: &Bundle,
    settings: &Settings,
    device: &candle_core::Device,
    free: Bytes,
    size: SlotSize,
) -> Result<Fit, BuildError> {
    match preflight(settings, &budgets(bundle, settings, device, size)?, Some(free)) {
        Some(Err(misfit)) => Err(misfit.into()),
        Some(Ok(fit)) => Ok(fit),
        None => Err(BuildError::NoPlan),
    }
}

/// How a model misses its budget and what would help.
fn over_budget(model: ModelId, needed: Bytes, budget: Bytes) -> String {
    format!(
        "{model} will hold {needed} and models.{model}.budget is {budget}, {} too little; accepted: a budget of at \
         least {needed}, \"bundle\", or a smaller models.{model}.precision",
        needed.saturating_sub(budget)
    )
}
