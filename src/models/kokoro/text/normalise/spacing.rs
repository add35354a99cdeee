//! Marks that words are not parted from: dashes typed as hyphens, sentences and clauses without their space.

/// Ends behind which a point is an address's or a file's, in lower case, beside those of one capital: "ASP.NET".
const ENDS: [&str; 22] = [
    "com", "org", "net", "io", "ai", "js", "py", "md", "rs", "txt", "json", "html", "css", "pdf", "jpg",
    "png", "csv", "xml", "exe", "zip", "doc", "mp",
];

/// `line` with a space behind each mark that ends a clause, and dashes that are told from hyphens.
pub(super) fn parted(line: &str) -> String {
    if !line.contains(['-', '—', '–', ';', ',', '!', '?', '.', '…']) {
        return line.to_owned();
    }
    let words =
        line.split_whitespace().map(|token| if is_code(token) { token.to_owned() } else { word(token) });
    words.collect::<Vec<_>>().join(" ")
}

/// Addresses, paths and code keep their marks.
fn is_code(token: &str) -> bool {
    token.contains(['/', '\\', '@', '_'])
        || token.contains("()")
        || token.contains("&&")
        || token.contains("::")
}

fn word(token: &str) -> String {
    let chars: Vec<char> = token.chars().collect();
    let mut parted = String::with_capacity(token.len() + 4);
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let before = at.checked_sub(1).and_then(|place| chars.get(place)).copied();
        if c == '-' && chars.get(at + 1) == Some(&'-') {
            // Two hyphens or more are a dash, unless letters stand behind them only: "--force".
            let run = chars[at..].iter().take_while(|next| **next == '-').count();
            dash(&mut parted, before, chars.get(at + run).copied());
            at += run;
            continue;
        }
        let after = chars.get(at + 1).copied();
        match c {
            '—' => dash(&mut parted, before, after),
            '–' if before == Some('.') && after.is_some_and(|after| after.is_ascii_digit()) => {
                parted.push_str(" – ");
            }
            '-' if before == Some('.')
                && after.is_some_and(|after| after.is_ascii_digit())
                && (parted.ends_with("m.")) =>
            {
                parted.push_str(" – ");
            }
            _ => {
                parted.push(c);
                if clause_ends(c, before, after) || (c == '.' && sentence_ends(&chars, at)) {
                    parted.push(' ');
                }
            }
        }
        at += 1;
    }
    parted
}

/// A dash: as it is between letters, else apart, as Misaki loses it beside quotes and brackets.
fn dash(parted: &mut String, before: Option<char>, after: Option<char>) {
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    if inside(before) && inside(after) {
        parted.push('—');
        return;
    }
    if before.is_some() {
        parted.push(' ');
    }
    parted.push('—');
    if after.is_some() {
        parted.push(' ');
    }
}

/// Whether a mark between two characters ends a clause.
fn clause_ends(mark: char, before: Option<char>, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    match mark {
        ';' => after.is_alphabetic(),
        ',' => before.is_alphabetic() && after.is_alphabetic(),
        '!' | '?' => before.is_alphabetic() && after.is_alphabetic(),
        '…' => after.is_alphabetic(),
        _ => false,
    }
}

/// Whether the point at `at` ends a sentence whose space is missing: a word before it, a capitalised one behind it.
fn sentence_ends(chars: &[char], at: usize) -> bool {
    let start =
        chars[..at].iter().rposition(|c| matches!(c, ',' | ';' | '!' | '?')).map_or(0, |mark| mark + 1);
    let (before, behind) = (&chars[start..at], &chars[at + 1..]);
    let word = before.iter().rev().take_while(|c| c.is_alphabetic() || **c == '\'' || **c == '’').count();
    let is_word = word > 1 && before.last().is_some_and(|c| c.is_lowercase());
    let is_number = !before.is_empty() && before.iter().all(|c| c.is_ascii_digit());
    let next: String = behind.iter().take_while(|c| c.is_alphabetic()).collect();
    let begins = next.starts_with(char::is_uppercase)
        && (next.chars().skip(1).all(char::is_lowercase))
        && (next.len() > 1 || matches!(next.as_str(), "I" | "A"))
        && behind.get(next.chars().count()).is_none_or(|c| !c.is_ascii_digit());
    let is_single = before[..before.len() - word].iter().all(|c| !c.is_alphanumeric() && *c != '.');
    begins && (is_number || (is_word && is_single)) && !ENDS.contains(&next.to_lowercase().as_str())
}
