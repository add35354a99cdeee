//! The OpenAPI document, the table of routes and the routes themselves: three that must say the same.

use std::collections::BTreeSet;

use serde_json::json;

use super::fake::{MESSAGE, id};
use super::*;
use crate::api::problem::Kind;
use crate::api::scope::{ROUTES, Route, Scope};
use crate::api::views::SlotState;

/// An address of the route that something answers at.
fn address(route: &Route) -> String {
    let id = if route.path.starts_with("/v1/webhooks") { MESSAGE.to_owned() } else { id(1).to_string() };
    route.path.replace("{id}", &id).replace("{*name}", "video.mp4").replace("{kind}", "late")
}

async fn document(router: &Router) -> Value {
    get(router, "/openapi.json").await.json()
}

#[tokio::test]
async fn every_route_of_the_table_is_described_and_nothing_else_is() {
    let it = setup();
    let document = document(&it.router).await;
    assert_eq!(document["openapi"], "3.2.0");
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let table: BTreeSet<(String, String)> =
        ROUTES.iter().map(|route| (route.method.to_owned(), route.path.replace("{*", "{"))).collect();
    assert_eq!(described, table);
}

#[tokio::test]
async fn every_route_of_the_table_is_there_and_other_methods_are_not() {
    let it = setup();
    it.fake.add(id(1));
    it.fake.leave(id(1), "video.mp4", b"video");
    it.fake.end(id(1), SlotState::Completed);
    let addresses: BTreeSet<&str> = ROUTES.iter().map(|route| route.path).collect();
    for path in addresses {
        let routes: Vec<&Route> = ROUTES.iter().filter(|route| route.path == path).collect();
        let address = address(routes[0]);
        let mut allowed: BTreeSet<&str> = routes.iter().map(|route| route.method).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD");
        }
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            // The head is enough: streams have no end.
            let response = it.router.clone().oneshot(request(method, &address)).await.unwrap();
            if allowed.contains(method) {
                let status = response.status().as_u16();
                assert!(!matches!(status, 404 | 405 | 500..), "{method} {address}: {status}");
                continue;
            }
            let answer = send(&it.router, request(method, &address)).await;
            if method == "HEAD" {
                assert_eq!((answer.status.as_u16(), answer.body.len()), (405, 0));
            } else {
                answer.problem(405, "method-not-allowed");
            }
            let said: BTreeSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
            assert_eq!(said, allowed, "{address}");
        }
    }
}

#[tokio::test]
async fn every_operation_says_who_may_and_what_can_go_wrong() {
    let it = setup();
    let document = document(&it.router).await;
    let mut ids = BTreeSet::new();
    for route in ROUTES {
        let operation = &document["paths"][route.path.replace("{*", "{")][route.method.to_lowercase()];
        let place = format!("{} {}", route.method, route.path);
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}");
        let needed = match route.scope {
            Scope::Public => json!([]),
            Scope::Read => json!([{ "token": ["read"] }]),
            Scope::Submit => json!([{ "token": ["submit"] }]),
            Scope::Operate => json!([{ "token": ["operate"] }]),
        };
        assert_eq!(operation["security"], needed, "{place}");
        for kind in route.problems {
            let status = kind.status().as_u16().to_string();
            let reference =
                operation["responses"][&status]["$ref"].as_str().unwrap_or_else(|| panic!("{place} {kind}"));
            let response = document.pointer(reference.trim_start_matches('#')).unwrap();
            let example = &response["content"]["application/problem+json"]["examples"][kind.name()]["value"];
            assert_eq!(example["type"], format!("/problems/{kind}"), "{place}");
        }
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}

/// Everything that a document refers to, with what refers to nothing.
fn dangling(document: &Value, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str)
                && document.pointer(reference.trim_start_matches('#')).is_none()
            {
                found.push(reference.to_owned());
            }
            map.values().for_each(|value| dangling(document, value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| dangling(document, value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn nothing_in_the_document_refers_to_nothing() {
    let schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["recipe_id"] });
    let settings = ApiSettings {
        recipe_schema: Some(schema),
        recipe_example: Some(json!({ "recipe_id": "x" })),
        ..ApiSettings::default()
    };
    let it = setup_with(Fake::new(8), settings);
    let document = document(&it.router).await;
    let mut found = Vec::new();
    dangling(&document, &document, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let recipe = &document["components"]["schemas"]["Recipe"];
    assert_eq!(
        recipe,
        &json!({ "type": "object", "required": ["recipe_id"], "examples": [{ "recipe_id": "x" }] })
    );
    let body = &document["paths"]["/v1/slots"]["post"]["requestBody"];
    assert_eq!(body["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Recipe");
}

#[tokio::test]
async fn every_kind_of_problem_has_a_page() {
    let it = setup();
    for kind in Kind::ALL {
        let page = get(&it.router, &format!("/problems/{kind}")).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains(kind.about()));
    }
    let said = get(&it.router, "/problems/queue-ful").await.problem(404, "not-found");
    assert!(said.contains("did you mean \"queue-full\""), "{said}");
}
