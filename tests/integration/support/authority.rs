//! An authority of a test's own, which signs certificates for this machine.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client, Identity};

/// One.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, PEM.
    pub certificate: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Certificate and key for 127.0.0.1, PEM.
    pub fn signs(&self) -> (String, String) {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A client that trusts this authority alone, and makes a connection for each request; with a certificate of its own,
    /// where there is one.
    pub fn client(&self, identity: Option<(String, String)>) -> Client {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let root = Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        let mut builder = Client::builder().tls_certs_only([root]).no_proxy().pool_max_idle_per_host(0);
        if let Some((certificate, key)) = identity {
            builder = builder.identity(Identity::from_pem(format!("{key}{certificate}").as_bytes()).unwrap());
        }
        builder.build().unwrap()
    }
}
