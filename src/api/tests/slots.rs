//! Slots as they are listed, shown and cancelled.

use serde_json::json;

use super::fake::{id, problem};
use super::*;
use crate::api::backend::ProblemKind;
use crate::api::views::{SlotPage, SlotState, SlotView};

#[tokio::test]
async fn pages_follow_each_other_without_loss() {
    let it = setup();
    (0..7).for_each(|number| it.fake.add(id(number)));
    it.fake.end(id(3), SlotState::Completed);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page: SlotPage =
            serde_json::from_value(get(&it.router, &format!("/v1/slots?limit=3{after}")).await.json())
                .unwrap();
        assert!(page.slots.len() <= 3);
        seen.extend(page.slots.into_iter().map(|slot| slot.id));
        let Some(next) = page.after else { break };
        after = format!("&after={next}");
    }
    let newest_first: Vec<String> = (0..7).rev().map(|number| id(number).to_string()).collect();
    assert_eq!(seen, newest_first);

    let ended = get(&it.router, "/v1/slots?state=completed,failed").await.json();
    assert_eq!(ended["slots"].as_array().unwrap().len(), 1);
    let queued = get(&it.router, "/v1/slots?state=queued&state=completed").await.json();
    assert_eq!(queued["slots"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused_with_what_would() {
    let it = setup();
    for (query, accepted) in [
        ("state=done", "queued, running, completed, failed, cancelled, superseded"),
        ("limit=501", "1 to 500"),
        ("limit=0", "1 to 500"),
        ("page=2", "state, limit, after"),
        ("after=", "what the page before gave"),
        ("limit=1&limit=2", "once"),
    ] {
        let said = get(&it.router, &format!("/v1/slots?{query}")).await.problem(400, "bad-request");
        assert!(said.contains(accepted), "{query}: {said}");
    }
}

#[tokio::test]
async fn a_slot_is_shown_and_what_is_none_is_told_apart() {
    let it = setup();
    it.fake.add(id(1));
    let slot: SlotView =
        serde_json::from_value(get(&it.router, &format!("/v1/slots/{}", id(1))).await.json()).unwrap();
    assert_eq!((slot.id, slot.state), (id(1).to_string(), SlotState::Queued));
    let missing = get(&it.router, &format!("/v1/slots/{}", id(2))).await;
    missing.problem(404, "not-found");
    assert_eq!(missing.json()["instance"], format!("/v1/slots/{}", id(2)));
    for wrong in ["x", "6f1c2f527f0e4d3b9a550c8f3f6f9b10", "%2e%2e"] {
        let said = get(&it.router, &format!("/v1/slots/{wrong}")).await.problem(400, "bad-request");
        assert!(said.contains("UUID"), "{said}");
    }
    get(&it.router, "/v1/slots/%ff").await.problem(400, "bad-request");
    it.fake.table().refusal = Some(problem(ProblemKind::Gone, "expired yesterday"));
    get(&it.router, &format!("/v1/slots/{}", id(1))).await.problem(410, "gone");
}

#[tokio::test]
async fn cancelling_again_changes_nothing() {
    let it = setup();
    it.fake.add(id(1));
    it.fake.add(id(2));
    it.fake.end(id(2), SlotState::Completed);
    for _ in 0..2 {
        let answer = send(&it.router, request("DELETE", &format!("/v1/slots/{}", id(1)))).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (200, &json!("cancelled")));
        let ended = send(&it.router, request("DELETE", &format!("/v1/slots/{}", id(2)))).await;
        assert_eq!((ended.status.as_u16(), &ended.json()["state"]), (200, &json!("completed")));
    }
    assert_eq!(it.fake.table().newest, 4, "one acceptance and one end each");
    send(&it.router, request("DELETE", &format!("/v1/slots/{}", id(3)))).await.problem(404, "not-found");
}
