use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::node::{Node, problem, routes};
use crate::api::access::secret::Secret;
use crate::api::access::tokens::Token;
use crate::api::access::{AccessSettings, Rate, management};

#[tokio::test]
async fn everything_but_probes_and_login_refuses_a_missing_or_wrong_token() {
    let node = Node::start(AccessSettings::default()).await;
    let good = node.mint("submit,read,operate", None);
    let forged = format!("vxn_{}_{}", good.id(), Secret::new().unwrap().reveal());
    for path in
        ["/", "/v1/slots", "/v1/slots/x/artifacts/a/b", "/nowhere", "/login/new", "/v1", "//livez", "/livez/"]
    {
        let (headers, _) = problem(node.get(path).send().await.unwrap(), 401, "unauthorized").await;
        assert_eq!(headers["www-authenticate"], r#"Bearer realm="vortex-node""#);
        assert_eq!(headers["cache-control"], "no-store");
    }
    for wrong in [
        forged.as_str(),
        "",
        "vxn_",
        Token::new().unwrap().reveal(),
        &"a".repeat(5_000),
        // Right text, said twice.
        &format!("{},{}", good.reveal(), good.reveal()),
    ] {
        let answer = node.get("/v1/slots").bearer_auth(wrong).send().await.unwrap();
        let (headers, _) = problem(answer, 401, "unauthorized").await;
        assert_eq!(headers["www-authenticate"], r#"Bearer realm="vortex-node", error="invalid_token""#);
    }
    for other in [format!("Basic {}", good.reveal()), good.reveal().to_owned()] {
        let answer = node.get("/v1/slots").header("authorization", other).send().await.unwrap();
        problem(answer, 401, "unauthorized").await;
    }
    // Never in the address.
    for name in ["token", "access_token", "once"] {
        let answer = node.get(&format!("/v1/slots?{name}={}", good.reveal())).send().await.unwrap();
        problem(answer, 401, "unauthorized").await;
    }
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/login", 200), ("/login.css", 200)] {
        assert_eq!(node.get(path).send().await.unwrap().status(), status, "{path}");
    }
    let answer = node.get("/v1/slots").bearer_auth(good.reveal()).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "Token submit,read,operate");
    assert_eq!(node.get("/nowhere").bearer_auth(good.reveal()).send().await.unwrap().status(), 404);
    let local = node.get("/v1/slots").bearer_auth(node.local.token().reveal()).send().await.unwrap();
    assert_eq!(local.text().await.unwrap(), "Local submit,read,operate");
}

#[tokio::test]
async fn two_authorizations_are_none() {
    let node = Node::start(AccessSettings::default()).await;
    let good = node.mint("read", None);
    let twice =
        node.get("/v1/slots").bearer_auth("x").header("authorization", format!("Bearer {}", good.reveal()));
    problem(twice.send().await.unwrap(), 401, "unauthorized").await;
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say_and_no_more() {
    let node = Node::start(AccessSettings::default()).await;
    for scopes in ["read", "submit", "operate"] {
        let token = node.mint(scopes, None);
        for (request, needs) in [
            (node.get("/v1/slots"), "read"),
            (node.get("/"), "read"),
            (node.post("/v1/slots"), "submit"),
            (node.post("/v1/node/drain"), "operate"),
            // A wrong method tells whoever may read, and nobody else, that it is wrong.
            (node.post("/v1/slots/x/artifacts/a"), "read"),
        ] {
            let answer = request.bearer_auth(token.reveal()).send().await.unwrap();
            if scopes == needs {
                assert!(matches!(answer.status().as_u16(), 200 | 405), "{scopes} {needs}");
                continue;
            }
            let (headers, detail) = problem(answer, 403, "forbidden").await;
            let challenge = headers["www-authenticate"].to_str().unwrap();
            assert!(challenge.contains("insufficient_scope") && challenge.contains(needs), "{challenge}");
            assert!(detail.contains(needs) && detail.contains(&token.id().to_string()), "{detail}");
        }
    }
}

#[tokio::test]
async fn expired_and_revoked_tokens_are_refused_by_the_running_node() {
    let node = Node::start(AccessSettings::default()).await;
    let (expired, revoked) = (node.mint("read", Some(Duration::ZERO)), node.mint("read", None));
    let answer = node.get("/v1/slots").bearer_auth(expired.reveal()).send().await.unwrap();
    let (headers, detail) = problem(answer, 401, "unauthorized").await;
    assert!(detail.contains("expired"), "{detail}");
    assert!(headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    assert_eq!(node.get("/v1/slots").bearer_auth(revoked.reveal()).send().await.unwrap().status(), 200);
    let session = node.cookie(format!("token={}", revoked.reveal())).await;
    assert_eq!(node.get("/v1/slots").header("cookie", &session).send().await.unwrap().status(), 200);

    node.file.revoke(revoked.id()).unwrap();
    assert!(node.access.tokens().reload_if_changed().unwrap());
    let answer = node.get("/v1/slots").bearer_auth(revoked.reveal()).send().await.unwrap();
    problem(answer, 401, "unauthorized").await;
    // The session that it opened ends with it.
    let answer = node.get("/v1/slots").header("cookie", &session).send().await.unwrap();
    problem(answer, 401, "unauthorized").await;
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused_before_anything_else() {
    let settings =
        AccessSettings { names: vec!["render.example".parse().unwrap()], ..AccessSettings::default() };
    let node = Node::start(settings).await;
    let good = node.mint("read", None);
    let port = node.address.port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "localhost".to_owned(),
        "localhost:1".into(),
    ] {
        for path in ["/v1/slots", "/login", "/livez"] {
            let request = node.get(path).bearer_auth(good.reveal()).header("host", &host);
            problem(request.send().await.unwrap(), 421, "misdirected").await;
        }
    }
    for host in [format!("localhost:{port}"), format!("[::1]:{port}"), "render.example".into()] {
        let request = node.get("/v1/slots").bearer_auth(good.reveal()).header("host", &host);
        assert_eq!(request.send().await.unwrap().status(), 200, "{host}");
    }
    let foreign =
        ["http://evil.example", "null", "http://localhost:1", &format!("https://localhost:{port}"), "x"];
    for origin in foreign {
        let request = node.get("/v1/slots").bearer_auth(good.reveal()).header("origin", origin);
        problem(request.send().await.unwrap(), 403, "foreign-origin").await;
        let preflight =
            node.client.request(reqwest::Method::OPTIONS, node.url("/v1/slots")).header("origin", origin);
        let (headers, _) = problem(preflight.send().await.unwrap(), 403, "foreign-origin").await;
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
    let own = node.get("/v1/slots").bearer_auth(good.reveal()).header("origin", node.url(""));
    assert_eq!(own.send().await.unwrap().status(), 200);
}

/// The status of an answer to bytes that no client library sends.
async fn raw(node: &Node, request: &str) -> String {
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_host_must_be_said_once_and_the_same_way() {
    let node = Node::start(AccessSettings::default()).await;
    let (own, end) = (node.address, "Connection: close\r\n\r\n");
    let good = format!("GET /livez HTTP/1.1\r\nHost: {own}\r\n{end}");
    assert_eq!(raw(&node, &good).await, "HTTP/1.1 200 OK");
    for wrong in [
        format!("GET /livez HTTP/1.1\r\n{end}"),
        format!("GET /livez HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\n{end}"),
        format!("GET http://evil.example/livez HTTP/1.1\r\nHost: {own}\r\n{end}"),
        format!("GET http://{own}/livez HTTP/1.1\r\nHost: evil.example\r\n{end}"),
        format!("GET /livez HTTP/1.1\r\nHost: x@{own}\r\n{end}"),
    ] {
        assert_eq!(raw(&node, &wrong).await, "HTTP/1.1 421 Misdirected Request", "{wrong}");
    }
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_when_to_come_again() {
    let rate = Rate { per_second: 1.try_into().unwrap(), burst: 3.try_into().unwrap() };
    let node = Node::start(AccessSettings { rate, ..AccessSettings::default() }).await;
    let (greedy, other) = (node.mint("read", None), node.mint("read", None));
    let ask = |token: &Token| node.get("/v1/slots").bearer_auth(token.reveal()).send();
    for _ in 0..3 {
        assert_eq!(ask(&greedy).await.unwrap().status(), 200);
    }
    let mut refused = ask(&greedy).await.unwrap();
    if refused.status() == 200 {
        // A second passed on a busy machine: one more was let in.
        refused = ask(&greedy).await.unwrap();
    }
    let (headers, detail) = problem(refused, 429, "rate-limited").await;
    assert_eq!(headers["retry-after"], "1");
    assert!(detail.contains(&greedy.id().to_string()) && !detail.contains(greedy.reveal()));
    assert_eq!(ask(&other).await.unwrap().status(), 200);
    for _ in 0..20 {
        assert_eq!(ask(node.local.token()).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn an_address_that_fails_often_is_slowed_and_a_right_token_still_gets_in() {
    let node = Node::start(AccessSettings::default()).await;
    let good = node.mint("read", None);
    let wrong = Token::new().unwrap();
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let answer = node.get("/v1/slots").bearer_auth(wrong.reveal()).send().await.unwrap();
        if answer.status() == 429 {
            assert!(answer.headers().contains_key("retry-after"));
        }
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert!(statuses[10..].contains(&429), "{statuses:?}");
    assert_eq!(node.get("/v1/slots").bearer_auth(good.reveal()).send().await.unwrap().status(), 200);
    let form = node.form("/login", format!("token={}", wrong.reveal())).send().await.unwrap();
    assert!(matches!(form.status().as_u16(), 429 | 401));
}

#[tokio::test]
async fn the_management_listener_shows_probes_and_nothing_else() {
    use tower::ServiceExt;
    let router = management(routes());
    let ask = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "10.1.2.3:9101");
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    for path in ["/livez", "/readyz"] {
        assert_eq!(ask("GET", path).await.unwrap().status(), 200);
        assert_eq!(ask("HEAD", path).await.unwrap().status(), 200);
    }
    for path in ["/", "/v1/slots", "/login", "/livez/", "//livez", "/livez/../v1/slots", "/openapi.json"] {
        assert_eq!(ask("GET", path).await.unwrap().status(), 404, "{path}");
    }
    assert_eq!(ask("POST", "/readyz").await.unwrap().status(), 405);
    assert_eq!(ask("POST", "/v1/node/drain").await.unwrap().status(), 404);
}
