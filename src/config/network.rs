//! Settings of a node in a network: where its servers are, who it is to them, how long claims hold, whom it trusts.
//!
//! What each value means, its unit and why it has its default stands in `defaults.toml`, once.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use super::values;

/// The network of nodes that share a queue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Addresses of its servers; none where the node is in no network.
    #[serde(deserialize_with = "values::texts")]
    pub servers: Vec<String>,
    /// What its subjects and streams begin with. See [`fits_as_prefix`](Self::fits_as_prefix).
    pub prefix: String,
    /// A file with a JWT and its NKey.
    #[serde(deserialize_with = "values::path_or_off")]
    pub credentials: Option<PathBuf>,
    /// A file with an NKey's seed. Not beside `credentials`.
    #[serde(deserialize_with = "values::path_or_off")]
    pub nkey: Option<PathBuf>,
    /// Further authorities of servers to trust, PEM.
    #[serde(deserialize_with = "values::path_or_off")]
    pub ca_file: Option<PathBuf>,
    /// The certificate chain that is shown to servers, PEM. With `client_key`.
    #[serde(deserialize_with = "values::path_or_off")]
    pub client_certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(deserialize_with = "values::path_or_off")]
    pub client_key: Option<PathBuf>,
    /// How long a claim holds without confirmed progress. At least [`SHORTEST_ACK_WAIT`](Self::SHORTEST_ACK_WAIT).
    #[serde(deserialize_with = "values::above_zero")]
    pub ack_wait: Duration,
    /// How often a slot is delivered at most.
    pub deliveries: NonZeroU32,
    /// Between two entries in the registry of nodes.
    #[serde(deserialize_with = "values::above_zero")]
    pub heartbeat: Duration,
    /// How long a node is gone before others do its addressed work. At least three heartbeats.
    #[serde(deserialize_with = "values::above_zero")]
    pub away: Duration,
    /// Copies of each stream: 1, 3 or 5.
    pub replicas: u32,
    /// Messages that the work stream takes.
    pub queue: NonZeroU32,
    /// Addresses of the servers' monitors.
    #[serde(deserialize_with = "values::texts")]
    pub monitor: Vec<String>,
    /// Whether to start although no monitor says that writes are synced.
    pub assume_synced: bool,
    /// Whether finished stages go to the store.
    pub share_stages: bool,
    /// Whether recipes from the network must be signed.
    pub signed_only: bool,
    /// Public keys of the known nodes; every node's signature counts where none is listed.
    #[serde(deserialize_with = "values::public_keys")]
    pub nodes: Vec<[u8; 32]>,
}

impl Network {
    /// Claims are confirmed four times in this, and given up at 0.8 of it: below, a slow disk of a server costs claims.
    pub const SHORTEST_ACK_WAIT: Duration = Duration::from_secs(2);

    /// Whether subjects and streams may begin with `prefix`: a token of subjects that is also a name of a stream.
    pub fn fits_as_prefix(prefix: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=40).contains(&prefix.len()) && prefix.bytes().all(fits)
    }
}

/// What keeps a text from being an address of a server or a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is none with one of the schemes, a host, perhaps a port, and nothing else.
    NoAddress,
    /// It holds a name or a password: it must not be repeated.
    Secret,
}

/// Checks an address of one of `schemes`.
pub(super) fn check_address(text: &str, schemes: [&str; 2]) -> Result<(), Wrong> {
    // Before all else: of what cannot be read, a part may be a password all the same.
    if text.contains('@') {
        return Err(Wrong::Secret);
    }
    let uri: Uri = text.parse().map_err(|_| Wrong::NoAddress)?;
    let authority = uri.authority().ok_or(Wrong::NoAddress)?;
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let good_port = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.parse::<u16>().is_ok_and(|port| port > 0),
    };
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('#');
    let known = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    if known && bare && good_port && !authority.host().is_empty() { Ok(()) } else { Err(Wrong::NoAddress) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_scheme_a_host_and_nothing_secret() {
        let check = |text| check_address(text, ["nats", "tls"]);
        for good in
            ["nats://localhost", "tls://nats.example.org:4222", "nats://10.0.0.5:4222/", "tls://[::1]:4222"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for wrong in [
            "",
            "localhost:4222",
            "http://localhost:4222",
            "nats://",
            "nats://:4222",
            "nats://host:0",
            "nats://host:70000",
            "nats://host:4222/queue",
            "nats://host:4222?x",
            "nats://host:4222#x",
            "nats://two hosts",
        ] {
            assert_eq!(check(wrong), Err(Wrong::NoAddress), "{wrong}");
        }
        for secret in ["nats://me:pass@host:4222", "nats://token@host", "nats://me:pa ss@host"] {
            assert_eq!(check(secret), Err(Wrong::Secret), "{secret}");
        }
    }

    #[test]
    fn a_prefix_is_one_token_of_a_subject() {
        assert!(["vortex", "Net-1_b", "7"].into_iter().all(Network::fits_as_prefix));
        let long = "a".repeat(41);
        assert!(!["", "a.b", "a b", "*", ">", "ä", "$JS", &long].into_iter().any(Network::fits_as_prefix));
    }
}
