//! A listener on a free loopback port, with tokens in a folder of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use reqwest::{Client, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::access::scopes::Who;
use crate::api::access::tokens::{LocalToken, Token, TokenFile, TokenStore};
use crate::api::access::{Access, AccessSettings};
use crate::api::listen::{self, Limits};
use crate::clock::unix_time;

pub(super) struct Node {
    pub(super) address: SocketAddr,
    pub(super) access: Arc<Access>,
    pub(super) file: TokenFile,
    pub(super) local: LocalToken,
    pub(super) client: Client,
    _folder: TempDir,
    _stop: oneshot::Sender<()>,
    _task: JoinHandle<()>,
}

async fn who(Extension(who): Extension<Who>) -> String {
    format!("{:?} {}", who.kind, who.scopes)
}

/// Routes as the API and the page have them.
pub(super) fn routes() -> Router {
    Router::new()
        .route("/v1/slots", get(who).post(who))
        .route("/v1/node/drain", post(who))
        .route("/v1/slots/{id}/artifacts/{*name}", get(|| async { "file" }))
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }).post(|| async { "never" }))
        .route("/", get(|| async { ([(CONTENT_TYPE, "text/html")], "the page") }))
        .fallback(|| async { StatusCode::NOT_FOUND })
}

impl Node {
    pub(super) async fn start(settings: AccessSettings) -> Self {
        // Somebody in this process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let (file, local) = (TokenFile::within(folder.path()), LocalToken::create(folder.path()).unwrap());
        let tokens = Arc::new(TokenStore::open(file.clone(), Some(local.token())).unwrap());
        let listener = listen::bind(&listen::resolve("127.0.0.1:0").unwrap()).unwrap();
        let address = listener.address();
        let access = Access::new(&settings, tokens, address, false);
        let (stop, stopped) = oneshot::channel::<()>();
        let router = access.protect(routes());
        let task = tokio::spawn(async move {
            let stop = async { stopped.await.unwrap_or_default() };
            listen::serve(listener, None, router, Limits::default(), stop, Duration::ZERO).await.unwrap();
        });
        let client =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { address, access, file, local, client, _folder: folder, _stop: stop, _task: task }
    }

    /// A token of the file, known to the node.
    pub(super) fn mint(&self, scopes: &str, lasts: Option<Duration>) -> Token {
        let minted = self.file.mint(scopes.parse().unwrap(), None, lasts, unix_time()).unwrap();
        self.access.tokens().reload().unwrap();
        minted.token
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// A form as a browser sends it from our own page.
    pub(super) fn form(&self, path: &str, form: String) -> RequestBuilder {
        let form_type = "application/x-www-form-urlencoded";
        self.post(path).header("origin", self.url("")).header("content-type", form_type).body(form)
    }

    /// Logs in and gives back `NAME=VALUE` of the cookie.
    pub(super) async fn cookie(&self, form: String) -> String {
        let answer = self.form("/login", form).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// The secret of a new one-time login.
    pub(super) fn once(&self) -> String {
        self.access.new_login().unwrap().reveal().split_once("once=").unwrap().1.to_owned()
    }
}

/// That `answer` is a problem document of this kind; gives back its headers and detail.
pub(super) async fn problem(answer: Response, status: u16, kind: &str) -> (HeaderMap, String) {
    assert_eq!(answer.status(), status);
    let headers: HeaderMap = answer
        .headers()
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
        .collect();
    assert_eq!(headers["content-type"], "application/problem+json");
    let document: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(document["type"], format!("/problems/{kind}"), "{document}");
    assert_eq!(document["status"], status);
    (headers, document["detail"].as_str().unwrap().to_owned())
}
