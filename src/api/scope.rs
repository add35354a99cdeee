//! Every address of the API, in one table: method, path, what a token must be allowed to do, what can go wrong.
//!
//! The access layer, the OpenAPI document and the answers to wrong methods are made from it; a test compares it with the
//! routes that are really there. Decides nothing itself.

use axum::http::Method;

use super::problem::Kind;

/// What whoever asks must be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Nothing: probes.
    Public,
    /// See slots, their files and events, and the node.
    Read,
    /// Hand slots in and cancel them.
    Submit,
    /// Drain, reload, acknowledge.
    Operate,
}

/// Who asks, by the name of the token, for the record: put into a request's extensions by whoever checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker(pub String);

/// One address of the API.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// In capitals.
    pub method: &'static str,
    /// As axum matches it, with `{name}` and `{*rest}`.
    pub path: &'static str,
    /// What it takes.
    pub scope: Scope,
    /// What can go wrong, beside what can go wrong everywhere.
    pub problems: &'static [Kind],
}

const fn route(method: &'static str, path: &'static str, scope: Scope, problems: &'static [Kind]) -> Route {
    Route { method, path, scope, problems }
}

/// Why a slot is not taken in.
const REFUSALS: &[Kind] = &[
    Kind::BadRequest,
    Kind::Signer,
    Kind::RequestTimeout,
    Kind::Conflict,
    Kind::Gone,
    Kind::TooLarge,
    Kind::UnsupportedMediaType,
    Kind::InvalidRecipe,
    Kind::Late,
    Kind::Webhook,
    Kind::Pressure,
    Kind::QueueFull,
    Kind::NotReady,
    Kind::Draining,
    Kind::Storage,
];
const ONE_SLOT: &[Kind] = &[Kind::BadRequest, Kind::NotFound, Kind::Gone];
const WAITED_SLOT: &[Kind] = &[Kind::BadRequest, Kind::NotFound, Kind::Gone, Kind::TooManyStreams];
const FILE: &[Kind] =
    &[Kind::BadRequest, Kind::NotFound, Kind::Gone, Kind::PreconditionFailed, Kind::RangeNotSatisfiable];
const QUERY: &[Kind] = &[Kind::BadRequest];
const STREAM: &[Kind] = &[Kind::BadRequest, Kind::TooManyStreams];
const OPERATION: &[Kind] = &[Kind::BadRequest, Kind::State, Kind::Storage];
const MESSAGE: &[Kind] = &[Kind::BadRequest, Kind::NotFound, Kind::State, Kind::Storage];
const PROBE: &[Kind] = &[Kind::NotReady];

/// Every address.
pub const ROUTES: &[Route] = &[
    route("PUT", "/v1/slots/{id}", Scope::Submit, REFUSALS),
    route("POST", "/v1/slots", Scope::Submit, REFUSALS),
    route("GET", "/v1/slots", Scope::Read, QUERY),
    route("GET", "/v1/slots/{id}", Scope::Read, WAITED_SLOT),
    route("DELETE", "/v1/slots/{id}", Scope::Submit, ONE_SLOT),
    route("GET", "/v1/slots/{id}/artifacts/{*name}", Scope::Read, FILE),
    route("HEAD", "/v1/slots/{id}/artifacts/{*name}", Scope::Read, FILE),
    route("GET", "/v1/slots/{id}/events", Scope::Read, WAITED_SLOT),
    route("GET", "/v1/events", Scope::Read, STREAM),
    route("GET", "/v1/node", Scope::Read, QUERY),
    route("GET", "/v1/node/snapshots", Scope::Read, QUERY),
    route("POST", "/v1/node/drain", Scope::Operate, OPERATION),
    route("POST", "/v1/node/undrain", Scope::Operate, OPERATION),
    route("POST", "/v1/node/reload", Scope::Operate, OPERATION),
    route("POST", "/v1/node/acknowledge", Scope::Operate, OPERATION),
    route("GET", "/metrics", Scope::Read, &[]),
    route("GET", "/v1/webhooks", Scope::Read, QUERY),
    route("POST", "/v1/webhooks/{id}/replay", Scope::Operate, MESSAGE),
    route("GET", "/livez", Scope::Public, PROBE),
    route("GET", "/readyz", Scope::Public, PROBE),
    route("GET", "/startupz", Scope::Public, PROBE),
    route("GET", "/openapi.json", Scope::Read, QUERY),
    route("GET", "/problems/{kind}", Scope::Read, &[Kind::NotFound]),
];

/// What a request takes whose path matched `pattern`: of a `HEAD` what its `GET` takes. None where the table has nothing
/// of the kind, such as a wrong method or a path that leads nowhere: nobody is to learn that without [`Scope::Read`].
pub fn scope_of(method: &Method, pattern: Option<&str>) -> Option<Scope> {
    let find = |method: &str| {
        ROUTES
            .iter()
            .find(|route| route.method == method && Some(route.path) == pattern)
            .map(|route| route.scope)
    };
    find(method.as_str()).or_else(|| (method == Method::HEAD).then(|| find("GET")).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_takes_what_its_get_takes_and_what_is_not_there_takes_nothing() {
        let slots = Some("/v1/slots");
        assert_eq!(scope_of(&Method::GET, slots), Some(Scope::Read));
        assert_eq!(scope_of(&Method::HEAD, slots), Some(Scope::Read));
        assert_eq!(scope_of(&Method::POST, slots), Some(Scope::Submit));
        assert_eq!(scope_of(&Method::HEAD, Some("/v1/node/drain")), None);
        assert_eq!(scope_of(&Method::PATCH, slots), None);
        assert_eq!(scope_of(&Method::GET, None), None);
    }

    #[test]
    fn only_probes_are_public_and_no_address_stands_there_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for route in ROUTES {
            assert!(seen.insert((route.method, route.path)), "{} {}", route.method, route.path);
            let is_probe = matches!(route.path, "/livez" | "/readyz" | "/startupz");
            assert_eq!(route.scope == Scope::Public, is_probe, "{}", route.path);
            let writes = !matches!(route.method, "GET" | "HEAD");
            assert_eq!(matches!(route.scope, Scope::Submit | Scope::Operate), writes, "{}", route.path);
        }
    }
}
