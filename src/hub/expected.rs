//! What is known of a file before it comes, by which it is judged before and after.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use super::error::{CAME, HAS, HubError};
use crate::types::{GitHash, Sha256};

/// What a file must be: of everything that is known, all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) sha256: Option<Sha256>,
    /// What git calls its content.
    pub(crate) git_blob: Option<GitHash>,
    pub(crate) size: Option<u64>,
}

impl Expected {
    /// Whether it tells the file from every other.
    pub(crate) fn is_enough(&self) -> bool {
        self.sha256.is_some() || self.git_blob.is_some()
    }

    /// An error where both say something of the file and not the same; `whose` is what `found` is.
    pub(super) fn compare(&self, found: &Self, whose: &'static str) -> Result<(), HubError> {
        same(whose, "sha256", self.sha256, found.sha256)?;
        same(whose, "git blob", self.git_blob, found.git_blob)?;
        same(whose, "bytes", self.size, found.size)
    }

    /// An error where the hub is known to have something else.
    pub(crate) fn agrees_with_hub(&self, found: &Self) -> Result<(), HubError> {
        self.compare(found, HAS)
    }

    /// The same of the file at `path`, whose hash and size are known. Reads the file where git's name is asked for.
    pub(crate) fn holds(&self, path: &Path, sha256: Sha256, size: u64) -> io::Result<Result<(), HubError>> {
        let git_blob = match self.git_blob {
            Some(_) => Some(GitHash::of_blob(size, File::open(path)?)?),
            None => None,
        };
        let found = Self { sha256: Some(sha256), git_blob, size: Some(size) };
        Ok(self.compare(&found, CAME))
    }
}

fn same<T: PartialEq + fmt::Display>(
    whose: &'static str,
    what: &'static str,
    expected: Option<T>,
    found: Option<T>,
) -> Result<(), HubError> {
    match (expected, found) {
        (Some(expected), Some(found)) if expected != found => {
            Err(HubError::Different { whose, what, expected: expected.to_string(), found: found.to_string() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &[u8]) -> Expected {
        let size = content.len() as u64;
        let git_blob = Some(GitHash::of_blob(size, content).unwrap());
        Expected { sha256: Some(Sha256::of(content)), git_blob, size: Some(size) }
    }

    #[test]
    fn whatever_is_known_must_be_the_same_and_both_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "one").unwrap();
        let (one, two) = (all(b"one"), all(b"two!"));
        let holds = |expected: Expected| {
            expected.holds(&path, Sha256::of(b"one"), 3).unwrap().map_err(|error| error.to_string())
        };
        assert_eq!(holds(one), Ok(()));
        assert_eq!(holds(Expected::default()), Ok(()));
        for (expected, told) in [
            (
                Expected { sha256: two.sha256, ..one },
                format!("expected sha256 {}, found {}", two.sha256.unwrap(), one.sha256.unwrap()),
            ),
            (
                Expected { git_blob: two.git_blob, ..one },
                format!("expected git blob {}, found {}", two.git_blob.unwrap(), one.git_blob.unwrap()),
            ),
            (Expected { size: Some(4), ..one }, "expected bytes 4, found 3".to_owned()),
        ] {
            let found = holds(expected).unwrap_err();
            assert!(found.starts_with("what came is not what") && found.ends_with(&told), "{told}\n{found}");
        }
    }

    #[test]
    fn a_size_alone_is_not_enough() {
        assert!(!Expected { size: Some(3), ..Expected::default() }.is_enough());
        assert!(Expected { git_blob: None, ..all(b"x") }.is_enough());
        assert!(Expected { sha256: None, ..all(b"x") }.is_enough());
    }
}
