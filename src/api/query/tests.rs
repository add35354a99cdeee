use proptest::prelude::*;

use super::*;

fn query(text: &str, accepted: &[&'static str]) -> Result<Query, Fault> {
    Query::of(&format!("/x?{text}").parse().unwrap(), accepted)
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Fault>) -> String {
    let fault = answer.unwrap_err();
    assert_eq!(fault.kind, Kind::BadRequest);
    fault.detail
}

#[test]
fn an_unknown_parameter_is_refused_with_those_there_are() {
    let said = refused(query("limt=3", &["state", "limit"]));
    assert!(
        said.contains("\"limt\"") && said.contains("did you mean \"limit\"") && said.contains("state, limit"),
        "{said}"
    );
    assert!(refused(query("x=1", &[])).contains("it has none"));
    assert!(
        refused(query(&format!("{}=1", "x".repeat(5000)), &["wait"])).len() < 300,
        "only its beginning is repeated"
    );
}

#[test]
fn states_come_in_any_of_two_ways_and_each_counts_once() {
    let states = |text| query(text, &["state"]).unwrap().states();
    let both = [SlotState::Queued, SlotState::Failed];
    assert_eq!(states("state=queued&state=failed").unwrap(), both);
    assert_eq!(states("state=queued,failed,queued").unwrap(), both);
    assert_eq!(states("state=queued%2Cfailed").unwrap(), both);
    assert_eq!(states("").unwrap(), []);
    let said = refused(states("state=cancled"));
    assert!(
        said.contains("did you mean \"cancelled\"") && said.contains("queued, running, completed"),
        "{said}"
    );
    assert!(states("state=").is_err() && states("state=QUEUED").is_err());
}

#[test]
fn limits_stay_within_their_bounds() {
    let limit = |text| query(text, &["limit"]).unwrap().page();
    assert_eq!(limit("").unwrap(), 50);
    assert_eq!(limit("limit=1").unwrap(), 1);
    assert_eq!(limit("limit=500").unwrap(), 500);
    for wrong in [
        "limit=0",
        "limit=501",
        "limit=",
        "limit=-1",
        "limit=+1",
        "limit=1.0",
        "limit=1&limit=1",
        "limit=99999999999999999999",
    ] {
        assert!(limit(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn waits_are_whole_seconds_up_to_a_minute() {
    let wait = |text| query(text, &["wait"]).unwrap().wait();
    assert_eq!(wait("wait=30s").unwrap(), Some(Duration::from_secs(30)));
    assert_eq!(wait("wait=60").unwrap(), Some(Duration::from_secs(60)));
    assert_eq!(wait("wait=0s").unwrap(), Some(Duration::ZERO));
    assert_eq!(wait("").unwrap(), None);
    for wrong in [
        "wait=61",
        "wait=061s",
        "wait=1m",
        "wait=-1s",
        "wait=s",
        "wait=",
        "wait=1.5s",
        "wait=%2B1",
        "wait=1ss",
        "wait=99999999999",
    ] {
        assert!(refused(wait(wrong)).contains("0s to 60s"), "{wrong}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_no_files() {
    for good in ["video.mp4", "keyframes/0.png", "a b", "ä.txt", "...", "..a"] {
        assert!(is_file_name(good), "{good}");
    }
    for bad in
        ["", "..", "../x", "x/..", "x/../y", "/etc/passwd", "x//y", "x/", "./x", "a\\b", "a\0b", "a\nb"]
    {
        assert!(!is_file_name(bad), "{bad:?}");
    }
    assert!(!is_file_name(&"x".repeat(513)));
}

#[test]
fn an_id_is_written_in_one_way() {
    assert!(slot_id("6f1c2f52-7f0e-4d3b-9a55-0c8f3f6f9b10").is_ok());
    for wrong in [
        "6f1c2f527f0e4d3b9a550c8f3f6f9b10",
        "{6f1c2f52-7f0e-4d3b-9a55-0c8f3f6f9b10}",
        "urn:uuid:6f1c2f52-7f0e-4d3b-9a55-0c8f3f6f9b10",
        "",
        "x",
    ] {
        assert!(slot_id(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn an_events_id_reads_back(generation in "[a-zA-Z0-9_-]{1,64}", sequence in any::<u64>()) {
        let written = Cursor { generation, sequence };
        prop_assert_eq!(written.to_string().parse::<Cursor>().unwrap(), written);
    }

    #[test]
    fn no_text_at_all_breaks_the_reading(text in "\\PC{0,40}") {
        let _ = cursor(&text);
        let _ = slot_id(&text);
        let _ = is_file_name(&text);
    }
}

#[test]
fn other_texts_are_no_events_ids() {
    for wrong in ["", "-", "5", "-5", "a-", "a-x", "a--", "a-+5", "a b-5", "a-99999999999999999999", "a\n-5"]
    {
        assert!(refused(cursor(wrong)).contains("GENERATION-SEQUENCE"), "{wrong}");
    }
    assert!(cursor(&format!("{}-5", "a".repeat(65))).is_err());
}
