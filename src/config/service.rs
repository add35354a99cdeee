//! Settings of the service: listeners, what is kept for how long, webhooks, the artifact store.
//!
//! What each value means, its unit and why it has its default stands in `defaults.toml`, once.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::values;
use crate::types::Bytes;

/// The API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port.
    #[serde(deserialize_with = "values::address")]
    pub listen: SocketAddr,
    /// Where probes are served without tokens; none where they are not.
    #[serde(deserialize_with = "values::address_or_off")]
    pub management: Option<SocketAddr>,
    /// Further names under which the API may be asked for, beside the addresses that it listens on.
    pub hosts: Vec<String>,
    /// The certificate chain, PEM; none for plain HTTP.
    #[serde(deserialize_with = "values::path_or_off")]
    pub tls_certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(deserialize_with = "values::path_or_off")]
    pub tls_key: Option<PathBuf>,
    /// Whose client certificates are asked for, PEM; none for nobody's.
    #[serde(deserialize_with = "values::path_or_off")]
    pub client_ca: Option<PathBuf>,
    /// Requests that each token may make in a second, on average …
    pub rate: NonZeroU32,
    /// … and at once.
    pub burst: NonZeroU32,
    /// Streams of events open at once.
    pub streams: NonZeroUsize,
    /// Connections open at once.
    pub connections: NonZeroUsize,
    /// For the head of a request, and for its body.
    #[serde(deserialize_with = "values::above_zero")]
    pub request_timeout: Duration,
    /// How long the node answers "not ready" before it stops taking connections.
    #[serde(deserialize_with = "values::duration")]
    pub farewell: Duration,
    /// How long after SIGTERM whoever stops the process kills it; none where that is not known.
    #[serde(deserialize_with = "values::above_zero_or_off")]
    pub killed_after: Option<Duration>,
}

impl Http {
    /// For open answers and background tasks, the journal, and telemetry that is exported to end once the node has: a third
    /// of it each.
    pub const CLOSING: Duration = Duration::from_secs(15);
}

/// The journal of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Between two backups of the index.
    #[serde(deserialize_with = "values::above_zero")]
    pub backup_every: Duration,
    /// Events kept for those who come back, at most …
    pub events: NonZeroUsize,
    /// … and not longer than this.
    #[serde(deserialize_with = "values::above_zero")]
    pub events_for: Duration,
    /// How long an ended slot's files are kept in any case: its `expires_at`.
    #[serde(deserialize_with = "values::above_zero")]
    pub keep: Duration,
    /// And how long at most. At least `keep`.
    #[serde(deserialize_with = "values::above_zero")]
    pub keep_at_most: Duration,
    /// All together are to take no more than this …
    #[serde(deserialize_with = "values::some_bytes")]
    pub keep_bytes: Bytes,
    /// … and to leave so much free on their disk.
    pub keep_free: Bytes,
    /// How long an expired slot's id is remembered. At least `intake.replay_window`.
    #[serde(deserialize_with = "values::above_zero")]
    pub tombstones: Duration,
}

/// Webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Whether public https addresses are accepted.
    pub public: bool,
    /// Origins that are accepted besides, such as `http://10.0.0.5:8080`.
    pub allow: Vec<String>,
    /// Further authorities of receivers to trust, PEM.
    #[serde(deserialize_with = "values::path_or_off")]
    pub ca_file: Option<PathBuf>,
    /// For one delivery, all in all.
    #[serde(deserialize_with = "values::above_zero")]
    pub timeout: Duration,
    /// Deliveries under way at once.
    pub at_once: NonZeroUsize,
}

/// Where the artifacts of ended slots are handed over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `file:///…` or `s3://bucket/prefix`; none where artifacts stay in the data folder.
    #[serde(deserialize_with = "values::text_or_off")]
    pub url: Option<String>,
    /// Where the store is, if not at its cloud's own address.
    #[serde(deserialize_with = "values::text_or_off")]
    pub endpoint: Option<String>,
    /// Its region.
    #[serde(deserialize_with = "values::text_or_off")]
    pub region: Option<String>,
    /// Whether it may be asked without TLS.
    pub allow_http: bool,
    /// How long an address that was signed for reading holds.
    #[serde(deserialize_with = "values::above_zero")]
    pub presigned_for: Duration,
    /// After this an upload is given up.
    #[serde(deserialize_with = "values::above_zero")]
    pub give_up_after: Duration,
}
