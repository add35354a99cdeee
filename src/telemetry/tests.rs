//! What the lines look like.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::names::event;
use super::*;
use crate::events::{Event, EventKind, Subscriber};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lines(lines: Lines, filter: &str, act: impl FnOnce()) -> Vec<String> {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = subscriber(lines, EnvFilter::new(filter), move || writer.clone());
    tracing::subscriber::with_default(subscriber, act);
    let bytes = captured.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn load_inside_a_span() {
    let span = tracing::info_span!("slot", slot = 7);
    let _entered = span.enter();
    tracing::info!(event = event::CONFIG_LOADED, profile = "cpu", files = 2, "configuration loaded");
}

#[test]
fn json_lines_carry_time_level_event_fields_and_spans() {
    let lines = lines(Lines::Json, "info", load_inside_a_span);
    assert_eq!(lines.len(), 1);
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "configuration loaded");
    assert_eq!(line["event"], "config.loaded");
    assert_eq!(line["profile"], "cpu");
    assert_eq!(line["files"], 2);
    assert_eq!(line["span"]["name"], "slot");
    assert_eq!(line["spans"][0]["slot"], 7);
    assert_eq!(line["target"], "vortex_node::telemetry::tests");
    let timestamp = line["timestamp"].as_str().unwrap();
    assert!(timestamp.ends_with('Z') && timestamp.contains('T'), "{timestamp}");
}

#[test]
fn debug_lines_tell_when_spans_begin_and_end() {
    let messages = |filter| -> Vec<String> {
        let lines = lines(Lines::Json, filter, load_inside_a_span);
        let message = |line: &String| serde_json::from_str::<Value>(line).unwrap()["message"].to_string();
        lines.iter().map(message).collect()
    };
    assert_eq!(messages("debug"), ["\"new\"", "\"configuration loaded\"", "\"close\""]);
    assert_eq!(messages("info").len(), 1);
}

#[test]
fn human_lines_are_plain_where_colour_is_not_wanted() {
    let plain = lines(Lines::Human { colour: false }, "info", load_inside_a_span);
    assert!(plain[0].contains("configuration loaded") && plain[0].contains("profile=\"cpu\""), "{plain:?}");
    assert!(!plain[0].contains('\u{1b}'));
    let coloured = lines(Lines::Human { colour: true }, "info", load_inside_a_span);
    assert!(coloured[0].contains('\u{1b}'));
}

#[test]
fn the_filter_decides_what_is_written() {
    assert_eq!(lines(Lines::Json, "warn", load_inside_a_span), Vec::<String>::new());
    assert_eq!(lines(Lines::Json, "warn,vortex_node::telemetry=info", load_inside_a_span).len(), 1);
}

#[test]
fn auto_is_for_people_only_on_a_terminal() {
    let (full, none) = (Terminal::plain_or_full(true), Terminal::plain_or_full(false));
    assert_eq!(Lines::new(TelemetryFormat::Auto, full), Lines::Human { colour: true });
    assert_eq!(Lines::new(TelemetryFormat::Auto, none), Lines::Json);
    assert_eq!(Lines::new(TelemetryFormat::Human, none), Lines::Human { colour: false });
    assert_eq!(Lines::new(TelemetryFormat::Json, full), Lines::Json);
}

#[test]
fn the_first_probe_is_news_and_another_one_a_warning() {
    let level = |from| {
        let kind = EventKind::ProbeSwitched { from, to: Some("nvml"), because: None };
        let event = Event { at: std::time::Duration::ZERO, device: None, slot: None, kind };
        let lines = lines(Lines::Json, "info", || EventLog.hear(&event));
        serde_json::from_str::<Value>(&lines[0]).unwrap()["level"].clone()
    };
    assert_eq!((level(None), level(Some("cuda"))), ("INFO".into(), "WARN".into()));
}
