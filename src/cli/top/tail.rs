//! Events in one line each, for people. Pure.

use std::time::Duration;

use serde_json::Value;

use crate::client::plain;

/// What an event says, with its time, device and slot; none of those that come many times a second and are drawn
/// otherwise.
pub(super) fn line(kind: &str, json: &str) -> Option<String> {
    if matches!(kind, "memory" | "memory_snapshot" | "video_progress" | "stage_progress" | "leak_checked") {
        return None;
    }
    let event: Value = serde_json::from_str(json).unwrap_or_default();
    let text = |name: &str| event.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut told =
        vec![event.get("at").and_then(Value::as_f64).map_or_else(|| "--:--:--".to_owned(), time_of_day)];
    told.extend(text("device").map(str::to_owned));
    told.extend(text("slot").map(short));
    told.push(kind.replace('_', " "));
    // What distinguishes events of one kind, in the order in which a sentence would have it.
    for name in ["stage", "model", "actor", "from", "to", "closed", "fault", "cause", "what", "summary"] {
        told.extend(text(name).map(str::to_owned));
    }
    if let Some(attempt) = event.get("attempt").and_then(Value::as_u64).filter(|attempt| *attempt > 1) {
        told.push(format!("attempt {attempt}"));
    }
    for (name, before) in [("took", "in"), ("elapsed", "in"), ("after", "after"), ("eta", "about")] {
        if let Some(seconds) = event.get(name).and_then(Value::as_f64) {
            told.push(format!("{before} {}", crate::cli::remote::seconds(seconds)));
        }
    }
    if let Some(message) = text("message") {
        told.push(format!(": {message}"));
    }
    Some(plain(&told.join(" ")).replace(" : ", ": "))
}

/// The first part of an id, which tells slots apart on a screen.
pub(super) fn short(id: &str) -> String {
    plain(id).chars().take(8).collect()
}

/// Hours, minutes and seconds of Coordinated Universal Time: the node may be anywhere.
fn time_of_day(at: f64) -> String {
    let seconds = Duration::try_from_secs_f64(at).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let json = r#"{"at": 1700000000.5, "device": "cuda:0", "slot": "6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21",
            "event": "stage_began", "stage": "video", "model": "liveportrait", "attempt": 2}"#;
        assert_eq!(
            line("stage_began", json).unwrap(),
            "22:13:20 cuda:0 6f1c2f5e stage began video liveportrait attempt 2"
        );
        let json =
            r#"{"at": 0, "event": "actor_down", "actor": "flux", "fault": "died", "message": "a\u001b[2Jb"}"#;
        assert_eq!(line("actor_down", json).unwrap(), "00:00:00 actor down flux died: a\u{fffd}[2Jb");
        assert_eq!(line("memory", "{}"), None);
        assert_eq!(line("odd", "no json").unwrap(), "--:--:-- odd");
    }
}
