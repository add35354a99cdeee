//! What goes wrong outside of any route: wrong addresses and methods, panics, a node that does not answer.

use super::fake::id;
use super::wire::{raw, raw_get, serve};
use super::*;

#[tokio::test]
async fn an_address_that_leads_nowhere_is_told_so() {
    let it = setup();
    for path in ["/", "/v1", "/v1/slots/", "/v2/slots", "/metrics/", "/v1/node/stop", "/v1/slots/a/b"] {
        let answer = get(&it.router, path).await;
        let said = answer.problem(404, "not-found");
        assert!(said.contains(path) && said.contains("/openapi.json"), "{said}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let answer = get(&it.router, &format!("/{}", "x".repeat(5000))).await;
    assert!(answer.problem(404, "not-found").len() < 300);
}

#[tokio::test]
async fn a_panic_says_nothing_of_itself_and_the_node_goes_on() {
    let it = setup();
    it.fake.add(id(1));
    it.fake.table().panics = true;
    let path = format!("/v1/slots/{}", id(1));
    let answer = get(&it.router, &path).await;
    answer.problem(500, "internal");
    assert!(!answer.text().contains("secret"), "{}", answer.text());
    assert_eq!(answer.json()["instance"], path);
    it.fake.table().panics = false;
    assert_eq!(get(&it.router, &path).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_given_up() {
    let it = setup();
    it.fake.table().hangs = true;
    let begin = crate::clock::now();
    let answer = get(&it.router, &format!("/v1/slots/{}", id(1))).await;
    answer.problem(503, "timeout");
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!((crate::clock::now() - begin).as_secs(), 40);
}

#[tokio::test]
async fn what_comes_as_bytes_is_answered_and_the_listener_goes_on() {
    let it = setup();
    let address = serve(&it).await;
    let huge = format!("GET /livez HTTP/1.1\r\nHost: node\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = raw(address, huge.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..500).map(|number| format!("X-{number}: 1\r\n")).collect();
    let answer = raw(address, format!("GET /livez HTTP/1.1\r\nHost: node\r\n{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = raw(address, b"nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer =
        raw(address, b"POST /v1/slots HTTP/1.1\r\nHost: node\r\nContent-Length: 300000\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("/problems/too-large"), "{answer}");
    assert!(raw_get(address, "/livez").await.ends_with("ok\n"));
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_off_on_the_wire() {
    let settings = ApiSettings { body_timeout: Duration::from_millis(50), ..ApiSettings::default() };
    let it = setup_with(Fake::new(8), settings);
    let address = serve(&it).await;
    let begun = b"POST /v1/slots HTTP/1.1\r\nHost: node\r\nContent-Length: 100\r\n\r\n{";
    // Without its own end the connection would stay open, and this would wait for it.
    let answer = raw(address, begun).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("/problems/request-timeout"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
}
