//! Tokens of letters that are read as other words: abbreviations, Roman numerals, signs.

use super::Accent;
use super::amounts::ordinal;
use super::{Place, Reading, bare};

/// A token in words, by its neighbours; `None` where it is read as it stands.
pub(super) fn read(place: &Place<'_>) -> Option<Reading> {
    let (previous, core, tail, next) = (place.behind(1), place.core, place.tail, place.ahead(1));
    if let Some(words) = before_number(place).or_else(|| half_of_day(place)) {
        let stop_is_its_own = tail == "." && !words.ends_with('.');
        return Some(Reading { stop_is_its_own, ..Reading::words(words) });
    }
    if tail.starts_with('.')
        && let Some(words) = abbreviation(previous, core)
    {
        // A title's stop never ends a sentence; another's does where nothing or a capital follows.
        let title = TITLES.contains(&core) && words != "Street";
        let stop_is_its_own = title || tail.len() > 1 || next.starts_with(|c: char| !c.is_uppercase());
        return Some(Reading { stop_is_its_own, ..Reading::words(words.to_owned()) });
    }
    if core == "Mc" && tail.is_empty() && next.starts_with(char::is_uppercase) {
        return Some(Reading { takes: 1, ..Reading::words(format!("Mc{}", bare(next).1)) });
    }
    plain(previous, core, next).map(Reading::words)
}

/// `No. 5`, `p. 12`, `ca. 1850`: what an abbreviation before a number means.
fn before_number(place: &Place<'_>) -> Option<String> {
    let next = bare(place.ahead(1)).1;
    if !next.starts_with(|c: char| c.is_ascii_digit()) || !matches!(place.tail, "." | "") {
        return None;
    }
    let word = match (place.core, place.tail) {
        ("No" | "no" | "Nr", ".") => "number",
        ("Nos" | "nos", ".") => "numbers",
        ("p", ".") => "page",
        ("pp", ".") => "pages",
        ("ch" | "Ch", ".") => "chapter",
        ("c" | "ca", ".") => "circa",
        ("ext" | "Ext", ".") => "extension",
        ("§", _) => "section",
        ("±", _) => "plus or minus",
        ("≈" | "~", _) => "about",
        _ => return None,
    };
    Some(word.to_owned())
}

/// The half of the day behind a number; "Am" elsewhere is a name's and no abbreviation.
fn half_of_day(place: &Place<'_>) -> Option<String> {
    let before = bare(place.behind(1));
    let is_time = before.1.ends_with(|c: char| c.is_ascii_digit()) && before.2.is_empty();
    match place.core {
        "am" | "AM" | "Am" if is_time => Some("a.m.".to_owned()),
        "pm" | "PM" | "Pm" if is_time => Some("p.m.".to_owned()),
        "am" if before.1.starts_with(char::is_uppercase) && before.1 != "I" && before.2.is_empty() => {
            Some(verb(place.accent))
        }
        "Am" if !before.1.is_empty() && !before.2.contains(['.', '!', '?', ':']) => Some(verb(place.accent)),
        _ => None,
    }
}

/// Abbreviations that stand before a name.
const TITLES: [&str; 13] =
    ["St", "Mt", "Ft", "Prof", "Gen", "Col", "Sgt", "Capt", "Lt", "Gov", "Sen", "Rep", "Rev"];

fn plain(previous: &str, core: &str, next: &str) -> Option<String> {
    if let Some(words) = numeral(previous, core) {
        return Some(words);
    }
    if core.contains('_') && core.chars().any(char::is_alphanumeric) {
        return Some(core.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "));
    }
    // "mc²", "α-helix"
    for (sign, power) in [('²', "squared"), ('³', "cubed")] {
        if let Some(base) = core.strip_suffix(sign).filter(|base| base.ends_with(char::is_alphanumeric)) {
            return Some(format!("{base} {power}"));
        }
    }
    if let Some((letter, rest)) = core.split_once('-')
        && let Some(name) = greek(letter)
    {
        return Some(format!("{name} {rest}"));
    }
    if let Some(words) = sign(previous, core, next) {
        return Some(words.to_owned());
    }
    // "18+", "C++", "C#"
    let language = core.strip_suffix("++").map(|name| (name, "plus plus"));
    let language = language
        .or_else(|| core.strip_suffix('#').filter(|name| name.len() == 1).map(|name| (name, "sharp")));
    let language = language.or_else(|| core.strip_suffix('+').map(|name| (name, "plus")));
    if let Some((name, sign)) = language
        && !name.is_empty()
        && name.chars().all(char::is_alphanumeric)
    {
        return Some(format!("{name} {sign}"));
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

/// "am" as it is said where it is no half of the day. Misaki says the words that it knows its own way, whatever phonemes
/// stand beside them, so it is given another one.
fn verb(accent: Accent) -> String {
    match accent {
        Accent::American => "[Amm](/ˈæm/)",
        Accent::British => "[Amm](/ˈam/)",
    }
    .to_owned()
}

/// A sign that stands alone.
fn sign(previous: &str, core: &str, next: &str) -> Option<&'static str> {
    let number = |token: &str| bare(token).1.chars().any(|c| c.is_ascii_digit());
    let beside_number = number(previous) || number(next);
    Some(match core {
        ">" if beside_number => "is greater than",
        "<" if beside_number => "is less than",
        "≥" | ">=" => "is at least",
        "≤" | "<=" => "is at most",
        "≠" | "!=" => "is not equal to",
        "≈" | "~" if beside_number => "is about",
        "±" | "+/-" => "plus or minus",
        "×" => "times",
        "÷" => "divided by",
        "→" => "to",
        "∞" => "infinity",
        "√" => "the root of",
        _ => return greek(core),
    })
}

/// The name of a Greek letter that stands for something.
fn greek(letter: &str) -> Option<&'static str> {
    Some(match letter {
        "α" => "alpha",
        "β" => "beta",
        "γ" => "gamma",
        "δ" | "Δ" => "delta",
        "ε" => "epsilon",
        "θ" => "theta",
        "λ" => "lambda",
        "μ" => "mu",
        "π" => "pi",
        "σ" | "Σ" => "sigma",
        "φ" => "phi",
        "ω" | "Ω" => "omega",
        _ => return None,
    })
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
        "etc" | "Etc" | "ETC" => "et cetera",
        "esp" => "especially",
        "incl" => "including",
        "excl" => "excluding",
        "avg" => "average",
        "misc" => "miscellaneous",
        "tel" | "Tel" => "telephone",
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
        return Some(format!("the {}", ordinal(value)));
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
