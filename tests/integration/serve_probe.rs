//! `vortex-node probe` beside a node that serves: what the health check of a container sees.

use std::process::Output;

use reqwest::Method;
use serde_json::Value;

use crate::support::lone_binary;
use crate::support::served::{Place, scenario};

fn probe(place: &Place, more: &[&str]) -> (Option<i32>, String) {
    let mut command = lone_binary();
    command.arg("probe").arg("--data-dir").arg(place.data()).args(more);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test]
async fn a_health_check_hears_what_a_kubelet_would_and_why_not() {
    let place = Place::new(&scenario("20ms", ""));
    let nobody = ["--management", "http://127.0.0.1:9"];
    let (code, said) = probe(&place, &nobody);
    assert!(code == Some(1) && said.contains("http://127.0.0.1:9/readyz does not answer"), "{code:?} {said}");
    let service = place.serve();
    service.ready().await;
    for which in ["livez", "readyz", "startupz"] {
        assert_eq!(probe(&place, &[which]), (Some(0), "ok\n".to_owned()));
    }
    assert!(service.ask(Method::POST, "/v1/node/drain").send().await.unwrap().status().is_success());
    let (code, said) = probe(&place, &["readyz"]);
    assert!(code == Some(1) && said.contains("answers 503") && said.contains("drain"), "{code:?} {said}");
    let (code, said) = probe(&place, &["readyz", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["ok"], &said["status"]), (Some(1), &false.into(), &503.into()), "{said}");
    assert_eq!(probe(&place, &["livez"]).0, Some(0), "a node that drains is worth keeping");
}

#[test]
fn where_only_tls_is_answered_a_health_check_says_what_is_missing() {
    let place = Place::new(&scenario("20ms", ""));
    let tls = ["--set", "http.tls_certificate=cert.pem", "--set", "http.tls_key=key.pem"];
    let (code, said) = probe(&place, &tls);
    assert!(code == Some(1) && said.contains("http.management"), "{code:?} {said}");
}
