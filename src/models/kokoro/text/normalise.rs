//! What Misaki would read wrongly or not at all, rewritten in words before it sees it.
//!
//! Misaki reads plain numbers, years, ordinals and decimals; times, money in tongues other than dollars, decades,
//! ranges, units, fractions and Roman numerals are words here. Pure text to text.

mod figures;
mod words;

/// `text` with invisible characters gone, accents folded, and every run of white space but line breaks one space.
pub fn normalise(text: &str) -> String {
    let lines = text.lines().map(line).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// A token in other words.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    words: String,
    /// Whether the token behind it went into the words.
    takes_next: bool,
    /// Whether the full stop behind it was the abbreviation's and not the sentence's.
    stop_is_its_own: bool,
}

impl Reading {
    fn words(words: String) -> Self {
        Self { words, takes_next: false, stop_is_its_own: false }
    }
}

fn line(text: &str) -> String {
    let text: String = text.chars().filter_map(visible).collect();
    let tokens: Vec<&str> = text.split_whitespace().collect();
    let mut spoken: Vec<String> = Vec::with_capacity(tokens.len());
    let mut place = 0;
    while let Some(token) = tokens.get(place) {
        let next = tokens.get(place + 1).copied().unwrap_or_default();
        let previous =
            place.checked_sub(1).and_then(|before| tokens.get(before)).copied().unwrap_or_default();
        // Brackets, quotes and stops around a token stay as they are.
        let (head, core, tail) = bare(token);
        let reading = figures::money(core, next)
            .or_else(|| figures::read(core).map(Reading::words))
            .or_else(|| words::read(previous, core, tail, next));
        match reading {
            None => spoken.push(folded(token)),
            Some(Reading { words, takes_next, stop_is_its_own }) => {
                // What stood around a token that went into the words stays.
                let tail = if takes_next { bare(next).2 } else { tail };
                let doubled = stop_is_its_own || words.ends_with('.');
                let tail = if doubled { tail.strip_prefix('.').unwrap_or(tail) } else { tail };
                spoken.push(format!("{head}{words}{tail}"));
                place += usize::from(takes_next);
            }
        }
        place += 1;
    }
    spoken.join(" ")
}

/// What stands around the word or figure in a token, and the word.
fn bare(token: &str) -> (&str, &str, &str) {
    const OPENING: [char; 9] = ['(', '[', '{', '"', '\'', '“', '‘', '«', '…'];
    const CLOSING: [char; 14] = [')', ']', '}', '"', '\'', '”', '’', '»', '.', ',', ';', ':', '!', '?'];
    let core = token.trim_start_matches(OPENING);
    let head = &token[..token.len() - core.len()];
    let inner = core.trim_end_matches(CLOSING).trim_end_matches('…');
    (head, inner, &core[inner.len()..])
}

/// Drops what is not seen; gives some signs the form that the dictionary knows.
fn visible(c: char) -> Option<char> {
    match c {
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => None,
        '\u{2010}' | '\u{2011}' => Some('-'),
        '\u{2212}' => Some('-'),
        c if c.is_control() => Some(' '),
        c => Some(c),
    }
}

/// Latin letters without their accents: the dictionaries have "cafe" and not "café".
fn folded(token: &str) -> String {
    let mut plain = String::with_capacity(token.len());
    for c in token.chars() {
        match c {
            'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' => plain.push('a'),
            'À' | 'Á' | 'Â' | 'Ã' | 'Ä' | 'Å' | 'Ā' => plain.push('A'),
            'ç' | 'č' | 'ć' => plain.push('c'),
            'Ç' | 'Č' | 'Ć' => plain.push('C'),
            'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ě' => plain.push('e'),
            'È' | 'É' | 'Ê' | 'Ë' | 'Ē' | 'Ě' => plain.push('E'),
            'ì' | 'í' | 'î' | 'ï' | 'ī' => plain.push('i'),
            'Ì' | 'Í' | 'Î' | 'Ï' | 'Ī' => plain.push('I'),
            'ñ' | 'ń' => plain.push('n'),
            'Ñ' | 'Ń' => plain.push('N'),
            'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' => plain.push('o'),
            'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ö' | 'Ø' | 'Ō' => plain.push('O'),
            'ù' | 'ú' | 'û' | 'ü' | 'ū' => plain.push('u'),
            'Ù' | 'Ú' | 'Û' | 'Ü' | 'Ū' => plain.push('U'),
            'ý' | 'ÿ' => plain.push('y'),
            'š' | 'ś' => plain.push('s'),
            'Š' | 'Ś' => plain.push('S'),
            'ž' | 'ź' | 'ż' => plain.push('z'),
            'Ž' | 'Ź' | 'Ż' => plain.push('Z'),
            'ł' => plain.push('l'),
            'Ł' => plain.push('L'),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            'ß' => plain.push_str("ss"),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests;
