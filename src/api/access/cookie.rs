//! The page's session cookie: its name, how it is set, taken back and found. Holds no sessions.

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// The name of the cookie of the listener on `port`. Browsers send a host's cookies to all of its ports: with the port in
/// the name, two nodes on one machine do not overwrite each other's. `__Host-` has the browser refuse a cookie of that
/// name that was not set by this very host, over TLS.
pub(super) fn name(tls: bool, port: u16) -> String {
    let prefix = if tls { "__Host-" } else { "" };
    format!("{prefix}vortex_session_{port}")
}

/// Sets it. Not for scripts, not for requests that foreign pages begin, not beyond its time.
pub(super) fn set(name: &str, value: &str, lasts: Duration, tls: bool) -> Option<HeaderValue> {
    let secure = if tls { "; Secure" } else { "" };
    let cookie =
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", lasts.as_secs());
    let mut cookie = HeaderValue::try_from(cookie).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

/// Takes it back.
pub(super) fn clear(name: &str, tls: bool) -> Option<HeaderValue> {
    set(name, "", Duration::ZERO, tls)
}

/// Its value in a request, where it is there exactly once.
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value);
    // Twice: somebody else has set one for a path or domain of theirs; neither is trusted.
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_bound_to_its_host_and_hidden_from_scripts() {
        let plain = set(&name(false, 9100), "x", Duration::from_secs(60), false).unwrap();
        assert_eq!(plain, "vortex_session_9100=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=60");
        let secure = set(&name(true, 443), "x", Duration::from_secs(60), true).unwrap();
        assert_eq!(
            secure,
            "__Host-vortex_session_443=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure"
        );
        assert!(secure.is_sensitive());
        assert!(clear("a", false).unwrap().to_str().unwrap().contains("a=; ") && clear("a", false).is_some());
    }

    #[test]
    fn a_cookie_is_found_among_others_and_only_alone() {
        let mut headers = HeaderMap::new();
        assert_eq!(find(&headers, "a"), None);
        headers.append(COOKIE, HeaderValue::from_static("aa=0; a=1; b=2"));
        assert_eq!(find(&headers, "a"), Some("1"));
        headers.append(COOKIE, HeaderValue::from_static("a=3"));
        assert_eq!(find(&headers, "a"), None);
    }
}
