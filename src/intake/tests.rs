use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use super::resume::{Course, course};
use super::*;
use crate::actors::admission::Refusal;
use crate::config::{Inputs, load};
use crate::journal::{CancelCause, Ending, Failure, FolderState, Terminal};
use crate::recipe::example;
use crate::signing::to_hex;
use crate::types::{SlotId, Stage};

fn example() -> Value {
    document::parse(example::text().as_bytes()).unwrap()
}

fn submission(document: &Value) -> Submission {
    let document = document.to_string().into_bytes().into();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
    Submission { document, origin: Origin::File("a.json".into()), traceparent }
}

fn enter(document: &Value, signers: &Signers) -> Result<Entry, Rejection> {
    let folder = tempfile::tempdir().unwrap();
    let inputs = Inputs { config_dir: Some(folder.path().to_owned()), ..Inputs::default() };
    let voices = load(&inputs).unwrap().voices;
    let known_voices = vec!["af_sarah".to_owned(), "am_puck".to_owned()];
    Door { voices, known_voices, bundle: Sha256::of(b"x"), speakable: |_| Ok(()) }
        .enter(submission(document).check(signers)?)
}

fn signers(keys: &[&SigningKey]) -> Signers {
    let keys: Vec<String> = keys.iter().map(|key| to_hex(key.verifying_key().as_bytes())).collect();
    serde_json::from_value(json!(keys)).unwrap()
}

fn with_voice(voice: &str) -> Value {
    let mut document = example();
    document["audio_track"]["voice_id"] = voice.into();
    document
}

#[test]
fn what_comes_in_becomes_a_request_with_all_that_came_with_it() {
    let entry = enter(&with_voice("af_sarah"), &Signers::default()).unwrap();
    let request = entry.request();
    assert_eq!(request.slot, entry.recipe.slot());
    assert_eq!(request.traceparent.unwrap().as_str().len(), 55);
    assert_eq!(Recipe::read(&request.recipe).unwrap(), entry.recipe);
    assert!(entry.deadline.is_none() && entry.in_time().is_ok());
    let mut spaced = String::from("// a remark\n");
    spaced.push_str(&serde_json::to_string_pretty(&with_voice("af_sarah")).unwrap());
    let same = Recipe::read(spaced.as_bytes()).unwrap();
    assert_eq!(entry.key.recipe, Sha256::of(&document::canonical(same.document())), "layout changes nothing");
}

#[test]
fn each_rejection_says_where_and_has_its_kind() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let other = SigningKey::from_bytes(&[8; 32]);
    let signed = signature::sign(with_voice("af_sarah"), &key, 1_700_000_000);
    let mut changed = signed.clone();
    changed["visual_track"]["prompt"] = "somebody else".into();
    let (all, only) = (Signers::default(), signers(&[&key]));
    assert!(enter(&signed, &all).is_ok() && enter(&signed, &only).is_ok());
    let rejected = [
        (enter(&json!({ "recipe_id": 1 }), &all), Kind::Invalid, "recipe_id"),
        (enter(&with_voice("af_nobody"), &all), Kind::Invalid, "audio_track.voice_id"),
        (enter(&changed, &all), Kind::Forbidden, "changed after signing"),
        (enter(&changed, &only), Kind::Forbidden, "changed after signing"),
        (enter(&with_voice("af_sarah"), &only), Kind::Forbidden, "not signed"),
        (enter(&signed, &signers(&[&other])), Kind::Forbidden, "not among those"),
    ];
    for (rejected, kind, said) in rejected {
        let rejected = rejected.map(|entry| entry.key).unwrap_err();
        let told = rejected.to_string();
        assert!(rejected.kind() == kind && told.starts_with("a.json: ") && told.contains(said), "{told}");
    }
    let late = Rejection::from(Refusal::TooLate { eta: Duration::ZERO, left: Duration::ZERO });
    assert_eq!((late.kind(), Rejection::from(Refusal::Draining).kind()), (Kind::Late, Kind::Unavailable));
}

#[test]
fn a_deadline_that_has_passed_is_refused_when_it_is_asked_for_and_not_before() {
    let mut document = with_voice("af_sarah");
    document["deadline"] = 1_000_000_000_u64.into();
    let entry = enter(&document, &Signers::default()).unwrap();
    assert_eq!(entry.in_time().unwrap_err().kind(), Kind::Late);
}

#[test]
fn what_a_folder_holds_decides_how_the_slot_goes_on() {
    let folder = std::path::Path::new("renders/a");
    let slot = SlotId::new(uuid::Uuid::nil());
    let ended = |ending: Ending| {
        let terminal = Terminal { slot, ending, elapsed: Duration::ZERO, breakdown: Default::default() };
        course(FolderState::Ended(terminal), folder, false)
    };
    let failed = |cause| Ending::Failed { cause, stage: None, message: String::new() };
    assert!(matches!(ended(Ending::Completed { deadline_met: true }), Course::Finished(_)));
    assert!(matches!(ended(failed(Failure::Rejected)), Course::Finished(_)), "it would be rejected again");
    for ending in [failed(Failure::Timeout), Ending::Cancelled { cause: CancelCause::Requested }] {
        assert!(matches!(ended(ending), Course::TakeUp { again: true, .. }));
    }
    let resumable = FolderState::Resumable { done: vec![Stage::Audio], damaged: Vec::new() };
    let Course::TakeUp { again, note } = course(resumable.clone(), folder, true) else { panic!("taken up") };
    assert!(!again && note.contains("audio is kept"), "{note}");
    assert!(matches!(course(resumable, folder, false), Course::TakeUp { again: true, .. }));
    assert_eq!(course(FolderState::New, folder, true), Course::Ask { note: None });
}
