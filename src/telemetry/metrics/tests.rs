//! The definition and its table, what each event moves, and what a scrape looks like.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::definition::{ALL, Label};
use super::values::Values;
use super::*;
use crate::events::{EventKind, Fault};
use crate::journal::{CancelCause, Failure};
use crate::types::{Bytes, ModelId, PerModel, PerStage, SlotId};
use crate::vram::policy::{Crossing, LeakVerdict, Level, MemoryRemedy};
use crate::vram::{Purpose, Refusal};

/// The scrape's values by series.
fn series(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.text().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

fn happened(device: Option<DeviceId>, kind: EventKind) -> Event {
    let slot = Some(SlotId::new(Uuid::from_u128(7)));
    Event { at: Duration::from_secs(1000), device, slot, kind }
}

/// A node of which a slot is due three seconds after everything that happens, and that is asked again and again.
#[derive(Default)]
struct Played(AtomicU64);

impl Source for Played {
    fn observe(&self, seen: &mut observed::Observations) {
        let times = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        seen.set(&definition::SLOTS_WAITING, &[], times as f64);
        seen.set(&definition::SLOTS_REFUSED, &["queue-full"], 5.0);
        seen.set(&definition::SLOTS_REFUSED, &["a reason that nobody listed"], 2.0);
        seen.set(&definition::MODEL_STATE, &["cpu", "flux", "ready"], 1.0);
    }

    fn deadline(&self, _: SlotId) -> Option<Duration> {
        Some(Duration::from_secs(1003))
    }
}

fn labels(label: &Label) -> String {
    match label.values {
        Values::Names(names) => {
            let names: Vec<String> = names
                .iter()
                .map(|name| if name.is_empty() { "none".to_owned() } else { format!("`{name}`") })
                .collect();
            format!("`{}`: {}", label.key.replace('.', "_"), names.join(" "))
        }
        Values::Devices | Values::Boards | Values::Text => format!("`{}`", label.key.replace('.', "_")),
    }
}

fn table() -> String {
    let row = |metric: &Metric| {
        let all: Vec<String> = metric.labels.iter().map(labels).collect();
        format!(
            "| `{}` | {} | {} | {} |\n",
            metric.scraped(),
            metric.kind.name(),
            all.join("; "),
            metric.about
        )
    };
    ALL.iter().map(row).collect()
}

fn unexported() -> Metrics {
    Metrics::new(Resource::builder_empty().build(), false).unwrap()
}

#[test]
fn the_documented_table_is_the_definition() {
    let documented: String = include_str!("../README.md")
        .lines()
        .filter(|line| line.starts_with("| `vortex_") || line.starts_with("| `hw_"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(documented, table(), "src/telemetry/README.md is to have:\n{}", table());
}

#[test]
fn the_definition_holds_together() {
    let mut names = BTreeSet::new();
    for metric in ALL {
        assert!(names.insert(metric.scraped()), "{} stands there twice", metric.name);
        let is_distribution = matches!(metric.kind, Kind::Histogram(_));
        assert!(!is_distribution || metric.origin == Origin::Told, "{} cannot be asked for", metric.name);
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(bounds.is_sorted_by(|one, next| one < next), "{}", metric.name);
        }
        let mut keys = BTreeSet::new();
        assert!(metric.labels.iter().all(|label| keys.insert(label.key)), "{}", metric.name);
        // A label explosion is found here, not in somebody's storage: of one device, and of three faults at most.
        let count = |label: &Label| match label.values {
            Values::Names(names) => names.len(),
            Values::Devices | Values::Boards | Values::Text => 1,
        };
        let most: usize = metric.labels.iter().map(count).product();
        assert!(most <= 100, "{} may have {most} series of one device", metric.name);
    }
    assert!(ALL.iter().any(|metric| metric.scraped() == "vortex_memory_leak_slope_bytes_per_hour"));
}

#[test]
fn every_series_of_a_scrape_is_in_the_definition_under_its_name_and_kind() {
    let metrics = unexported();
    let source: Arc<dyn Source> = Arc::new(Played::default());
    metrics.begin(Arc::downgrade(&source), [DeviceId::Cpu]);
    metrics.committed(Duration::from_millis(3));
    let text = metrics.text().unwrap();
    let known: BTreeMap<String, &Metric> = ALL.iter().map(|metric| (metric.scraped(), metric)).collect();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut seen = 0;
    for (name, kind) in types.filter(|(name, _)| *name != "target_info") {
        let metric = known.get(name).unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(kind, metric.kind.name(), "{name}");
        assert!(text.contains(&format!("# HELP {name} {}\n", metric.about)), "{name}");
        seen += 1;
    }
    assert!(seen > 12, "{text}");
    assert!(!text.contains("otel_scope"), "{text}");
}

#[test]
fn what_is_counted_is_there_before_it_happens() {
    let metrics = unexported();
    let source: Arc<dyn Source> = Arc::new(Played::default());
    metrics.begin(Arc::downgrade(&source), [DeviceId::Cuda(0), DeviceId::Cuda(1)]);
    let all = series(&metrics);
    for name in [
        "vortex_slots_ended_total{cause=\"\",outcome=\"completed\"}",
        "vortex_slots_ended_total{cause=\"deadline\",outcome=\"failed\"}",
        "vortex_slots_ended_total{cause=\"requested\",outcome=\"cancelled\"}",
        "vortex_slots_ended_total{cause=\"\",outcome=\"superseded\"}",
        "vortex_slots_late_total",
        "vortex_memory_violations_total{device=\"cuda:1\"}",
        "vortex_memory_leaks_total{device=\"cuda:0\"}",
        "vortex_memory_remedies_total{device=\"cuda:0\",model=\"liveportrait\",remedy=\"restart\"}",
        "vortex_restarts_total{actor=\"flux\",cause=\"hung\",device=\"cuda:1\"}",
        "vortex_encoder_frames_total",
        "vortex_node_crashes",
    ] {
        assert_eq!(all.get(name), Some(&0.0), "{name}");
    }
    let ended = all.keys().filter(|name| name.starts_with("vortex_slots_ended_total"));
    assert_eq!(ended.count(), 2 + Failure::ALL.len() + CancelCause::ALL.len());
}

/// What happens, and which series then have which values.
type Row = (Vec<EventKind>, Vec<(&'static str, f64)>);

#[test]
fn each_event_moves_its_series_and_no_other() {
    let second = Duration::from_secs(1);
    let device = Some(DeviceId::Cuda(0));
    let crossing =
        |from, to| EventKind::MemoryPressure(Crossing { from, to, used: Bytes::gb(9), limit: Bytes::gb(8) });
    let verdict = |leaking| LeakVerdict {
        slots: 100,
        baseline: Bytes::gb(1),
        slope: 1e6,
        growth: 1e8,
        standard_error: 1.0,
        leaking,
    };
    let checked = |leaking| EventKind::LeakChecked { verdict: verdict(leaking), grown: PerModel::default() };
    let complete = |deadline_met| EventKind::GenerationComplete {
        elapsed: 40 * second,
        breakdown: PerStage::from_array([second, second, second, second, 2 * second]).into(),
        deadline_met,
    };
    let refusal = Refusal {
        device: DeviceId::Cuda(0),
        model: ModelId::Kokoro,
        purpose: Purpose::Workspace,
        used: Bytes::gb(8),
        unaccounted: Bytes::ZERO,
        needed: Bytes::gb(1),
        limit: Bytes::gb(8),
        fits_later: false,
        holders: Vec::new(),
    };
    let completed: &[(&'static str, f64)] = &[
        ("vortex_slots_ended_total{cause=\"\",outcome=\"completed\"}", 1.0),
        ("vortex_slot_duration_seconds_sum", 40.0),
        ("vortex_slot_duration_seconds_count", 1.0),
        ("vortex_slot_duration_seconds_bucket{le=\"45\"}", 1.0),
        ("vortex_stage_duration_seconds_sum{stage=\"package\"}", 2.0),
        ("vortex_slot_deadline_margin_seconds_sum", 3.0),
        ("vortex_slot_deadline_margin_seconds_bucket{le=\"5\"}", 1.0),
    ];
    let late: Vec<(&'static str, f64)> =
        completed.iter().copied().chain([("vortex_slots_late_total", 1.0)]).collect();
    let rows: Vec<Row> = vec![
        (vec![complete(true)], completed.to_vec()),
        (vec![complete(false)], late),
        (
            vec![EventKind::SlotFailed { cause: Failure::Deadline, stage: None, message: String::new() }],
            vec![("vortex_slots_ended_total{cause=\"deadline\",outcome=\"failed\"}", 1.0)],
        ),
        (
            vec![EventKind::SlotCancelled { cause: CancelCause::Requested }],
            vec![("vortex_slots_ended_total{cause=\"requested\",outcome=\"cancelled\"}", 1.0)],
        ),
        (
            vec![EventKind::SlotSuperseded { by: "another".to_owned() }],
            vec![("vortex_slots_ended_total{cause=\"\",outcome=\"superseded\"}", 1.0)],
        ),
        // Its claim is lost, and it stays open.
        (vec![EventKind::SlotLeft], vec![]),
        // It stays open, and the next start ends it.
        (vec![EventKind::EndNotKept { message: String::new() }], vec![]),
        (
            vec![EventKind::AudioComplete { took: second }, EventKind::AudioComplete { took: 3 * second }],
            vec![
                ("vortex_stage_duration_seconds_sum{stage=\"audio\"}", 4.0),
                ("vortex_stage_duration_seconds_count{stage=\"audio\"}", 2.0),
                ("vortex_stage_duration_seconds_bucket{stage=\"audio\",le=\"1\"}", 1.0),
            ],
        ),
        (
            vec![EventKind::ImageComplete { took: second }],
            vec![("vortex_stage_duration_seconds_sum{stage=\"image\"}", 1.0)],
        ),
        (
            vec![EventKind::VideoComplete { took: second }],
            vec![("vortex_stage_duration_seconds_sum{stage=\"video\"}", 1.0)],
        ),
        (
            vec![EventKind::ClipComplete { took: second, summary: String::new() }],
            vec![("vortex_stage_duration_seconds_sum{stage=\"verify\"}", 1.0)],
        ),
        (
            vec![EventKind::VideoEncoded { frames: 750, bytes: Bytes::mb(1), encoding: second / 2 }],
            vec![("vortex_encoder_frames_total", 750.0), ("vortex_encoder_busy_seconds_total", 0.5)],
        ),
        (
            vec![
                crossing(Level::Normal, Level::Soft),
                crossing(Level::Soft, Level::Hard),
                crossing(Level::Hard, Level::Soft),
            ],
            vec![("vortex_memory_violations_total{device=\"cuda:0\"}", 1.0)],
        ),
        (
            vec![EventKind::MemoryRemedy {
                remedy: MemoryRemedy::Restart(ModelId::LivePortrait),
                used: None,
                budget: None,
            }],
            vec![(
                "vortex_memory_remedies_total{device=\"cuda:0\",model=\"liveportrait\",remedy=\"restart\"}",
                1.0,
            )],
        ),
        (
            vec![EventKind::MemoryRemedy { remedy: MemoryRemedy::GiveUpDevice, used: None, budget: None }],
            vec![(
                "vortex_memory_remedies_total{device=\"cuda:0\",model=\"\",remedy=\"give_up_device\"}",
                1.0,
            )],
        ),
        (
            vec![EventKind::LeaseRefused(Box::new(refusal))],
            vec![("vortex_memory_leases_refused_total{device=\"cuda:0\",model=\"kokoro\"}", 1.0)],
        ),
        (vec![checked(false), checked(true)], vec![("vortex_memory_leaks_total{device=\"cuda:0\"}", 1.0)]),
        (
            vec![
                EventKind::ActorDown { actor: "flux", fault: Fault::Hung, message: String::new() },
                EventKind::ActorRestarted { actor: "flux" },
                // It goes with its supervisor, and was not told of by itself.
                EventKind::ActorRestarted { actor: "flux" },
                EventKind::ActorDown { actor: "watchdog", fault: Fault::Died, message: String::new() },
            ],
            vec![
                ("vortex_restarts_total{actor=\"flux\",cause=\"hung\",device=\"cuda:0\"}", 1.0),
                ("vortex_restarts_total{actor=\"flux\",cause=\"died\",device=\"cuda:0\"}", 1.0),
            ],
        ),
        (
            vec![EventKind::ActorRestarted { actor: "somebody new" }],
            vec![("vortex_restarts_total{actor=\"other\",cause=\"died\",device=\"cuda:0\"}", 1.0)],
        ),
        (
            vec![EventKind::CrashLoop {
                count: 3,
                within: second,
                cause: String::new(),
                delay: second,
                alert: true,
            }],
            vec![("vortex_node_crashes", 3.0)],
        ),
        (vec![EventKind::AdmissionChanged { closed: None }], vec![]),
    ];
    for (events, moved) in rows {
        let metrics = unexported();
        let source: Arc<dyn Source> = Arc::new(Played::default());
        metrics.begin(Arc::downgrade(&source), device);
        let before = series(&metrics);
        for kind in &events {
            metrics.hear(&happened(device, kind.clone()));
        }
        let after = series(&metrics);
        for (name, value) in &moved {
            assert_eq!(after.get(*name), Some(value), "{name} after {events:?}");
        }
        // Of a distribution every bucket moves; of all others only what is named.
        let families: Vec<&str> = ["_bucket", "_sum", "_count"].to_vec();
        let family = |name: &str| {
            let bare = name.split('{').next().unwrap_or_default();
            families.iter().find_map(|end| bare.strip_suffix(end)).unwrap_or(name).to_owned()
        };
        let named: BTreeSet<String> = moved.iter().map(|(name, _)| family(name)).collect();
        let others = after.iter().filter(|(name, _)| !named.contains(&family(name)));
        for (name, value) in others.filter(|(name, _)| !name.starts_with("vortex_slots_waiting")) {
            assert_eq!(before.get(name), Some(value), "{name} after {events:?}");
        }
    }
}

#[test]
fn a_scrape_asks_once_and_anew_and_labels_stay_bounded() {
    let metrics = unexported();
    let source: Arc<dyn Source> = Arc::new(Played::default());
    metrics.begin(Arc::downgrade(&source), []);
    for times in [1.0, 2.0] {
        let all = series(&metrics);
        assert_eq!(
            all["vortex_slots_waiting"], times,
            "asked once for all instruments, and anew by each scrape"
        );
        assert_eq!(all["vortex_slots_refused_total{reason=\"queue-full\"}"], 5.0);
        assert_eq!(all["vortex_slots_refused_total{reason=\"other\"}"], 2.0);
    }
    // Nobody is asked who is gone, and what was told of him is not told again.
    drop(source);
    assert_eq!(series(&metrics).get("vortex_slots_waiting"), None);
}

#[test]
fn samples_and_steps_pass_without_a_trace() {
    let metrics = unexported();
    assert!(!metrics.wants_steps());
    let before = metrics.text().unwrap();
    let sample = crate::vram::Sample {
        source: "test",
        standing: crate::vram::Standing::Primary,
        taken_at: crate::clock::now(),
        total: Bytes::gb(12),
        used: Bytes::gb(3),
        free: Bytes::gb(9),
        own: None,
        others: None,
        pool: None,
    };
    metrics.hear(&happened(Some(DeviceId::Cpu), EventKind::Memory { sample }));
    assert_eq!(metrics.text().unwrap(), before);
}

#[test]
fn an_export_has_what_a_scrape_has_each_time_all_that_was_counted() {
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    let metrics = Metrics::new(Resource::builder_empty().build(), true).unwrap();
    let source: Arc<dyn Source> = Arc::new(Played::default());
    metrics.begin(Arc::downgrade(&source), [DeviceId::Cpu]);
    metrics.hear(&happened(None, EventKind::SlotCancelled { cause: CancelCause::Requested }));
    let mut collect = metrics.collector().unwrap();
    assert!(unexported().collector().is_none());
    for _ in 0..2 {
        let all = collect().unwrap();
        let mut names: Vec<String> = all
            .scope_metrics()
            .flat_map(|scope| scope.metrics())
            .map(|metric| metric.name().to_owned())
            .collect();
        names.sort_unstable();
        let scraped = series(&metrics);
        for name in &names {
            let metric = ALL.iter().find(|metric| metric.name == name).unwrap().scraped();
            assert!(scraped.keys().any(|key| key.starts_with(&metric)), "{name}");
        }
        assert!(names.contains(&"vortex.slots.waiting".to_owned()), "{names:?}");
        let ended = all
            .scope_metrics()
            .flat_map(|scope| scope.metrics())
            .find(|it| it.name() == "vortex.slots.ended");
        let counted = match ended.unwrap().data() {
            AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                sum.data_points().map(|point| point.value()).sum::<f64>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(counted, 1.0, "all of it again");
    }
}
