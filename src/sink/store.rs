//! Artifact stores: where finished slots are handed over, a folder or an S3-compatible bucket.
//!
//! Owns addresses of stores and of what lies in them, putting one file there (checked while it is read, never over other
//! content), fetching one from there (checked while it is written), what the nodes of a network share and how it is swept, and
//! the task that uploads what the journal says is still to be uploaded ([`Uploads`]). A store that is down delays delivery
//! and nothing else. Never replaces content by other content; removes what a listing of renderings names
//! ([`Store::remove`]) and nothing else.
//!
#![doc = include_str!("store/README.md")]

mod address;
mod credentials;
mod fetch;
mod health;
mod local;
mod open;
mod put;
mod stage;
mod sweep;
mod uploader;
mod uploads;
mod work;

#[cfg(test)]
mod failing;
#[cfg(test)]
mod tests;

pub use address::{AddressError, StoreAddress};
pub use fetch::GetError;
pub use health::Health;
pub use open::{OpenError, Store, StoreSettings};
pub use put::PutError;
pub use stage::{Kept, StageError, StageName};
pub use sweep::{Held, Listed, Listing, SweepError};
pub use uploader::{Notice, Options, Parts, run};
pub use uploads::{AnyError, Mark, Parcel, ParcelFile, Reply, Uploads, Waiting};
