//! Every address of a real service against every token that should not open it, by the service's own list of them.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::served::{Place, Served, scenario};

/// A request of the API, and the scope that it takes.
struct Operation {
    method: Method,
    path: String,
    /// None where everybody is answered.
    scope: Option<String>,
}

/// Everything that the document lists, with an id in place of each parameter, and what it does not list.
async fn operations(service: &Served) -> Vec<Operation> {
    let document = service.get("/openapi.json").await;
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let mut parts = path
            .split('/')
            .map(|part| if part.starts_with('{') { "5e1f0000-0000-4000-8000-000000000001" } else { part });
        let filled = parts.by_ref().collect::<Vec<_>>().join("/");
        for (method, operation) in methods.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let security = operation["security"].as_array().unwrap();
            let scope = security.first().map(|it| it["token"][0].as_str().unwrap().to_owned());
            all.push(Operation { method, path: filled.clone(), scope });
        }
    }
    assert!(all.len() >= 22, "{}", all.len());
    let scoped = |scope: &str| all.iter().filter(|it| it.scope.as_deref() == Some(scope)).count();
    assert!(scoped("read") > 5 && scoped("submit") > 2 && scoped("operate") > 4);
    for path in ["/", "/assets/0/app.js", "/v1", "/nowhere", "/v1/slots/../node"] {
        all.push(Operation { method: Method::GET, path: path.to_owned(), scope: Some("read".to_owned()) });
    }
    all
}

fn new_token(place: &Place, scope: &str) -> String {
    place.told(&["token", "new", "--scope", scope]).trim().to_owned()
}

/// Has every token whose id `token` begins with end at the beginning of 1970.
fn expire(place: &Place, token: &str) {
    let path = place.data().join("tokens.json");
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let id = token.split('_').nth(1).unwrap();
    let record = file["tokens"].as_array_mut().unwrap().iter_mut().find(|it| it["id"] == id).unwrap();
    record["expires"] = json!(1);
    std::fs::write(&path, file.to_string()).unwrap();
}

/// The answer's status, and the kind of problem that it tells.
async fn ask(client: &Client, service: &Served, it: &Operation, token: Option<&str>) -> (StatusCode, String) {
    let mut request = client.request(it.method.clone(), format!("{}{}", service.url, it.path));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    // Streams of events have no end; what is refused has one.
    let text = if status.is_success() { String::new() } else { answer.text().await.unwrap() };
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    (status, problem["type"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn no_address_is_opened_by_a_missing_wrong_expired_or_under_scoped_token() {
    let place = Place::new(&scenario("20ms", ""));
    let expired = new_token(&place, "submit,read,operate");
    expire(&place, &expired);
    let scopes = ["submit", "read", "operate"];
    let all_but = scopes.map(|scope| {
        let others: Vec<&str> = scopes.into_iter().filter(|other| *other != scope).collect();
        (scope, new_token(&place, &others.join(",")))
    });
    let (reads, wrong) =
        (new_token(&place, "read"), "vxn_0123456789ab_0123456789012345678901234567890123456789012");
    let service = place.serve();
    service.ready().await;
    let client = Client::new();
    let mut refused = 0;
    for it in &operations(&service).await {
        let what = format!("{} {}", it.method, it.path);
        let bare = ask(&client, &service, it, None).await;
        let Some(scope) = &it.scope else {
            assert_eq!(bare.0, StatusCode::OK, "{what}");
            continue;
        };
        let missing = (StatusCode::UNAUTHORIZED, "/problems/unauthorized".to_owned());
        let is_head = it.method == Method::HEAD;
        let without_body = |(status, kind)| (status, if is_head { String::new() } else { kind });
        assert_eq!(bare, without_body(missing.clone()), "{what} without a token");
        for token in [wrong, &expired] {
            // After ten failures no more are looked at closely, but for one now and then; whoever has a good token is not
            // kept out by that.
            let many = (StatusCode::TOO_MANY_REQUESTS, "/problems/rate-limited".to_owned());
            let answer = ask(&client, &service, it, Some(token)).await;
            let is_refused = answer == without_body(missing.clone());
            let is_put_off = refused >= 10 && answer == without_body(many);
            assert!(is_refused || is_put_off, "{what} with {token}: {answer:?}");
            refused += 1;
        }
        let (_, others) = all_but.iter().find(|(name, _)| name == scope).unwrap();
        let forbidden = (StatusCode::FORBIDDEN, "/problems/forbidden".to_owned());
        assert_eq!(
            ask(&client, &service, it, Some(others)).await,
            without_body(forbidden),
            "{what} without {scope}"
        );
    }
    assert!(refused > 40, "{refused}");
    let page = Operation { method: Method::GET, path: "/v1/slots".to_owned(), scope: None };
    assert_eq!(ask(&client, &service, &page, Some(&reads)).await.0, StatusCode::OK);
    let node = service.get("/v1/node").await;
    assert_eq!((&node["draining"], &node["ready"]), (&json!(false), &json!(true)), "nothing was done");
    let (_, logs) = service.stop();
    assert!(!logs.contains("vxn_"), "no token is logged");
}
