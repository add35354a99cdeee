//! Which addresses may be named: public `https`, or what the settings allow. Pure; nothing is looked up here.
//!
//! An address is read strictly, before and after the URL parser: forms that only browsers accept, and that other programs
//! may read as another host, are refused with the form to write.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use super::address::{never_meant, not_public};

mod rules;

pub use rules::{RuleError, Rules};

/// Longer addresses serve nobody, and each is kept with every event.
const MOST_BYTES: usize = 2048;

/// Endings of names that are never the public Internet's (RFC 6761, 6762, 7686, 8375, 9476; ICANN's `internal`), and the
/// metadata services' own.
const SPECIAL: [&str; 17] = [
    "localhost",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "arpa",
    "test",
    "invalid",
    "example",
    "onion",
    "alt",
    "localdomain",
    "example.com",
    "example.net",
];

/// Why an address is refused. Names the host at most: the rest of an address may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Too long.
    #[error("webhook address: {0} bytes; accepted: up to {MOST_BYTES}")]
    Length(usize),
    /// Not an address.
    #[error(
        "webhook address: {0}; accepted: https://HOST/PATH, with everything but letters, digits and punctuation percent-encoded"
    )]
    Syntax(&'static str),
    /// Its scheme.
    #[error(
        "webhook address: {scheme:?} is not accepted for {host:?}; accepted: https, or http for an origin that [webhooks] allow names"
    )]
    Scheme {
        /// What was written.
        scheme: String,
        /// For which host.
        host: String,
    },
    /// It holds a name or password.
    #[error(
        "webhook address: it holds credentials before \"@\"; accepted: an address without them (every message is signed; a secret path is kept from logs)"
    )]
    Credentials,
    /// It holds a fragment.
    #[error(
        "webhook address: it holds a fragment (\"#\"), which is never sent; accepted: an address without one"
    )]
    Fragment,
    /// The host can be written in another way, and programs may disagree on what it is.
    #[error("webhook address: the host {written:?} is read as {canonical:?}; write it like that")]
    Host {
        /// What was written.
        written: String,
        /// What the URL standard makes of it.
        canonical: String,
    },
    /// The host has no public name.
    #[error(
        "webhook address: the host {host:?} {why}; accepted: public names and addresses, or what [webhooks] allow names"
    )]
    NotPublic {
        /// The host.
        host: String,
        /// Why not.
        why: String,
    },
    /// Only allowed hosts are accepted.
    #[error(
        "webhook address: the host {0:?} is not one that [webhooks] allow names, and [webhooks] public is false"
    )]
    NotAllowed(String),
}

/// How far an address may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The public Internet.
    Public,
    /// A name that the settings allow: private addresses too, but nothing that is never a receiver.
    Named,
    /// An IP address that the settings allow, by its number.
    Exact,
}

impl Reach {
    /// What `address` is, where it must not be reached.
    pub(super) fn refuses(self, address: IpAddr) -> Option<&'static str> {
        match self {
            Self::Public => not_public(address),
            Self::Named => never_meant(address),
            Self::Exact => None,
        }
    }
}

/// An address that was checked, as far as that goes without looking its host up.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) url: Url,
    pub(super) reach: Reach,
}

/// The origin only: paths and queries may be secrets.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}, {:?})", self.origin(), self.reach)
    }
}

impl Target {
    /// Scheme, host and port: what may be shown in logs.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The address in its canonical form: what is kept.
    pub fn address(&self) -> &str {
        self.url.as_str()
    }
}

/// Scheme, host and port of an address: which rows share a receiver, and what may be shown of it.
pub fn origin_of(address: &str) -> String {
    Url::parse(address).map_or_else(|_| "(no address)".to_owned(), |url| url.origin().ascii_serialization())
}

/// An address taken apart.
struct Parsed {
    url: Url,
    host: Host,
}

/// A host as written in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Ip(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// Reads an address, strictly.
fn parse(text: &str) -> Result<Parsed, TargetError> {
    if text.len() > MOST_BYTES {
        return Err(TargetError::Length(text.len()));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TargetError::Syntax("it holds spaces, control characters or letters beyond ASCII"));
    }
    if text.contains('\\') {
        return Err(TargetError::Syntax("it holds a backslash"));
    }
    let (scheme, rest) = text.split_once("://").ok_or(TargetError::Syntax("it has no scheme and \"://\""))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(TargetError::Credentials);
    }
    if text.contains('#') {
        return Err(TargetError::Fragment);
    }
    if authority.is_empty() {
        return Err(TargetError::Syntax("it has no host"));
    }
    let (written, port) = split_port(authority)?;
    if !["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return Err(TargetError::Scheme { scheme: shortened(scheme), host: shortened(written) });
    }
    if port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port == 0)) {
        return Err(TargetError::Syntax("its port is 0"));
    }
    let url = Url::parse(text).map_err(|_| TargetError::Syntax("its host or port is none"))?;
    let canonical = url.host_str().unwrap_or_default();
    if !canonical.eq_ignore_ascii_case(written) {
        return Err(TargetError::Host { written: shortened(written), canonical: shortened(canonical) });
    }
    let bare = canonical.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse::<Ipv4Addr>().map(IpAddr::V4).or_else(|_| bare.parse::<Ipv6Addr>().map(IpAddr::V6));
    let host = ip.map_or_else(|_| Host::Name(canonical.to_ascii_lowercase()), Host::Ip);
    if let Host::Name(name) = &host {
        check_name(name)?;
    }
    Ok(Parsed { url, host })
}

/// Host and port of an authority without credentials, as they are written.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), TargetError> {
    let after_host = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').map(|at| at + 2).ok_or(TargetError::Syntax("its \"[\" has no \"]\""))?,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(after_host);
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host, Some(digits)))
        }
        _ => Err(TargetError::Syntax("its port is not a number")),
    }
}

/// Whether this is a name that DNS can hold.
fn check_name(name: &str) -> Result<(), TargetError> {
    if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
        return Err(TargetError::Syntax("its host is longer than DNS allows (253, each part 63)"));
    }
    if name.ends_with('.') {
        return Err(TargetError::Syntax("its host ends with a dot"));
    }
    let label_is_good = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if !name.split('.').all(label_is_good) {
        return Err(TargetError::Syntax("its host is not letters, digits, \"-\" and single dots"));
    }
    Ok(())
}

/// Why a host is not the public Internet's, as far as its name or number tells.
fn private_by_name(host: &Host) -> Option<String> {
    let name = match host {
        Host::Ip(address) => return not_public(*address).map(|what| format!("is {what}")),
        Host::Name(name) => name,
    };
    if !name.contains('.') {
        return Some("has no domain".to_owned());
    }
    SPECIAL
        .iter()
        .find(|ending| name.strip_suffix(**ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        .map(|ending| format!("is under {ending:?}, which is not the public Internet's"))
}

/// What comes from outside is not repeated at length.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
