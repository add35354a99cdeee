//! schemathesis, which nobody here wrote, on the document that a real service serves: no answer that the document does not
//! name, none that is not as it says, no fault of the server's own.

use std::process::Command;

use reqwest::{Method, StatusCode};

use crate::support::served::{Place, recipe, scenario};
use crate::support::skip;

/// Streams of events are left out, since they have no end. Of the checks two are: "use after free" wants a slot that was
/// cancelled to be gone, and here it stays to be seen; "ignored auth" wants 401 for every wrong token, and here a few are
/// followed by 429 (`tokens.rs` tries them all).
const RUN: &str = "--config-file schemathesis.toml run URL/openapi.json --exclude-path-regex events$ --checks all \
    --exclude-checks use_after_free,ignored_auth --seed 7 --no-color --generation-database none";
/// For each operation and phase, unless `VORTEX_FUZZ_EXAMPLES` asks for more.
const EXAMPLES: &str = "8";

/// What the document allows may be refused nevertheless with 422: no schema says which voices there are, and what can be
/// spoken. The files of one slot and one message of a webhook are there, so that not everything that is asked for is missing.
fn settings(slot: &str, message: &str) -> String {
    format!(
        r#"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 410, 412, 416, 422, 429, "5xx"]

[[operations]]
include-path = "/v1/slots/{{id}}/artifacts/{{name}}"
parameters = {{ id = "{slot}", name = "result.json" }}

[[operations]]
include-name = "GET /v1/slots/{{id}}"
parameters = {{ id = "{slot}" }}

# What follows a page is whatever the page before said.
[[operations]]
include-name = "GET /v1/slots"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 429, "5xx"]

[[operations]]
include-path = "/v1/webhooks/{{id}}/replay"
parameters = {{ id = "{message}" }}
"#
    )
}

#[tokio::test]
async fn schemathesis_finds_nothing_wrong_with_a_real_service() {
    let program = std::env::var_os("SCHEMATHESIS").filter(|path| !path.is_empty());
    let program = program.unwrap_or_else(|| "schemathesis".into());
    if Command::new(&program).arg("--version").output().is_err() {
        return skip("schemathesis");
    }
    let place = Place::new(&scenario("5ms", "[policy]\nqueue = 100000\n"));
    let limits = ["http.rate=100000", "http.burst=100000", "webhooks.allow=[\"http://127.0.0.1:9\"]"];
    let service = place.serve_with(&limits.map(|setting| ["--set", setting]).concat());
    service.ready().await;
    let slot = recipe(1);
    let id = slot["recipe_id"].as_str().unwrap();
    let ask =
        service.ask(Method::PUT, &format!("/v1/slots/{id}")).header("Vortex-Webhook", "http://127.0.0.1:9/");
    assert_eq!(ask.json(&slot).send().await.unwrap().status(), StatusCode::ACCEPTED);
    service.ended(id).await;
    let messages = service.get("/v1/webhooks").await;
    let message = messages["webhooks"][0]["id"].as_str().unwrap();
    let folder = place.file("fuzz/schemathesis.toml", &settings(id, message)).parent().unwrap().to_owned();
    let examples = std::env::var("VORTEX_FUZZ_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let mut command = Command::new(program);
    command.args(RUN.split_whitespace().map(|word| word.replace("URL", &service.url)));
    command.args([
        "--max-examples",
        &examples,
        "--header",
        &format!("Authorization: Bearer {}", service.token),
    ]);
    command.current_dir(folder);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(service.get("/v1/slots?limit=1").await["slots"].as_array().map(Vec::len), Some(1));
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    let panicked: Vec<&str> = logs.lines().filter(|line| line.contains("panicked")).collect();
    assert_eq!(panicked, Vec::<&str>::new());
}
