//! Under which names a listener may be asked: the guard against DNS rebinding.
//!
//! A page of a foreign site can point its own name at this machine and then asks us as its "own" server; the request's
//! `Host` still carries that name. So `Host` must be one of ours, and `Origin`, where there is one, as well. Pure: knows
//! an address, configured names, and nothing of requests beyond these two values.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::uri::Authority;

/// A further name of the listener: `render.example`, or `render.example:443`.
///
/// Without a port it is good with every port: what a foreign site cannot have is the name. Addresses go in brackets
/// where they hold colons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    host: String,
    port: Option<u16>,
}

/// Not a host's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a host: accepted are names and addresses, with or without a port, as in \"render.example:9100\""
)]
pub struct NotAHost(String);

impl FromStr for HostName {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = split(text).ok_or_else(|| NotAHost(text.to_owned()))?;
        Ok(Self { host, port })
    }
}

/// The names of one listener.
#[derive(Clone, Debug)]
pub struct Names {
    bound: SocketAddr,
    tls: bool,
    further: Vec<HostName>,
}

impl Names {
    /// Of a listener bound to `bound` (with its real port), with `further` names.
    pub fn new(bound: SocketAddr, tls: bool, further: Vec<HostName>) -> Self {
        Self { bound, tls, further }
    }

    /// Whether answers go through our own TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The port it is bound to.
    pub fn port(&self) -> u16 {
        self.bound.port()
    }

    /// Whether `authority`, a `Host` header's value, is one of them.
    pub fn allow_host(&self, authority: &str) -> bool {
        split(authority).is_some_and(|(host, port)| {
            self.configured(&host, port)
                || self.own(&host) && port.unwrap_or(self.usual_port()) == self.port()
        })
    }

    /// Whether `origin`, an `Origin` header's value, is a page of one of them.
    pub fn allow_origin(&self, origin: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let Some((host, port)) = split(authority) else { return false };
        match (scheme, self.tls) {
            // A proxy in front of us may speak TLS for a configured name, not for the machine's own.
            ("https", false) => self.configured(&host, port),
            ("https", true) | ("http", false) => self.allow_host(authority),
            _ => false,
        }
    }

    /// Where a person on this machine finds it.
    pub fn address_here(&self) -> String {
        let (scheme, port) = (if self.tls { "https" } else { "http" }, self.port());
        let here = match self.bound.ip().to_canonical() {
            IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            address => address,
        };
        // A certificate names hosts, not loopback addresses: then the first configured name is what fits.
        match self.further.first() {
            Some(name) if self.tls => format!("{scheme}://{}:{}", name.host, name.port.unwrap_or(port)),
            _ => format!("{scheme}://{}", SocketAddr::new(here, port)),
        }
    }

    fn configured(&self, host: &str, port: Option<u16>) -> bool {
        let meant =
            |name: &HostName| name.port.is_none_or(|wanted| port.unwrap_or(self.usual_port()) == wanted);
        self.further
            .iter()
            .any(|name| name.host == host && (meant(name) || port.is_none() && name.port == Some(443)))
    }

    /// Names that nobody can point elsewhere: `localhost` and addresses.
    fn own(&self, host: &str) -> bool {
        let bound = self.bound.ip().to_canonical();
        let wildcard = bound.is_unspecified();
        if host == "localhost" {
            return wildcard || bound.is_loopback();
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>().map(|address| address.to_canonical()) {
            // Any address: the browser went to it, so no name was resolved and none can have been pointed at us.
            Ok(_) if wildcard => true,
            Ok(address) => address == bound || bound.is_loopback() && address.is_loopback(),
            Err(_) => false,
        }
    }

    fn usual_port(&self) -> u16 {
        if self.tls { 443 } else { 80 }
    }
}

/// Whether `origin` is the very origin that `host` (of the same request) stands for.
pub(super) fn same_origin(origin: &str, host: &str) -> bool {
    let (Some((scheme, authority)), Some((host, port))) = (origin.split_once("://"), split(host)) else {
        return false;
    };
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return false,
    };
    // Behind a proxy the scheme may be the outer one: the ports are compared as they would be written for it.
    split(authority)
        .is_some_and(|(other, its_port)| other == host && its_port.unwrap_or(usual) == port.unwrap_or(usual))
}

/// Host, in lower case and with its brackets, and port.
fn split(authority: &str) -> Option<(String, Option<u16>)> {
    // "user@host" is no host; an authority that long is no name of ours.
    if authority.contains('@') || authority.len() > 300 {
        return None;
    }
    let parsed: Authority = authority.parse().ok()?;
    let host = parsed.host().to_ascii_lowercase();
    let rest = parsed.as_str().get(host.len()..)?;
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => Some(digits.parse().ok()?),
        None if rest.is_empty() => None,
        _ => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests;
