//! How records are written and read: JSON, with fields that a reader does not know passed over, so that nodes of several
//! versions can share a network.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::NetworkError;

/// Of every record's format.
pub const VERSION: u32 = 1;

/// `record` as it is sent; `doing` says what for.
pub(super) fn write(doing: &str, record: &impl Serialize) -> Result<Bytes, NetworkError> {
    serde_json::to_vec(record).map(Bytes::from).map_err(|error| unreadable(doing, &error.to_string()))
}

/// What `payload` says; `what` names it in the error.
pub(super) fn read<T: DeserializeOwned>(what: &str, payload: &[u8]) -> Result<T, NetworkError> {
    serde_json::from_slice(payload).map_err(|error| unreadable(what, &error.to_string()))
}

pub(super) fn unreadable(what: &str, wrong: &str) -> NetworkError {
    NetworkError::Unreadable { what: what.to_owned(), wrong: wrong.to_owned() }
}
