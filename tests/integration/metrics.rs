//! `/metrics` of a real service on scripted devices: who may scrape, what is told, and that promtool takes it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::Resource;
use reqwest::{Method, StatusCode};
use vortex_node::clock;
use vortex_node::events::{Event, EventKind, Subscriber};
use vortex_node::telemetry::metrics::Metrics;
use vortex_node::telemetry::traces::{Sampler, Sampling, Traces};
use vortex_node::types::{Bytes, DeviceId, SlotId};
use vortex_node::vram::{Sample, Standing};

use crate::support;
use crate::support::allocations::allocations;
use crate::support::served::{Place, Served, recipe, scenario};

async fn text(service: &Served) -> String {
    let answer = service.ask(Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// Has Prometheus' own tool read `text` and find nothing to complain about.
fn checked_by_promtool(text: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = command.spawn() else { return support::skip("promtool (Debian's prometheus)") };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
}

#[tokio::test]
async fn a_scrape_tells_of_slots_memory_and_the_node_to_whoever_may_ask() {
    // The first slot's picture fails, which is not tried again; another process takes memory from the third second on.
    let faults = "[device]\ndwell = \"500ms\"\n\
                  [[faults]]\nkind = \"error\"\nstage = \"image\"\nslot = 1\n\
                  [[faults]]\nkind = \"others\"\nat = \"3s\"\nlasts = \"60s\"\nbytes = \"4.2GB\"\n";
    let place = Place::new(&scenario("20ms", faults));
    let service = place.serve_with(&["--set", "http.management=127.0.0.1:0"]);
    let bare = reqwest::Client::new();
    let refused = bare.get(format!("{}/metrics", service.url)).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    service.ready().await;
    let ready = series(&text(&service).await);
    assert_eq!(ready["vortex_node_ready"], 1.0);
    assert_eq!(ready["vortex_slots_ended_total{cause=\"\",outcome=\"completed\"}"], 0.0);
    for number in [1, 2, 3] {
        assert_eq!(service.put(&recipe(number)).await.status(), StatusCode::ACCEPTED);
    }
    for number in [1, 2, 3] {
        service.ended(recipe(number)["recipe_id"].as_str().unwrap()).await;
    }
    let mut events = service.ask(Method::GET, "/v1/events").send().await.unwrap();
    let mut heard = String::new();
    while !heard.contains("\"closed\":\"pressure\"") {
        heard.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert_eq!(service.put(&recipe(4)).await.status(), StatusCode::TOO_MANY_REQUESTS);

    let all = text(&service).await;
    let told = series(&all);
    let infos: Vec<&String> = told.keys().filter(|name| name.starts_with("vortex_node_info{")).collect();
    assert_eq!(infos.len(), 1, "{infos:?}");
    assert!(infos[0].contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))), "{infos:?}");
    let of = |name: &str| told.get(name).copied().unwrap_or_else(|| panic!("{name} is not there:\n{all}"));
    for (name, value) in [
        (infos[0].as_str(), 1.0),
        ("vortex_node_ready", 0.0),
        ("vortex_node_crashes", 0.0),
        ("vortex_slots_ended_total{cause=\"\",outcome=\"completed\"}", 2.0),
        ("vortex_slots_ended_total{cause=\"model_error\",outcome=\"failed\"}", 1.0),
        ("vortex_slots_ended_total{cause=\"deadline\",outcome=\"failed\"}", 0.0),
        ("vortex_slots_late_total", 0.0),
        ("vortex_slots_waiting", 0.0),
        ("vortex_slots_running", 0.0),
        ("vortex_slots_refused_total{reason=\"pressure\"}", 1.0),
        ("vortex_slots_refused_total{reason=\"queue-full\"}", 0.0),
        ("vortex_slot_duration_seconds_count", 2.0),
        ("vortex_stage_duration_seconds_count{stage=\"audio\"}", 2.0),
        ("vortex_stage_duration_seconds_count{stage=\"package\"}", 2.0),
        ("vortex_memory_pressure{device=\"scripted\"}", 1.0),
        ("vortex_memory_blind{device=\"scripted\"}", 0.0),
        ("vortex_memory_violations_total{device=\"scripted\"}", 0.0),
        ("vortex_memory_leases_waiting{device=\"scripted\"}", 0.0),
        ("vortex_model_state{device=\"scripted\",model=\"flux\",state=\"ready\"}", 1.0),
        ("vortex_model_state{device=\"scripted\",model=\"flux\",state=\"cordoned\"}", 0.0),
        ("vortex_outbox_waiting", 0.0),
        ("vortex_outbox_given_up_total", 0.0),
        ("vortex_journal_failing", 0.0),
    ] {
        let name = name.replace("device=\"scripted\"", "device=\"scripted:0\"");
        assert_eq!(of(&name), value, "{name}");
    }
    let device = |name: &str| of(&format!("{name}{{device=\"scripted:0\"}}"));
    let limit =
        |which: &str| of(&format!("vortex_memory_limit_bytes{{device=\"scripted:0\",limit=\"{which}\"}}"));
    let (used, size) = (device("vortex_memory_usage_bytes"), device("vortex_memory_size_bytes"));
    assert!(limit("soft") <= used && used < limit("hard") && limit("hard") <= size, "{used} of {size}");
    let models: f64 = told
        .iter()
        .filter(|(name, _)| name.starts_with("vortex_memory_reserved_bytes{"))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(
        device("vortex_memory_unaccounted_bytes"),
        used - models,
        "what the other process takes, and no lease"
    );
    assert!(!all.contains("hw_gpu"), "a played device is no GPU");
    assert!(of("vortex_journal_commit_seconds_count") >= 3.0, "each acceptance is a commit");
    assert!(of("vortex_slot_duration_seconds_sum") > 0.0);
    let (free, size) = (of("vortex_disk_free_bytes"), of("vortex_disk_size_bytes"));
    assert!(0.0 < free && free <= size);
    assert!(of("vortex_node_ready_after_seconds") > 0.0);
    assert!(!all.contains("vortex_network_"), "the node is in no network");
    assert!(service.get("/v1/node").await["network"].is_null());
    checked_by_promtool(&all);

    let management = service.management.clone().unwrap();
    let scraped = bare.get(format!("{management}/metrics")).send().await.unwrap();
    assert_eq!(scraped.status(), StatusCode::OK);
    let scraped = series(&scraped.text().await.unwrap());
    assert_eq!(scraped.keys().collect::<Vec<_>>(), told.keys().collect::<Vec<_>>());
    assert_eq!(bare.post(format!("{management}/metrics")).send().await.unwrap().status(), 405);
}

#[test]
fn samples_of_memory_cost_telemetry_no_allocation() {
    let metrics = Metrics::new(Resource::builder_empty().build(), true).unwrap();
    let sampling = Sampling { sampler: Sampler::AlwaysOn, parent_based: true };
    let traces = Traces::new(sampling, Arc::new(drop));
    // With a slot at work on the device, of which things might be said.
    let slot: SlotId = recipe(1)["recipe_id"].as_str().unwrap().parse().unwrap();
    let (at, device) = (Duration::from_secs(10), Some(DeviceId::Cpu));
    traces.expect(slot, traces.new_trace(slot).unwrap(), at);
    let accepted = EventKind::Accepted { eta: Duration::from_secs(60), resumed: false };
    let hear = |slot, kind| {
        let event = Event { at, device, slot, kind };
        let (count, ()) = allocations(|| {
            for _ in 0..100 {
                metrics.hear(&event);
                traces.hear(&event);
            }
        });
        count
    };
    assert!(hear(Some(slot), accepted) > 0, "a slot has a span");
    let (total, used, free) = (Bytes::gb(12), Bytes::gb(3), Bytes::gb(9));
    let (standing, taken_at) = (Standing::Primary, clock::now());
    let sample =
        Sample { source: "test", standing, taken_at, total, used, free, own: None, others: None, pool: None };
    assert_eq!(hear(None, EventKind::Memory { sample }), 0);
}
