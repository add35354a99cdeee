//! A bundle's files held to its lock before they are loaded.
//!
//! What was found whole before, and has not been touched since, is not read again.

use std::fmt;
use std::path::PathBuf;

use super::receipt::{Receipt, Stamp};
use super::{Bundle, Sha256, verify};
use crate::contract::ModelError;
use crate::types::{Bytes, ModelId};

/// Files that are not what the lock says, or of which nobody says what they are.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Differences(Vec<Difference>);

impl From<Differences> for ModelError {
    fn from(error: Differences) -> Self {
        Self::own(error.to_string())
    }
}

/// One of them.
#[derive(Debug)]
enum Difference {
    Size { path: PathBuf, locked: Bytes, found: Bytes },
    Hash { path: PathBuf, locked: Sha256, found: Sha256 },
    Unknown { path: PathBuf, folder: PathBuf },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { path, locked, found } => {
                let (path, locked, found) = (path.display(), locked.get(), found.get());
                write!(f, "{path} has {found} bytes, the lock says {locked}")
            }
            Self::Hash { path, locked, found } => {
                write!(f, "{} has sha256 {found}, the lock says {locked}", path.display())
            }
            Self::Unknown { path, folder } => write!(
                f,
                "neither the bundle nor a lock says what {} must hash to; `vortex-node weights pull {} --trust-hub` asks \
                 the hub and writes the lock",
                path.display(),
                folder.display()
            ),
        }
    }
}

/// An error where a file of `models` is there and not what the lock says, or where neither it nor the description says
/// what it is. What the description knows alone is for `weights verify` to find; what is missing, for the load.
pub fn check(bundle: &Bundle, models: &[ModelId]) -> Result<(), Differences> {
    let receipt = Receipt::open(&bundle.folder);
    let mut differences = Vec::new();
    let entries = bundle.models.iter().filter(|(model, _)| models.contains(model));
    for (_, file) in entries.flat_map(|(_, entry)| entry.entries()) {
        let path = bundle.folder.join(&file.path);
        let Some(locked) = bundle.lock.as_ref().and_then(|lock| lock.of(&file.path)) else {
            if file.sha256.is_none() {
                differences.push(Difference::Unknown { path, folder: bundle.folder.clone() });
            }
            continue;
        };
        let Ok(there) = std::fs::metadata(&path) else { continue };
        let found = Bytes::new(there.len());
        if found != locked.bytes_here() {
            differences.push(Difference::Size { path, locked: locked.bytes_here(), found });
            continue;
        }
        let stamp = Stamp::of(&path);
        if receipt.hash(&file.path, stamp) == Some(locked.here()) {
            continue;
        }
        // What cannot be read is told by whoever loads it.
        let Ok((found, _)) = verify::hash(&path, |_| {}) else { continue };
        if found != locked.here() {
            differences.push(Difference::Hash { path, locked: locked.here(), found });
        } else if Stamp::of(&path) == stamp {
            // A folder that cannot be written costs the next load the time, and nothing else.
            let _ = receipt.note(&file.path, stamp, found);
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(Differences(differences)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::bundle::{Lock, lock::Locked};
    use crate::models::synth::{self, Profile};

    /// A bundle of one model whose voice the lock describes.
    fn bundle(folder: &std::path::Path) -> (Bundle, String) {
        let mut bundle = synth::write(folder, &[ModelId::Kokoro], Profile::Tiny, 0, |_| {}).unwrap();
        let voice = bundle.models[&ModelId::Kokoro].files["voices"][0].path.clone();
        let (sha256, bytes) = verify::hash(&folder.join(&voice), |_| {}).unwrap();
        let mut lock = Lock::default();
        lock.put(Locked {
            path: voice.clone(),
            repo: "o/n".into(),
            revision: None,
            commit: "0".repeat(40).parse().unwrap(),
            published: "voice".into(),
            bytes,
            sha256,
            git_blob: None,
            converted: None,
        });
        bundle.lock = Some(lock);
        (bundle, voice)
    }

    fn told(bundle: &Bundle) -> Option<String> {
        check(bundle, &ModelId::ALL).err().map(|error| error.to_string())
    }

    #[test]
    fn a_file_of_another_size_or_content_is_refused_with_both_sides() {
        let folder = tempfile::tempdir().unwrap();
        let (bundle, voice) = bundle(folder.path());
        assert_eq!(told(&bundle), None);
        let path = folder.path().join(voice);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        // A clock of files moves in steps; another inode is another state at once.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(folder.path().join("other"), "").unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let hash = told(&bundle).unwrap();
        let locked =
            bundle.lock.as_ref().unwrap().of(path.strip_prefix(folder.path()).unwrap().to_str().unwrap());
        assert!(hash.contains(&format!("has sha256 {}", Sha256::of(&bytes))), "{hash}");
        assert!(hash.contains(&format!("the lock says {}", locked.unwrap().sha256)), "{hash}");
        bytes.push(0);
        std::fs::write(&path, &bytes).unwrap();
        let size = told(&bundle).unwrap();
        let expected = format!("has {} bytes, the lock says {}", bytes.len(), bytes.len() - 1);
        assert!(size.ends_with(&expected), "{size}");
        assert!(check(&bundle, &[ModelId::Flux]).is_ok(), "another model is none of this load's");
    }

    #[test]
    fn what_nobody_knows_is_refused_and_what_is_missing_is_the_loads_to_tell() {
        let folder = tempfile::tempdir().unwrap();
        let (mut bundle, voice) = bundle(folder.path());
        std::fs::remove_file(folder.path().join(voice)).unwrap();
        assert_eq!(told(&bundle), None);
        bundle.models.get_mut(&ModelId::Kokoro).unwrap().files.get_mut("config").unwrap()[0].sha256 = None;
        let told = told(&bundle).unwrap();
        assert!(told.contains("neither the bundle nor a lock") && told.contains("--trust-hub"), "{told}");
    }
}
