//! TLS: certificate, key and clients' authority from PEM files, read at the start and again on request.
//!
//! TLS 1.2 and newer, by aws-lc. What is read again counts for connections from then on; where it cannot be read, what was
//! there stays. Never shows a key: errors name files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

use super::validity::Validity;

/// Chains and keys are a few KiB; bundles of authorities a few hundred.
const LARGEST: u64 = 4 << 20;

/// Before its end a certificate is warned about: time enough for a person to act.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);

/// Where TLS comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The node's certificate, then those that lead to its authority; PEM.
    pub certificate: PathBuf,
    /// Its private key; PEM, not encrypted.
    pub key: PathBuf,
    /// Authorities of clients; PEM. Where given, who has no certificate of one of them does not get in.
    pub client_authorities: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// Which of the files.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{what} {}: {problem}", path.display())]
    Content {
        /// Which of the files.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// They are not a pair.
    #[error(
        "the key {} does not belong to the certificate {}: the certificate's file must begin with the node's own \
         certificate, followed by its authorities'", key.display(), certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// TLS refuses them.
    #[error("TLS cannot be set up: {0}")]
    Refused(String),
}

/// TLS of a listener. Clones share what is in force.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    config: RustlsConfig,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads `files`. Gives back as well what an operator should know, at `now` (since the Unix epoch): a certificate that
    /// has expired, soon will or is not valid yet, a key that others may read. Blocks.
    pub fn load(files: TlsFiles, now: Duration) -> Result<(Self, Vec<String>), TlsError> {
        let (config, warnings) = configure(&files, now)?;
        Ok((Self { files, config: RustlsConfig::from_config(Arc::new(config)) }, warnings))
    }

    /// Reads the files again, for connections from now on; on an error all stays as it was. Blocks.
    pub fn reload(&self, now: Duration) -> Result<Vec<String>, TlsError> {
        let (config, warnings) = configure(&self.files, now)?;
        self.config.reload_from_config(Arc::new(config));
        Ok(warnings)
    }

    pub(super) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }
}

fn configure(files: &TlsFiles, now: Duration) -> Result<(ServerConfig, Vec<String>), TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let refused = |error: rustls::Error| TlsError::Refused(error.to_string());
    let (pair, warnings) = pair(files, &provider, now)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let builder = match &files.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let content = |problem| TlsError::Content { what: AUTHORITIES, path: path.clone(), problem };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(AUTHORITIES, path)? {
                roots.add(certificate).map_err(|error| content(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| content(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, warnings))
}

const CERTIFICATE: &str = "the certificate";
const KEY: &str = "the key";
const AUTHORITIES: &str = "the clients' authorities";

fn pair(
    files: &TlsFiles,
    provider: &CryptoProvider,
    now: Duration,
) -> Result<(CertifiedKey, Vec<String>), TlsError> {
    let chain = certificates(CERTIFICATE, &files.certificate)?;
    let mut warnings = Vec::new();
    for (place, certificate) in chain.iter().enumerate() {
        let which =
            format!("{CERTIFICATE} {} (number {} in the file)", files.certificate.display(), place + 1);
        match Validity::of(certificate) {
            Some(validity) => {
                warnings.extend(validity.warning(now, EXPIRES_SOON).map(|said| format!("{which} {said}")))
            }
            None => warnings.push(format!("{which} has no dates that can be read")),
        }
    }
    let content = |problem| TlsError::Content { what: KEY, path: files.key.clone(), problem };
    let text = read(KEY, &files.key, &mut warnings)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        content(match error {
            pem::Error::NoItemsFound if contains(&text, b"ENCRYPTED PRIVATE KEY") => {
                "it is encrypted; accepted is a plain one (`openssl pkey -in OLD -out NEW`)".to_owned()
            }
            pem::Error::NoItemsFound => {
                "it holds no private key in PEM (\"-----BEGIN PRIVATE KEY-----\")".to_owned()
            }
            // The error of a line could repeat it.
            _ => "it is not PEM".to_owned(),
        })
    })?;
    match CertifiedKey::from_der(chain, key, provider) {
        Ok(pair) => Ok((pair, warnings)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone() })
        }
        Err(error) => Err(content(error.to_string())),
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content =
        |problem: &str| TlsError::Content { what, path: path.to_owned(), problem: problem.to_owned() };
    let text = read(what, path, &mut Vec::new())?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| content("it is not PEM"))?;
    if found.is_empty() {
        return Err(content("it holds no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")"));
    }
    Ok(found)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The whole file, and a warning where it is a key that others may read: secrets that an orchestrator mounts often are, so
/// it is no error.
fn read(what: &'static str, path: &Path, warnings: &mut Vec<String>) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Io { what, path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::other("not a plain file")));
    }
    #[cfg(unix)]
    if what == KEY && std::os::unix::fs::MetadataExt::mode(&about) & 0o004 != 0 {
        warnings.push(format!("{what} {} can be read by every user of this machine", path.display()));
    }
    let mut text = Vec::new();
    (&mut file).take(LARGEST + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(failed(io::Error::other(format!("larger than {LARGEST} bytes"))));
    }
    Ok(text)
}
