//! How one number is written: with thousands or decimals behind commas, points or spaces.

use super::characters::GROUP;

/// A number as Misaki reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amount {
    /// Thousands parted by commas or not, decimals behind a point.
    pub(super) figures: String,
    /// The whole part, figures only; empty in `.5`.
    pub(super) whole: String,
    /// Behind the point.
    pub(super) decimals: Option<String>,
}

impl Amount {
    pub(super) fn is_one(&self) -> bool {
        self.whole == "1" && self.decimals.is_none()
    }

    /// As a count: four figures alone would be read as a year, which is right for whole hundreds only.
    pub(super) fn counted(&self) -> String {
        let is_year = self.figures.len() == 4 && digits(&self.figures) && !self.figures.ends_with("00");
        if is_year { cardinal(&self.whole) } else { self.figures.clone() }
    }
}

/// The number that `text` is, whole: `1,250.75`, `1.250,75`, `1,5`, `1,00,000`, `.5`.
pub(super) fn amount(text: &str) -> Option<Amount> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !text.ends_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let (whole, decimals) = match (text.rfind(','), text.rfind('.')) {
        (None, None) => (whole_of(text, ',')?, None),
        (Some(_), None) => match whole_of(text, ',') {
            Some(whole) => (whole, None),
            None => decimal(text, ',')?,
        },
        (None, Some(_)) => match decimal(text, '.') {
            Some(parts) => parts,
            None => (whole_of(text, '.')?, None),
        },
        (Some(comma), Some(point)) => {
            let (thousands, mark) = if comma < point { (',', point) } else { ('.', comma) };
            let decimals = text.get(mark + 1..).filter(|decimals| digits(decimals))?;
            // Behind the groups stands the other mark: one group is enough to tell.
            let whole = text[..mark].split(thousands).collect::<Vec<_>>().join(",");
            (whole_of(&whole, ',')?, Some(decimals.to_owned()))
        }
    };
    let grouped = text.contains(',')
        && !text.contains('.')
        && decimals.is_none()
        && text.find(',').is_some_and(|at| at < 4);
    let plain = if grouped || text.contains([',', '.']) && whole.len() > 3 {
        thousands(&whole)
    } else {
        whole.clone()
    };
    let figures = match &decimals {
        Some(decimals) => format!("{plain}.{decimals}"),
        None => plain,
    };
    // Figures without any mark stay as they are written: "1984" is a year, "007" no seven.
    let figures = if digits(text) || text.starts_with('.') { text.to_owned() } else { figures };
    Some(Amount { figures, whole, decimals })
}

/// Figures in groups of three, or as Indians group them, behind `mark`; none where the groups are others.
fn whole_of(text: &str, mark: char) -> Option<String> {
    let groups: Vec<&str> = text.split(mark).collect();
    if !groups.iter().all(|group| digits(group)) {
        return None;
    }
    let (first, others) = groups.split_first()?;
    let is_plain = others.is_empty();
    let in_threes = first.len() < 4 && *first != "0" && others.iter().all(|group| group.len() == 3);
    let indian = mark == ','
        && first.len() < 3
        && others.len() > 1
        && others.last().is_some_and(|last| last.len() == 3)
        && others[..others.len() - 1].iter().all(|group| group.len() == 2);
    let enough = mark == ',' || others.len() > 1 || is_plain;
    (is_plain || (in_threes && enough) || indian).then(|| groups.concat())
}

fn decimal(text: &str, mark: char) -> Option<(String, Option<String>)> {
    let (whole, decimals) = text.split_once(mark)?;
    let is_number = (whole.is_empty() && mark == '.' || digits(whole)) && digits(decimals);
    is_number.then(|| (whole.to_owned(), Some(decimals.to_owned())))
}

fn thousands(whole: &str) -> String {
    let mut grouped = String::new();
    for (place, figure) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(figure);
    }
    grouped
}

/// Groups of three figures parted by spaces become one number. An ordinary space parts such groups only where one of
/// them begins with a zero, as no number of its own does; other spaces stay.
pub(super) fn join_groups(text: &str) -> String {
    let is_space = |c: char| c == GROUP || c == ' ';
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        joined.push_str(before);
        let end = from.find(|c: char| !c.is_ascii_digit() && !is_space(c)).unwrap_or(from.len());
        let run = from[..end].trim_end_matches(is_space);
        let (run, after) = from.split_at(run.len());
        let groups: Vec<&str> = run.split(is_space).collect();
        let is_whole = !joined.ends_with(|c: char| {
            c.is_alphanumeric() || matches!(c, '+' | '.' | ',' | ':' | '/' | '-' | '(' | ')')
        }) && !after.starts_with(|c: char| c.is_alphabetic() || matches!(c, '-' | '/' | ':'));
        let is_told = !run.contains(' ') || groups.iter().skip(1).any(|group| group.starts_with('0'));
        let is_number = groups.len() > 1 && whole_of(&groups.join(","), ',').is_some();
        joined.push_str(&if is_number && is_whole && is_told {
            groups.join(",")
        } else {
            run.replace(GROUP, " ")
        });
        rest = after;
    }
    joined.push_str(rest);
    joined
}

/// A number that Misaki does not take for a year: four figures alone would be one.
pub(super) fn cardinal(whole: &str) -> String {
    match whole.len() {
        4 => format!("{},{}", &whole[..1], &whole[1..]),
        _ => whole.to_owned(),
    }
}

/// Whether it is figures and nothing else.
pub(super) fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Figure by figure.
pub(super) fn spaced(figures: &str) -> String {
    figures.chars().map(String::from).collect::<Vec<_>>().join(" ")
}

/// `1st`, `22nd`.
pub(super) fn ordinal(value: u32) -> String {
    let suffix = match (value % 10, value % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{value}{suffix}")
}
