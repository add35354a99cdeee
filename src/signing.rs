//! Ed25519 keys of the node and of directors: made, kept and read. Knows no recipe and no result.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;

use crate::files::{Existing, Readers, write_whole};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the key file {} does not hold a key; accepted: 64 hexadecimal digits, as `vortex-node recipe keygen` writes them", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Others can read the file.
    #[error("the key file {} can be read by others (mode {mode:o}); accepted: owner only, `chmod 600`", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The system has no randomness.
    #[error("the system gives no randomness for a new key: {0}")]
    NoRandomness(String),
}

/// Reads a secret key: 64 hexadecimal digits in a file that only its owner can read.
pub(crate) fn read_key(path: &Path) -> Result<SigningKey, KeyError> {
    let file = |source| KeyError::File { path: path.to_owned(), source };
    exposed(path, &fs::metadata(path).map_err(file)?)?;
    let text = fs::read_to_string(path).map_err(file)?;
    let secret = from_hex(text.trim()).ok_or_else(|| KeyError::NoKey { path: path.to_owned() })?;
    Ok(SigningKey::from_bytes(&secret))
}

/// Makes a key and writes it where nothing stands yet, readable by its owner only; a half-written key is never seen.
pub(crate) fn create_key(path: &Path) -> Result<SigningKey, KeyError> {
    let file = |source| KeyError::File { path: path.to_owned(), source };
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
    write_whole(path, Existing::Keep, Readers::Owner, |file| writeln!(file, "{}", to_hex(&secret)))
        .map_err(file)?;
    Ok(SigningKey::from_bytes(&secret))
}

#[cfg(unix)]
fn exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Exposed { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn exposed(_: &Path, _: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

/// Lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes from `2N` hexadecimal digits.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0u8; N];
    for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[place..place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("director.key");
        let made = create_key(&path).unwrap();
        assert_eq!(read_key(&path).unwrap().to_bytes(), made.to_bytes());
        assert!(matches!(create_key(&path), Err(KeyError::File { .. })));
        assert_eq!(read_key(&path).unwrap().to_bytes(), made.to_bytes());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("director.key");
        create_key(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_key(&path).unwrap_err().to_string().contains("644"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("director.key");
        assert!(matches!(read_key(&path), Err(KeyError::File { .. })));
        let mut file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        file.write_all(b"not a key").unwrap();
        assert!(matches!(read_key(file.path()), Err(KeyError::NoKey { .. })));
        assert_eq!(from_hex::<2>("00fg"), None);
        assert_eq!(from_hex::<2>("+0ff"), None);
        assert_eq!(from_hex::<2>("00FF"), Some([0, 255]));
    }
}
