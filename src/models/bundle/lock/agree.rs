//! The lock against the description: both say what a file is, and where both do they must say the same.

use std::path::Path;

use super::{Lock, Locked};
use crate::models::bundle::{Bundle, BundleError, FileEntry, Hub};

/// An error that shows both sides of everything in which `bundle`, described in `description`, and its lock disagree.
pub(in crate::models::bundle) fn check(bundle: &Bundle, description: &Path) -> Result<(), BundleError> {
    let Some(lock) = &bundle.lock else { return Ok(()) };
    let mut differences = Vec::new();
    for model in bundle.models.values() {
        for (_, file) in model.entries() {
            let Some(locked) = lock.of(&file.path) else { continue };
            let told = compare(file, model.hub.as_ref(), locked);
            differences.extend(told.into_iter().map(|told| format!("{}: {told}", file.path)));
        }
    }
    // Two roles may share a file.
    differences.dedup();
    if differences.is_empty() {
        return Ok(());
    }
    Err(BundleError::Contradicted {
        file: description.to_owned(),
        lock: Lock::beside(description),
        differences,
    })
}

fn compare(file: &FileEntry, hub: Option<&Hub>, locked: &Locked) -> Vec<String> {
    let mut told = Vec::new();
    let mut same = |what: &str, described: String, locked: String| {
        if described != locked {
            told.push(format!("{what} is {described} in the description and {locked} in the lock"));
        }
    };
    if let Some(hash) = file.sha256 {
        same("sha256", hash.to_string(), locked.here().to_string());
    }
    if let Some(hash) = file.remote.as_ref().and_then(|remote| remote.sha256) {
        same("remote_sha256", hash.to_string(), locked.sha256.to_string());
    }
    if let Some(bytes) = file.bytes {
        same("bytes", bytes.get().to_string(), locked.bytes.get().to_string());
    }
    let conversion = |is: bool| if is { "converted" } else { "as it is published" }.to_owned();
    same("the file", conversion(file.is_converted()), conversion(locked.converted.is_some()));
    let places: Vec<String> = file
        .places(hub)
        .into_iter()
        .map(|(hub, path)| place(&hub.repo, &hub.revision.to_ascii_lowercase(), &hub.revision, path))
        .collect();
    let asked = locked.asked();
    let found = place(&locked.repo, &asked.to_ascii_lowercase(), &asked, &locked.published);
    if !places.contains(&found) {
        let described = if places.is_empty() { "at no hub".to_owned() } else { places.join(" or ") };
        same("its place", described, found);
    }
    told
}

/// A commit is the same in digits of both sizes, a branch is not.
fn place(repo: &str, lower: &str, revision: &str, path: &str) -> String {
    let is_commit = lower.parse::<crate::types::GitHash>().is_ok();
    format!("{path} of {repo} at {}", if is_commit { lower } else { revision })
}
