//! Where the node is, and by what token and certificates it is asked.
//!
//! What is named goes first, then what a node on this machine says in its data folder. The local token is sent to the
//! address of that node only, and no token leaves this machine unencrypted.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity, Url};

use super::error::ClientError;
use super::local::Serving;
use super::token::Token;
use crate::api::access::tokens::read_local_token;

/// Where `serve` listens where nothing else is set.
const DEFAULT_URL: &str = "http://127.0.0.1:9100";

/// What a command was given to find the node by.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `--url`.
    pub url: Option<String>,
    /// The variable `VORTEX_URL`.
    pub url_variable: Option<String>,
    /// `--token-file`.
    pub token_file: Option<PathBuf>,
    /// The variable `VORTEX_TOKEN`; none of it is ever shown.
    pub token_variable: Option<Secret>,
    /// The data folder of a node on this machine.
    pub data_dir: Option<PathBuf>,
    /// For TLS.
    pub certificates: Certificates,
}

/// A text that shows nothing of itself.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// This text.
    pub fn new(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Files for TLS, in PEM.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// `--cacert`: whom to trust besides those whom the system trusts.
    pub cacert: Option<PathBuf>,
    /// `--cert`: the client's certificate, with its chain.
    pub cert: Option<PathBuf>,
    /// `--key`: its private key; may stand in the file of the certificate.
    pub key: Option<PathBuf>,
}

/// A node's address and what opens it.
#[derive(Debug)]
pub struct Access {
    pub(super) base: Url,
    pub(super) token: Option<Token>,
    pub(super) roots: Vec<Certificate>,
    pub(super) identity: Option<Identity>,
    /// What to do where nothing answers.
    pub(super) advice: String,
}

impl Access {
    /// Finds the node.
    pub fn find(wanted: &Wanted) -> Result<Self, ClientError> {
        let named = wanted.url.as_ref().map(|url| ("--url", url)).or_else(|| {
            wanted.url_variable.as_ref().filter(|url| !url.is_empty()).map(|url| ("VORTEX_URL", url))
        });
        let said = match wanted.data_dir.as_deref().map(Serving::read) {
            Some(Ok(said)) => said,
            // Where the address is named, the file is needed for nothing but the token.
            Some(Err(error)) if named.is_none() => return Err(error.into()),
            Some(Err(_)) | None => None,
        };
        let serving = said.as_ref().filter(|serving| serving.is_running());
        let (source, url) = match (named, serving) {
            (Some((source, url)), _) => (source.to_owned(), url.as_str()),
            (None, Some(serving)) => ("serve.json in the data folder".to_owned(), serving.url.as_str()),
            (None, None) => ("the address where none is named".to_owned(), DEFAULT_URL),
        };
        let base = address(url).map_err(|why| ClientError::Wrong(format!("{source}: {url:?} {why}")))?;
        let at_home = serving.and_then(|serving| address(&serving.url).ok());
        let is_local = at_home.is_some_and(|home| same_place(&home, &base));
        let token = token(wanted, is_local)?;
        if token.is_some() && base.scheme() == "http" && !is_loopback(&base) {
            return Err(ClientError::Wrong(format!(
                "{source}: a token would go to {base} unencrypted; accepted: an address with https, or one of this machine"
            )));
        }
        let advice = match (named, &said, serving) {
            (Some(_), ..) => "; is `vortex-node serve` running there?".to_owned(),
            (None, Some(gone), None) => format!(
                "; the node that served from this data folder (process {}) is gone; `vortex-node serve` starts one, --url or \
                 VORTEX_URL names one on another machine",
                gone.pid
            ),
            _ => "; `vortex-node serve` starts one on this machine, --url or VORTEX_URL names one on another"
                .to_owned(),
        };
        let Certificates { cacert, cert, key } = &wanted.certificates;
        let roots = cacert.as_deref().map(roots).transpose()?.unwrap_or_default();
        let identity = match (cert, key) {
            (Some(cert), key) => Some(identity(cert, key.as_deref())?),
            (None, Some(_)) => return Err(ClientError::Wrong("--key stands without --cert".to_owned())),
            (None, None) => None,
        };
        Ok(Self { base, token, roots, identity, advice })
    }
}

/// The address of a node from its text, or why it is none.
fn address(text: &str) -> Result<Url, String> {
    let accepted = "accepted: such as http://127.0.0.1:9100 or https://node.example.org";
    let mut url = Url::parse(text).map_err(|error| format!("is no address ({error}); {accepted}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("is no address of a node; {accepted}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a name or a password; a token belongs into VORTEX_TOKEN or a file".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("holds a query or a fragment; {accepted}"));
    }
    // What is appended begins with a slash.
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether both name the same host and port in the same way.
pub(super) fn same_place(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Whether what is sent there stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn token(wanted: &Wanted, is_local: bool) -> Result<Option<Token>, ClientError> {
    if let Some(path) = &wanted.token_file {
        // Mounted secrets often have other modes than files of one's own: who names a file answers for it.
        let text = fs::read_to_string(path).map_err(|error| {
            ClientError::Wrong(format!("--token-file {} cannot be read: {error}", path.display()))
        })?;
        let no_token = || {
            let accepted = "accepted: one word, as `vortex-node token new` prints it";
            ClientError::Wrong(format!("--token-file {} holds no token; {accepted}", path.display()))
        };
        return Token::read(&text).map(Some).ok_or_else(no_token);
    }
    if let Some(Secret(text)) = wanted.token_variable.as_ref().filter(|secret| !secret.0.is_empty()) {
        let no_token =
            "VORTEX_TOKEN holds no token; accepted: one word, as `vortex-node token new` prints it";
        return Token::read(text).map(Some).ok_or_else(|| ClientError::Wrong(no_token.to_owned()));
    }
    let Some(data_dir) = wanted.data_dir.as_deref().filter(|_| is_local) else { return Ok(None) };
    // Without one, the node may ask for none, and says so if not.
    let local = read_local_token(data_dir).map_err(|error| ClientError::Wrong(error.to_string()))?;
    Ok(local.and_then(|token| Token::read(token.reveal())))
}

fn roots(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let wrong = |why: String| ClientError::Wrong(format!("--cacert {}: {why}", path.display()));
    let pem = fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("holds no certificate; accepted: certificates in PEM".to_owned()));
    }
    Ok(found)
}

fn identity(cert: &Path, key: Option<&Path>) -> Result<Identity, ClientError> {
    let read = |flag: &str, path: &Path| {
        let wrong = |error| ClientError::Wrong(format!("{flag} {} cannot be read: {error}", path.display()));
        fs::read(path).map_err(wrong)
    };
    let mut pem = read("--cert", cert)?;
    if let Some(key) = key {
        pem.push(b'\n');
        pem.extend(read("--key", key)?);
    }
    let accepted =
        "accepted: a certificate and its private key in PEM, the key in the same file or in --key's";
    let wrong = |error| ClientError::Wrong(format!("--cert {}: {error}; {accepted}", cert.display()));
    Identity::from_pem(&pem).map_err(wrong)
}

#[cfg(test)]
mod tests;
