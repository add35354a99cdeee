//! schemathesis on the OpenAPI document, against a node that is a table.
//!
//! Left out by default, since it is a program of its own: `pip install schemathesis`, then
//! `SCHEMATHESIS=…/bin/schemathesis cargo test -- --ignored schemathesis`. Streams of events are left out: they have no end.

use std::process::Command;

use axum::extract::Request as Incoming;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::fake::id;
use super::wire::serve;
use super::*;
use crate::api::problem::{Fault, Kind, complete};
use crate::api::views::SlotState;

/// One check is left out: a slot that is cancelled stays to be seen.
const RUN: &str = "--config-file schemathesis.toml run http://127.0.0.1:PORT/openapi.json --exclude-path-regex events$ \
    --checks all --exclude-checks use_after_free --max-examples 40 --seed 7 --no-color";
/// What the document allows may be refused nevertheless, with 422: a webhook's events without its address.
const SETTINGS: &str = "[checks]\npositive_data_acceptance.expected-statuses = [\"2xx\", \"3xx\", 401, 403, 404, 409, 410, \
    412, 416, 422, 429, \"5xx\"]\n";
/// The only token there is.
const TOKEN: &str = "Bearer fuzz";

/// Stands for the layer that checks tokens.
async fn guard(request: Incoming, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_probe = matches!(path.as_str(), "/livez" | "/readyz" | "/startupz");
    if is_probe || request.headers().get(AUTHORIZATION).is_some_and(|it| it == TOKEN) {
        return next.run(request).await;
    }
    let fault = Fault::new(Kind::Unauthorized, "there is no token");
    complete(([(WWW_AUTHENTICATE, "Bearer")], fault).into_response(), &path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "needs schemathesis"]
async fn schemathesis_finds_nothing() {
    let schema = json!({
        "type": "object",
        "required": ["recipe_id"],
        "properties": { "recipe_id": { "type": "string", "format": "uuid" } },
    });
    let settings = ApiSettings { recipe_schema: Some(schema), ..ApiSettings::default() };
    let it = setup_with(Fake::new(64), settings);
    it.fake.add(id(1));
    it.fake.leave(id(1), "video.mp4", b"0123456789");
    it.fake.end(id(1), SlotState::Completed);
    // Nobody waits for a slot's end.
    it.draining.send(true).unwrap();
    let it = Setup { router: it.router.layer(from_fn(guard)), ..it };
    let port = serve(&it).await.port().to_string();
    let program = std::env::var("SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned());
    let scratch = it.fake.folder().to_owned();
    std::fs::write(scratch.join("schemathesis.toml"), SETTINGS).unwrap();
    let run = move || {
        let words = RUN.split_whitespace().map(|word| word.replace("PORT", &port));
        let token = ["--header".to_owned(), format!("Authorization: {TOKEN}")];
        Command::new(program).args(words).args(token).current_dir(scratch).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
