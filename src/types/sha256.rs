//! A SHA-256, and how it is written and read.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest;

use super::Bytes;

/// A SHA-256, 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Of everything that `reader` gives, and how much that was.
    pub fn of_reader(mut reader: impl Read) -> io::Result<(Self, Bytes)> {
        // Large enough that the hash, not the calls, is what takes time.
        const PIECE: usize = 1 << 18;
        let (mut hash, mut size, mut piece) = (sha2::Sha256::new(), 0u64, vec![0; PIECE]);
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok((Self(hash.finalize().into()), Bytes::new(size))),
                Ok(count) => {
                    hash.update(&piece[..count]);
                    size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A finished digest.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl FromStr for Sha256 {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        bytes_of_digits(text).map(Self).ok_or("64 hexadecimal digits, as `sha256sum` prints them")
    }
}

/// `N` bytes from twice as many hexadecimal digits, and nothing else.
pub(super) fn bytes_of_digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|wanted| serde::de::Error::custom(format_args!("{text:?} is not {wanted}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_text_has_its_known_hash() {
        // FIPS 180-4's example, "abc".
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), known);
        assert_eq!(Sha256::of_reader(&b"abc"[..]).unwrap(), (known.parse().unwrap(), Bytes::new(3)));
        assert!(
            serde_json::from_str::<Sha256>("\"abc\"").unwrap_err().to_string().contains("64 hexadecimal")
        );
    }

    proptest! {
        #[test]
        fn hashes_read_back(digest in any::<[u8; 32]>()) {
            let hash = Sha256::from_digest(digest);
            let json = serde_json::to_string(&hash).unwrap();
            prop_assert_eq!(serde_json::from_str::<Sha256>(&json).unwrap(), hash);
        }
    }
}
