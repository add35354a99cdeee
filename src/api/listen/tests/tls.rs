use std::fs;
use std::future::pending;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::api::listen::{Limits, Tls, TlsError, TlsFiles, bind, resolve, serve};
use crate::clock::unix_time;

/// An authority of our own, with a folder for what it signs.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { folder: tempfile::tempdir().unwrap(), issuer: Issuer::new(params, key), certificate }
    }

    /// Certificate and key for localhost, signed, as PEM.
    fn signs(&self, ends: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(ends, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Files of a node with a certificate that ends in the year `ends`.
    fn node(&self, ends: i32) -> TlsFiles {
        let (certificate, key) = self.signs(ends);
        let key = self.file("key.pem", &key);
        only_ours(&key);
        TlsFiles { certificate: self.file("certificate.pem", &certificate), key, client_authorities: None }
    }

    /// A client that trusts this authority alone.
    fn client(&self, identity: Option<(String, String)>) -> reqwest::Client {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let root = reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        let mut builder =
            reqwest::Client::builder().tls_certs_only([root]).no_proxy().pool_max_idle_per_host(0);
        if let Some((certificate, key)) = identity {
            builder = builder
                .identity(reqwest::Identity::from_pem(format!("{key}{certificate}").as_bytes()).unwrap());
        }
        builder.build().unwrap()
    }
}

fn only_ours(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn start(tls: &Tls) -> SocketAddr {
    let listener = bind(&resolve("localhost:0").unwrap()).unwrap();
    let (address, tls) = (listener.address(), tls.clone());
    let router = Router::new()
        .route("/", get(|request: axum::extract::Request| async move { format!("{:?}", request.version()) }));
    tokio::spawn(async move {
        serve(listener, Some(&tls), router, Limits::default(), pending(), Duration::ZERO).await.unwrap();
    });
    address
}

async fn ask(client: &reqwest::Client, at: SocketAddr) -> Result<String, reqwest::Error> {
    client.get(format!("https://localhost:{}/", at.port())).send().await?.text().await
}

#[tokio::test]
async fn a_new_certificate_counts_from_its_reload_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.node(2100);
    let (tls, warnings) = Tls::load(files.clone(), unix_time()).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let at = start(&tls);
    assert_eq!(ask(&old.client(None), at).await.unwrap(), "HTTP/2.0");
    assert!(ask(&new.client(None), at).await.is_err());

    let (certificate, key) = new.signs(2100);
    // Only one of the two is there yet: what was in force stays.
    fs::write(&files.certificate, &certificate).unwrap();
    assert!(matches!(tls.reload(unix_time()), Err(TlsError::Mismatch { .. })));
    assert!(ask(&old.client(None), at).await.is_ok());
    fs::write(&files.key, &key).unwrap();
    assert!(ask(&old.client(None), at).await.is_ok());
    tls.reload(unix_time()).unwrap();
    assert_eq!(ask(&new.client(None), at).await.unwrap(), "HTTP/2.0");
    assert!(ask(&old.client(None), at).await.is_err());
}

#[tokio::test]
async fn a_client_without_a_certificate_of_its_authority_does_not_get_in() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let files = TlsFiles {
        client_authorities: Some(clients.file("ca.pem", &clients.certificate)),
        ..ours.node(2100)
    };
    let (tls, _) = Tls::load(files, unix_time()).unwrap();
    let at = start(&tls);
    assert!(ask(&ours.client(None), at).await.is_err());
    assert!(ask(&ours.client(Some(ours.signs(2100))), at).await.is_err());
    assert!(ask(&ours.client(Some(clients.signs(2021))), at).await.is_err());
    assert_eq!(ask(&ours.client(Some(clients.signs(2100))), at).await.unwrap(), "HTTP/2.0");
}

#[tokio::test]
async fn nothing_is_answered_without_tls_on_a_tls_listener() {
    let (tls, _) = Tls::load(Authority::new().node(2100), unix_time()).unwrap();
    let at = start(&tls);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(client.get(format!("http://localhost:{}/", at.port())).send().await.is_err());
}

#[test]
fn what_is_wrong_with_files_is_said_with_their_names() {
    let ours = Authority::new();
    let good = ours.node(2100);
    let (other, _) = ours.signs(2100);
    let (none, empty) = (ours.folder.path().join("none.pem"), ours.file("empty.pem", ""));
    let damaged = ours.file("damaged.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    let rubbish = ours.file("rubbish.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked = ours.file(
        "locked.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let other = ours.file("other.pem", &other);
    let with = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = good.clone();
        change(&mut files);
        Tls::load(files, unix_time()).unwrap_err().to_string()
    };
    for (error, parts) in [
        (with(&|files| files.certificate = none.clone()), ["the certificate", "none.pem", "No such file"]),
        (
            with(&|files| files.certificate = empty.clone()),
            ["the certificate", "empty.pem", "no certificate"],
        ),
        (with(&|files| files.certificate = damaged.clone()), ["the certificate", "damaged.pem", "not PEM"]),
        (
            with(&|files| files.certificate = good.key.clone()),
            ["the certificate", "key.pem", "no certificate"],
        ),
        (with(&|files| files.certificate = other.clone()), ["other.pem", "key.pem", "does not belong"]),
        (with(&|files| files.key = none.clone()), ["the key", "none.pem", "No such file"]),
        (with(&|files| files.key = locked.clone()), ["the key", "locked.pem", "encrypted"]),
        (
            with(&|files| files.key = good.certificate.clone()),
            ["the key", "certificate.pem", "no private key"],
        ),
        (with(&|files| files.key = ours.folder.path().to_owned()), ["the key", "", "not a plain file"]),
        (
            with(&|files| files.client_authorities = Some(empty.clone())),
            ["clients' authorities", "empty.pem", "no certificate"],
        ),
        (
            with(&|files| files.client_authorities = Some(rubbish.clone())),
            ["clients' authorities", "rubbish.pem", ""],
        ),
    ] {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        assert!(!error.contains("BEGIN PRIVATE KEY-----\nMI"), "{error}");
    }
}

#[test]
fn an_expired_certificate_and_an_open_key_are_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let ours = Authority::new();
    let files = ours.node(2021);
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    let (tls, warnings) = Tls::load(files, unix_time()).unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("certificate.pem") && warnings[0].contains("expired"), "{warnings:?}");
    assert!(warnings[1].contains("key.pem") && warnings[1].contains("every user"), "{warnings:?}");
    assert!(!format!("{tls:?}").contains("PRIVATE"));
    // 2020-12-25: seven days before its end.
    let soon = Duration::from_secs(1_608_854_400);
    assert!(tls.reload(soon).unwrap()[0].contains("expires in 7 days"));
}
