//! A model hub's other side: files of repositories at huggingface.co, or at a mirror that answers as it does.
//!
//! Owns the token ([`Token`]), the requests ([`HubClient`]), lists of files ([`Listings`]), what a refusal means ([`HubError`]), what is tried again and
//! when ([`Patience`]), and files that continue where they stopped ([`Download`]). Nothing gets its final name before its
//! hash is right. Writes nothing to a terminal and never shows a token.
//!
#![doc = include_str!("hub/README.md")]

mod answer;
mod client;
mod download;
mod error;
mod expected;
mod listing;
mod part;
mod patience;
mod rate_limit;
mod remote_file;
mod token;

pub(crate) use client::{HubClient, Known};
pub(crate) use download::{Download, Notice};
pub(crate) use error::HubError;
pub(crate) use expected::Expected;
pub(crate) use listing::Listings;
pub(crate) use patience::Patience;
pub(crate) use remote_file::RemoteFile;
pub(crate) use token::Token;
