//! Metrics and logs of a real service at a receiver that nobody here wrote; and receivers that are away, silent, or not to be
//! trusted, which cost no slot anything.

use std::collections::BTreeSet;
use std::net::TcpListener;

use reqwest::Method;

use crate::support::authority::Authority;
use crate::support::random::Random;
use crate::support::receiver::{Receiver, free_port, rotel};
use crate::support::served::{Place, Served, recipe, scenario};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What a slot leaves where nothing happens to it: itself, intake, admission, five stages and five runs.
const SPANS: u64 = 13;
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn scraped(service: &Served) -> String {
    service.ask(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap()
}

fn value(scraped: &str, series: &str) -> u64 {
    let line = scraped.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("no {series} in {scraped}")).trim().parse().unwrap()
}

/// What the receiver wrote of one log record or metric after another, each under the line that begins it.
fn blocks<'a>(text: &'a str, begins: &str) -> Vec<&'a str> {
    let mut blocks: Vec<&str> = text.split(begins).skip(1).collect();
    // The last line of a block is where the next begins.
    for block in &mut blocks {
        *block = block.split("Resource").next().unwrap();
    }
    blocks
}

#[tokio::test]
async fn metrics_and_logs_reach_a_receiver_and_a_slots_lines_are_in_its_trace() {
    let Some(rotel) = rotel() else { return };
    let (grpc, http) = (free_port(), free_port());
    let receiver = Receiver::start(&rotel, grpc, http, &["metrics", "logs"]);
    let place = Place::new(&scenario("5ms", ""));
    let endpoint = format!("http://127.0.0.1:{grpc}");
    let service = place
        .serve_where(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    service.ready().await;
    let id = service.put_traced(&recipe(1), TRACEPARENT).await;
    assert_eq!(service.ended(&id).await["state"], "completed");
    // That a slot has ended is shown before it is counted.
    let scraped = loop {
        let text = scraped(&service).await;
        if text.contains("vortex_slot_duration_seconds_count 1") {
            break text;
        }
    };
    // All of it goes out at the end at the latest.
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    let text =
        receiver.text(|text| text.contains("vortex.disk.size") && text.contains("Body: Str(slot complete)"));

    let metrics = blocks(&text, "Metric #");
    let named = |block: &str| {
        let name = block.lines().find_map(|line| line.trim().strip_prefix("-> Name:"));
        name.unwrap_or_else(|| panic!("no name in {block}")).trim().to_owned()
    };
    let came: BTreeSet<String> = metrics.iter().map(|block| named(block)).collect();
    for name in &came {
        let as_scraped = name.replace('.', "_");
        assert!(scraped.contains(&format!("# TYPE {as_scraped}")), "{name} is not scraped");
    }
    // What a scrape says of who tells it is the resource of an export.
    let is_metric = |line: &&str| line.starts_with("# TYPE") && !line.contains("target_info");
    let bases = scraped.lines().filter(is_metric).count();
    assert_eq!(came.len(), bases, "what is scraped is what is exported: {came:?}");
    let ended = metrics.iter().rfind(|block| named(block) == "vortex.slots.ended").unwrap();
    let completed = ended.split("NumberDataPoints #").find(|point| point.contains("Str(completed)")).unwrap();
    assert!(completed.contains("Value: 1"), "{completed}");
    assert!(text.contains("service.instance.id: Str("), "whose they are");

    let complete = blocks(&text, "LogRecord #").into_iter().find(|block| block.contains("slot complete"));
    let complete = complete.unwrap();
    for part in [TRACE, "INFO", "slot.generation_complete", id.as_str()] {
        assert!(complete.contains(part), "no {part} in {complete}");
    }
    // What happened before anything was sent is there as well, and of no trace.
    let ready = blocks(&text, "LogRecord #").into_iter().find(|block| block.contains("model ready"));
    assert!(!ready.unwrap().contains(TRACE));
}

#[tokio::test]
async fn without_a_receiver_slots_go_on_and_what_is_lost_is_counted_and_told() {
    let port = free_port();
    let place = Place::new(&scenario("5ms", ""));
    let endpoint = format!("http://127.0.0.1:{port}");
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("OTEL_SOMETHING_ELSE", "1"),
    ];
    let service = place.serve_where(&variables);
    service.ready().await;
    for number in 1..=3 {
        assert!(service.put(&recipe(number)).await.status().is_success());
        let id = recipe(number)["recipe_id"].as_str().unwrap().to_owned();
        assert_eq!(service.ended(&id).await["state"], "completed");
    }
    // Each slot has some dozen spans, and four may wait.
    let text = loop {
        let text = scraped(&service).await;
        if value(&text, "vortex_telemetry_export_failures_total{signal=\"traces\"}") > 0 {
            break text;
        }
    };
    assert!(value(&text, "vortex_telemetry_dropped_total{signal=\"traces\"}") > 10, "{text}");
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    let told: Vec<&str> = logs.lines().filter(|line| line.contains("does not take it")).collect();
    assert!((1..=3).contains(&told.len()), "once a minute and signal: {told:?}");
    assert!(logs.lines().any(|line| line.contains("is not read") && line.contains("OTEL_SOMETHING_ELSE")));
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_up_neither_slots_nor_the_end() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new(&scenario("5ms", ""));
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let service = place.serve_where(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    service.ready().await;
    let id = service.put_traced(&recipe(1), TRACEPARENT).await;
    assert_eq!(service.ended(&id).await["state"], "completed");
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    assert!(logs.contains("is lost"), "{logs}");
}

#[tokio::test]
async fn a_receivers_certificate_has_to_be_trusted() {
    let authority = Authority::new();
    let (certificate, key) = authority.signs();
    let (one, other) = (Place::new(&scenario("5ms", "")), Place::new(&scenario("5ms", "")));
    // Any server with TLS does: that it takes no telemetry is another answer than that it is not trusted.
    let certificate = format!("http.tls_certificate={}", one.file("certificate.pem", &certificate).display());
    let key = format!("http.tls_key={}", one.file("key.pem", &key).display());
    let server = one.serve_with(&["--set", &certificate, "--set", &key]);
    let trusted = other.file("authority.pem", &authority.certificate);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", server.url.as_str());
    let told = async |variables: &[(&str, &str)]| {
        let service = other.serve_where(variables);
        service.ready().await;
        let (code, logs) = service.stop();
        assert_eq!(code, Some(0), "{logs}");
        let told = logs.lines().find(|line| line.contains("does not take it"));
        told.unwrap_or_else(|| panic!("{logs}")).to_owned()
    };
    let refused = told(&[endpoint]).await;
    let reached = told(&[endpoint, ("OTEL_EXPORTER_OTLP_CERTIFICATE", trusted.to_str().unwrap())]).await;
    assert!(reached.contains("401"), "{reached}");
    assert!(!refused.contains("status code"), "{refused}");
}

#[tokio::test]
async fn a_receiver_that_comes_and_goes_loses_nothing_that_is_not_counted() {
    let Some(rotel) = rotel() else { return };
    let asked = |name: &str, usual: u64| std::env::var(name).map_or(usual, |count| count.parse().unwrap());
    let (stops, most) = (asked("VORTEX_SOAK_RECEIVER_STOPS", 2), asked("VORTEX_SOAK_RECEIVER_SLOTS", 6));
    let mut random = Random::seeded("receiver");
    let (grpc, http) = (free_port(), free_port());
    let place = Place::new(&scenario("1ms", ""));
    let endpoint = format!("http://127.0.0.1:{http}");
    let service = place.serve_where(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{endpoint}/v1/traces")),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32"),
    ]);
    service.ready().await;
    let (mut slots, mut spans) = (0, Vec::new());
    let mut failed_before = 0;
    let failed = |text: &str| value(text, "vortex_telemetry_export_failures_total{signal=\"traces\"}");
    let mut complete = async |count: u64| {
        for _ in 0..count {
            slots += 1;
            let id = service.put_traced(&recipe(slots), TRACEPARENT).await;
            assert_eq!(service.ended(&id).await["state"], "completed");
        }
        slots
    };
    for _ in 0..stops {
        // Away: until that has been noticed.
        let text = loop {
            complete(1 + random.below(most)).await;
            let text = scraped(&service).await;
            if failed(&text) > failed_before {
                break text;
            }
        };
        failed_before = failed(&text);
        let receiver = Receiver::start(&rotel, grpc, http, &["traces"]);
        complete(1 + random.below(most)).await;
        spans.extend(receiver.stop());
        failed_before = failed_before.max(failed(&scraped(&service).await));
    }
    let receiver = Receiver::start(&rotel, grpc, http, &["traces"]);
    // Once it takes the last slot's root, all that came before has been taken or given up.
    let all = loop {
        let before = value(&scraped(&service).await, "vortex_telemetry_dropped_total{signal=\"traces\"}");
        let all = complete(1).await;
        receiver.text(|text| text.contains("Name           : slot\n"));
        let dropped = value(&scraped(&service).await, "vortex_telemetry_dropped_total{signal=\"traces\"}");
        if dropped == before {
            break all;
        }
    };
    let dropped = value(&scraped(&service).await, "vortex_telemetry_dropped_total{signal=\"traces\"}");
    assert_eq!(service.stop().0, Some(0));
    spans.extend(receiver.stop());
    let taken: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let made = all * SPANS;
    println!("{all} slots, {made} spans: {} taken, {dropped} dropped, {failed_before} failures", taken.len());
    // One whose answer is lost on the way is sent again, and may be counted although it came.
    assert!(taken.len() as u64 + dropped >= made, "{} taken, {dropped} dropped of {made}", taken.len());
    assert!(taken.len() as u64 <= made);
}
