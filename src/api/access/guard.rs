//! What every request of the main listener passes before any route sees it.
//!
//! In this order: its `Host` is ours; its `Origin`, if any, is ours; it carries a token or a session that is good; that
//! allows what it asks for; it comes no more often than it may; and with a cookie, it was our own page that sent it. Each
//! refusal is a problem document. Owns no state; puts [`Who`] into the request's extensions.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::scopes::{self, Who};
use super::tokens::Refused;
use super::{Access, cookie, headers, names, pages};
use crate::api::listen::Peer;
use crate::api::problem::{Fault, Kind, complete};
use crate::api::scope::{Asker, Scope, scope_of};
use crate::clock;

/// The longest `Authorization` that is looked at: a token is a quarter of it.
const LONGEST_AUTHORIZATION: usize = 256;

/// What whoever asked may do, so that a page can show which of its buttons would be refused.
const SCOPES: HeaderName = HeaderName::from_static("vortex-scopes");

/// Lets a request through or refuses it, and secures the answer either way.
pub(super) async fn guard(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let always_tls = host(&request).is_some_and(|host| access.always_tls(host));
    let mut response = match admit(&access, &request) {
        Ok(who) => {
            if let Some(who) = who {
                request.extensions_mut().insert(Asker(who.id.to_string()));
                request.extensions_mut().insert(who);
            }
            let mut response = next.run(request).await;
            if let Some(scopes) = who.and_then(|who| HeaderValue::try_from(who.scopes.names().join(" ")).ok())
            {
                response.headers_mut().insert(SCOPES, scopes);
            }
            response
        }
        Err(refusal) => complete(refusal.into_response(), &path),
    };
    headers::secure(response.headers_mut(), always_tls);
    response
}

/// A refusal: a document, or for a browser that wants to show something, the login page.
enum Refusal {
    Fault(Box<Fault>),
    /// With what the client is challenged.
    Challenge(Box<Fault>, &'static str),
    Scope(Box<Fault>, Scope),
    LoginPage,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let challenged = |fault: Fault, challenge: &str| {
            let mut response = fault.into_response();
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            response
        };
        match self {
            Self::Fault(fault) => fault.into_response(),
            Self::Challenge(fault, challenge) => challenged(*fault, challenge),
            Self::Scope(fault, scope) => {
                let scope = scopes::name_of(scope);
                challenged(
                    *fault,
                    &format!(r#"Bearer realm="vortex-node", error="insufficient_scope", scope="{scope}""#),
                )
            }
            Self::LoginPage => {
                let mut response = pages::refused();
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(MISSING));
                response
            }
        }
    }
}

/// No token: RFC 6750 has no error code in the challenge then.
const MISSING: &str = r#"Bearer realm="vortex-node""#;
const WRONG: &str = r#"Bearer realm="vortex-node", error="invalid_token""#;

fn admit(access: &Access, request: &Request) -> Result<Option<Who>, Refusal> {
    let headers = request.headers();
    let host = host(request).filter(|host| access.names().allow_host(host)).ok_or_else(|| {
        let detail = format!(
            "the request is for another host; this node answers to {}, and to the names in its settings",
            access.names().address_here()
        );
        Fault::new(Kind::Misdirected, detail)
    })?;
    if !origin_allowed(access, headers) {
        let detail =
            "the request comes from a page of another origin, and this node answers none but its own";
        return Err(Fault::new(Kind::Origin, detail).into());
    }
    let path = request.uri().path();
    let pattern = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    // What is not in the table (the page, a wrong path) is seen by whoever may read.
    let needed = scope_of(request.method(), pattern).unwrap_or(Scope::Read);
    if needed == Scope::Public || pattern.is_some_and(pages::is_open) {
        return Ok(None);
    }
    let (who, by_cookie) =
        prove(access, headers).map_err(|refused| refuse(access, request, path, refused))?;
    if by_cookie && !sent_by_our_page(request, host) {
        let detail = "a request with this node's cookie must come from its own page; programs send \
                      `Authorization: Bearer TOKEN` instead";
        return Err(Fault::new(Kind::Origin, detail).into());
    }
    if let Err(wait) = access.limits.ask(&who) {
        let detail = format!("the token {} asks more often than it may", who.id);
        return Err(Fault::new(Kind::RateLimited, detail).again_after(wait).into());
    }
    if !who.scopes.allow(needed) {
        let (needs, has) = (scopes::name_of(needed), who.scopes);
        let detail = format!("this needs the scope {needs}, and the token {} has {has}", who.id);
        return Err(Refusal::Scope(Box::new(Fault::new(Kind::Forbidden, detail)), needed));
    }
    Ok(Some(who))
}

/// Why nobody is let in.
#[derive(Clone, Copy)]
enum Unproven {
    Missing,
    Wrong,
    Expired,
}

/// Who sends the request, and whether a cookie says so. A bearer token goes before a cookie: it was meant.
fn prove(access: &Access, headers: &HeaderMap) -> Result<(Who, bool), Unproven> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    match (authorizations.next(), authorizations.next()) {
        (None, _) => {}
        (Some(_), Some(_)) => return Err(Unproven::Wrong),
        (Some(value), None) => {
            let text = bearer(value).ok_or(Unproven::Wrong)?;
            return match access.tokens.check(text, clock::unix_time()) {
                Ok(who) => Ok((who, false)),
                Err(Refused::Unknown) => Err(Unproven::Wrong),
                Err(Refused::Expired) => Err(Unproven::Expired),
            };
        }
    }
    let text = cookie::find(headers, &access.cookie).ok_or(Unproven::Missing)?;
    access.session(text).map(|who| (who, true)).ok_or(Unproven::Wrong)
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok().filter(|text| text.len() <= LONGEST_AUTHORIZATION)?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

fn refuse(access: &Access, request: &Request, path: &str, unproven: Unproven) -> Refusal {
    let (detail, challenge) = match unproven {
        Unproven::Missing => (
            "this needs a token: `Authorization: Bearer TOKEN`, made by `vortex-node token new`; a browser logs in at /login",
            MISSING,
        ),
        Unproven::Wrong => ("the token or session is not known here: never made, revoked, or over", WRONG),
        Unproven::Expired => ("the token has expired; `vortex-node token new` makes another", WRONG),
    };
    if !matches!(unproven, Unproven::Missing)
        && let Err(fault) = failed(access, request, path)
    {
        return fault.into();
    }
    if wants_a_page(request) {
        return Refusal::LoginPage;
    }
    Refusal::Challenge(Box::new(Fault::new(Kind::Unauthorized, detail)), challenge)
}

/// Counts and tells a wrong token, session or login; beyond the limit it is refused with when to come again, untold.
pub(super) fn failed(access: &Access, request: &Request, path: &str) -> Result<(), Fault> {
    let address = peer(request);
    if let Some(Err(wait)) = address.map(|address| access.limits.fail(address)) {
        let detail = "too many wrong tokens from this address";
        return Err(Fault::new(Kind::RateLimited, detail).again_after(wait));
    }
    let path: String = path.chars().take(LONGEST_TOLD).collect();
    let address = address.map(tracing::field::display);
    tracing::warn!(event = super::event::REFUSED, address, method = %request.method(), path, "wrong credentials");
    Ok(())
}

/// Of a path, in the log: longer ones are not ours.
const LONGEST_TOLD: usize = 128;

fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.address().ip())
}

/// The host that a request is for: HTTP/2 and proxies say it in the address, HTTP/1 in `Host`. None where it says none,
/// several, or two different ones.
pub(super) fn host(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return None,
        (header, None) => header.map(|header| header.to_str().ok()),
    };
    match (request.uri().authority().map(|authority| authority.as_str()), header) {
        (Some(authority), None) => Some(authority),
        (Some(authority), Some(header)) => header.filter(|header| header.eq_ignore_ascii_case(authority)),
        (None, header) => header?,
    }
}

/// Whether the request has no `Origin`, or one of ours. `null` is what a browser says for our own login form under a
/// strict referrer policy, and for a foreign sandboxed frame: `Sec-Fetch-Site`, which no page can set, tells them apart.
fn origin_allowed(access: &Access, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next().map(HeaderValue::to_str), origins.next()) {
        (None, _) => true,
        (Some(Ok("null")), None) => fetch(headers, "sec-fetch-site") == Some("same-origin"),
        (Some(Ok(origin)), None) => access.names().allow_origin(origin),
        _ => false,
    }
}

/// Whether a request with a cookie was begun by our own page, or by a person who went to it. `SameSite=Strict` keeps pages
/// of other sites from sending the cookie; another port of this host is the same site, and is kept out here.
pub(super) fn sent_by_our_page(request: &Request, host: &str) -> bool {
    let headers = request.headers();
    // An origin that cannot be read is none of ours.
    let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let same_origin = |origin: &str| origin == "null" || names::same_origin(origin, host);
    let origin_holds = origin.is_none_or(same_origin);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    match fetch(headers, "sec-fetch-site") {
        Some("same-origin") => origin_holds,
        // Typed, or a bookmark.
        Some("none") => reads && origin_holds,
        // A link from elsewhere may lead to the page; nothing else may be taken from it.
        Some(_) => {
            reads
                && fetch(headers, "sec-fetch-mode") == Some("navigate")
                && fetch(headers, "sec-fetch-dest") == Some("document")
        }
        // An old browser: what changes something needs an `Origin` that says so.
        None if reads => origin_holds,
        None => origin.is_some_and(|origin| names::same_origin(origin, host)),
    }
}

fn fetch<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a person looks at the answer: then a form helps more than a document.
fn wants_a_page(request: &Request) -> bool {
    let headers = request.headers();
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    request.method() == Method::GET
        && !headers.contains_key(AUTHORIZATION)
        && fetch(headers, "sec-fetch-dest").is_none_or(|dest| dest == "document")
        && accepts.is_some_and(|accept| accept.contains("text/html"))
}
