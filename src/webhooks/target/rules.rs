//! What the settings say of addresses: `[webhooks] allow` and `public`. Pure.

use super::{Host, Parsed, Reach, Target, TargetError, check_name, parse, private_by_name};

/// An entry of the allow-list that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[webhooks] allow: {entry:?}: {wrong}; accepted: an origin (https://hooks.example.org:8443, http://10.0.0.7:8080), a host (hooks.example.org) or a domain (*.example.org)"
)]
pub struct RuleError {
    /// What was written.
    pub entry: String,
    /// What is wrong with it.
    pub wrong: String,
}

/// Which addresses webhooks may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    public: bool,
    allowed: Vec<Allowed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    /// `https://host:port` or `http://host:port`: exactly this.
    Origin(String),
    /// A host by `https`, any port.
    Host(Host),
    /// Every name under a domain by `https`, any port; not the domain itself.
    Under(String),
}

/// Public `https` only.
impl Default for Rules {
    fn default() -> Self {
        Self { public: true, allowed: Vec::new() }
    }
}

impl Rules {
    /// Public `https` addresses where `public`, and what the entries of `allow` name.
    ///
    /// # Errors
    /// The first entry that is none of: an origin, a host, `*.` and a domain.
    pub fn new<S: AsRef<str>>(public: bool, allow: &[S]) -> Result<Self, RuleError> {
        let allowed = allow.iter().map(|entry| Allowed::parse(entry.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { public, allowed })
    }

    /// Checks an address as far as that goes without looking its host up; each delivery checks what it resolves to.
    ///
    /// # Errors
    /// What is wrong with it, and what would be accepted.
    pub fn check(&self, address: &str) -> Result<Target, TargetError> {
        let Parsed { url, host } = parse(address)?;
        if self.allowed.iter().any(|allowed| allowed.covers(&url, &host)) {
            let reach = if matches!(host, Host::Ip(_)) { Reach::Exact } else { Reach::Named };
            return Ok(Target { url, reach });
        }
        if url.scheme() != "https" {
            return Err(TargetError::Scheme { scheme: url.scheme().to_owned(), host: host.to_string() });
        }
        if !self.public {
            return Err(TargetError::NotAllowed(host.to_string()));
        }
        if let Some(why) = private_by_name(&host) {
            return Err(TargetError::NotPublic { host: host.to_string(), why });
        }
        Ok(Target { url, reach: Reach::Public })
    }
}

impl Allowed {
    fn parse(entry: &str) -> Result<Self, RuleError> {
        let wrong = |wrong: &str| RuleError { entry: entry.to_owned(), wrong: wrong.to_owned() };
        if entry.contains("://") {
            let Parsed { url, .. } = parse(entry).map_err(|error| wrong(&error.to_string()))?;
            if url.path() != "/" || url.query().is_some() {
                return Err(wrong("an origin has no path and no query"));
            }
            return Ok(Self::Origin(url.origin().ascii_serialization()));
        }
        let domain = entry.strip_prefix("*.");
        // The same strictness as for addresses: the entry is read as the host of one.
        let host = domain.unwrap_or(entry);
        let literal =
            if host.contains(':') { format!("https://[{host}]/") } else { format!("https://{host}/") };
        let Parsed { url, host: parsed } = parse(&literal).map_err(|error| wrong(&error.to_string()))?;
        if url.port().is_some() || url.path() != "/" || url.query().is_some() {
            return Err(wrong("a host has no port and no path"));
        }
        match (domain, parsed) {
            (None, host) => Ok(Self::Host(host)),
            (Some(_), Host::Name(name)) => {
                check_name(&name).map_err(|error| wrong(&error.to_string()))?;
                Ok(Self::Under(format!(".{name}")))
            }
            (Some(_), Host::Ip(_)) => Err(wrong("\"*.\" goes before a name, not before an IP address")),
        }
    }

    fn covers(&self, url: &reqwest::Url, host: &Host) -> bool {
        match self {
            Self::Origin(origin) => url.origin().ascii_serialization() == *origin,
            Self::Host(allowed) => url.scheme() == "https" && host == allowed,
            Self::Under(ending) => {
                let named = matches!(host, Host::Name(name) if name.ends_with(ending.as_str()));
                url.scheme() == "https" && named
            }
        }
    }
}
