//! The node's own key: made where there is none, read where there is one.

use std::fs;
use std::io;
use std::path::Path;

use ed25519_dalek::SigningKey;

use crate::signing::{KeyError, create_key, read_key};

/// The key in `path`, made on first use with all folders above it, for its owner's eyes only.
pub fn node_key(path: &Path) -> Result<SigningKey, KeyError> {
    let is_missing = |error: &KeyError| matches!(error, KeyError::File { source, .. } if source.kind() == io::ErrorKind::NotFound);
    match read_key(path) {
        Err(error) if is_missing(&error) => {}
        read => return read,
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
    }
    match create_key(path) {
        // Another process was first.
        Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => read_key(path),
        created => created,
    }
}
