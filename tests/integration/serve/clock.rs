//! A wall clock that jumps, between two processes and under a running one: nothing expires at once, deadlines are kept by
//! the time that passes, and everything ends.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::accounts::settled;
use super::id;
use crate::support::preload::Faults;
use crate::support::served::{Place, Served, recipe, scenario};

const YEAR: i64 = 365 * 24 * 3600;

async fn accept(service: &Served, recipe: &Value, accepted: &mut BTreeSet<String>) {
    let answer = service.put(recipe).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
    accepted.insert(id(recipe).to_owned());
}

#[tokio::test]
async fn a_clock_that_jumps_expires_nothing_and_ends_everything() {
    let Some(faults) = Faults::new() else { return };
    let place = Place::new(&scenario("60ms", "[policy]\nqueue = 1000\n"));
    let start = || place.serve_by(faults.of(place.command(&[]), &place.data()));
    let mut accepted = BTreeSet::new();
    let mut number = 0;
    let mut next = || {
        number += 1;
        recipe(number)
    };
    let service = start();
    service.ready().await;
    let first = next();
    accept(&service, &first, &mut accepted).await;
    service.ended(id(&first)).await;
    // Under a running process, with slots open: far ahead, far back, and right again.
    let mut before = 0;
    for ahead in [2 * YEAR, -2 * YEAR, 0] {
        // In ten minutes by the clock as it stands: they are measured by the time that passes.
        let mut due = next();
        due["deadline"] = json!(vortex_node::clock::unix_time().as_secs() as i64 + before + 600);
        before = ahead;
        accept(&service, &due, &mut accepted).await;
        faults.clock(ahead);
        let ended = service.ended(id(&due)).await;
        assert_eq!((&ended["state"], &ended["cause"]), (&json!("completed"), &Value::Null), "{ended:#}");
        let open = next();
        accept(&service, &open, &mut accepted).await;
        assert_eq!(service.ended(id(&open)).await["state"], "completed");
        service.ready().await;
    }
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
    // Between two processes: ten years are more than anything is kept.
    for ahead in [10 * YEAR, -10 * YEAR, 0] {
        faults.clock(ahead);
        let service = start();
        service.ready().await;
        // The first round of retention is made at once; the end waits for it.
        let open = next();
        accept(&service, &open, &mut accepted).await;
        assert_eq!(service.ended(id(&open)).await["state"], "completed");
        let (code, logs) = service.stop();
        assert_eq!(code, Some(0), "{logs}");
        assert!(logs.contains("the wall clock was set"), "{ahead}: it is told: {logs}");
        assert!(!logs.contains("slots have expired"), "{ahead}: {logs}");
    }
    let service = start();
    assert_eq!(service.repaired, [""; 0]);
    settled(&service, &place.data(), &accepted).await;
}
