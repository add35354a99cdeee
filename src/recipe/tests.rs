use serde_json::{Value, json};

use super::*;

fn example() -> Value {
    document::parse(example::text().as_bytes()).unwrap()
}

/// The example with the value at `pointer` replaced, or removed.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut document = example();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    document
}

fn problems(document: &Value) -> Vec<Problem> {
    Recipe::read(document.to_string().as_bytes())
        .map_or_else(|problems| problems.list().to_vec(), |_| Vec::new())
}

/// Where, what stands there, a part of what is accepted.
fn malformed() -> Vec<(&'static str, Option<Value>, &'static str)> {
    let text = |length: usize| Some(Value::from("x".repeat(length)));
    vec![
        ("/recipe_id", None, "a UUID"),
        ("/recipe_id", Some(json!("slot-1")), "a UUID"),
        ("/version", Some(json!("1.0.0")), "\"2.0.0\""),
        ("/version", Some(json!(2)), "\"2.0.0\""),
        ("/slot_params", None, "slot_number, duration_sec, resolution, fps"),
        ("/slot_params", Some(json!([])), "an object"),
        ("/slot_params/slot_number", Some(json!(-1)), "an integer from 0"),
        ("/slot_params/slot_number", Some(json!(1.5)), "an integer from 0"),
        ("/slot_params/duration_sec", Some(json!(0)), "above 0"),
        ("/slot_params/duration_sec", Some(json!(45.01)), "at most 45"),
        ("/slot_params/duration_sec", Some(json!("5")), "a number of seconds"),
        ("/slot_params/duration_sec", Some(json!(0.001)), "at least one frame"),
        ("/slot_params/resolution", Some(json!("512")), "512x512"),
        ("/slot_params/resolution", Some(json!("500x512")), "steps of 16"),
        ("/slot_params/resolution", Some(json!("4096x512")), "64 to 2048"),
        ("/slot_params/fps", Some(json!(0)), "1 to 60"),
        ("/slot_params/fps", Some(json!(61)), "1 to 60"),
        ("/slot_params/fps", None, "1 to 60"),
        ("/audio_track/script", Some(json!("")), "1 to 20000 characters"),
        ("/audio_track/script", Some(json!(" \n ")), "1 to 20000 characters"),
        ("/audio_track/script", text(20_001), "1 to 20000 characters"),
        ("/audio_track/voice_id", Some(json!("af_sarah(0.3")), "af_sarah(0.3)+af_jessica(0.7)"),
        ("/audio_track/speed", Some(json!(0.5)), "0.8 to 1.2"),
        ("/audio_track/speed", Some(json!("fast")), "0.8 to 1.2"),
        ("/audio_track/script", Some(json!(null)), "1 to 20000 characters"),
        ("/audio_track", Some(json!(null)), "an object"),
        ("/audio_track/emotion", Some(json!("exited")), "did you mean \"excited\""),
        ("/visual_track/prompt", None, "1 to 10000 characters"),
        ("/visual_track/prompt", text(10_001), "1 to 10000 characters"),
        ("/visual_track/negative_prompt", Some(json!(7)), "a text"),
        ("/visual_track/motion_preset", Some(json!("excited_noding")), "did you mean \"excited_nodding\""),
        ("/visual_track/expression_sequence", Some(json!([])), "neutral, excited, manic, calm"),
        (
            "/visual_track/expression_sequence",
            Some(json!(["calm", "happy"])),
            "neutral, excited, manic, calm",
        ),
        ("/visual_track/camera_motion", Some(json!("zoom")), "slight_zoom_in"),
        ("/semantic_constraints/min_clip_score", Some(json!(3)), "0 to 2.5"),
        ("/semantic_constraints/banned_concepts", Some(json!("cat")), "a list"),
        ("/semantic_constraints/required_concepts", Some(json!([""])), "a list"),
        ("/security", Some(json!({})), "64 hexadecimal digits"),
        ("/seed", Some(json!(1u64 << 53)), "9007199254740991"),
        ("/seed", Some(json!(-3)), "an integer"),
        ("/deadline", Some(json!("tomorrow")), "seconds since"),
        ("/deadline", Some(json!(-1)), "seconds since"),
    ]
}

#[test]
fn every_malformed_recipe_gets_the_right_message() {
    for (pointer, value, accepted) in malformed() {
        let found = problems(&with(pointer, value.clone()));
        let path = pointer[1..].replace('/', ".");
        let hit = found
            .iter()
            .find(|problem| problem.path.starts_with(&path) && problem.accepted.contains(accepted));
        assert!(hit.is_some(), "{pointer} = {value:?}: {found:?}");
    }
}

#[test]
fn all_problems_are_listed_at_once() {
    let mut document = example();
    document["slot_params"]["fps"] = json!(0);
    document["audio_track"]["speed"] = json!(9);
    document["visual_track"]["promt"] = json!("x");
    document["version"] = json!("3");
    document["semantic_constraints"] = json!({"banned_concepts": ["cat"], "required_concepts": ["cat"]});
    let paths: Vec<String> = problems(&document).into_iter().map(|problem| problem.path).collect();
    let expected =
        ["version", "slot_params.fps", "audio_track.speed", "visual_track.promt", "semantic_constraints"];
    assert_eq!(paths, expected);
}

#[test]
fn a_surplus_name_is_refused_with_the_nearest() {
    let found = problems(&with("/slot_params/durationsec", Some(json!(5))));
    assert_eq!(found[0].path, "slot_params.durationsec");
    assert!(found[0].found.contains("duration_sec"), "{found:?}");
    assert_eq!(problems(&json!([])).len(), 1);
}

#[test]
fn what_may_be_absent_has_its_default() {
    let mut document = example();
    for section in ["semantic_constraints", "security", "seed"] {
        document.as_object_mut().unwrap().remove(section);
    }
    document["audio_track"] = json!({"script": "hi", "voice_id": "morty"});
    document["visual_track"] = json!({"prompt": "a cat"});
    let recipe = Recipe::read(document.to_string().as_bytes()).unwrap();
    assert_eq!((recipe.audio.speed, recipe.audio.emotion), (SpeechSpeed::NORMAL, Emotion::Neutral));
    assert_eq!(recipe.visual.expressions, [Expression::Neutral]);
    assert_eq!(recipe.constraints, SemanticConstraints::default());
    assert!(recipe.security.is_none() && recipe.deadline.is_none() && recipe.seed <= LARGEST_INTEGER);
}

#[test]
fn null_is_as_good_as_absent_where_a_field_may_be_absent() {
    for (section, names) in [
        ("", &["semantic_constraints", "security", "seed", "deadline"][..]),
        ("/audio_track", &["speed", "emotion"]),
        ("/visual_track", &["negative_prompt", "motion_preset", "expression_sequence", "camera_motion"]),
        ("/semantic_constraints", &["min_clip_score", "banned_concepts", "required_concepts"]),
    ] {
        for name in names {
            let pointer = format!("{section}/{name}");
            let read = |value| Recipe::read(with(&pointer, value).to_string().as_bytes());
            let (null, absent) = (read(Some(Value::Null)).unwrap(), read(None).unwrap());
            assert_eq!(Recipe { document: Value::Null, ..null }, Recipe { document: Value::Null, ..absent });
        }
    }
    for pointer in ["/recipe_id", "/version", "/slot_params", "/slot_params/fps", "/visual_track/prompt"] {
        assert!(!problems(&with(pointer, Some(Value::Null))).is_empty(), "{pointer} may not be absent");
    }
}

#[test]
fn a_deadline_that_has_passed_is_told_with_how_long_ago() {
    let recipe = Recipe::read(with("/deadline", Some(json!(1_000_000_000))).to_string().as_bytes()).unwrap();
    let at = |seconds: u64| recipe.too_late(Duration::from_secs(seconds)).map(|problem| problem.to_string());
    assert_eq!(at(999_999_999), None);
    assert!(at(1_000_000_000).is_some());
    for (now, ago) in [
        (1_000_000_001, "1 second ago"),
        (1_000_000_119, "119 seconds ago"),
        (1_000_003_600, "60 minutes ago"),
        (1_000_086_400, "24 hours ago"),
        (1_790_000_000, "9143 days ago"),
    ] {
        let told = at(now).unwrap();
        assert!(told.contains("deadline: 1000000000 has passed") && told.contains(ago), "{told}");
    }
    let none = Recipe::read(with("/deadline", None).to_string().as_bytes()).unwrap();
    assert_eq!(none.too_late(Duration::from_secs(u32::MAX.into())), None);
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let recipe = Recipe::read(with("/slot_params/fps", Some(json!(25.0))).to_string().as_bytes()).unwrap();
    assert_eq!(recipe.fps, 25);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = Recipe::read(text.as_bytes());
    }

    #[test]
    fn no_value_anywhere_makes_the_checks_panic(place in 0usize..40, number in proptest::num::f64::ANY, text in "\\PC{0,30}") {
        let (pointer, _, _) = &malformed()[place];
        for value in [json!(number), json!(text), json!([text]), json!({ "a": number }), json!(null), json!(true)] {
            let _ = problems(&with(pointer, Some(value)));
        }
    }
}
