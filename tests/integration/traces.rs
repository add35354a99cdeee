//! Traces of a real service at a receiver that nobody here wrote: whole, with right parents, linked after a kill; and a
//! receiver that is away, and variables that make no sense.

use std::collections::HashMap;

use crate::support::receiver::{Receiver, Span, free_port, rotel};
use crate::support::served::{Place, recipe, scenario};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn has_ended(spans: &[Span]) -> bool {
    // Its id is the last that is written of the root before its name.
    spans.iter().any(|span| span.name == "slot" && !span.id.is_empty())
}

#[tokio::test]
async fn a_receiver_gets_the_whole_trace_of_a_slot_with_right_parents() {
    let Some(rotel) = rotel() else { return };
    let (grpc, http) = (free_port(), free_port());
    let receiver = Receiver::start(&rotel, grpc, http, &["traces"]);
    let place = Place::new(&scenario("20ms", ""));
    let endpoint = format!("http://127.0.0.1:{grpc}");
    let service = place
        .serve_where(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    service.ready().await;
    let id = service.put_traced(&recipe(1), TRACEPARENT).await;
    assert_eq!(service.ended(&id).await["trace_id"], TRACE);
    // What had not gone out goes at the end.
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    let accepted = logs.lines().find(|line| line.contains("slot.accepted")).unwrap();
    assert!(accepted.contains(TRACE), "{accepted}");
    let spans = receiver.spans(has_ended);
    let by_name: HashMap<&str, &Span> = spans.iter().map(|span| (span.name.as_str(), span)).collect();
    let root = by_name["slot"];
    assert_eq!((root.trace.as_str(), root.parent.as_str()), (TRACE, CALLER));
    for (name, parent) in [
        ("intake", "slot"),
        ("admission wait", "slot"),
        ("stage audio", "slot"),
        ("run kokoro", "stage audio"),
        ("stage image", "slot"),
        ("run flux", "stage image"),
        ("stage video", "slot"),
        ("run liveportrait", "stage video"),
        ("stage verify", "slot"),
        ("run clip_b", "stage verify"),
        ("run clip_l", "stage verify"),
        ("stage package", "slot"),
    ] {
        let span = by_name.get(name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
        assert_eq!((span.trace.as_str(), &span.parent), (TRACE, &by_name[parent].id), "{name}");
    }
    assert_eq!(spans.len(), 13, "{spans:#?}");
}

#[tokio::test]
async fn after_a_kill_the_slots_new_trace_leads_to_the_first_one() {
    let Some(rotel) = rotel() else { return };
    let (grpc, http) = (free_port(), free_port());
    let receiver = Receiver::start(&rotel, grpc, http, &["traces"]);
    let place = Place::new(&scenario("300ms", ""));
    let endpoint = format!("http://127.0.0.1:{http}");
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let service = place.serve_where(&variables);
    service.ready().await;
    let id = service.put_traced(&recipe(1), TRACEPARENT).await;
    // It is durable: that is what 202 means.
    drop(service.kill());
    let service = place.serve_where(&variables);
    let ended = service.ended(&id).await;
    assert_eq!((ended["state"].as_str(), ended["trace_id"].as_str()), (Some("completed"), Some(TRACE)));
    assert_eq!(service.stop().0, Some(0));
    let linked = |spans: &[Span]| {
        spans.iter().any(|span| span.name == "slot" && span.links.iter().any(|link| !link.1.is_empty()))
    };
    let spans = receiver.spans(linked);
    let root = spans.iter().find(|span| span.name == "slot").unwrap();
    assert_ne!(root.trace, TRACE);
    assert_eq!(root.links.len(), 1);
    assert_eq!(root.links[0].0, TRACE);
    // What is below the new root is in its trace.
    let package = spans.iter().find(|span| span.name == "stage package").unwrap();
    assert_eq!((&package.trace, &package.parent), (&root.trace, &root.id));
}

#[tokio::test]
async fn slots_go_on_while_the_receiver_is_away_and_it_gets_the_next_when_it_is_back() {
    let Some(rotel) = rotel() else { return };
    let (grpc, http) = (free_port(), free_port());
    let place = Place::new(&scenario("5ms", ""));
    let endpoint = format!("http://127.0.0.1:{http}");
    let service = place.serve_where(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]);
    service.ready().await;
    let id = service.put_traced(&recipe(1), TRACEPARENT).await;
    assert_eq!(service.ended(&id).await["state"], "completed");
    let receiver = Receiver::start(&rotel, grpc, http, &["traces"]);
    let id = service.put_traced(&recipe(2), TRACEPARENT).await;
    assert_eq!(service.ended(&id).await["state"], "completed");
    receiver.spans(has_ended);
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    let told = logs.lines().filter(|line| line.contains("does not take them")).count();
    assert!(told <= 1, "{logs}");
}

#[test]
fn a_variable_that_makes_no_sense_is_refused_by_name() {
    let place = Place::new(&scenario("5ms", ""));
    let mut command = place.command(&[]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317").env("OTEL_TRACES_SAMPLER", "sometimes");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    for wrong in ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "OTEL_TRACES_SAMPLER", "sometimes"] {
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
}
