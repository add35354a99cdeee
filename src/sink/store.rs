//! Artifact stores: where finished slots are handed over, a folder or an S3-compatible bucket.
//!
//! Owns addresses of stores and of what lies in them, putting one file there (checked while it is read, never over other
//! content), and the task that uploads what the journal says is still to be uploaded ([`Uploads`]). A store that is down
//! delays delivery and nothing else. Never deletes or replaces anything in a store.
//!
#![doc = include_str!("store/README.md")]

mod address;
mod credentials;
mod health;
mod local;
mod open;
mod put;
mod uploader;
mod uploads;

#[cfg(test)]
mod failing;
#[cfg(test)]
mod tests;

pub use address::{AddressError, StoreAddress};
pub use health::Health;
pub use open::{OpenError, Store, StoreSettings};
pub use put::PutError;
pub use uploader::{Notice, Options, Parts, run};
pub use uploads::{AnyError, Mark, Parcel, ParcelFile, Reply, Uploads, Waiting};
