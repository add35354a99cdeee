//! TLS of a real service: certificates and tokens that change while it runs, clients' certificates, and the second listener,
//! which asks for none.

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::support::authority::Authority;
use crate::support::served::{Place, Served, scenario};

/// Serves with a certificate of `authority`, and further arguments.
fn serve(place: &Place, authority: &Authority, more: &[&str]) -> Served {
    let (certificate, key) = authority.signs();
    let certificate = place.file("certificate.pem", &certificate);
    let key = place.file("key.pem", &key);
    let certificate = format!("http.tls_certificate={}", certificate.display());
    let key = format!("http.tls_key={}", key.display());
    let service = place.serve_with(&[&["--set", &certificate, "--set", &key], more].concat());
    assert!(service.url.starts_with("https://"), "{}", service.url);
    service.asked_by(authority.client(None))
}

async fn status(client: &Client, service: &Served, token: &str) -> reqwest::Result<StatusCode> {
    let url = format!("{}/v1/slots", service.url);
    Ok(client.get(url).bearer_auth(token).send().await?.status())
}

#[tokio::test]
async fn a_signal_swaps_certificates_and_tokens_and_no_connection_breaks() {
    let (old, new) = (Authority::new(), Authority::new());
    let place = Place::new(&scenario("20ms", ""));
    let service = serve(&place, &old, &[]);
    service.ready().await;
    let mut stream = service.ask(Method::GET, "/v1/events").send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    let (client, was) = (new.client(None), old.client(None));
    assert!(status(&client, &service, &service.token).await.is_err(), "it shows the old certificate");

    // Half of a change: what is in force stays, and the answer says why.
    let (certificate, key) = new.signs();
    place.file("certificate.pem", &certificate);
    let refused = service.ask(Method::POST, "/v1/node/reload").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let problem: Value = refused.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("certificate.pem"), "{problem:#}");
    assert_eq!(status(&was, &service, &service.token).await.unwrap(), StatusCode::OK);

    place.file("key.pem", &key);
    let token = place.told(&["token", "new", "--scope", "read", "--name", "reader"]).trim().to_owned();
    service.signal(libc::SIGHUP);
    while status(&client, &service, &token).await.ok() != Some(StatusCode::OK) {
        // Samples of memory keep coming over the connection that was there before.
        stream.chunk().await.unwrap().expect("the stream went on over the change");
    }
    assert!(status(&was, &service, &service.token).await.is_err(), "new connections see the new certificate");
    stream.chunk().await.unwrap().expect("the old connection still lives");

    let id = token.split('_').nth(1).unwrap();
    place.told(&["token", "revoke", id]);
    service.signal(libc::SIGHUP);
    while status(&client, &service, &token).await.unwrap() != StatusCode::UNAUTHORIZED {
        stream.chunk().await.unwrap().expect("the stream went on");
    }
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    assert!(!logs.contains(&token) && !logs.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn clients_without_a_certificate_do_not_get_in_but_probes_are_answered_beside() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let place = Place::new(&scenario("20ms", ""));
    let ca = place.file("clients.pem", &clients.certificate);
    let ca = format!("http.client_ca={}", ca.display());
    let more = ["--set", &ca, "--set", "http.management=127.0.0.1:0"];
    let service = serve(&place, &ours, &more);
    for stranger in [None, Some(Authority::new().signs()), Some(ours.signs())] {
        let refused = status(&ours.client(stranger), &service, &service.token).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    let client = ours.client(Some(clients.signs()));
    assert_eq!(status(&client, &service, &service.token).await.unwrap(), StatusCode::OK);
    assert_eq!(
        status(&client, &service, "no token").await.unwrap(),
        StatusCode::UNAUTHORIZED,
        "both are asked for"
    );
    let service = service.asked_by(client);
    service.ready().await;

    let beside = service.management.clone().unwrap();
    let plain = Client::new();
    for probe in ["/livez", "/readyz", "/startupz"] {
        // Kubelets ask by the pod's address.
        let answer =
            plain.get(format!("{beside}{probe}")).header("Host", "10.1.2.3:9101").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{probe}");
        let changes = plain.post(format!("{beside}{probe}")).send().await.unwrap();
        assert_eq!(changes.status(), StatusCode::METHOD_NOT_ALLOWED, "{probe}");
    }
    let document = service.get("/openapi.json").await;
    for (path, operations) in document["paths"].as_object().unwrap() {
        if ["/livez", "/readyz", "/startupz", "/metrics"].contains(&path.as_str()) {
            continue;
        }
        for method in operations.as_object().unwrap().keys() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let asked = plain.request(method, format!("{beside}{path}")).bearer_auth(&service.token);
            assert_eq!(asked.send().await.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
    for path in ["/", "/login", "/assets/0/app.js"] {
        let answer = plain.get(format!("{beside}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}
