use super::node::Node;
use crate::api::access::AccessSettings;

#[tokio::test]
async fn every_answer_tells_the_browser_to_be_strict() {
    let node = Node::start(AccessSettings::default()).await;
    let token = node.mint("read", None);
    for request in [
        node.get("/livez"),
        node.get("/login"),
        node.get("/v1/slots"),
        node.get("/v1/slots").bearer_auth(token.reveal()),
        node.get("/nowhere").bearer_auth(token.reveal()),
        node.get("/livez").header("host", "evil.example"),
    ] {
        let answer = request.send().await.unwrap();
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        assert!(headers.contains_key("referrer-policy") && headers.contains_key("permissions-policy"));
        // Not without TLS.
        assert!(!headers.contains_key("strict-transport-security"));
    }
    // What a route says itself stays.
    let style = node.get("/login.css").send().await.unwrap();
    assert_eq!(style.headers()["cache-control"], "max-age=3600");
}
