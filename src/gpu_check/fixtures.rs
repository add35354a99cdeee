//! The parity fixtures on the device: which are there, how far each output is off, and where none were compared, why.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::GpuCheckError;
use super::report::Outcome;
use crate::models::parity::{self, Against, Comparison, sets};
use crate::types::{DeviceId, PathField};

/// Where a clone of the repository has them.
const IN_A_CLONE: &str = "tests/fixtures";

/// What came of the fixtures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fixtures {
    /// Where they were looked for.
    #[serde(flatten, serialize_with = "as_folder")]
    pub folder: Option<PathBuf>,
    /// How all of it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Each output against its reference and, on a card, against the processor.
    pub comparisons: Vec<Comparison>,
}

fn as_folder<S: Serializer>(folder: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    PathField::optional("folder", folder.as_deref()).serialize(serializer)
}

/// Compares every set at or under `folder`, or of a clone that this is run in; `said` hears of each set.
///
/// The error is of a folder that is not there or holds no set.
pub(crate) fn compare(
    folder: Option<&Path>,
    device: DeviceId,
    mut said: impl FnMut(&str),
) -> Result<Fixtures, GpuCheckError> {
    let beside = Path::new(IN_A_CLONE);
    let Some(root) = folder.or_else(|| beside.is_dir().then_some(beside)) else {
        let why = format!(
            "not compared with their references: there is no {IN_A_CLONE} here; run this in a clone, or name one's \
             folder with --fixtures"
        );
        return Ok(Fixtures { folder: None, outcome: Outcome::skipped(why), comparisons: Vec::new() });
    };
    let found =
        sets::find(root).map_err(|source| GpuCheckError::Fixtures { folder: root.to_owned(), source })?;
    let mut comparisons = Vec::new();
    for set in &found {
        said(&format!("comparing with the fixtures in {}", set.name));
        comparisons.extend(parity::compare(set, device));
    }
    let lacking = sets::lacking(&found, root);
    comparisons.extend(lacking.into_iter().map(|kind| parity::missing(kind, root, device)));
    Ok(Fixtures { folder: Some(root.to_owned()), outcome: summary(found.len(), &comparisons), comparisons })
}

fn summary(sets: usize, comparisons: &[Comparison]) -> Outcome {
    let with = |against| comparisons.iter().filter(|it| it.against == against).count();
    let wrong = comparisons.iter().filter(|it| !it.judged.ok).count();
    let mut what =
        format!("{} outputs of {sets} sets compared with their references", with(Against::Reference));
    if with(Against::Processor) > 0 {
        what += &format!(", {} with the processor's", with(Against::Processor));
    }
    // What uses most of its tolerance says how much room there is; whole levels of a picture say nothing.
    let share = |it: &&Comparison| {
        let (measured, tolerance) = it.judged.measured.zip(it.judged.tolerance)?;
        (tolerance > measured).then(|| (measured / tolerance, it.set.clone(), it.output.clone()))
    };
    let most = comparisons.iter().filter_map(|it| share(&it)).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((share, set, output)) = most.filter(|_| wrong == 0) {
        what += &format!(
            ": all within tolerance; nearest to it, at {:.0} %, is {output} of {set}",
            100.0 * share
        );
    }
    if wrong == 0 { Outcome::passed(what) } else { Outcome::failed(format!("{what}: {wrong} are wrong")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_or_empty_is_refused_and_not_passed() {
        let nowhere = compare(Some(Path::new("/nonexistent")), DeviceId::Cpu, |_| {}).unwrap_err();
        assert!(nowhere.to_string().contains("--fixtures /nonexistent"), "{nowhere:?}");
        let empty = tempfile::tempdir().unwrap();
        let error = compare(Some(empty.path()), DeviceId::Cpu, |_| {}).unwrap_err();
        assert!(error.to_string().contains("holds no fixture set"), "{error:?}");
    }

    #[test]
    fn models_without_a_set_are_named_and_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("something");
        std::fs::create_dir(&set).unwrap();
        std::fs::write(set.join("meta.json"), "{}").unwrap();
        let found = compare(Some(folder.path()), DeviceId::Cpu, |_| {}).unwrap();
        assert_eq!(found.outcome.ok, Some(false));
        let why = |set: &str| {
            let row = found.comparisons.iter().find(|row| row.set == set).unwrap();
            row.judged.why.clone().unwrap()
        };
        assert!(why("something").contains("recording of nothing that is known here"));
        for model in ["CLIP", "Flux", "Kokoro", "LivePortrait"] {
            assert!(why(model).contains(&format!("holds no set of {model}")), "{}", why(model));
        }
    }
}
