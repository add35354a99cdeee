use super::*;

fn problems(text: &str) -> Vec<String> {
    match text.parse::<Scenario>() {
        Ok(_) => Vec::new(),
        Err(error) => error.0.iter().map(ToString::to_string).collect(),
    }
}

const GOOD: &str = "about = \"one slot\"\n[[arrivals]]\ncount = 1\n";

#[test]
fn the_smallest_scenario_is_one_slot() {
    let scenario: Scenario = GOOD.parse().unwrap();
    assert_eq!(scenario.arrivals.len(), 1);
    assert_eq!(scenario.parts[ModelId::Flux].run, Duration::from_secs(12));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_where_value_and_what_is_accepted() {
    let text = "abuot = \"x\"\n\
        limit = \"0s\"\n\
        [device]\nsoft_limit = \"12GB\"\nhard_limit = \"11 apples\"\n\
        [models.flux]\nrun = \"0ms\"\nsteps = 0\n\
        [models.fluks]\nrun = \"1s\"\n\
        [[arrivals]]\ncount = -3\n\
        [[faults]]\nkind = \"panic\"\nstage = \"imag\"\n\
        [[faults]]\nkind = \"explode\"\n\
        [[faults]]\nkind = \"kill\"\nactor = \"flux2\"\nat = \"3s\"\n\
        [expect]\nfailed = { nonsense = 1 }\n";
    let found = problems(text).join("\n");
    for wanted in [
        "about: missing",
        "abuot = \"x\": unknown key (did you mean \"about\"?)",
        "limit = \"0s\": zero makes no sense",
        "device.hard_limit = \"11 apples\"",
        "device.soft_limit = 12.00 GB: must be below device.hard_limit",
        "models.flux.run = \"0ms\": zero makes no sense",
        "models.flux.steps = 0: accepted: a whole number from 1",
        "models.fluks",
        "arrivals[0].count = -3",
        "faults[0].stage = \"imag\"",
        "did you mean \"image\"",
        "faults[1].kind = \"explode\"",
        "out_of_memory",
        "faults[2].actor = \"flux2\"",
        "expect.failed.nonsense",
    ] {
        assert!(found.contains(wanted), "{wanted:?} is not in:\n{found}");
    }
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for (text, wanted) in [
        ("about = \"x\"", "arrivals: nothing arrives"),
        ("about = \"x\"\n[[arrivals]]\nat = \"2h\"", "after the scenario's limit"),
        (
            "about = \"x\"\n[[arrivals]]\n[[faults]]\nkind = \"panic\"\nstage = \"image\"\nslot = 2",
            "only 1 slots arrive",
        ),
        (
            "about = \"x\"\n[[arrivals]]\n[[faults]]\nkind = \"panic\"\nstage = \"package\"",
            "no model runs there",
        ),
        ("about = \"x\"\n[[arrivals]]\n[device]\nstale_after = \"500ms\"", "device.sample_every"),
        ("about = \"x\"\n[[arrivals]]\n[models.flux]\nbudget = \"20GB\"", "device.hard_limit"),
        ("about = \"x\"\n[[arrivals]]\n[[faults]]\nkind = \"kill\"\nactor = \"flux\"\nat = \"3h\"", "limit"),
        (
            "about = \"x\"\n[[arrivals]]\n[device]\ncount = 2\n[[faults]]\nkind = \"keep\"\nmodel = \"flux\"\n\
             device = \"scripted:2\"",
            "faults[0].device = scripted:2: accepted: scripted:0, scripted:1",
        ),
        (
            "about = \"x\"\n[[arrivals]]\n[[faults]]\nkind = \"shutdown\"\nat = \"3s\"\ndevice = \"scripted\"",
            "the whole node is told",
        ),
        ("about = \"x\"\n[[arrivals]]\n[expect]\nrestarts = { \"gpu/flux\" = 1 }", "is not a device"),
        ("about = ", "not TOML"),
        ("arrivals = 3", "any number of [[arrivals]]"),
    ] {
        let found = problems(text).join("\n");
        assert!(found.contains(wanted), "{text:?}: {wanted:?} is not in:\n{found}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = text.parse::<Scenario>();
    }

    #[test]
    fn no_value_panics(key in "(limit|settle|seed|about|arrivals|faults|device|models|expect)", value in "(0|-1|1e400|\"\"|\"1s\"|\"99999999999h\"|\"-1s\"|\\[\\]|\\{\\}|true)") {
        let _ = format!("{key} = {value}\n").parse::<Scenario>();
    }
}
