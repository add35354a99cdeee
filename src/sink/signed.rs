//! A result by itself, apart from the files that it names: whoever reads what another node says has nothing else yet.

use super::verification::{manifest, named_node};
use super::{Manifest, PublicKey, SignatureError, signature};
use crate::recipe::document;

/// Why a text is no node's signed result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// It is no JSON document.
    #[error("it is no JSON document: {0}")]
    NoDocument(String),
    /// It is written otherwise than nodes write: a changed byte counts even where it changes nothing that is read.
    #[error("its layout is not the one that it was written in")]
    Layout,
    /// It does not say whose it is.
    #[error("{0}")]
    NoNode(String),
    /// Its signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is signed, and no result that this node can read.
    #[error("{0}")]
    NoResult(String),
}

/// The result that `text` is, where the node that it names has signed it just so. Says nothing of whether that node is to
/// be believed, nor of the files.
pub fn signed(text: &str) -> Result<Manifest, Unsigned> {
    let mut document = document::exact(text).map_err(|error| Unsigned::NoDocument(error.to_string()))?;
    if signature::text(&document) != text {
        return Err(Unsigned::Layout);
    }
    let node: PublicKey = named_node(&document).map_err(Unsigned::NoNode)?;
    signature::check(&mut document, node)?;
    manifest(document).map_err(Unsigned::NoResult)
}
