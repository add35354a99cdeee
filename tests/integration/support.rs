//! What integration tests share: fixture sets found by what is in them and judged, and skipping aloud.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::{DType, Tensor};
use vortex_node::models::parity::sets::{self, Kind, Set};
use vortex_node::models::parity::{self, Comparison};
use vortex_node::types::DeviceId;

pub mod allocations;
pub mod authority;
pub mod diary;
pub mod nats;
pub mod nodes;
pub mod preload;
pub mod proxy;
pub mod random;
pub mod receiver;
pub mod served;
pub mod simulated_nvml;
pub mod weed;

/// Whether a missing tool or fixture is a failure (`.ci/run` sets this) instead of a skip.
pub fn tools_are_required() -> bool {
    std::env::var_os("VORTEX_REQUIRE_TOOLS").is_some_and(|value| value == "1")
}

/// Says that a test is skipped for want of `what`; fails where nothing may be wanting.
pub fn skip(what: &str) {
    assert!(!tools_are_required(), "{what} is missing, and VORTEX_REQUIRE_TOOLS=1 forbids skipping");
    eprintln!("skipped: {what} is missing");
}

/// The binary, installed in `folder`: nothing of the checkout that it was built in is near it.
pub fn install_into(folder: &Path) -> PathBuf {
    // A soak test may be of a release build while the tests are not.
    let built = std::env::var_os("VORTEX_SOAK_BINARY")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_vortex-node")), PathBuf::from);
    let installed = folder.join("vortex-node");
    // Folders may lie on different file systems.
    if std::fs::hard_link(&built, &installed).is_err() {
        std::fs::copy(built, &installed).unwrap();
    }
    installed
}

/// The binary where nothing is shipped with it and no `VORTEX_` variable of this process counts.
pub fn lone_binary() -> Command {
    static INSTALLED: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (folder, binary) = INSTALLED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let binary = install_into(folder.path());
        (folder, binary)
    });
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("VORTEX_")) {
            command.env_remove(name);
        }
    }
    command.env("HOME", folder.path()).env_remove("XDG_DATA_HOME");
    command
}

/// The folder that holds the fixtures: `VORTEX_FIXTURES`, else `tests/fixtures`.
pub fn fixtures_root() -> PathBuf {
    std::env::var_os("VORTEX_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), PathBuf::from)
}

/// Every set of `kind` at or under the fixtures' root, in order of path.
///
/// An empty answer has already been reported by [`skip`].
pub fn sets_of(kind: Kind) -> Vec<Set> {
    let root = fixtures_root();
    let found = sets::find(&root).unwrap_or_default();
    let found: Vec<Set> = found.into_iter().filter(|set| set.kind == Some(kind)).collect();
    if found.is_empty() {
        skip(&format!("a fixture set of {} under {}", kind.name(), root.display()));
    }
    found
}

/// Every folder at or under the fixtures' root for which `is_set` holds, in order of path.
///
/// An empty answer has already been reported by [`skip`].
pub fn fixture_sets(what: &str, is_set: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    fn walk(folder: &Path, is_set: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
        if is_set(folder) {
            found.push(folder.to_owned());
        }
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut folders: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders.iter().for_each(|folder| walk(folder, is_set, found));
    }
    let (root, mut found) = (fixtures_root(), Vec::new());
    walk(&root, &is_set, &mut found);
    if found.is_empty() {
        skip(&format!("a fixture set of {what} under {}", root.display()));
    }
    found
}

/// Fails unless every output of every set of `kind` lies within its tolerance on the processor, `least` of them a set.
#[track_caller]
pub fn assert_parity(kind: Kind, least: usize) {
    for set in sets_of(kind) {
        assert_all_within(&parity::compare(&set, DeviceId::Cpu), least);
    }
}

/// Fails unless every comparison is within its tolerance, and there are `least`.
#[track_caller]
pub fn assert_all_within(found: &[Comparison], least: usize) {
    let wrong: Vec<&Comparison> = found.iter().filter(|row| !row.judged.ok).collect();
    assert!(wrong.is_empty(), "{} of {} are wrong: {wrong:#?}", wrong.len(), found.len());
    assert!(found.len() >= least, "only {} comparisons, expected {least}", found.len());
}

/// The largest magnitude in a tensor; NaN where there is one.
pub fn max_abs(tensor: &Tensor) -> f64 {
    values(tensor).into_iter().map(f64::abs).fold(0.0, nan_max)
}

/// The largest difference between two tensors of one shape; NaN where there is one, so that comparisons fail.
pub fn max_difference(a: &Tensor, b: &Tensor) -> f64 {
    values(a).into_iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, nan_max)
}

fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}
