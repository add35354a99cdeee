//! The OpenAPI document: what the routes say of themselves, and what the table of routes adds: who may ask, and every
//! problem with its example.
//!
//! Owns the document's frame, and the schemas of what is no type here: problems, recipes, events. Serves nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, OpenApiVersion};

use super::backend::Webhook;
use super::problem::{Kind, PROBLEM_JSON, TYPES};
use super::scope::{ROUTES, Route, Scope};
use super::state::ApiSettings;

/// What can go wrong everywhere.
const ANYWHERE: [Kind; 5] =
    [Kind::BadRequest, Kind::Misdirected, Kind::HeadersTooLarge, Kind::Internal, Kind::Timeout];
/// What can go wrong wherever a token is needed.
const GUARDED: [Kind; 4] = [Kind::Unauthorized, Kind::Forbidden, Kind::Origin, Kind::RateLimited];

/// The document before the routes are added.
pub(super) fn begin() -> OpenApi {
    let info = InfoBuilder::new()
        .title("vortex-node")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "One machine of a render network: slots are handed in as recipes, followed while they are made, and fetched as \
             videos. Times are seconds since the Unix epoch, durations seconds, memory bytes. Errors are problem documents \
             (RFC 9457) with a stable `type`.",
        ))
        .build();
    OpenApiBuilder::new().openapi(OpenApiVersion::Version32).info(info).build()
}

/// The document with all that the routes do not say of themselves.
pub(super) fn finish(described: &OpenApi, settings: &ApiSettings) -> Value {
    let mut document = serde_json::to_value(described).unwrap_or_default();
    let mut responses = Map::new();
    let mut paths = Map::new();
    for (path, mut item) in take(&mut document, "paths") {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let route =
                ROUTES.iter().find(|route| route.path == path && route.method.eq_ignore_ascii_case(method));
            if let Some(route) = route {
                describe(operation, route, &mut responses);
            }
        }
        // A wildcard is axum's own way to write it.
        paths.insert(path.replace("{*", "{"), item);
    }
    document["paths"] = paths.into();
    let components = &mut document["components"];
    components["responses"] = responses.into();
    components["securitySchemes"] = json!({ "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the node: `vortex-node token new --scope submit,read,operate`. A requirement names the \
                        scope that the token needs.",
    }});
    components["schemas"]["Problem"] = problem_schema();
    components["schemas"]["ServerSentEvent"] = event_schema();
    components["schemas"]["Recipe"] = recipe_schema(settings);
    document
}

fn take(document: &mut Value, name: &str) -> Map<String, Value> {
    match document.get_mut(name).map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Adds to an operation what the table says of it.
fn describe(operation: &mut Value, route: &Route, responses: &mut Map<String, Value>) {
    operation["security"] = match scope_name(route.scope) {
        Some(scope) => json!([{ "token": [scope] }]),
        None => json!([]),
    };
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        never_null(&mut parameter["schema"]);
        if parameter["name"] == "Vortex-Webhook-Events" {
            let names = Webhook::EVENTS.join("|");
            parameter["schema"]["pattern"] = format!("^({names})( *, *({names}))*$").into();
        }
    }
    if route.method == "HEAD" {
        // One handler answers both; their ids must differ.
        let id = operation["operationId"].as_str().unwrap_or_default();
        operation["operationId"] = format!("{id}_head").into();
    }
    if let Some(body) = operation.get_mut("requestBody") {
        body["content"]["application/json"]["schema"] = json!({ "$ref": "#/components/schemas/Recipe" });
        body["required"] = true.into();
    }
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    let guarded = if route.scope == Scope::Public { &[][..] } else { &GUARDED[..] };
    for kind in ANYWHERE.iter().chain(guarded).chain(route.problems) {
        let kinds = by_status.entry(kind.status().as_u16()).or_default();
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    let is_probe = route.scope == Scope::Public;
    for (status, kinds) in by_status {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let plain = is_probe && kinds.contains(&Kind::NotReady);
        let name = if plain { "probe".to_owned() } else { names.join("_or_") };
        operation["responses"][status.to_string()] =
            json!({ "$ref": format!("#/components/responses/{name}") });
        responses.entry(name).or_insert_with(|| response(&kinds, plain));
    }
}

/// Takes null out of what a parameter may be: one that is not given is left out, and one that says `null` is a text.
fn never_null(schema: &mut Value) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|it| it != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(Value::Array(cases)) = schema.get_mut("oneOf") {
        cases.retain(|it| it["type"] != "null");
        if let [only] = cases.as_slice() {
            *schema = only.clone();
        }
    }
}

fn scope_name(scope: Scope) -> Option<&'static str> {
    match scope {
        Scope::Public => None,
        Scope::Read => Some("read"),
        Scope::Submit => Some("submit"),
        Scope::Operate => Some("operate"),
    }
}

/// An answer that is one of these problems; of a probe also in plain text.
fn response(kinds: &[Kind], plain: bool) -> Value {
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
    let examples: Map<String, Value> =
        kinds.iter().map(|kind| (kind.name().to_owned(), json!({ "value": example(*kind) }))).collect();
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    let mut response = json!({
        "description": titles.join(", or: "),
        "content": { PROBLEM_JSON: { "schema": schema, "examples": examples } },
    });
    if plain {
        response["content"]["text/plain"] = json!({ "schema": { "type": "string" } });
    }
    let seconds = json!({ "schema": { "type": "integer", "minimum": 1 } });
    match kinds.first().map(|kind| kind.status().as_u16()) {
        Some(429 | 503) => {
            response["headers"]["Retry-After"] = seconds;
            response["headers"]["Retry-After"]["description"] = "Seconds until it may go better.".into();
        }
        Some(405) => response["headers"]["Allow"] = json!({ "schema": { "type": "string" } }),
        _ => {}
    }
    response
}

/// A document of this kind, as it may look.
fn example(kind: Kind) -> Value {
    let mut document = json!({
        "type": format!("{TYPES}{kind}"),
        "title": kind.title(),
        "status": kind.status().as_u16(),
        "detail": kind.about(),
        "instance": "/v1/slots/6f1c2f52-7f0e-4d3b-9a55-0c8f3f6f9b10",
    });
    match kind {
        Kind::Late => document["eta"] = 42.5.into(),
        Kind::InvalidRecipe => {
            document["errors"] = json!(["audio_track.speed: 9; accepted: 0.8 to 1.2"]);
        }
        Kind::NotReady => document["reasons"] = json!(["flux is loading"]),
        _ => {}
    }
    document
}

fn problem_schema() -> Value {
    let types: Vec<String> = Kind::NAMES.iter().map(|name| format!("{TYPES}{name}")).collect();
    json!({
        "type": "object",
        "description": "What is wrong (RFC 9457). Kinds may have members of their own.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "enum": types, "description": "The kind; it never changes. The address explains it." },
            "title": { "type": "string", "description": "The kind in words." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status." },
            "detail": { "type": "string", "description": "What happened, with the values and what would be accepted." },
            "instance": { "type": "string", "format": "uri-reference", "description": "The request's path." },
            "errors": { "type": "array", "description": "Of a wrong recipe: everything that is wrong." },
            "eta": { "type": "number", "description": "Of a slot that would be late: how many seconds it would take." },
            "reasons": { "type": "array", "items": { "type": "string" }, "description": "Of a probe: why not." },
        },
    })
}

fn event_schema() -> Value {
    json!({
        "type": "object",
        "description": "A server-sent event.",
        "properties": {
            "id": { "type": "string", "description": "GENERATION-SEQUENCE; none of progress, samples of memory and gaps." },
            "event": { "type": "string", "description": "The kind, as in the data's `event`; or `gap`: some events are no longer kept." },
            "data": { "type": "string", "contentMediaType": "application/json", "description": "The event; of a gap `from` and `oldest`." },
            "retry": { "type": "integer", "description": "Milliseconds until a client whose connection broke comes again." },
        },
    })
}

fn recipe_schema(settings: &ApiSettings) -> Value {
    let mut schema = settings.recipe_schema.clone().unwrap_or_else(|| json!({ "type": "object" }));
    if let Some(schema) = schema.as_object_mut() {
        // It is part of this document now.
        schema.remove("$schema");
        schema.remove("$id");
        if let Some(example) = &settings.recipe_example {
            schema.insert("examples".into(), json!([example]));
        }
    }
    schema
}
