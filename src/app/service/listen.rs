//! The service's addresses: bound before anything else, opened once the node can be asked.
//!
//! Owns tokens, certificates and the two listeners, and says in the data folder where commands on this machine find them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Service;
use super::start::ServeError;
use crate::api::access::tokens::{LocalToken, TokenFile, TokenStore};
use crate::api::access::{Access, AccessSettings, HostName, Rate, management};
use crate::api::listen::{self, Limits, Listener, Tls, TlsFiles};
use crate::api::{self, ApiSettings, page};
use crate::client::local::{SERVE_FILE, Serving};
use crate::clock;
use crate::config::{Http, Settings};
use crate::recipe::{example, schema};

/// For answers that are under way when the listener closes.
const GRACE: Duration = Duration::from_secs(3);

/// The bound addresses; connections wait there until they are opened.
pub(super) struct Entrance {
    main: Listener,
    management: Option<Listener>,
    tls: Option<Tls>,
    tokens: Arc<TokenStore>,
    local: LocalToken,
}

/// What the open addresses need later.
pub(super) struct Opened {
    pub(super) access: Arc<Access>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) url: String,
    pub(super) management: Option<SocketAddr>,
    /// Its file goes with it.
    _local: LocalToken,
    _said: Said,
}

/// `serve.json`, while the service answers.
struct Said(PathBuf);

impl Drop for Said {
    fn drop(&mut self) {
        // What stays is told apart by its process, which has ended.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn refused(error: impl std::fmt::Display) -> ServeError {
    ServeError::Access(error.to_string())
}

/// What the guard goes by.
pub(super) fn access_settings(http: &Http) -> Result<AccessSettings, String> {
    let names = http
        .hosts
        .iter()
        .map(|name| name.parse::<HostName>().map_err(|error| format!("http.hosts: {error}")));
    Ok(AccessSettings {
        names: names.collect::<Result<_, _>>()?,
        rate: Rate { per_second: http.rate, burst: http.burst },
        ..AccessSettings::default()
    })
}

impl Entrance {
    /// Binds what the settings name; refuses what would let anybody in. Blocks.
    pub(super) fn bind(settings: &Settings) -> Result<Self, ServeError> {
        let http = &settings.http;
        let file = TokenFile::within(&settings.data_dir);
        let local = LocalToken::create(&settings.data_dir).map_err(refused)?;
        let tokens = TokenStore::open(file, Some(local.token())).map_err(refused)?;
        let now = clock::unix_time();
        let tls = match (&http.tls_certificate, &http.tls_key) {
            (Some(certificate), Some(key)) => {
                let files = TlsFiles {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    client_authorities: http.client_ca.clone(),
                };
                let (tls, warnings) = Tls::load(files, now).map_err(refused)?;
                for warning in warnings {
                    tracing::warn!(warning, "certificate");
                }
                Some(tls)
            }
            _ => None,
        };
        listen::permit(&[http.listen], tls.is_some(), tokens.count(now)).map_err(refused)?;
        let main = listen::bind(&[http.listen]).map_err(refused)?;
        let management =
            http.management.map(|address| listen::bind(&[address])).transpose().map_err(refused)?;
        Ok(Self { main, management, tls, tokens: Arc::new(tokens), local })
    }

    /// Answers from now on, until `ends` turns true.
    pub(super) fn open(
        self,
        service: &Arc<Service>,
        settings: &Settings,
        ends: &watch::Receiver<bool>,
        beside: &mut JoinSet<()>,
    ) -> Result<Opened, ServeError> {
        let Self { main, management: second, tls, tokens, local } = self;
        let http = &settings.http;
        let bound = main.address();
        let tls = tls.map(Arc::new);
        let access = Access::new(&access_settings(http).map_err(refused)?, tokens, bound, tls.is_some());
        let shared: Arc<dyn api::backend::Backend> = Arc::<Service>::clone(service);
        let api_settings = ApiSettings {
            max_streams: http.streams.get(),
            body_timeout: http.request_timeout,
            recipe_schema: Some(schema::schema()),
            recipe_example: serde_json::from_str(example::text()).ok(),
            ..ApiSettings::default()
        };
        let router = api::router(shared, api_settings, ends.clone());
        let limits = Limits {
            connections: http.connections,
            // One client leaves a quarter to the others.
            connections_per_address: NonZeroUsize::MIN.saturating_add(http.connections.get() * 3 / 4),
            header_time: http.request_timeout,
            ..Limits::default()
        };
        let probes = management(router.clone());
        let protected = access.protect(router.merge(page::routes()));
        let serving = {
            let (tls, mut ends) = (tls.clone(), ends.clone());
            async move {
                let stop = async { drop(ends.wait_for(|ends| *ends).await) };
                let served = listen::serve(main, tls.as_deref(), protected, limits, stop, GRACE).await;
                tell(served, bound);
            }
        };
        beside.spawn(serving);
        let management = second.as_ref().map(Listener::address);
        if let Some(second) = second {
            let (at, mut ends) = (second.address(), ends.clone());
            beside.spawn(async move {
                let stop = async { drop(ends.wait_for(|ends| *ends).await) };
                tell(listen::serve(second, None, probes, limits, stop, GRACE).await, at);
            });
        }
        {
            let watching = Arc::clone(access.tokens()).watch();
            let mut ends = ends.clone();
            beside.spawn(async move {
                tokio::select! {
                    () = watching => {}
                    _ = ends.wait_for(|ends| *ends) => {}
                }
            });
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{bound}");
        let said = Serving { url: url.clone(), pid: std::process::id() };
        let written = said.write(&settings.data_dir);
        written.map_err(|source| ServeError::System { what: "saying where the service listens", source })?;
        let _said = Said(settings.data_dir.join(SERVE_FILE));
        Ok(Opened { access, tls, url, management, _local: local, _said })
    }
}

fn tell(served: std::io::Result<()>, address: SocketAddr) {
    if let Err(error) = served {
        tracing::error!(%error, %address, "the listener has failed");
    }
}
