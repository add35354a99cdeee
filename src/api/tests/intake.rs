//! Handing slots in: what is accepted, what is known, what is refused and how.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderValue;
use futures_util::stream;
use serde_json::json;

use super::fake::{id, problem, recipe};
use super::*;
use crate::api::backend::ProblemKind;
use crate::api::scope::Asker;

fn put(number: u128, body: impl Into<Body>) -> Request<Body> {
    let path = format!("/v1/slots/{}", id(number));
    Request::builder().method("PUT").uri(path).body(body.into()).unwrap()
}

fn post(body: impl Into<Body>) -> Request<Body> {
    Request::builder().method("POST").uri("/v1/slots").body(body.into()).unwrap()
}

#[tokio::test]
async fn a_recipe_is_accepted_once_and_known_afterwards() {
    let it = setup();
    let first = send(&it.router, put(1, recipe(id(1)))).await;
    assert_eq!(first.status, 202);
    assert_eq!(first.header("location"), format!("/v1/slots/{}", id(1)));
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("cache-control"), "no-store");
    let slot = first.json();
    assert_eq!(
        (&slot["id"], &slot["state"], &slot["position"], &slot["eta"]),
        (&json!(id(1).to_string()), &json!("queued"), &json!(0), &json!(20.0))
    );

    for request in [put(1, recipe(id(1))), post(recipe(id(1)))] {
        let again = send(&it.router, request).await;
        assert_eq!(again.status, 200);
        assert_eq!(again.header("location"), format!("/v1/slots/{}", id(1)));
        assert_eq!(again.json()["id"], slot["id"]);
    }
    assert_eq!(it.fake.table().slots.len(), 1);

    let other = format!("{} ", recipe(id(1)));
    send(&it.router, put(1, other)).await.problem(409, "conflict");
    send(&it.router, put(2, recipe(id(1)))).await.problem(409, "conflict");
    assert_eq!(send(&it.router, post(recipe(id(3)))).await.status, 202);
}

#[tokio::test]
async fn the_node_gets_the_bytes_as_they_came_and_the_headers_beside_them() {
    let it = setup();
    let document = format!("  {}\r\n\t", recipe(id(1)));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = with(put(1, document.clone()), "vortex-webhook", "https://example.org/hook");
    let request = with(request, "vortex-webhook-events", "slot_failed, generation_complete,slot_failed");
    let mut request =
        with(with(request, "traceparent", trace), "content-type", "Application/JSON; charset=utf-8");
    request.extensions_mut().insert(Asker("build farm".to_owned()));
    let answer = send(&it.router, request).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let table = it.fake.table();
    let (_, request) = &table.slots[0];
    assert_eq!(request.document, document.as_bytes());
    assert_eq!(request.client, "build farm");
    let webhook = request.webhook.as_ref().unwrap();
    assert_eq!(
        (webhook.url.as_str(), &*webhook.events),
        ("https://example.org/hook", &["slot_failed".to_owned(), "generation_complete".to_owned()][..])
    );
}

#[tokio::test]
async fn a_trace_that_is_none_is_ignored() {
    let it = setup();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = with(with(put(1, recipe(id(1))), "traceparent", trace), "traceparent", trace);
    assert_eq!(send(&it.router, request).await.status, 202, "two of them");
    let request = with(put(2, recipe(id(2))), "traceparent", "00-0-0-00");
    assert_eq!(send(&it.router, request).await.status, 202);
    assert!(it.fake.table().slots.iter().all(|(_, request)| request.traceparent.is_none()));
}

#[tokio::test]
async fn webhooks_that_make_no_sense_are_refused() {
    let it = setup();
    let hooked = |url: &str| with(put(1, recipe(id(1))), "vortex-webhook", url);
    for wrong in ["", "ftp://x", "example.org", &format!("https://{}", "x".repeat(3000))] {
        send(&it.router, hooked(wrong)).await.problem(422, "webhook");
    }
    let good = "https://example.org/";
    let said = send(&it.router, with(hooked(good), "vortex-webhook-events", "slot_fail"))
        .await
        .problem(400, "bad-request");
    assert!(
        said.contains("did you mean \"slot_failed\"") && said.contains("accepted, stage_began"),
        "{said}"
    );
    send(&it.router, with(hooked(good), "vortex-webhook", good)).await.problem(400, "bad-request");
    send(&it.router, with(put(1, recipe(id(1))), "vortex-webhook-events", "slot_failed"))
        .await
        .problem(422, "webhook");
    let mut letters = put(1, recipe(id(1)));
    letters.headers_mut().insert("vortex-webhook", HeaderValue::from_bytes(b"https://\xff").unwrap());
    send(&it.router, letters).await.problem(400, "bad-request");
    assert!(it.fake.table().slots.is_empty());
}

#[tokio::test]
async fn every_refusal_of_the_node_has_its_status_and_says_when_to_come_again() {
    use ProblemKind::*;
    let kinds = [
        (InvalidRecipe, 422, "invalid-recipe"),
        (Signer, 403, "signer"),
        (Late, 422, "late"),
        (Conflict, 409, "conflict"),
        (Pressure, 429, "pressure"),
        (QueueFull, 429, "queue-full"),
        (NotReady, 503, "not-ready"),
        (Draining, 503, "draining"),
        (Storage, 507, "storage"),
        (NotFound, 404, "not-found"),
        (Gone, 410, "gone"),
        (Webhook, 422, "webhook"),
        (State, 409, "state"),
        (Internal, 500, "internal"),
    ];
    let it = setup();
    for (kind, status, name) in kinds {
        let mut refusal = problem(kind, "because of 3 things");
        refusal.retry_after = Some(Duration::from_secs(7));
        refusal.extra.insert("eta".to_owned(), json!(12.5));
        it.fake.table().refusal = Some(refusal);
        for request in [put(1, recipe(id(1))), post(recipe(id(1)))] {
            let answer = send(&it.router, request).await;
            assert_eq!(answer.problem(status, name), "because of 3 things");
            assert_eq!(answer.header("retry-after"), "7");
            assert_eq!(answer.json()["eta"], 12.5);
            assert!(answer.json()["instance"].as_str().unwrap().starts_with("/v1/slots"));
        }
    }
}

#[tokio::test]
async fn a_wrong_recipe_is_told_everything_that_is_wrong() {
    let it = setup();
    for wrong in ["[", "{}", &"[".repeat(200_000), "\u{feff}{}", "null"] {
        let answer = send(&it.router, post(wrong.to_owned())).await;
        answer.problem(422, "invalid-recipe");
        assert!(answer.json()["errors"].is_array());
    }
    send(&it.router, post("")).await.problem(400, "bad-request");
    send(&it.router, Request::builder().method("POST").uri("/v1/slots?x=1").body("{}".into()).unwrap())
        .await
        .problem(400, "bad-request");
}

#[tokio::test]
async fn what_is_no_json_or_is_packed_is_refused_by_what_it_says_of_itself() {
    let it = setup();
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"] {
        let answer = send(&it.router, with(post(recipe(id(1))), "content-type", wrong)).await;
        answer.problem(415, "unsupported-media-type");
        assert_eq!(answer.header("accept"), "application/json");
    }
    let packed = with(post(recipe(id(1))), "content-encoding", "gzip");
    send(&it.router, packed).await.problem(415, "unsupported-media-type");
    let plain = with(post(recipe(id(1))), "content-encoding", "identity");
    assert_eq!(send(&it.router, plain).await.status, 202);
}

#[tokio::test]
async fn a_recipe_that_is_too_large_is_refused_announced_or_not() {
    let settings = ApiSettings { max_recipe: 100, ..ApiSettings::default() };
    let it = setup_with(Fake::new(8), settings);
    let announced = with(
        post(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())),
        "content-length",
        "101",
    );
    let answer = send(&it.router, announced).await;
    answer.problem(413, "too-large");
    assert_eq!(answer.header("connection"), "close");

    let pieces =
        || stream::iter([b' '; 3].map(|blank| Ok::<_, std::io::Error>(Bytes::from(vec![blank; 50]))));
    let said = send(&it.router, post(Body::from_stream(pieces()))).await.problem(413, "too-large");
    assert!(said.contains("at most 100 bytes"), "{said}");
    let exact = format!("{:<100}", recipe(id(1)));
    assert_eq!(send(&it.router, post(exact)).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn a_recipe_that_does_not_arrive_is_given_up() {
    let it = setup();
    // A byte now and then does not help: the time is for the whole.
    let drops = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
    });
    let begin = crate::clock::now();
    let answer = send(&it.router, post(Body::from_stream(drops))).await;
    answer.problem(408, "request-timeout");
    assert_eq!(answer.header("connection"), "close");
    assert_eq!((crate::clock::now() - begin).as_secs(), 10);
}

#[tokio::test]
async fn a_recipe_that_breaks_off_is_not_handed_in() {
    let it = setup();
    let broken = stream::iter([Ok(Bytes::from(recipe(id(1)))), Err(std::io::Error::other("gone"))]);
    send(&it.router, post(Body::from_stream(broken))).await.problem(400, "bad-request");
    assert!(it.fake.table().slots.is_empty());
}
