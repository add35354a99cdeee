//! What the commands that ask a network of nodes have in common: which servers, by what right, and what its errors mean.
//!
//! They speak to the network's queue themselves, and to its artifact store; no node needs to be there.

mod flags;
mod store;
mod words;

pub(super) use flags::{NatsFlags, NetworkFlags, Target};
pub(super) use store::StoreFlags;
pub(super) use words::{ends, short};

use super::Failed;
use crate::network::NetworkError;

impl From<NetworkError> for Failed {
    fn from(error: NetworkError) -> Self {
        let told = format!("{error}{}", advice(&error));
        match error {
            NetworkError::File { .. } | NetworkError::Credentials { .. } => Self::bad_input(told),
            _ => Self::failure(told),
        }
    }
}

/// What to do about an error, to be put behind it.
pub(super) fn advice(error: &NetworkError) -> &'static str {
    match error {
        NetworkError::Connect { .. } => {
            "\n  is it where a nats-server listens for clients (port 4222 unless it is told otherwise), and may this machine \
             connect to it?"
        }
        NetworkError::Credentials { .. } => {
            "\n  who you are is said by --credentials or --nkey, else by the settings network.credentials and network.nkey"
        }
        NetworkError::NoAnswer { .. } => {
            "\n  a server does not answer what its permissions do not allow, nor to an inbox that they do not name: see \
             `vortex-node nats permissions` and --inbox"
        }
        error if error.is_missing() => MAKE,
        NetworkError::Unavailable { said, .. } if said.contains("nobody answers") => MAKE,
        NetworkError::Unavailable { said, .. } if said.contains("no server answers") => MAKE,
        _ => "",
    }
}

const MAKE: &str =
    "\n  `vortex-node nats setup` makes the streams of a network; --prefix, else network.prefix, says which";
