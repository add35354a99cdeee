//! What a hub's refusal means, and what to do about it.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::error::HubError;
use super::rate_limit;
use super::remote_file::RemoteFile;
use super::token::Token;
use crate::clock;

/// What was asked, of whom and by whom.
pub(super) struct Asked<'a> {
    pub(super) endpoint: &'a str,
    pub(super) token: Option<&'a Token>,
    pub(super) file: &'a RemoteFile,
}

/// Of the hub itself. Besides the status it says in `X-Error-Code` what it lacks, and in `X-Error-Message` more about it.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap, asked: &Asked<'_>) -> HubError {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (code, message) = (text("x-error-code"), text("x-error-message"));
    let said = if message.is_empty() { format!("HTTP {status}") } else { message.to_owned() };
    if let Some(passing) = passing(status, headers, "the hub", &said) {
        return passing;
    }
    let Asked { endpoint, token, file: RemoteFile { repo, revision, path } } = asked;
    let page = format!("{endpoint}/{repo}");
    let token = token.map(Token::from);
    HubError::Refused(match (status.as_u16(), code, token) {
        (401 | 403, "GatedRepo", None) => format!(
            "the repository is gated: accept its licence at {page}, and give a token of the same account ({endpoint}/settings/tokens) in HF_TOKEN"
        ),
        (401 | 403, "GatedRepo", Some(from)) => format!(
            "the repository is gated, and the account of the token from {from} has no access yet: accept its licence at {page} (some authors answer by hand), or give another account's token ({said})"
        ),
        (401, _, Some(from)) => format!(
            "the hub does not accept the token from {from}: make a new one at {endpoint}/settings/tokens, or ask without ({said})"
        ),
        (401, _, None) => format!(
            "there is no repository {repo}, or only its members see it: check the name, or give a token with access in HF_TOKEN ({said})"
        ),
        (403, _, Some(from)) => format!(
            "the token from {from} may not read it: give it the right to read this repository at {endpoint}/settings/tokens ({said})"
        ),
        (404, "RevisionNotFound", _) => format!(
            "the repository has no revision {revision}: it was moved, renamed or taken away; what there is: {page}/commits/main"
        ),
        (404, "EntryNotFound", _) => {
            format!(
                "the repository has no file {path} at revision {revision}; what there is: {page}/tree/{revision}"
            )
        }
        (404, "RepoNotFound", _) => {
            format!(
                "there is no repository {repo}, or only its members see it: check the name, or the token's account"
            )
        }
        _ => format!("the hub refuses: {said}"),
    })
}

/// Of the host that a hub's redirect led to. Its addresses are signed and expire: a fresh one may do.
pub(super) fn refused_elsewhere(status: StatusCode, headers: &HeaderMap, host: &str) -> HubError {
    let said = format!("HTTP {status}");
    passing(status, headers, host, &said).unwrap_or_else(|| {
        if matches!(status.as_u16(), 401 | 403 | 404 | 410) {
            HubError::Passing(format!("{host}, where the hub points to, refuses: {said}"))
        } else {
            HubError::Refused(format!("{host}, where the hub points to, refuses: {said}"))
        }
    })
}

fn passing(status: StatusCode, headers: &HeaderMap, who: &str, said: &str) -> Option<HubError> {
    let after = || rate_limit::pause(headers, clock::wall());
    match status.as_u16() {
        429 => Some(HubError::Busy { told: format!("{who} is asked too often: {said}"), after: after() }),
        // "Unavailable" may say for how long.
        503 => Some(HubError::Busy { told: format!("{who} is not available: {said}"), after: after() }),
        408 | 425 | 500..=599 => Some(HubError::Passing(format!("{who} fails: {said}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::HeaderValue;

    use super::*;

    fn told(status: u16, lines: &[(&'static str, &'static str)], token: Option<&Token>) -> HubError {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let file = RemoteFile { repo: "o/n".to_owned(), revision: "v1".to_owned(), path: "x.bin".to_owned() };
        let asked = Asked { endpoint: "https://hub", token, file: &file };
        refused(StatusCode::from_u16(status).unwrap(), &headers, &asked)
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let token = Token::find(|name| (name == "HF_TOKEN").then(|| "hf_secret".into())).unwrap();
        let gated = ("x-error-code", "GatedRepo");
        let bad = ("x-error-message", "Invalid credentials in Authorization header");
        for (status, lines, with_token, parts) in [
            (
                401,
                vec![gated],
                false,
                vec!["gated", "https://hub/o/n", "https://hub/settings/tokens", "HF_TOKEN"],
            ),
            (403, vec![gated], true, vec!["has no access yet", "https://hub/o/n", "from HF_TOKEN"]),
            (401, vec![bad], true, vec!["does not accept the token from HF_TOKEN", "Invalid credentials"]),
            (401, vec![("x-error-code", "RepoNotFound")], false, vec!["no repository o/n", "HF_TOKEN"]),
            (403, vec![], true, vec!["token from HF_TOKEN may not read it"]),
            (
                404,
                vec![("x-error-code", "RevisionNotFound")],
                false,
                vec!["no revision v1", "https://hub/o/n/commits/main"],
            ),
            (
                404,
                vec![("x-error-code", "EntryNotFound")],
                false,
                vec!["no file x.bin", "https://hub/o/n/tree/v1"],
            ),
            (404, vec![("x-error-code", "RepoNotFound")], true, vec!["no repository o/n"]),
            (451, vec![("x-error-message", "taken down")], false, vec!["the hub refuses: taken down"]),
        ] {
            let error = told(status, &lines, token.as_ref().filter(|_| with_token));
            let text = error.to_string();
            assert!(!error.passes() && parts.iter().all(|part| text.contains(part)), "{status}: {text}");
            assert!(!text.contains("hf_secret"), "{text}");
        }
    }

    #[test]
    fn what_passes_keeps_the_pause_that_was_asked_for() {
        let busy = told(429, &[("ratelimit", "\"resolvers\";r=0;t=55")], None);
        assert!(
            matches!(busy, HubError::Busy { after: Some(pause), .. } if pause == Duration::from_secs(55))
        );
        let away = told(503, &[("retry-after", "7")], None);
        assert!(matches!(away, HubError::Busy { after: Some(pause), .. } if pause == Duration::from_secs(7)));
        for status in [408, 425, 500, 502, 504] {
            assert!(told(status, &[], None).passes(), "{status}");
        }
    }

    #[test]
    fn an_expired_address_passes_and_what_makes_no_sense_does_not() {
        for (status, passes) in [(403, true), (410, true), (500, true), (400, false), (405, false)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                refused_elsewhere(status, &HeaderMap::new(), "https://cdn").passes(),
                passes,
                "{status}"
            );
        }
    }
}
