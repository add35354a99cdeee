//! Whose recipes are rendered.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::signing::{from_hex, to_hex};

/// The Ed25519 public keys whose recipes are rendered; where none is listed, everybody's, signed or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers(Vec<[u8; 32]>);

/// Why a recipe is not rendered for whoever handed it in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// It is not signed, and not everybody's are rendered.
    #[error(
        "the recipe is not signed (it has no `security`), and this node renders only what is signed by {0}"
    )]
    Unsigned(Signers),
    /// Somebody else signed it.
    #[error(
        "security.director_id {} is not among those whose recipes this node renders: {allowed}",
        to_hex(director)
    )]
    NotListed {
        /// The director's public key, Ed25519.
        director: [u8; 32],
        /// Whose are.
        allowed: Signers,
    },
}

impl Signers {
    /// Whether recipes that `director` signed, or that nobody did, are rendered. Says nothing of the signature itself.
    pub fn allow(&self, director: Option<&[u8; 32]>) -> Result<(), SignerError> {
        match director {
            _ if self.0.is_empty() => Ok(()),
            None => Err(SignerError::Unsigned(self.clone())),
            Some(director) if self.0.contains(director) => Ok(()),
            Some(director) => Err(SignerError::NotListed { director: *director, allowed: self.clone() }),
        }
    }
}

impl fmt::Display for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|key| to_hex(key)).collect();
        f.pad(&names.join(", "))
    }
}

const SIGNERS: &str =
    "a list of public keys of 64 hexadecimal digits each, as in a recipe's security.director_id";

impl Signers {
    fn listed<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let read = |name: &str| {
            from_hex(name).ok_or_else(|| format!("{name:?} is no public key; accepted: {SIGNERS}"))
        };
        names.map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl<'de> Deserialize<'de> for Signers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;
        impl<'de> Visitor<'de> for TextOrList {
            type Value = Signers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SIGNERS)
            }

            /// Of a variable or a flag: separated by commas.
            fn visit_str<E: Error>(self, text: &str) -> Result<Signers, E> {
                let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                Signers::listed(names).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Signers, A::Error> {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Signers::listed(names.iter().map(String::as_str)).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(TextOrList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_listed_is_everybody_and_somebody_listed_is_nobody_else() {
        let (one, other) = ([1; 32], [2; 32]);
        assert_eq!(Signers::default().allow(None), Ok(()));
        assert_eq!(Signers::default().allow(Some(&one)), Ok(()));
        let only = Signers(vec![one]);
        assert_eq!(only.allow(Some(&one)), Ok(()));
        let told = only.allow(Some(&other)).unwrap_err().to_string();
        assert!(told.contains(&"02".repeat(32)) && told.contains(&"01".repeat(32)), "{told}");
        assert!(only.allow(None).unwrap_err().to_string().contains("not signed"));
    }

    #[test]
    fn keys_are_hexadecimal() {
        let read = |text: &str| serde_json::from_str::<Signers>(text);
        assert_eq!(read(&format!("[\"{}\"]", "ab".repeat(32))).unwrap(), Signers(vec![[0xab; 32]]));
        assert_eq!(read(&format!("\"{0},{0}\"", "ab".repeat(32))).unwrap(), Signers(vec![[0xab; 32]; 2]));
        assert!(read("[\"director\"]").unwrap_err().to_string().contains("64 hexadecimal digits"));
    }
}
