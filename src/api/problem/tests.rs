use serde_json::json;

use super::*;
use crate::api::backend::ProblemKind;

async fn document(response: Response) -> (StatusCode, Value) {
    assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_document_says_what_when_and_about_which_request() {
    let problem = Problem {
        kind: ProblemKind::Late,
        detail: "42 s are needed, 10 s are left".to_owned(),
        retry_after: Some(Duration::from_millis(1500)),
        extra: Map::from_iter([("eta".to_owned(), json!(42.0)), ("status".to_owned(), json!(200))]),
    };
    let response = complete(Fault::from(problem).into_response(), "/v1/slots/x");
    assert_eq!(response.headers()[RETRY_AFTER], "2", "rounded up");
    let (status, document) = document(response).await;
    assert_eq!(status, 422);
    assert_eq!(
        document,
        json!({
            "type": "/problems/late", "title": "It would be late", "status": 422, "eta": 42.0,
            "detail": "42 s are needed, 10 s are left", "instance": "/v1/slots/x",
        })
    );
}

#[tokio::test]
async fn an_error_that_is_no_document_becomes_one_and_keeps_its_headers() {
    let bare = (StatusCode::METHOD_NOT_ALLOWED, [("allow", "GET")], "secret words").into_response();
    let response = complete(bare, "/x");
    assert_eq!(response.headers()["allow"], "GET");
    let (status, document) = document(response).await;
    assert_eq!((status.as_u16(), &document["type"]), (405, &json!("/problems/method-not-allowed")));
    assert!(!document.to_string().contains("secret"));
}

#[tokio::test]
async fn a_status_of_no_kind_stays_what_it_is() {
    let (status, document) = document(complete(StatusCode::IM_A_TEAPOT.into_response(), "/x")).await;
    assert_eq!((status.as_u16(), &document["type"]), (418, &json!("/problems/bad-request")));
}

#[tokio::test]
async fn what_is_no_error_or_speaks_for_itself_stays_as_it_is() {
    for status in [StatusCode::OK, StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
        assert!(complete(status.into_response(), "/x").headers().get(CONTENT_TYPE).is_none());
    }
    let mut plain = (StatusCode::SERVICE_UNAVAILABLE, "flux is loading\n").into_response();
    plain.extensions_mut().insert(Spoken);
    assert!(complete(plain, "/x").headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
}

#[test]
fn a_retry_is_never_at_once_and_a_path_without_end_is_not_repeated() {
    let fault = Fault::new(Kind::QueueFull, "full").again_after(Duration::ZERO);
    let response = complete(fault.clone().into_response(), &"x".repeat(100_000));
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    assert!(fault.document(None).get("instance").is_none());
}

#[test]
fn every_kind_says_something_and_its_status_is_an_error() {
    for kind in Kind::ALL {
        assert!(kind.status().is_client_error() || kind.status().is_server_error(), "{kind}");
        assert!(kind.title().len() > 5 && kind.about().len() > 20, "{kind}");
        assert!(kind.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{kind}");
        assert_eq!(
            Kind::of_status(kind.status()).status().is_server_error(),
            kind.status().is_server_error()
        );
    }
}
