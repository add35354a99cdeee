//! Tokens of letters that are read as other words: abbreviations, Roman numerals, signs, addresses on the net.

use super::Reading;

/// `core` (which `tail` follows) in words, by its neighbours; `None` where it is read as it stands.
pub(super) fn read(previous: &str, core: &str, tail: &str, next: &str) -> Option<Reading> {
    if tail.starts_with('.')
        && let Some(words) = abbreviation(previous, core)
    {
        // A title's stop never ends a sentence; another's does where nothing or a capital follows.
        let title = TITLES.contains(&core) && words != "Street";
        let stop_is_its_own = title || tail.len() > 1 || next.starts_with(|c: char| !c.is_uppercase());
        return Some(Reading { stop_is_its_own, ..Reading::words(words.to_owned()) });
    }
    plain(previous, core, next).map(Reading::words)
}

/// Abbreviations that stand before a name.
const TITLES: [&str; 13] =
    ["St", "Mt", "Ft", "Prof", "Gen", "Col", "Sgt", "Capt", "Lt", "Gov", "Sen", "Rep", "Rev"];

fn plain(previous: &str, core: &str, next: &str) -> Option<String> {
    if core.contains("://") || core.starts_with("www.") {
        return Some(address(core));
    }
    if let Some(words) = numeral(previous, core) {
        return Some(words);
    }
    Some(
        match core {
            "&" => "and",
            "@" => "at",
            "+" => "plus",
            "=" => "equals",
            "%" => "percent",
            "°C" => "degrees Celsius",
            "°F" => "degrees Fahrenheit",
            "km/h" => "kilometers per hour",
            "mph" => "miles per hour",
            "w/" => "with",
            "w/o" => "without",
            "vs" => "versus",
            "-" if !next.is_empty() && !previous.is_empty() => "—",
            _ => return None,
        }
        .to_owned(),
    )
}

/// With a full stop behind it. Those that Misaki knows are left to it.
fn abbreviation(previous: &str, core: &str) -> Option<&'static str> {
    let after_name = previous.starts_with(char::is_uppercase) && !previous.ends_with(['.', '!', '?']);
    Some(match core {
        "St" if after_name => "Street",
        "St" => "Saint",
        "Mt" => "Mount",
        "Ft" => "Fort",
        "Ave" => "Avenue",
        "Blvd" => "Boulevard",
        "Rd" => "Road",
        "Jr" => "Junior",
        "Sr" => "Senior",
        "Prof" => "Professor",
        "Gen" => "General",
        "Col" => "Colonel",
        "Sgt" => "Sergeant",
        "Capt" => "Captain",
        "Lt" => "Lieutenant",
        "Gov" => "Governor",
        "Sen" => "Senator",
        "Rep" => "Representative",
        "Rev" => "Reverend",
        "Inc" => "Incorporated",
        "Ltd" => "Limited",
        "Corp" => "Corporation",
        "Co" => "Company",
        "Dept" | "dept" => "department",
        "approx" => "approximately",
        "est" => "established",
        "vs" => "versus",
        "etc" => "et cetera",
        "Fig" | "fig" => "figure",
        "Vol" | "vol" => "volume",
        _ => return None,
    })
}

/// Two or more Roman figures behind a name that is counted in them: a ruler's are ordinals, others' cardinals.
fn numeral(previous: &str, core: &str) -> Option<String> {
    const RULERS: [&str; 26] = [
        "Alexander",
        "Benedict",
        "Catherine",
        "Charles",
        "Edward",
        "Elizabeth",
        "Ferdinand",
        "Francis",
        "Frederick",
        "George",
        "Gregory",
        "Henry",
        "Innocent",
        "James",
        "John",
        "Leo",
        "Louis",
        "Napoleon",
        "Nicholas",
        "Paul",
        "Peter",
        "Philip",
        "Pius",
        "Richard",
        "Victor",
        "William",
    ];
    const COUNTED: [&str; 14] = [
        "War", "Chapter", "Part", "Act", "Volume", "Book", "Section", "Phase", "Type", "Mark", "Bowl",
        "Apollo", "Class", "Level",
    ];
    let value = roman(core)?;
    if RULERS.contains(&previous) {
        return Some(format!("the {value}{}", suffix(value)));
    }
    COUNTED.contains(&previous).then(|| value.to_string())
}

/// The value of at least two Roman figures up to XXXIX.
fn roman(figures: &str) -> Option<u32> {
    const UNITS: [&str; 10] = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"];
    if figures.len() < 2 {
        return None;
    }
    (0..4u32).find_map(|tens| {
        let rest = figures.strip_prefix("X".repeat(tens as usize).as_str())?;
        UNITS.iter().position(|unit| *unit == rest).map(|units| 10 * tens + units as u32)
    })
}

fn suffix(value: u32) -> &'static str {
    match (value % 10, value % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

/// An address without its scheme, its signs in words.
fn address(core: &str) -> String {
    let rest = core.split_once("://").map_or(core, |(_, rest)| rest);
    let mut words = String::new();
    for c in rest.trim_end_matches('/').chars() {
        match c {
            '.' => words.push_str(" dot "),
            '/' => words.push_str(" slash "),
            '-' => words.push_str(" dash "),
            '?' | '&' | '=' | '#' | '_' | '%' | ':' => words.push(' '),
            c => words.push(c),
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
