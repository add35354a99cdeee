//! Secrets of 256 random bits, and their hashes: how they are made, written, and compared.
//!
//! Owns the only place where a presented secret meets a known one ([`Digest::is_of`], in constant time). Neither type
//! shows its value in `Debug`; nothing here stores or logs anything.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// Bits enough that guessing is hopeless and a fast hash at rest suffices.
const BYTES: usize = 32;

/// What [`BYTES`] take as base64url without padding.
pub(crate) const LETTERS: usize = 43;

/// The system gave no random bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(String);

/// 256 random bits as 43 letters of base64url.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new one.
    pub fn new() -> Result<Self, NoRandomness> {
        random::<BYTES>().map(|bytes| Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Its text, for the one place that has to hand it over.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// `N` bytes from the system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| NoRandomness(error.to_string()))?;
    Ok(bytes)
}

/// Whether `text` could be a secret's: nothing else is ever echoed into a page or looked up.
pub(crate) fn looks_like_one(text: &str) -> bool {
    text.len() == LETTERS
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// SHA-256 of a secret's text: what is kept of it.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of `text`.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether it is that of `text`; takes the same time whichever byte differs.
    pub fn is_of(&self, text: &str) -> bool {
        self.0.ct_eq(&Self::of(text).0).into()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(hidden)")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&crate::types::Sha256::from_digest(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> =
            pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        bytes
            .filter(|_| rest.is_empty())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("a SHA-256 is 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_differ_and_hide() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert!(looks_like_one(one.reveal()), "{}", one.reveal());
        assert_eq!(URL_SAFE_NO_PAD.decode(one.reveal()).unwrap().len(), 32);
        assert!(!format!("{one:?}").contains(one.reveal()));
        assert!(!looks_like_one(&format!("{}\"", &one.reveal()[1..])));
    }

    #[test]
    fn a_digest_knows_its_text_and_reads_back() {
        // FIPS 180-4's example.
        let known = "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";
        let digest = Digest::of("abc");
        assert!(digest.is_of("abc") && !digest.is_of("abd") && !digest.is_of(""));
        assert_eq!(serde_json::to_string(&digest).unwrap(), known);
        assert!(serde_json::from_str::<Digest>(known).unwrap().is_of("abc"));
        for wrong in ["\"\"", "\"ba78\"", &known.replace('b', "g"), &known.replace("ad\"", "adf\"")] {
            assert!(serde_json::from_str::<Digest>(wrong).is_err(), "{wrong}");
        }
        assert!(!format!("{digest:?}").contains("ba78"));
    }

    #[test]
    fn secrets_are_compared_by_subtle_and_by_nothing_else() {
        // Neither type can be compared by `==`: it would be a data-dependent comparison that nobody notices.
        let source = include_str!("secret.rs");
        let code = source.split("#[cfg(test)]").next().unwrap();
        assert!(code.contains("self.0.ct_eq("));
        assert!(!code.contains("derive(Clone, Copy, PartialEq") && !code.contains("impl PartialEq"));
    }
}
