//! The result's signature: Ed25519 over the RFC 8785 canonical JSON of the document without `signature`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde_json::Value;

use super::{FILE_NAME, Manifest, PublicKey};
use crate::files::{Existing, Readers, write_whole};
use crate::recipe::document;
use crate::signing::{from_hex, to_hex};

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {source}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Why a signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none, or none of 64 bytes.
    #[error("it has no signature: 128 lower-case hexadecimal digits under \"signature\"")]
    Unsigned,
    /// The node's id is no point of the curve.
    #[error("node.id {0} is not an Ed25519 public key")]
    NoKey(PublicKey),
    /// The signature belongs to another document or key.
    #[error(
        "its signature is not node {0}'s of this document: it was changed after signing, or signed by someone else"
    )]
    Mismatch(PublicKey),
}

/// Signs `manifest` as the node of `key` and puts it into `dir`, whole or not at all, in place of what stood there.
pub fn write(dir: &Path, manifest: &Manifest, key: &SigningKey) -> Result<(), WriteError> {
    let path = dir.join(FILE_NAME);
    let failed = |source| WriteError { path: path.clone(), source };
    let document = sign(manifest, key).map_err(|error| failed(error.into()))?;
    let text = text(&document);
    write_whole(&path, Existing::Replace, Readers::Umask, |file| file.write_all(text.as_bytes()))
        .map_err(failed)
}

/// The signed document; `node.id` becomes the key's.
pub(crate) fn sign(manifest: &Manifest, key: &SigningKey) -> Result<Value, serde_json::Error> {
    let mut manifest = manifest.clone();
    manifest.node.id = PublicKey(key.verifying_key().to_bytes());
    let mut document = serde_json::to_value(&manifest)?;
    let signature = key.sign(&document::canonical(&document));
    if let Some(fields) = document.as_object_mut() {
        fields.insert("signature".to_owned(), to_hex(&signature.to_bytes()).into());
    }
    Ok(document)
}

/// The file's text; there is one for each document, so that a changed byte is seen even where it changes nothing.
pub(crate) fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

/// Takes the signature out of `document` and checks that it is that of `node`; strict, so that no second one passes.
pub(super) fn check(document: &mut Value, node: PublicKey) -> Result<(), SignatureError> {
    let signature = document.as_object_mut().and_then(|fields| fields.remove("signature"));
    let text = signature.as_ref().and_then(Value::as_str).ok_or(SignatureError::Unsigned)?;
    // The one thing that the signature does not cover is how it is written itself.
    let signature =
        from_hex::<64>(text).filter(|bytes| to_hex(bytes) == text).ok_or(SignatureError::Unsigned)?;
    let key = VerifyingKey::from_bytes(&node.0).map_err(|_| SignatureError::NoKey(node))?;
    key.verify_strict(&document::canonical(document), &Signature::from_bytes(&signature))
        .map_err(|_| SignatureError::Mismatch(node))
}
