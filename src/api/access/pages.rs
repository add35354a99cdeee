//! The way in for people: the login page, its style, logging in and out, and new one-time logins.
//!
//! A one-time address is burnt by a button, not by being opened: whatever opens links ahead of people (previews in chat
//! programs, virus scanners, a browser that renders a page before it is asked for) neither uses it up nor gets in.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::time::Duration;

use super::scopes::{Scopes, Who};
use super::secret::looks_like_one;
use super::{Access, cookie, guard};
use crate::api::problem::{Fault, Kind, Spoken};
use crate::clock;

const LOGIN: &str = "/login";
const STYLE: &str = "/login.css";
const LOGOUT: &str = "/logout";
const NEW_LOGIN: &str = "/login/new";

/// A form with one token, with room.
const LARGEST_FORM: usize = 4_096;

/// Until it has arrived.
const FORM_ARRIVES_IN: Duration = Duration::from_secs(10);

/// Whether the route with this pattern is for those who have not shown yet who they are.
pub(super) fn is_open(pattern: &str) -> bool {
    matches!(pattern, LOGIN | STYLE | LOGOUT)
}

/// The routes.
pub(super) fn routes(access: &Arc<Access>) -> Router {
    Router::new()
        .route(LOGIN, get(show).post(log_in))
        .route(LOGOUT, post(log_out))
        .route(NEW_LOGIN, post(new_login))
        .route(STYLE, get(style))
        .with_state(Arc::clone(access))
}

/// The login page, for a browser that came to an address which needs a login.
pub(super) fn refused() -> Response {
    page(StatusCode::UNAUTHORIZED, &ask_for_token(""))
}

async fn show(State(access): State<Arc<Access>>, request: Request) -> Response {
    let once = request.uri().query().and_then(|query| field(query, "once"));
    match once {
        None => page(StatusCode::OK, &ask_for_token("")),
        Some(once) if access.sessions.invited(once, clock::now()) => page(StatusCode::OK, &confirm(once)),
        Some(_) => page(StatusCode::GONE, &ask_for_token(SPENT)),
    }
}

async fn log_in(State(access): State<Arc<Access>>, request: Request) -> Response {
    if let Err(fault) = own_form(&request) {
        return fault.into_response();
    }
    let (parts, body) = request.into_parts();
    let form = match tokio::time::timeout(FORM_ARRIVES_IN, to_bytes(body, LARGEST_FORM)).await {
        Ok(Ok(form)) => form,
        Ok(Err(_)) => {
            let detail = format!("the login form is larger than {LARGEST_FORM} bytes, or was cut off");
            return Fault::new(Kind::TooLarge, detail).into_response();
        }
        Err(_) => return Fault::new(Kind::RequestTimeout, "the login form came too slowly").into_response(),
    };
    let form = std::str::from_utf8(&form).unwrap_or_default();
    let now = clock::now();
    let session = match (field(form, "once"), field(form, "token")) {
        (Some(once), _) if access.sessions.burn(once, now) => {
            Some(access.sessions.open_for_login(access.session_lasts(), now))
        }
        (None, Some(token)) => access
            .tokens
            .check(token, clock::unix_time())
            .ok()
            .map(|who| access.sessions.open_for_token(who, access.session_lasts(), now)),
        _ => None,
    };
    match session {
        Some(Ok(session)) => {
            tracing::info!(event = super::event::LOGGED_IN, "somebody logged in to the page");
            let cookie = cookie::set(&access.cookie, session.reveal(), access.session_lasts(), access.tls());
            go_to("/", cookie)
        }
        Some(Err(error)) => Fault::new(Kind::Internal, error.to_string()).into_response(),
        None => {
            let request = Request::from_parts(parts, Body::empty());
            match guard::failed(&access, &request, LOGIN) {
                Ok(()) => page(StatusCode::UNAUTHORIZED, &ask_for_token(WRONG)),
                Err(fault) => fault.into_response(),
            }
        }
    }
}

async fn log_out(State(access): State<Arc<Access>>, request: Request) -> Response {
    if let Err(fault) = own_form(&request) {
        return fault.into_response();
    }
    if let Some(session) = cookie::find(request.headers(), &access.cookie) {
        access.sessions.close(session);
    }
    go_to(LOGIN, cookie::clear(&access.cookie, access.tls()))
}

/// A new one-time address, for whoever may do everything: it lets in with every scope.
async fn new_login(State(access): State<Arc<Access>>, Extension(who): Extension<Who>) -> Response {
    if who.scopes != Scopes::ALL {
        let detail =
            format!("a one-time login gives every scope, and the token {} has {}", who.id, who.scopes);
        return Fault::new(Kind::Forbidden, detail).into_response();
    }
    match access.new_login() {
        Ok(link) => {
            let lasts = access.login_lasts().as_secs();
            Json(serde_json::json!({ "url": link.reveal(), "expires_in": lasts })).into_response()
        }
        Err(error) => Fault::new(Kind::Internal, error.to_string()).into_response(),
    }
}

async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=3600")];
    (headers, include_str!("pages/login.css")).into_response()
}

/// A form that another site sends would log its visitor in as somebody else, or out.
fn own_form(request: &Request) -> Result<(), Fault> {
    let own = guard::host(request).is_some_and(|host| guard::sent_by_our_page(request, host));
    let detail = "this form is taken from this node's own login page only";
    if own { Ok(()) } else { Err(Fault::new(Kind::Origin, detail)) }
}

fn go_to(place: &'static str, cookie: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_static(place));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(cookie) = cookie {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

/// The field `name` of a form or query. Tokens and logins hold no letter that is ever encoded; what surrounds a pasted one
/// (spaces, a line's end) is taken off.
fn field<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    let value = form.split('&').filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name)?.1;
    let mut value = value;
    for blank in ["+", "%20", "%09", "%0D", "%0A", "%0d", "%0a"].into_iter().cycle().take(28) {
        value = value.strip_prefix(blank).unwrap_or(value);
        value = value.strip_suffix(blank).unwrap_or(value);
    }
    (!value.is_empty()).then_some(value)
}

const WRONG: &str = "That was not a valid token or login.";
const SPENT: &str = "This one-time address was used already, or its time is over. \
                     <code>vortex-node token login</code> gives another.";

fn confirm(once: &str) -> String {
    // `invited` has seen to it: nothing but letters, digits, `-` and `_` is ever put into the page.
    let once = if looks_like_one(once) { once } else { "" };
    format!(
        "<p>This address opens the page once, with everything it can do.</p>\n\
         <form method=\"post\" action=\"{LOGIN}\">\n\
         <input type=\"hidden\" name=\"once\" value=\"{once}\">\n\
         <button autofocus>Open the page</button>\n</form>"
    )
}

fn ask_for_token(message: &str) -> String {
    let message =
        if message.is_empty() { String::new() } else { format!("<p role=\"alert\">{message}</p>\n") };
    format!(
        "{message}<form method=\"post\" action=\"{LOGIN}\">\n\
         <label for=\"token\">Token</label>\n\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"off\" spellcheck=\"false\" required autofocus>\n\
         <p class=\"hint\"><code>vortex-node token new --scope read,submit</code> makes one.</p>\n\
         <button>Log in</button>\n</form>"
    )
}

fn page(status: StatusCode, content: &str) -> Response {
    let html = include_str!("pages/login.html").replace("<!-- content -->", content);
    // The form's own request must say where it comes from (a browser hides that under `no-referrer`); nobody else is told.
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (REFERRER_POLICY, "same-origin")];
    let mut response = (status, headers, html).into_response();
    response.extensions_mut().insert(Spoken);
    response
}
