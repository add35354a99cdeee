//! TLS: whom the client trusts, and what it shows of itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::id;
use crate::api::views::SlotState;
use crate::client::fake::{ONE, install_provider, quick, reply, slot};
use crate::client::{Access, Certificates, Client, ClientError, Wanted};

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client/tests/tls").join(name)
}

/// A server that asks for a certificate where `asks` says so; its address.
fn serve(asks: bool) -> String {
    install_provider();
    let certificates = vec![CertificateDer::from_pem_file(pem("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pem("server.key.pem")).unwrap();
    let config = if asks {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pem("authority.pem")).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        ServerConfig::builder().with_client_cert_verifier(verifier)
    } else {
        ServerConfig::builder().with_no_client_auth()
    };
    let config = config.with_single_cert(certificates, key).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(async || reply(200, &slot(ONE, SlotState::Queued)));
    let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config)));
    tokio::spawn(async move { server.unwrap().serve(router.into_make_service()).await });
    url
}

fn client(url: &str, certificates: Certificates) -> Client {
    let wanted = Wanted { url: Some(url.to_owned()), certificates, ..Wanted::default() };
    Client::new(Access::find(&wanted).unwrap(), quick()).unwrap()
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authority_that_is_named() {
    let url = serve(false);
    let error = client(&url, Certificates::default()).slot(id()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    let trusting = Certificates { cacert: Some(pem("authority.pem")), ..Certificates::default() };
    assert_eq!(client(&url, trusting.clone()).slot(id()).await.unwrap().id, ONE);
    // The certificate is for this machine's address, and for no other name.
    let elsewhere = url.replace("127.0.0.1", "127.0.0.2");
    assert!(client(&elsewhere, trusting).slot(id()).await.is_err());
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_one() {
    let url = serve(true);
    let trusting = Certificates { cacert: Some(pem("authority.pem")), ..Certificates::default() };
    assert!(client(&url, trusting.clone()).slot(id()).await.is_err());
    let showing =
        Certificates { cert: Some(pem("client.pem")), key: Some(pem("client.key.pem")), ..trusting.clone() };
    assert_eq!(client(&url, showing).slot(id()).await.unwrap().id, ONE);
    // A certificate without its key is said before anything is sent.
    let half = Wanted {
        url: Some(url),
        certificates: Certificates { cert: Some(pem("client.pem")), ..trusting },
        ..Wanted::default()
    };
    assert!(Access::find(&half).unwrap_err().to_string().contains("private key"));
}
