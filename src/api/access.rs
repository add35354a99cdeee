//! Who gets in: tokens, the page's logins and sessions, names of the listener, limits on how often.
//!
//! Owns the guard before every route of the main listener, the login page, and what the management listener lets through.
//! Never opens a socket (that is [`listen`](super::listen)), never decides what a route does.
//!
#![doc = include_str!("access/README.md")]

mod cookie;
mod guard;
mod headers;
mod limits;
mod management;
mod names;
mod pages;
pub mod scopes;
pub mod secret;
mod sessions;
pub mod tokens;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::uri::Authority;
use axum::middleware::from_fn_with_state;
use parking_lot::RwLock;

pub use limits::Rate;
pub use management::{MANAGEMENT_PATHS, management};
pub use names::{HostName, Names, NotAHost};

use crate::clock;
use limits::Limits;
use scopes::{Kind, Who};
use secret::NoRandomness;
use sessions::Sessions;
use tokens::TokenStore;

/// Names of what this part tells the log.
pub(crate) mod event {
    /// A wrong token, session or login. Fields: `address`, `method`, `path`.
    pub(crate) const REFUSED: &str = "access.refused";
    /// Somebody logged in to the page.
    pub(crate) const LOGGED_IN: &str = "access.logged_in";
    /// The token file has changed and was read again. Fields: `tokens`.
    pub(crate) const TOKENS_READ: &str = "access.tokens_read";
    /// The token file has changed and cannot be read. Fields: `error`.
    pub(crate) const TOKENS_UNREADABLE: &str = "access.tokens_unreadable";
}

/// What an operator decides about access; all of it can change while the node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessSettings {
    /// Further names of the main listener, beside its address and the machine's own names.
    pub names: Vec<HostName>,
    /// How often each token may ask.
    pub rate: Rate,
    /// How long a one-time login can be used.
    pub login_lasts: Duration,
    /// How long a session of the page lasts.
    pub session_lasts: Duration,
}

impl Default for AccessSettings {
    fn default() -> Self {
        // Far above what a scheduler that follows its slots needs, far below what a loop without a pause does.
        const PER_SECOND: NonZeroU32 = NonZeroU32::new(200).unwrap();
        const BURST: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
        Self {
            names: Vec::new(),
            rate: Rate { per_second: PER_SECOND, burst: BURST },
            // Long enough to change from the terminal to the browser; what was printed before is worth nothing.
            login_lasts: Duration::from_secs(15 * 60),
            // A working day.
            session_lasts: Duration::from_secs(12 * 60 * 60),
        }
    }
}

/// Who gets in: tokens, sessions, names and limits of the main listener.
#[derive(Debug)]
pub struct Access {
    tokens: Arc<TokenStore>,
    sessions: Sessions,
    limits: Limits,
    cookie: String,
    bound: SocketAddr,
    tls: bool,
    settings: RwLock<Settled>,
}

#[derive(Debug)]
struct Settled {
    names: Arc<Names>,
    login_lasts: Duration,
    session_lasts: Duration,
}

impl Settled {
    fn new(settings: &AccessSettings, bound: SocketAddr, tls: bool) -> Self {
        let names = Arc::new(Names::new(bound, tls, settings.names.clone()));
        Self { names, login_lasts: settings.login_lasts, session_lasts: settings.session_lasts }
    }
}

impl Access {
    /// For a listener bound to `bound` (its real port), with TLS of our own or without.
    pub fn new(
        settings: &AccessSettings,
        tokens: Arc<TokenStore>,
        bound: SocketAddr,
        tls: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            tokens,
            sessions: Sessions::default(),
            limits: Limits::new(settings.rate),
            cookie: cookie::name(tls, bound.port()),
            bound,
            tls,
            settings: RwLock::new(Settled::new(settings, bound, tls)),
        })
    }

    /// `router`, the API with its page, behind the guard, with the login page beside it. For the main listener only.
    pub fn protect(self: &Arc<Self>, router: Router) -> Router {
        router.merge(pages::routes(self)).layer(from_fn_with_state(Arc::clone(self), guard::guard))
    }

    /// An address that opens the page once, with every scope, for as long as the settings say.
    pub fn new_login(&self) -> Result<LoginLink, NoRandomness> {
        let once = self.sessions.invite(self.login_lasts(), clock::now())?;
        Ok(LoginLink(format!("{}/login?once={}", self.names().address_here(), once.reveal())))
    }

    /// Other settings from now on. Sessions and logins stay as they were opened; rates are counted anew.
    pub fn change(&self, settings: &AccessSettings) {
        self.limits.change(settings.rate);
        *self.settings.write() = Settled::new(settings, self.bound, self.tls);
    }

    /// The tokens.
    pub fn tokens(&self) -> &Arc<TokenStore> {
        &self.tokens
    }

    fn names(&self) -> Arc<Names> {
        Arc::clone(&self.settings.read().names)
    }

    fn login_lasts(&self) -> Duration {
        self.settings.read().login_lasts
    }

    fn session_lasts(&self) -> Duration {
        self.settings.read().session_lasts
    }

    fn tls(&self) -> bool {
        self.tls
    }

    /// Whose session `text` is, now: one that a token opened is worth what the token is.
    fn session(&self, text: &str) -> Option<Who> {
        let who = self.sessions.whose(text, clock::now())?;
        match who.kind {
            Kind::Login => Some(who),
            Kind::Token | Kind::Local => self.tokens.still(who.id, clock::unix_time()),
        }
    }

    /// Whether a browser that came by `host` is told never to come without TLS again. Not for the machine's own names:
    /// browsers would hold it against every other program there.
    fn always_tls(&self, host: &str) -> bool {
        let name = host.parse::<Authority>();
        let name = name.as_ref().map_or("", |authority| authority.host());
        let address = name.trim_start_matches('[').trim_end_matches(']');
        self.tls && !name.eq_ignore_ascii_case("localhost") && address.parse::<std::net::IpAddr>().is_err()
    }
}

/// An address with a one-time login in it. `Debug` hides it.
#[derive(Clone)]
pub struct LoginLink(String);

impl LoginLink {
    /// The address, for the terminal.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LoginLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginLink(hidden)")
    }
}

#[cfg(test)]
mod tests;
