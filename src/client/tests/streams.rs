//! Event streams that break, go on, and end.

use serde_json::json;

use crate::api::views::SlotState;
use crate::client::fake::{Fake, ONE, Then, events, frame, problem, reply, slot};
use crate::client::{Events, Heard, Source};

/// Everything up to an end, in short.
async fn told(mut events: Events, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let Some(heard) = events.next().await else { break };
        told.push(match heard {
            Heard::Connected => "connected".to_owned(),
            Heard::Event(frame) => format!("{} {}", frame.event, frame.data),
            Heard::Gap => "gap".to_owned(),
            Heard::Lost { .. } => "lost".to_owned(),
            Heard::Finished => "finished".to_owned(),
            Heard::Ended(error) => format!("ended {}", error.refusal().map_or(0, |refusal| refusal.status)),
        });
    }
    told
}

fn note(id: &str, number: u32) -> String {
    frame(id, &json!({ "event": "note", "n": number }))
}

#[tokio::test]
async fn a_cut_stream_goes_on_after_the_last_id() {
    let fake = Fake::start(|seen| match seen.before {
        // Progress carries no id: the last one stays what it was.
        0 => events(&(note("g-1", 1) + &note("g-2", 2) + &note("", 3)), Then::Break),
        1 => problem(503, "draining", "on its way out", 0, json!({})),
        2 => events(
            &(frame("", &json!({ "event": "gap" })) + &note("h-9", 4) + "id: h-10\nevent: no"),
            Then::End,
        ),
        _ => events("", Then::Silence),
    });
    let told = told(Events::listen(fake.client(), Source::Node, None), 10).await;
    let note = |number: u32| format!("note {}", json!({ "event": "note", "n": number }));
    let expected =
        ["connected", &note(1), &note(2), &note(3), "lost", "lost", "connected", "gap", &note(4), "lost"];
    assert_eq!(told, expected);
    let ids: Vec<String> = fake.seen().iter().map(|seen| seen.header("last-event-id").to_owned()).collect();
    assert_eq!(ids[..3], ["", "g-2", "g-2"]);
    // The frame that was cut in two was not heard, so its id is not known.
    assert!(ids.get(3).is_none_or(|id| id == "h-9"), "{ids:?}");
}

#[tokio::test]
async fn an_id_that_is_given_is_where_it_begins() {
    let fake = Fake::start(|_| events(&note("g-8", 1), Then::Silence));
    let source = Source::Slot(ONE.parse().unwrap());
    told(Events::listen(fake.client(), source, Some("g-7".to_owned())), 2).await;
    let seen = &fake.seen()[0];
    assert_eq!(seen.what(), format!("GET /v1/slots/{ONE}/events"));
    assert_eq!((seen.header("last-event-id"), seen.header("accept")), ("g-7", "text/event-stream"));
}

#[tokio::test]
async fn a_slot_that_has_ended_ends_its_stream() {
    let fake = Fake::start(|seen| match seen.before {
        0 => events(&note("g-1", 1), Then::End),
        _ => axum::response::Response::builder().status(204).body("".into()).unwrap(),
    });
    let told = told(Events::listen(fake.client(), Source::Slot(ONE.parse().unwrap()), None), 99).await;
    assert_eq!(told.last().unwrap(), "finished");
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn what_the_node_will_never_tell_is_not_asked_for_again() {
    for status in [401, 403, 404, 410] {
        let fake = Fake::start(move |_| problem(status, "no", "no", 0, json!({})));
        let told = told(Events::listen(fake.client(), Source::Node, None), 99).await;
        assert_eq!(told, [format!("ended {status}")]);
        assert_eq!(fake.asked().len(), 1);
    }
    let fake = Fake::start(|_| reply(200, &slot(ONE, SlotState::Queued)));
    assert_eq!(told(Events::listen(fake.client(), Source::Node, None), 99).await, ["ended 0"]);
}
