//! The secrets that messages are signed with: made on first use, owner-only, changed without a gap.
//!
//! Owns the file's format and the signature. Blocking where it touches the file; shows a secret only when asked to.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};

use crate::files::{self, Existing, Readers};

/// What every secret begins with, as Standard Webhooks writes them.
const PREFIX: &str = "whsec_";
/// Of a new secret: 256 bits; the specification asks for 24 to 64 bytes.
const SECRET_BYTES: usize = 32;
/// Of a secret that somebody wrote into the file, at least and at most.
const ACCEPTED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Old secrets that are kept at most: each makes every message longer.
const MOST_PREVIOUS: usize = 4;

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or written.
    #[error("webhook secrets {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what [`Secrets::open`] writes. Says where, and nothing of what stands there.
    #[error("webhook secrets {}: {wrong}; remove the file and a new secret is made", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        wrong: String,
    },
    /// The system gives no random numbers.
    #[error("webhook secrets: no random numbers from the system: {0}")]
    NoRandomness(String),
}

/// The secret in use, and those that it replaced a short while ago.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    current: Vec<u8>,
    /// With the time until which each is still signed with, since the Unix epoch.
    previous: Vec<(Vec<u8>, Duration)>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("previous", &self.previous.len()).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    current: String,
    #[serde(default)]
    previous: Vec<StoredPrevious>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPrevious {
    secret: String,
    /// Unix seconds.
    until: u64,
}

impl Secrets {
    /// The secrets in `path`, made on first use, for their owner's eyes only. Blocks.
    ///
    /// # Errors
    /// The file cannot be read or made, or is damaged: it is never replaced silently, since receivers know the old secret.
    pub fn open(path: &Path) -> Result<Self, SecretError> {
        match read(path) {
            Err(SecretError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let made = Self { current: new_secret()?, previous: Vec::new() };
        match made.write(path, Existing::Keep) {
            // Another process was first.
            Err(SecretError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                read(path)
            }
            written => written.map(|()| made),
        }
    }

    /// Puts a new secret into `path`; the one before goes on being signed with until `keep` after `now` (since the Unix
    /// epoch), so that receivers can change over meanwhile. Blocks.
    ///
    /// # Errors
    /// As [`Self::open`]; then the old secrets stand as they were.
    pub fn rotate(path: &Path, now: Duration, keep: Duration) -> Result<Self, SecretError> {
        let old = Self::open(path)?;
        let mut previous = vec![(old.current, now.saturating_add(keep))];
        previous.extend(old.previous.into_iter().filter(|(_, until)| *until > now));
        previous.truncate(MOST_PREVIOUS);
        let rotated = Self { current: new_secret()?, previous };
        rotated.write(path, Existing::Replace)?;
        Ok(rotated)
    }

    /// The secret in use, as a receiver's library takes it: `whsec_…`. For its owner's eyes only.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.current))
    }

    /// The header `webhook-signature` of a message sent at `now` (since the Unix epoch): one signature with each secret
    /// that is valid then, the current one's first.
    pub(super) fn signatures(&self, id: &str, now: Duration, body: &[u8]) -> String {
        let valid = self.previous.iter().filter(|(_, until)| *until > now).map(|(secret, _)| secret);
        let signatures: Vec<String> = std::iter::once(&self.current)
            .chain(valid)
            .filter_map(|it| signature(it, id, now, body))
            .collect();
        signatures.join(" ")
    }

    fn write(&self, path: &Path, existing: Existing) -> Result<(), SecretError> {
        let stored = Stored {
            current: self.reveal(),
            previous: self
                .previous
                .iter()
                .map(|(secret, until)| StoredPrevious {
                    secret: format!("{PREFIX}{}", STANDARD.encode(secret)),
                    until: until.as_secs(),
                })
                .collect(),
        };
        let failed = |source| SecretError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        files::write_whole(path, existing, Readers::Owner, |file| {
            serde_json::to_writer_pretty(&mut *file, &stored)?;
            file.write_all(b"\n")
        })
        .map_err(failed)
    }
}

/// `v1,` and the HMAC-SHA256 of id, seconds and body (Standard Webhooks, "Signature scheme").
fn signature(secret: &[u8], id: &str, now: Duration, body: &[u8]) -> Option<String> {
    // HMAC takes keys of every length.
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).ok()?;
    mac.update(format!("{id}.{}.", now.as_secs()).as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

fn new_secret() -> Result<Vec<u8>, SecretError> {
    let mut secret = vec![0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|error| SecretError::NoRandomness(error.to_string()))?;
    Ok(secret)
}

fn read(path: &Path) -> Result<Secrets, SecretError> {
    let text = fs::read(path).map_err(|source| SecretError::File { path: path.to_owned(), source })?;
    let wrong = |wrong: String| SecretError::Format { path: path.to_owned(), wrong };
    // serde_json's message may quote what it read: only its place is told.
    let stored: Stored = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("line {} is not what this node writes", error.line())))?;
    let decode = |text: &str, which: &str| {
        text.strip_prefix(PREFIX)
            .and_then(|text| STANDARD.decode(text).ok())
            .filter(|bytes| ACCEPTED_BYTES.contains(&bytes.len()))
            .ok_or_else(|| wrong(format!("{which} is not {PREFIX} and base64 of 24 to 64 bytes")))
    };
    let previous = stored
        .previous
        .iter()
        .map(|old| Ok((decode(&old.secret, "a previous secret")?, Duration::from_secs(old.until))));
    Ok(Secrets {
        current: decode(&stored.current, "the current secret")?,
        previous: previous.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_own_example_is_signed_as_it_says() {
        // Standard Webhooks, "Signature scheme"; the same figures stand in its reference libraries' tests.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Duration::from_secs(1_614_265_330),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_secret_is_made_once_and_read_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/webhook.secret");
        let made = Secrets::open(&path).unwrap();
        assert_eq!(Secrets::open(&path).unwrap(), made);
        assert_eq!(STANDARD.decode(made.reveal().strip_prefix("whsec_").unwrap()).unwrap().len(), 32);
        assert!(!format!("{made:?}").contains(&made.reveal()[6..]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn after_a_rotation_both_sign_until_the_old_one_s_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhook.secret");
        let hour = Duration::from_secs(3600);
        let now = Duration::from_secs(1_700_000_000);
        let old = Secrets::open(&path).unwrap().signatures("a", now, b"{}");
        let rotated = Secrets::rotate(&path, now, 24 * hour).unwrap();
        assert_eq!(Secrets::open(&path).unwrap(), rotated);
        let both = rotated.signatures("a", now, b"{}");
        let both: Vec<&str> = both.split(' ').collect();
        assert!(both.len() == 2 && both[0] != old && both[1] == old, "{both:?}");
        assert_eq!(rotated.signatures("a", now + 24 * hour, b"{}").split(' ').count(), 1);
        let again = (0..9).fold(rotated, |_, _| Secrets::rotate(&path, now, hour).unwrap());
        assert_eq!(again.signatures("a", now, b"{}").split(' ').count(), 1 + MOST_PREVIOUS);
    }

    #[test]
    fn a_damaged_file_is_told_without_what_stands_in_it_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhook.secret");
        for damaged in [
            "{\"current\": \"hunter2\"}",
            "hunter2",
            "{\"current\": \"whsec_aHVudGVyMg==\"}",
            "{\"hunter2\": 1}",
            "",
        ] {
            fs::write(&path, damaged).unwrap();
            let error = Secrets::open(&path).unwrap_err().to_string();
            assert!(error.contains("webhook.secret") && !error.contains("hunter2"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
    }
}
