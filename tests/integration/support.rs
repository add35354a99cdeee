//! What integration tests share: fixture sets found by what is in them, the tolerance rule, and skipping aloud.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

pub mod allocations;
pub mod simulated_nvml;

/// Whether a missing tool or fixture is a failure (`.ci/run` sets this) instead of a skip.
pub fn tools_are_required() -> bool {
    std::env::var_os("VORTEX_REQUIRE_TOOLS").is_some_and(|value| value == "1")
}

/// Says that a test is skipped for want of `what`; fails where nothing may be wanting.
pub fn skip(what: &str) {
    assert!(!tools_are_required(), "{what} is missing, and VORTEX_REQUIRE_TOOLS=1 forbids skipping");
    eprintln!("skipped: {what} is missing");
}

/// The folder that holds the fixtures: `VORTEX_FIXTURES`, else `tests/fixtures`.
pub fn fixtures_root() -> PathBuf {
    std::env::var_os("VORTEX_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), PathBuf::from)
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

/// The recorded inputs and outputs of one set (`io.safetensors`), and how exact they are (`meta.json`).
pub struct Recorded {
    tensors: HashMap<String, Tensor>,
    meta: serde_json::Value,
    folder: PathBuf,
}

impl Recorded {
    /// Reads `io.safetensors` and `meta.json` of `folder`.
    pub fn read(folder: &Path) -> Self {
        let tensors = candle_core::safetensors::load(folder.join("io.safetensors"), &Device::Cpu).unwrap();
        let meta = serde_json::from_slice(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
        Self { tensors, meta, folder: folder.to_owned() }
    }

    /// The recorded input `in.{name}`.
    pub fn input(&self, name: &str) -> Tensor {
        self.tensor(&format!("in.{name}"))
    }

    /// The recorded output `out.{name}`.
    pub fn output(&self, name: &str) -> Tensor {
        self.tensor(&format!("out.{name}"))
    }

    /// The names of all recorded outputs, without `out.`.
    pub fn output_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.keys().filter_map(|name| name.strip_prefix("out.")).collect();
        names.sort_unstable();
        names
    }

    /// Any recorded tensor by its full name.
    pub fn tensor(&self, name: &str) -> Tensor {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("{} records no {name}", self.folder.display()))
            .clone()
    }

    /// What `meta.json` says.
    pub fn meta(&self) -> &serde_json::Value {
        &self.meta
    }

    /// The tolerance rule: max|Δ| ≤ max(30 · `max_abs_diff_vs_float64`, 5e-6 · max|reference|).
    pub fn bound(&self, name: &str) -> f64 {
        let reference = self.output(name);
        let largest = max_abs(&reference);
        let recorded = &self.meta["outputs"][name]["max_abs_diff_vs_float64"];
        let noise = recorded
            .as_f64()
            .unwrap_or_else(|| panic!("{}: no noise recorded for {name}", self.folder.display()));
        (30.0 * noise).max(5e-6 * largest)
    }

    /// Fails unless `ours` has the recorded shape and lies within the tolerance rule of `out.{name}`.
    #[track_caller]
    pub fn assert_matches(&self, name: &str, ours: &Tensor) {
        self.assert_within(name, ours, self.bound(name));
    }

    /// Fails unless `ours` has the recorded shape and lies within `bound` of `out.{name}`.
    #[track_caller]
    pub fn assert_within(&self, name: &str, ours: &Tensor, bound: f64) {
        let reference = self.output(name);
        assert_eq!(ours.dims(), reference.dims(), "{}: shape of {name}", self.folder.display());
        let difference = max_difference(ours, &reference);
        assert!(
            difference <= bound,
            "{}: {name} differs by {difference:e}, allowed {bound:e}",
            self.folder.display()
        );
    }
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
