//! From `VORTEX_…__…` variables to keys: which are settings, which are not ours, which look misspelt.

use super::origin::Origin;
use super::problem::Problem;
use super::tree::nearest_key;

/// What every variable of ours begins with.
pub const ENV_PREFIX: &str = "VORTEX_";

/// Variables of ours that are no settings: where configuration lies, and what the tests read.
const NOT_SETTINGS: [&str; 5] = ["CONFIG_DIR", "FIXTURES", "REQUIRE_TOOLS", "TOKEN", "URL"];

/// What a variable's name says.
pub(super) enum Meaning {
    /// A setting under this dotted key, known or not.
    Setting(String),
    /// Nothing to us.
    Nothing,
    /// Nothing, but so like a name of ours that it must be a slip.
    Slip(Problem),
}

/// The variable that sets `key`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// What the variable `name` with `value` means, where `known` are all keys.
///
/// With `__` in its name it can only be meant as a setting. Without, it may be somebody else's (Kubernetes announces a
/// service called `vortex` as `VORTEX_PORT`, `VORTEX_SERVICE_HOST`, …), so only a near miss is held against it.
pub(super) fn meaning(name: &str, value: &str, known: &[String]) -> Meaning {
    let Some(rest) = name.strip_prefix(ENV_PREFIX).filter(|rest| !NOT_SETTINGS.contains(rest)) else {
        return Meaning::Nothing;
    };
    let key = rest.to_lowercase().replace("__", ".");
    if rest.contains("__") || known.contains(&key) {
        return Meaning::Setting(key);
    }
    if rest.contains("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_") {
        return Meaning::Nothing;
    }
    let flat = |key: &str| key.replace('.', "_");
    // Stricter than the suggestion for a key that is wrong in any case: 0.9 is one slip in a word of eight.
    let like = |candidate: &str| strsim::jaro_winkler(&flat(candidate), &key);
    let others = NOT_SETTINGS.map(str::to_lowercase);
    let closest = known
        .iter()
        .chain(&others)
        .map(|candidate| (like(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.9)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match closest {
        None => Meaning::Nothing,
        Some((_, meant)) => {
            let origin = Origin::Environment { variable: name.to_owned() };
            let problem = Problem::of_value(&key, format!("{value:?}"), origin, "unknown setting");
            Meaning::Slip(problem.nearest(Some(variable_of(meant))))
        }
    }
}

/// The suggestion for an unknown key, written as its source would write it.
pub(super) fn suggestion(key: &str, origin: &Origin, known: &[String]) -> Option<String> {
    let meant = nearest_key(key, known)?;
    Some(match origin {
        Origin::Environment { .. } => variable_of(meant),
        _ => meant.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["profile", "device", "memory.soft_limit", "http.listen"].map(str::to_owned).to_vec()
    }

    fn slip(name: &str) -> Option<String> {
        match meaning(name, "x", &known()) {
            Meaning::Slip(problem) => problem.nearest,
            _ => None,
        }
    }

    #[test]
    fn one_underscore_instead_of_two_is_a_slip() {
        assert_eq!(slip("VORTEX_MEMORY_SOFT_LIMIT").as_deref(), Some("VORTEX_MEMORY__SOFT_LIMIT"));
        assert_eq!(slip("VORTEX_PROFIL").as_deref(), Some("VORTEX_PROFILE"));
        assert_eq!(slip("VORTEX_CONFIGDIR").as_deref(), Some("VORTEX_CONFIG_DIR"));
    }

    #[test]
    fn other_peoples_variables_are_left_alone() {
        for name in [
            "VORTEX_PORT",
            "VORTEX_PORT_9100_TCP_ADDR",
            "VORTEX_SERVICE_HOST",
            "VORTEX_SERVICE_PORT_HTTP",
            "VORTEX_FIXTURES",
            "VORTEX_PYTHON",
            "VORTEX_BUILD_ID",
            "HOME",
        ] {
            assert!(matches!(meaning(name, "x", &known()), Meaning::Nothing), "{name}");
        }
    }

    #[test]
    fn keys_and_variables_are_each_others_inverse() {
        for key in known() {
            let variable = variable_of(&key);
            assert!(matches!(meaning(&variable, "x", &known()), Meaning::Setting(back) if back == key));
        }
    }
}
