//! That kernels run on the widest vectors: each one's own test says so by [`runs_wide`], and none may lack it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// One dispatch: which kernel, and how many `f32` its vectors held.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    kernel: String,
    lanes: usize,
}

thread_local! {
    /// The dispatches on this thread, while somebody asks.
    static NOTED: RefCell<Option<Vec<Note>>> = const { RefCell::new(None) };
}

pub(super) fn note<Op>(lanes: usize) {
    NOTED.with_borrow_mut(|noted| {
        if let Some(noted) = noted {
            noted.push(Note { kernel: kernel_of(std::any::type_name::<Op>()), lanes });
        }
    });
}

/// The name in the source of a kernel's type: the last part of its path; of one that `kernel!` made, the function's.
fn kernel_of(path: &str) -> String {
    let path = path.split('<').next().unwrap_or(path);
    let path = path.strip_suffix("::Op").unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path).to_owned()
}

/// Runs `work` on one thread and fails unless it ran every one of `kernels`, and all that it ran held as many numbers in
/// a vector as the machine's widest do.
#[track_caller]
pub(crate) fn runs_wide(kernels: &[&str], work: impl FnOnce() + Send) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let noted = pool.install(|| {
        NOTED.set(Some(Vec::new()));
        work();
        NOTED.take().unwrap_or_default()
    });
    let narrow: Vec<&Note> = noted.iter().filter(|note| note.lanes != expected_lanes()).collect();
    assert!(narrow.is_empty(), "not {} wide: {narrow:?}", expected_lanes());
    for kernel in kernels {
        assert!(noted.iter().any(|note| note.kernel == *kernel), "{kernel} did not run, {noted:?} did");
    }
}

/// How many `f32` a vector must hold on this machine, by the standard library's detection.
fn expected_lanes() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let limit = std::env::var(LIMIT).unwrap_or_else(|_| "avx512".to_owned());
        if limit == "avx512" && std::arch::is_x86_feature_detected!("avx512f") {
            return 16;
        }
        if limit != "baseline" && std::arch::is_x86_feature_detected!("avx2") {
            return 8;
        }
    }
    if cfg!(target_arch = "aarch64") { 4 } else { 1 }
}

struct Sum<'a>(&'a [f32]);

impl WithSimd for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (vectors, rest) = S::as_simd_f32s(self.0);
        let sum = vectors.iter().fold(simd.splat_f32s(0.0), |sum, vector| simd.add_f32s(sum, *vector));
        simd.reduce_sum_f32s(sum) + rest.iter().sum::<f32>()
    }
}

kernel! {
    fn double<'a>(values: &'a mut [f32]) {
        values.iter_mut().for_each(|value| *value *= 2.0);
    }
}

#[test]
fn both_ways_of_writing_a_kernel_run_on_the_widest_vectors() {
    assert_eq!(lanes(), expected_lanes());
    runs_wide(&["Sum", "double"], || {
        let mut values = [1.0; 37];
        double(&mut values);
        assert_eq!(vectorised(Sum(&values)), 74.0);
    });
}

#[test]
#[should_panic(expected = "Product did not run")]
fn a_kernel_that_did_not_run_is_missed() {
    runs_wide(&["Product"], || assert_eq!(vectorised(Sum(&[1.0; 37])), 37.0));
}

#[test]
fn limits_are_named_and_nothing_else_is() {
    let found = ["avx2", "AVX512", " baseline ", "sse", "", "avx"].map(limit_named);
    let [avx2, avx512, baseline] = [Width::Avx2, Width::Avx512, Width::Baseline].map(Some);
    assert_eq!(found, [avx2, avx512, baseline, None, None, None]);
}

/// The crate's source files below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The kernels that a source file defines.
fn kernels_in(text: &str) -> BTreeSet<String> {
    let name = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    let types = text.match_indices("WithSimd for ").map(|(at, found)| name(&text[at + found.len()..]));
    let functions = text.match_indices("\nkernel! {").filter_map(|(at, _)| {
        let mut lines = text[at..].lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.find_map(|line| Some(name(line.split_once("fn ")?.1)))
    });
    types.chain(functions).collect()
}

/// Where the tests of `path` may stand: in it, in its folder of the same name, in its own folder.
fn tests_of(path: &Path) -> String {
    let beside = [path.to_owned(), path.with_extension("").join("tests.rs"), path.with_file_name("tests.rs")];
    beside.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

fn own_sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let of_dispatch = |path: &Path| path.starts_with(root.join("simd")) || path == root.join("simd.rs");
    let all = sources(&root).into_iter().filter(|path| !of_dispatch(path));
    all.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// Whoever adds a kernel adds a test that it runs wide; a loop that was forgotten would run one number at a time
/// unnoticed.
#[test]
fn every_kernel_has_a_test_that_it_runs_wide() {
    let mut count = 0;
    for (path, text) in own_sources() {
        let tests = tests_of(&path);
        for kernel in kernels_in(&text) {
            let named = tests.contains("runs_wide(") && tests.contains(&format!("\"{kernel}\""));
            assert!(named, "{}: no test runs {kernel} by `runs_wide`", path.display());
            count += 1;
        }
    }
    assert!(count > 15, "only {count} kernels were found");
}

#[test]
fn nobody_but_this_part_chooses_instructions() {
    for (path, text) in own_sources() {
        for chooser in ["pulp::Arch", "Arch::new", "target_feature(", "std::arch", "core::arch", "x86::V"] {
            assert!(!text.contains(chooser), "{} has {chooser}: see `simd::vectorised`", path.display());
        }
    }
}

#[test]
fn kernels_are_found_in_a_source() {
    let text = "impl<F: Shape> WithSimd for Row<'_, F> {\n}\n\nkernel! {\n    /// A fn of x.\n    pub(super) fn double<'a>(x: &'a [f32]) {}\n}\n";
    let found = kernels_in(text);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["Row", "double"]);
    assert_eq!(kernel_of("a::b::Row<a::Slope>"), "Row");
    assert_eq!(kernel_of("a::norm::double::Op"), "double");
}

/// The kernels' own tests once more with narrower vectors, in processes that have no wider ones: a machine with
/// AVX-512 answers for those without.
#[test]
fn the_kernels_pass_their_tests_on_narrower_vectors() {
    if std::env::var_os(LIMIT).is_some() {
        return;
    }
    let tested = ["simd::tests", "models::kernels::"];
    for width in Width::ALL.into_iter().filter(|width| *width < detected()) {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(tested)
            .args(["models::liveportrait::warping::", "media::colour::"])
            .env(LIMIT, width.name())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{}: {said}", width.name());
        let wide = said.lines().filter(|line| line.ends_with("on_the_widest_vectors ... ok")).count();
        assert!(wide > 15, "{}: {wide} tests of width in {said}", width.name());
    }
}
