//! What is written for a reader's eye or a machine and is no text: Markdown, tags, entities, marks for a pause.
//!
//! Words inside stay. Misaki's own marks, `[word](/phonemes/)` and `[word](+1)`, are kept as they are.

/// Names of tags that HTML and SSML know; others in angle brackets are text.
const TAGS: [&str; 46] = [
    "a",
    "abbr",
    "amazon:effect",
    "audio",
    "b",
    "big",
    "blockquote",
    "body",
    "code",
    "del",
    "div",
    "em",
    "emphasis",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "html",
    "i",
    "img",
    "ins",
    "kbd",
    "lang",
    "mark",
    "mstts:express-as",
    "ol",
    "phoneme",
    "pre",
    "prosody",
    "q",
    "s",
    "say-as",
    "small",
    "span",
    "speak",
    "strike",
    "strong",
    "sub",
    "sup",
    "u",
    "ul",
    "voice",
    "w",
];
/// Tags between which lines end.
const BLOCKS: [&str; 9] = ["br", "hr", "li", "p", "s", "td", "th", "tr", "table"];
/// Entities by name.
const ENTITIES: [(&str, &str); 14] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("hellip", "…"),
    ("mdash", "—"),
    ("ndash", "–"),
    ("rsquo", "’"),
    ("lsquo", "‘"),
    ("rdquo", "”"),
    ("ldquo", "“"),
    ("deg", "°"),
];

/// A text without its markup, and Misaki's marks in it, for which it holds one character each: see [`mark`].
pub(super) struct Unmarked {
    pub(super) text: String,
    pub(super) marks: Vec<String>,
}

/// The stand-in for the mark number `place`: characters that no text has.
fn mark(place: usize) -> Option<char> {
    char::from_u32(0xe000 + u32::try_from(place).ok()?).filter(|c| is_mark(*c))
}

fn is_mark(c: char) -> bool {
    ('\u{e000}'..='\u{f8ff}').contains(&c)
}

/// `text` without its markup.
pub(super) fn strip(text: &str) -> Unmarked {
    let text: String = text.chars().filter(|c| !is_mark(*c)).collect();
    let mut marks = Vec::new();
    let text = tags(&links(&text, &mut marks));
    let lines = text.lines().filter_map(line).map(|line| emphasis(&entities(&line)));
    Unmarked { text: lines.collect::<Vec<_>>().join("\n"), marks }
}

/// `text` with Misaki's marks back in their places.
pub(super) fn restore(text: &str, marks: &[String]) -> String {
    let mut whole = String::with_capacity(text.len());
    for c in text.chars() {
        let place = (u32::from(c)).checked_sub(0xe000).and_then(|place| marks.get(place as usize));
        match place.filter(|_| is_mark(c)) {
            Some(mark) => whole.push_str(mark),
            None => whole.push(c),
        }
    }
    whole
}

/// Markdown's links and pictures keep their words; pauses in brackets become a mark that is heard as one.
fn links(text: &str, marks: &mut Vec<String>) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['[', '(', '{']) {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        rest = match bracketed(from) {
            Some((inner, after)) if is_pause(inner, from.starts_with('(')) => {
                push_pause(&mut plain);
                after
            }
            Some((inner, after)) if from.starts_with('[') && inner.starts_with('^') => after,
            Some((label, after)) if from.starts_with('[') => match link_target(after) {
                Some((target, behind)) if after.starts_with('(') && is_override(target) => {
                    match mark(marks.len()) {
                        Some(stand_in) => {
                            plain.push(stand_in);
                            marks.push(format!("[{label}]({target})"));
                        }
                        None => plain.push_str(label),
                    }
                    behind
                }
                Some((_, behind)) => {
                    if plain.ends_with('!') {
                        plain.pop();
                    }
                    plain.push_str(&links(label, marks));
                    behind
                }
                None => one_char(from, &mut plain),
            },
            _ => one_char(from, &mut plain),
        };
    }
    plain.push_str(rest);
    plain
}

fn one_char<'a>(text: &'a str, plain: &mut String) -> &'a str {
    let mut chars = text.chars();
    plain.extend(chars.next());
    chars.as_str()
}

/// What stands in the bracket that `text` begins with, and what follows it.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let open = text.chars().next()?;
    let close = match open {
        '[' => ']',
        '(' => ')',
        '{' => '}',
        _ => return None,
    };
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some((&text[1..at], &text[at + 1..]));
            }
        } else if c == '\n' {
            break;
        }
    }
    None
}

/// The target of a link whose label has just ended, and what follows it.
fn link_target(after: &str) -> Option<(&str, &str)> {
    if after.starts_with('(') {
        return bracketed(after).filter(|(target, _)| !target.trim().is_empty());
    }
    // `[label][reference]`
    after.starts_with('[').then(|| bracketed(after)).flatten().filter(|(target, _)| !target.contains(' '))
}

/// Whether a link's target is how Misaki is told to say a word: phonemes, a stress, or how a number is read.
fn is_override(target: &str) -> bool {
    let stress = target.trim_start_matches(['+', '-']);
    let is_stress =
        !stress.is_empty() && (stress == "0.5" || stress.bytes().all(|byte| byte.is_ascii_digit()));
    let between = |sign: char| target.strip_prefix(sign)?.strip_suffix(sign);
    // A path on a site has small ASCII letters only; phonemes have others, or are as short as "/hi/".
    let is_phonemes = between('/').is_some_and(|phonemes| {
        !phonemes.contains('/')
            && (phonemes.chars().any(|c| !c.is_ascii_lowercase() && c != '-') || phonemes.len() < 4)
    });
    is_stress || is_phonemes || between('#').is_some()
}

/// Whether a bracket holds nothing but the wish for a pause: `pause`, `pause:0.5s`, `2s pause`, `break time="1s"`.
fn is_pause(inner: &str, is_round: bool) -> bool {
    let lower = inner.trim_matches(['[', ']', '{', '}', '#', '/', ' ']).to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric() && c != '.').filter(|word| !word.is_empty());
    let (mut asked, mut timed) = (false, false);
    for word in words {
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        match unit {
            "pause" | "pauses" => asked = true,
            // In round brackets these are words that someone may say.
            "break" | "silence" | "slnc" | "beat" | "wait" | "sleep" | "delay"
                if !is_round && unit == word =>
            {
                asked |= unit != "wait" && unit != "sleep" && unit != "delay"
                    || timed
                    || inner.contains(|c: char| c.is_ascii_digit());
            }
            "short" | "long" | "medium" | "brief" | "small" | "dramatic" | "a" | "time" | "duration"
            | "length" | "for" | "strength" | "weak" | "strong" | "none"
                if unit == word => {}
            "" | "s" | "ms" | "sec" | "secs" | "second" | "seconds" | "milliseconds"
                if unit != word || timed =>
            {
                timed = true
            }
            _ => return false,
        }
    }
    asked
}

/// A pause: what is heard as one, unless the text makes one here anyway.
fn push_pause(plain: &mut String) {
    let before = plain.trim_end();
    let makes_one = before.is_empty() || before.ends_with(['.', ',', ';', ':', '!', '?', '…', '—', '\n']);
    if !makes_one {
        let length = before.len();
        plain.truncate(length);
        plain.push('…');
    }
    plain.push(' ');
}

/// Tags and comments go; those that end a line or ask for a pause leave it behind.
fn tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        if let Some((_, after)) = from.strip_prefix("<!--").and_then(|inner| inner.split_once("-->")) {
            rest = after;
            continue;
        }
        let Some((inner, after)) =
            from[1..].split_once('>').filter(|(inner, _)| !inner.contains(['<', '\n']))
        else {
            rest = one_char(from, &mut plain);
            continue;
        };
        let name = inner
            .trim_start_matches('/')
            .split([' ', '/', '=', '\t'])
            .next()
            .unwrap_or_default()
            .to_lowercase();
        rest = if inner.starts_with('#')
            || matches!(name.as_str(), "break" | "pause" | "silence")
            || is_pause(inner, false)
        {
            push_pause(&mut plain);
            after
        } else if BLOCKS.contains(&name.as_str()) && name != "s" {
            plain.push('\n');
            after
        } else if TAGS.contains(&name.as_str()) {
            after
        } else if inner.contains("://") || (inner.contains('@') && !inner.contains(' ')) {
            plain.push_str(inner);
            after
        } else {
            one_char(from, &mut plain)
        };
    }
    plain.push_str(rest);
    plain
}

/// A line without what Markdown begins it with; none where it is a rule, a fence or the head of a table.
fn line(text: &str) -> Option<String> {
    let mut rest = text.trim();
    let is_rule = rest.len() > 2
        && ["-", "*", "_", "="]
            .iter()
            .any(|sign| rest.replace(' ', "").trim_matches(|c| sign.contains(c)).is_empty());
    if is_rule || rest.starts_with("```") || rest.starts_with("~~~") {
        return None;
    }
    while let Some(quoted) = rest.strip_prefix("> ") {
        rest = quoted.trim_start();
    }
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if (1..=6).contains(&hashes) && rest[hashes..].starts_with(' ') {
        rest = rest[hashes..].trim_start().trim_end_matches('#').trim_end();
    }
    for bullet in ["- ", "* ", "+ ", "• ", "– ", "▪ ", "◦ ", "· ", "[ ] ", "[x] ", "[X] "] {
        rest = rest.strip_prefix(bullet).unwrap_or(rest).trim_start();
    }
    if rest.len() > 2 && rest.starts_with('|') && rest.ends_with('|') {
        let cells = rest.trim_matches('|').split('|').map(str::trim);
        if cells.clone().all(|cell| cell.trim_matches([':', '-', ' ']).is_empty()) {
            return None;
        }
        return Some(cells.collect::<Vec<_>>().join(", "));
    }
    Some(rest.to_owned())
}

/// `**`, `__`, `*`, `_`, `~~` and backquotes around words; a star between figures is a sign of its own.
fn emphasis(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut plain = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let run = chars[at..].iter().take_while(|next| **next == c).count();
        let before = at.checked_sub(1).and_then(|place| chars.get(place)).copied().unwrap_or(' ');
        let after = chars.get(at + run).copied().unwrap_or(' ');
        let is_inside = |is: fn(char) -> bool| is(before) && is(after);
        let goes = match c {
            '\\' => matches!(after, '*' | '_' | '`' | '#' | '[' | ']' | '~' | '\\') && run == 1,
            '*' => {
                !is_inside(|c| c.is_ascii_digit() || matches!(c, '(' | ')'))
                    && !is_inside(char::is_whitespace)
            }
            '_' => !is_inside(char::is_alphanumeric) && !is_inside(char::is_whitespace),
            '`' => true,
            '~' => run > 1,
            _ => false,
        };
        if c == '`' && run == 1 && is_inside(char::is_alphabetic) {
            // Typed for an apostrophe.
            plain.push('\'');
            at += 1;
            continue;
        }
        if c == '\\' && goes {
            plain.push(after);
            at += 2;
            continue;
        }
        if !goes {
            plain.extend(std::iter::repeat_n(c, run));
        }
        at += run;
    }
    plain
}

fn entities(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        let entity = from[1..].split_once(';').and_then(|(name, after)| Some((entity(name)?, after)));
        rest = match entity {
            Some((written, after)) => {
                plain.push_str(&written);
                after
            }
            None => one_char(from, &mut plain),
        };
    }
    plain.push_str(rest);
    plain
}

fn entity(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?).filter(|c| !is_mark(*c)).map(String::from);
    }
    ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, written)| (*written).to_owned())
}

#[cfg(test)]
mod tests;
