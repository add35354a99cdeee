//! Processes that are killed before every single file operation, and what the next one finds.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use super::*;

const DIR: &str = "VORTEX_TEST_SLOT_DIR";
const RECIPE: &str = "VORTEX_TEST_RECIPE";

/// The process that is killed; does nothing unless it is one.
#[test]
fn a_process_that_renders() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let recipe = std::env::var(RECIPE).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (journal, _) = open(&dir, &recipe).unwrap();
    runtime.block_on(finish(&dir, &journal)).unwrap();
}

fn killed_before(step: usize, dir: &Path, recipe: &str) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args([concat!(module_path!(), "::a_process_that_renders").split_once("::").unwrap().1, "--exact"])
        .env(DIR, dir)
        .env(RECIPE, recipe)
        .env(KILL_AT, step.to_string())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() || status.signal() == Some(9), "{status}");
    !status.success()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// From `start`, killed before every step in turn: what stands under a final name is whole, every finished stage comes
/// back as it was, and the next process ends where an undisturbed one would have.
async fn survives(start: &Path, recipe: &str) -> usize {
    let whole = files(complete().await.path());
    for step in 0.. {
        let dir = tempfile::tempdir().unwrap();
        copy(start, dir.path());
        if !killed_before(step, dir.path(), recipe) {
            return step;
        }
        let (journal, standing) = open(dir.path(), recipe).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("journal/partial")).unwrap().count(), 0, "step {step}");
        match &standing {
            FolderState::New | FolderState::Replaced { .. } => {}
            FolderState::Ended(_) => assert_eq!(files(dir.path()), whole, "step {step}"),
            FolderState::Resumable { done, damaged } => {
                // Damage is there only where it was at the start.
                assert!(
                    damaged.len() <= usize::from(start.join("journal/end.json").exists()),
                    "step {step}: {damaged:?}"
                );
                let open = journal.open().await.unwrap().slots;
                for stage in Stage::ALL {
                    let kept = of(&open[0].outputs, stage);
                    assert_eq!(kept.is_some(), done.contains(&stage), "step {step}");
                    assert!(kept.is_none_or(|kept| same(&kept, &output(stage))), "step {step}: {stage}");
                }
                for (name, bytes) in files(dir.path()) {
                    assert!(whole.contains(&(name.clone(), bytes)), "step {step}: {name}");
                }
            }
        }
        if !matches!(standing, FolderState::Ended(_)) {
            finish(dir.path(), &journal).await.unwrap();
        }
        assert_eq!(files(dir.path()), whole, "step {step}");
    }
    unreachable!("the walk has an end")
}

#[tokio::test]
async fn killed_anywhere_a_new_slot_goes_on() {
    let empty = tempfile::tempdir().unwrap();
    let steps = survives(empty.path(), "a").await;
    assert!(steps > 30, "{steps}");
}

#[tokio::test]
async fn killed_anywhere_a_slot_that_replaces_another_goes_on() {
    let old = complete().await;
    let steps = survives(old.path(), "b").await;
    assert!(steps > 40, "{steps}");
}

#[tokio::test]
async fn killed_anywhere_a_slot_that_is_repaired_goes_on() {
    let damaged = complete().await;
    fs::write(damaged.path().join("actor.png"), b"scratched").unwrap();
    let steps = survives(damaged.path(), "a").await;
    assert!(steps > 30, "{steps}");
}
