//! A recipe's signature: Ed25519 over the RFC 8785 canonical JSON of the recipe without `security.ed25519_signature`.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde_json::{Map, Value};

use super::{Recipe, document};
use crate::signing::to_hex;

/// Who signed a recipe, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security {
    /// The signer's public key.
    pub director: [u8; 32],
    /// The signature.
    pub signature: [u8; 64],
    /// When it was signed, Unix seconds.
    pub timestamp: u64,
}

/// Why a signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("the recipe is not signed: it has no `security`")]
    Unsigned,
    /// The public key is no point of the curve.
    #[error("security.director_id {0} is not an Ed25519 public key")]
    NoKey(String),
    /// The signature belongs to another document or key.
    #[error(
        "security.ed25519_signature is not director {0}'s signature of this recipe: it was changed after signing, or signed by someone else"
    )]
    Mismatch(String),
}

/// Signs `document` as of `timestamp`; what stood under `security` is replaced.
pub(crate) fn sign(mut document: Value, key: &SigningKey, timestamp: u64) -> Value {
    let director = to_hex(key.verifying_key().as_bytes());
    let mut security = Map::new();
    security.insert("director_id".into(), director.into());
    security.insert("timestamp".into(), timestamp.into());
    document["security"] = Value::Object(security);
    let signature = key.sign(&document::canonical(&document));
    document["security"]["ed25519_signature"] = to_hex(&signature.to_bytes()).into();
    document
}

/// Checks the signature that `recipe` carries; strict, so that no second signature passes for the same document.
pub(crate) fn verify(recipe: &Recipe) -> Result<Security, SignatureError> {
    let security = recipe.security.ok_or(SignatureError::Unsigned)?;
    let director = to_hex(&security.director);
    let key =
        VerifyingKey::from_bytes(&security.director).map_err(|_| SignatureError::NoKey(director.clone()))?;
    let mut signed = recipe.document().clone();
    if let Some(section) = signed.get_mut("security").and_then(Value::as_object_mut) {
        section.remove("ed25519_signature");
    }
    key.verify_strict(&document::canonical(&signed), &Signature::from_bytes(&security.signature))
        .map_err(|_| SignatureError::Mismatch(director))?;
    Ok(security)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::example;

    fn signed() -> Value {
        let document = document::parse(example::text().as_bytes()).unwrap();
        sign(document, &SigningKey::from_bytes(&[7; 32]), 1_790_000_000)
    }

    fn read(document: &Value) -> Recipe {
        Recipe::read(document.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_signature_holds_whatever_the_order_and_layout() {
        let pretty = serde_json::to_string_pretty(&signed()).unwrap();
        let commented = format!("// signed\n{pretty}");
        assert_eq!(verify(&Recipe::read(commented.as_bytes()).unwrap()).unwrap().timestamp, 1_790_000_000);
    }

    #[test]
    fn any_change_breaks_it() {
        for (pointer, value) in [
            ("/slot_params/slot_number", Value::from(99)),
            ("/audio_track/script", "other".into()),
            ("/security/timestamp", 1.into()),
            ("/seed", 5.into()),
        ] {
            let mut changed = signed();
            match changed.pointer_mut(pointer) {
                Some(place) => *place = value,
                None => changed["seed"] = value,
            }
            assert!(matches!(verify(&read(&changed)), Err(SignatureError::Mismatch(_))), "{pointer}");
        }
    }

    #[test]
    fn an_unsigned_recipe_and_a_wrong_key_are_told_apart() {
        assert_eq!(verify(&Recipe::read(example::text().as_bytes()).unwrap()), Err(SignatureError::Unsigned));
        let mut other = signed();
        other["security"]["director_id"] =
            to_hex(SigningKey::from_bytes(&[8; 32]).verifying_key().as_bytes()).into();
        assert!(matches!(verify(&read(&other)), Err(SignatureError::Mismatch(_))));
        // y = 2 has no x on the curve.
        other["security"]["director_id"] = format!("02{}", "00".repeat(31)).into();
        assert!(matches!(verify(&read(&other)), Err(SignatureError::NoKey(_))));
    }
}
