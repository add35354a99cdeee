//! Roman numerals, where a name or a word before them says that they are none of the words they look like.

use super::Place;
use super::amounts::ordinal;

/// Whose numbers are ordinals.
const RULERS: [&str; 34] = [
    "Albert",
    "Alexander",
    "Benedict",
    "Catherine",
    "Charles",
    "Christian",
    "Clement",
    "Constantine",
    "Edward",
    "Elizabeth",
    "Ferdinand",
    "Francis",
    "Frederick",
    "George",
    "Gregory",
    "Henry",
    "Innocent",
    "Ivan",
    "James",
    "John",
    "Leo",
    "Leopold",
    "Louis",
    "Margaret",
    "Mary",
    "Napoleon",
    "Nicholas",
    "Paul",
    "Peter",
    "Philip",
    "Pius",
    "Ramses",
    "Richard",
    "William",
];
/// Before the name of one, which makes even a single figure a numeral.
const RANKS: [&str; 12] = [
    "King", "Queen", "Pope", "Emperor", "Empress", "Tsar", "Czar", "Kaiser", "Sultan", "Prince", "Duke",
    "Pharaoh",
];
/// What is counted in cardinals.
const COUNTED: [&str; 30] = [
    "Act",
    "Apollo",
    "Appendix",
    "Article",
    "Bowl",
    "Book",
    "Chapter",
    "Class",
    "Division",
    "Episode",
    "Fantasy",
    "Gemini",
    "Godfather",
    "Grade",
    "Group",
    "Level",
    "Mark",
    "Mk",
    "MK",
    "Part",
    "Phase",
    "Rocky",
    "Scene",
    "Section",
    "Stage",
    "Title",
    "Type",
    "Volume",
    "War",
    "Wars",
];
/// Those of them that take a single I, V or X without being another word's neighbour.
const COUNTED_SINGLE: [&str; 13] = [
    "Act", "Appendix", "Article", "Chapter", "Episode", "Mark", "Part", "Phase", "Scene", "Section", "Type",
    "Volume", "War",
];

/// `Henry VIII`, `World War I`, `Super Bowl LVIII`, `the XIX century`, `WWII`.
pub(super) fn read(place: &Place<'_>) -> Option<String> {
    if place.core == "WWI" || place.core == "WWII" {
        return Some(format!("World War {}", place.core.len() - 2));
    }
    let value = value(place.core)?;
    let (before, next) = (place.behind(1), place.ahead(1));
    let is_single = place.core.len() == 1;
    if RULERS.contains(&before) {
        let is_ranked =
            RANKS.contains(&place.behind(2)) || place.behind(2) == "Paul" || place.behind(2) == "John";
        // "James I" of a sentence may go on with "think".
        let named = !is_single || is_ranked;
        return named.then(|| format!("the {}", ordinal(value)));
    }
    if matches!(next.trim_end_matches(['.', ',']), "century" | "centuries" | "dynasty") && !is_single {
        return Some(ordinal(value));
    }
    if is_single {
        // "Part I played" is no first part.
        let is_pronoun = place.core == "I"
            && place.tail.is_empty()
            && !matches!(before, "War" | "Act" | "Type" | "Phase")
            && next.starts_with(char::is_lowercase)
            && !matches!(next, "and" | "or" | "of" | "is" | "was" | "to" | "in" | "at" | "by" | "on");
        let is_numeral = matches!(place.core, "I" | "V" | "X") && COUNTED_SINGLE.contains(&before);
        return (is_numeral && !is_pronoun).then(|| value.to_string());
    }
    COUNTED.contains(&before).then(|| value.to_string())
}

/// The value of Roman figures, written as Romans write them.
fn value(figures: &str) -> Option<u32> {
    const STEPS: [(&str, u32); 13] = [
        ("M", 1000),
        ("CM", 900),
        ("D", 500),
        ("CD", 400),
        ("C", 100),
        ("XC", 90),
        ("L", 50),
        ("XL", 40),
        ("X", 10),
        ("IX", 9),
        ("V", 5),
        ("IV", 4),
        ("I", 1),
    ];
    if figures.is_empty() || figures.len() > 15 || !figures.bytes().all(|c| b"IVXLCDM".contains(&c)) {
        return None;
    }
    let (mut rest, mut sum) = (figures, 0);
    for (step, worth) in STEPS {
        while let Some(after) = rest.strip_prefix(step) {
            rest = after;
            sum += worth;
        }
    }
    // "IIII" and "VX" are no numerals.
    (canonical(sum, &STEPS) == figures).then_some(sum)
}

fn canonical(mut value: u32, steps: &[(&str, u32)]) -> String {
    let mut figures = String::new();
    for (step, worth) in steps {
        while value >= *worth {
            figures.push_str(step);
            value -= worth;
        }
    }
    figures
}
