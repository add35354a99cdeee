//! A store, opened as the settings say.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::signer::{Method, Signer};
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use reqwest::Url;

use super::address::StoreAddress;
use super::credentials;
use crate::types::{Sha256, SlotId};

/// Larger files go up in parts of this size: above S3's least (5 MiB), small enough that a few may be in memory at once.
const PART: usize = 8 << 20;
/// For one request, a part included: 8 MiB at half a megabit a second.
const REQUEST: Duration = Duration::from_secs(150);
/// To make a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The same content that was written longer ago is written again, so that its age begins anew. Much shorter than whatever a rule
/// lets content lie, and long enough that what several slots of a day share is sent once.
const RENEW: Duration = Duration::from_secs(24 * 3600);
/// Presigned addresses are valid for at most seven days (AWS Signature Version 4).
const LONGEST_PRESIGNED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which store, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where it is.
    pub address: StoreAddress,
    /// Of stores other than Amazon's: `https://HOST:PORT`.
    pub endpoint: Option<String>,
    /// The bucket's region; else the environment's, else `us-east-1`, which other stores mostly take.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the host's name; where nothing is said, with an endpoint it does.
    pub path_style: Option<bool>,
    /// Whether `http` is accepted for the endpoint.
    pub allow_http: bool,
    /// A file with credentials, as `~/.aws/credentials` is; else the environment's, else the machine's own.
    pub credentials_file: Option<PathBuf>,
    /// Its profile.
    pub profile: String,
    /// Certificates (PEM) of further authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// How long presigned addresses are valid.
    pub presign: Duration,
}

impl StoreSettings {
    /// A store at `address`, everything else by default.
    pub fn at(address: StoreAddress) -> Self {
        Self {
            address,
            endpoint: None,
            region: None,
            path_style: None,
            allow_http: false,
            credentials_file: None,
            profile: "default".to_owned(),
            ca_file: None,
            // Long enough to hand an address on and short enough that one that leaks is soon worth nothing.
            presign: Duration::from_secs(3600),
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The endpoint.
    #[error("artifact store endpoint {shown:?}: {wrong}; accepted: https://HOST or https://HOST:PORT")]
    Endpoint {
        /// What was written, as far as it may be shown.
        shown: String,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// The file with credentials.
    #[error("artifact store credentials {}: {wrong}", path.display())]
    Credentials {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        wrong: String,
    },
    /// A file or folder.
    #[error("artifact store {}: {wrong}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        wrong: String,
    },
    /// How long presigned addresses are valid.
    #[error("artifact store presign {0:?}; accepted: a second to 7 days")]
    Presign(Duration),
    /// The client.
    #[error("artifact store: {0}")]
    Client(String),
}

/// A store. Clones share it.
#[derive(Clone)]
pub struct Store {
    pub(super) objects: Arc<dyn ObjectStore>,
    signer: Option<Arc<AmazonS3>>,
    prefix: String,
    /// What addresses of this store begin with.
    base: String,
    presign: Duration,
    pub(super) part: usize,
    /// The age from which on the same content is written again.
    pub(super) renew: Duration,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.base)
    }
}

/// Its address.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl Store {
    /// Opens a store; a folder is made where there is none. Asks nothing of a bucket yet: one that is down now may be up
    /// when there is something to upload. Blocks.
    ///
    /// # Errors
    /// Settings that no store can be opened by, files that cannot be read, a folder that cannot be made.
    pub fn open(settings: &StoreSettings) -> Result<Self, OpenError> {
        if !(Duration::from_secs(1)..=LONGEST_PRESIGNED).contains(&settings.presign) {
            return Err(OpenError::Presign(settings.presign));
        }
        let base = settings.address.to_string();
        let (objects, signer, prefix): (Arc<dyn ObjectStore>, _, _) = match &settings.address {
            StoreAddress::Folder(path) => {
                let wrong = |error: &dyn fmt::Display| OpenError::File {
                    path: path.clone(),
                    wrong: error.to_string(),
                };
                std::fs::create_dir_all(path).map_err(|error| wrong(&error))?;
                let folder = LocalFileSystem::new_with_prefix(path).map_err(|error| wrong(&error))?;
                // A rendering whose objects were swept leaves no empty folders.
                let folder = folder.with_fsync(true).with_automatic_cleanup(true);
                (Arc::new(folder), None, String::new())
            }
            StoreAddress::Bucket { bucket, prefix } => {
                let s3 = Arc::new(open_bucket(settings, bucket)?);
                (Arc::clone(&s3) as Arc<dyn ObjectStore>, Some(s3), prefix.clone())
            }
        };
        Ok(Self { objects, signer, prefix, base, presign: settings.presign, part: PART, renew: RENEW })
    }

    /// A store over anything, with parts of a size that tests can fill.
    #[cfg(test)]
    pub(super) fn over(objects: Arc<dyn ObjectStore>, part: usize) -> Self {
        let presign = Duration::from_secs(3600);
        let (prefix, base) = ("p".to_owned(), "s3://test/p".to_owned());
        Self { objects, signer: None, prefix, base, presign, part, renew: RENEW }
    }

    /// An address that whoever has it may read from for a while, for one that an upload brought; none where the store has
    /// no such addresses, or the address is of another store.
    ///
    /// # Errors
    /// No credentials are to be had right now.
    pub async fn presigned(&self, address: &str) -> Result<Option<String>, super::PutError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let Some(rest) = address.strip_prefix(&self.base).and_then(|rest| rest.strip_prefix('/')) else {
            return Ok(None);
        };
        let key = self.key(rest);
        let signed = signer.signed_url(Method::GET, &key, self.presign).await;
        signed.map(|url| Some(url.to_string())).map_err(|error| super::PutError::store("sign", &key, &error))
    }

    /// Where content lies, by its hash: the same content once, whoever made it.
    pub(super) fn content_key(&self, sha256: &Sha256) -> Key {
        let hex = sha256.to_string();
        let (first, rest) = hex.split_at(2);
        self.key(&format!("sha256/{first}/{rest}"))
    }

    /// Where a slot's result lies, which names the content of all its files.
    pub(super) fn result_key(&self, slot: SlotId) -> Key {
        self.key(&format!("slots/{slot}/result.json"))
    }

    /// The address of what lies under a key.
    pub(super) fn address_of(&self, key: &Key) -> String {
        format!("{}/{}", self.base, self.below(key))
    }

    /// A key without the prefix of the store's own.
    pub(super) fn below<'a>(&self, key: &'a Key) -> &'a str {
        let key = key.as_ref();
        key.strip_prefix(&self.prefix).unwrap_or(key).trim_start_matches('/')
    }

    pub(super) fn key(&self, below: &str) -> Key {
        if self.prefix.is_empty() { Key::from(below) } else { Key::from(format!("{}/{below}", self.prefix)) }
    }
}

fn open_bucket(settings: &StoreSettings, bucket: &str) -> Result<AmazonS3, OpenError> {
    let mut client = ClientOptions::new()
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECT)
        .with_allow_http(settings.allow_http);
    if let Some(path) = &settings.ca_file {
        let wrong = |wrong: String| OpenError::File { path: path.clone(), wrong };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))? {
            client = client.with_root_certificate(certificate);
        }
    }
    let path_style = settings.path_style.unwrap_or(settings.endpoint.is_some());
    let mut builder = credentials::from_environment(AmazonS3Builder::new(), &|name| std::env::var(name).ok());
    if let Some(path) = &settings.credentials_file {
        builder = credentials::from_file(builder, path, &settings.profile)?;
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(check_endpoint(
            endpoint,
            settings.allow_http,
            (!path_style).then_some(bucket),
        )?);
    }
    builder
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!path_style)
        .with_client_options(client)
        .with_allow_http(settings.allow_http)
        // Objects are removed one by one, by the request that every store knows.
        .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true")
        // The uploader waits and tries again by itself, for longer: here only what passes within seconds.
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 2,
            retry_timeout: Duration::from_secs(30),
        })
        .build()
        .map_err(|error| OpenError::Client(error.to_string()))
}

/// The endpoint as the client takes it: with the bucket in its host where it is not in the path.
fn check_endpoint(endpoint: &str, allow_http: bool, bucket: Option<&str>) -> Result<String, OpenError> {
    let shown = endpoint.rsplit_once('@').map_or(endpoint, |(_, host)| host).split(['?', '#']).next();
    let wrong = |wrong| OpenError::Endpoint { shown: shown.unwrap_or_default().to_owned(), wrong };
    let url = Url::parse(endpoint).map_err(|_| wrong("is not an address"))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        "http" => return Err(wrong("is not encrypted, and allow_http is false")),
        _ => return Err(wrong("is neither https nor http")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds credentials, which belong into the environment or a file"));
    }
    if url.host_str().is_none_or(str::is_empty)
        || url.path() != "/"
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(wrong("has more than a host and a port"));
    }
    let origin = url.origin().ascii_serialization();
    Ok(match bucket {
        Some(bucket) => origin.replacen("://", &format!("://{bucket}."), 1),
        None => origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_unless_http_is_allowed() {
        assert_eq!(
            check_endpoint("https://s3.example.org:9000/", false, None).unwrap(),
            "https://s3.example.org:9000"
        );
        assert_eq!(
            check_endpoint("https://s3.example.org", false, Some("b-1")).unwrap(),
            "https://b-1.s3.example.org"
        );
        assert_eq!(check_endpoint("http://127.0.0.1:8333", true, None).unwrap(), "http://127.0.0.1:8333");
        for bad in [
            "http://127.0.0.1:8333",
            "s3.example.org",
            "ftp://x",
            "https://k:hunter2@x",
            "https://x/path",
            "https://x?hunter2",
            "https://x#f",
        ] {
            let error = check_endpoint(bad, false, None).unwrap_err().to_string();
            assert!(error.contains("accepted: https://HOST") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_folder_is_made_and_what_cannot_be_opened_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let store = Store::open(&StoreSettings::at(StoreAddress::Folder(path.clone()))).unwrap();
        assert!(path.is_dir());
        assert!(store.to_string().starts_with("file:///"));
        std::fs::write(folder.path().join("file"), "x").unwrap();
        let blocked = StoreAddress::Folder(folder.path().join("file/x"));
        assert!(matches!(Store::open(&StoreSettings::at(blocked)), Err(OpenError::File { .. })));
        let bucket = StoreSettings::at("s3://bucket".parse().unwrap());
        assert!(matches!(
            Store::open(&StoreSettings { presign: Duration::ZERO, ..bucket.clone() }),
            Err(OpenError::Presign(_))
        ));
        let missing = StoreSettings { credentials_file: Some(folder.path().join("none")), ..bucket.clone() };
        assert!(matches!(Store::open(&missing), Err(OpenError::Credentials { .. })));
        let missing = StoreSettings { ca_file: Some(folder.path().join("none")), ..bucket };
        assert!(matches!(Store::open(&missing), Err(OpenError::File { .. })));
    }
}
