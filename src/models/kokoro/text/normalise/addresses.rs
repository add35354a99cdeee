//! Addresses that are spoken sign by sign: the net's, telephone numbers, versions, files.

use super::amounts::{digits, spaced};
use super::{Place, Reading};

/// Ends of names of hosts that no English word is.
const DOMAINS: [&str; 50] = [
    "com", "org", "net", "edu", "gov", "mil", "info", "biz", "dev", "app", "io", "ai", "co", "uk", "de",
    "fr", "eu", "ca", "au", "jp", "cn", "ru", "br", "nl", "se", "dk", "fi", "pl", "es", "pt", "ch", "cz",
    "gr", "ie", "nz", "kr", "za", "mx", "tv", "fm", "gg", "ly", "xyz", "tech", "cloud", "shop", "blog",
    "wiki", "online", "site",
];
/// Ends of names of files.
const FILES: [&str; 40] = [
    "txt", "md", "json", "yaml", "yml", "toml", "html", "htm", "css", "js", "ts", "jsx", "tsx", "py", "rs",
    "rb", "cpp", "java", "sh", "xml", "csv", "pdf", "png", "jpg", "jpeg", "gif", "svg", "mp3", "mp4", "wav",
    "mov", "zip", "gz", "exe", "doc", "docx", "xls", "xlsx", "ppt", "pptx",
];
/// Short ends that are said as words and not letter by letter.
const WORDS: [&str; 18] = [
    "com", "net", "org", "gov", "dev", "app", "info", "co", "me", "json", "toml", "java", "zip", "wav",
    "doc", "wiki", "shop", "site",
];

/// An address on the net, a version or a file.
pub(super) fn read(place: &Place<'_>) -> Option<Reading> {
    let core = place.core.strip_prefix("mailto:").unwrap_or(place.core);
    telephone(place).or_else(|| {
        let words = if let Some(words) = tagged(core).or_else(|| path(place)) {
            words
        } else if core.contains("://") || core.starts_with("www.") {
            address(core)
        } else {
            mail(core).or_else(|| internet(core)).or_else(|| version(place)).or_else(|| host(core))?
        };
        Some(Reading::words(words))
    })
}

/// `#ThrowbackThursday`, in its words.
fn tagged(core: &str) -> Option<String> {
    let tag = core.strip_prefix('#')?;
    let is_number = tag.starts_with(|c: char| c.is_ascii_digit()) && tag.contains('-');
    if !tag.chars().any(char::is_alphabetic)
        || is_number
        || !tag.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '\'' | '’'))
    {
        return None;
    }
    let mut words = "hashtag ".to_owned();
    let mut last = ' ';
    for c in tag.chars() {
        let turns = (last.is_lowercase() && c.is_uppercase()) || (last.is_ascii_digit() && c.is_uppercase());
        if c == '_' || turns || (last.is_ascii_digit() && c.is_alphabetic()) {
            words.push(' ');
        }
        if c != '_' {
            words.push(c);
        }
        last = c;
    }
    Some(words)
}

/// `/usr/local/bin`, `C:\\Users\\me`, `.NET`: paths, and names that begin with their dot.
fn path(place: &Place<'_>) -> Option<String> {
    let core = place.core;
    let drive = core.get(1..3) == Some(":\\");
    let is_path = drive
        || ["~/", "./", "../"].iter().any(|start| core.starts_with(start))
        || (core.starts_with('/') && core.matches('/').count() > 1);
    if is_path {
        let mut words = String::with_capacity(2 * core.len());
        for c in core.chars() {
            words.push_str(match c {
                '/' => " slash ",
                '\\' => " backslash ",
                ':' => " colon ",
                '.' => " dot ",
                '-' => " dash ",
                '_' => " underscore ",
                '~' => " tilde ",
                _ => {
                    words.push(c);
                    continue;
                }
            });
        }
        return Some(words.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let name = core.strip_prefix('.')?;
    let is_name = name.len() > 1 && name.chars().all(|c| c.is_ascii_alphabetic());
    is_name.then(|| format!("dot {}", if name == "NET" { "net" } else { name }))
}

/// A web address without its scheme, its signs in words.
fn address(core: &str) -> String {
    let rest = core.split_once("://").map_or(core, |(_, rest)| rest);
    let rest = rest.trim_end_matches('/');
    let (name, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (host, port) = name.split_once(':').filter(|(_, port)| digits(port)).unwrap_or((name, ""));
    let mut words = if let Some(words) = internet(name) {
        words
    } else if port.is_empty() {
        dotted(name)
    } else {
        format!("{} port {}", dotted(host), spaced(port))
    };
    for c in path.chars() {
        match c {
            '.' => words.push_str(" dot "),
            '/' => words.push_str(" slash "),
            '-' => words.push_str(" dash "),
            '?' | '&' | '=' | '#' | '_' | '%' | ':' | '~' | '+' => words.push(' '),
            c => words.push(c),
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The name of a host or file, its dots in words; ends that are no words in capitals, which are spelled.
fn dotted(name: &str) -> String {
    let labels: Vec<&str> = name.split('.').collect();
    let last = labels.len().saturating_sub(1);
    let said = labels.iter().enumerate().map(|(place, label)| {
        let spelled = place > 0
            && (place == last || label.len() < 4)
            && label.len() < 5
            && label.chars().all(|c| c.is_ascii_alphanumeric())
            && !WORDS.contains(label)
            && (DOMAINS.contains(label)
                || FILES.contains(&label.to_lowercase().as_str())
                || label.len() == 2);
        let label = if spelled || *label == "www" { label.to_uppercase() } else { (*label).to_owned() };
        label.replace('-', " dash ").replace('_', " underscore ").replace(':', " colon ")
    });
    said.collect::<Vec<_>>().join(" dot ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `john.doe@example.com`; `@name` as well.
fn mail(core: &str) -> Option<String> {
    let (user, name) = core.split_once('@')?;
    let allowed = |text: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '%'))
    };
    if name.is_empty() || !allowed(user) || !allowed(name) {
        return None;
    }
    let said = |text: &str| {
        let words = text
            .replace('.', " dot ")
            .replace('-', " dash ")
            .replace('_', " underscore ")
            .replace('+', " plus ");
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    Some(format!("{} at {}", said(user), dotted(name)).trim_start().to_owned())
}

/// `192.168.1.1`, with the port or the size of the network behind it.
fn internet(core: &str) -> Option<String> {
    let end = core.find([':', '/']).unwrap_or(core.len());
    let (address, behind) = core.split_at(end);
    let parts: Vec<&str> = address.split('.').collect();
    let fits = parts.len() == 4
        && parts
            .iter()
            .all(|part| digits(part) && part.len() < 4 && part.parse::<u32>().is_ok_and(|part| part < 256));
    let figures = behind.get(1..).unwrap_or_default();
    if !fits || !(behind.is_empty() || digits(figures)) {
        return None;
    }
    let words = parts.join(" dot ");
    Some(match behind.chars().next() {
        None => words,
        Some('/') => format!("{words} slash {figures}"),
        Some(_) => format!("{words} port {}", spaced(figures)),
    })
}

/// `2.0.1`, `v1.5`, `1.2.3-beta.1`; two parts only behind "version" or `v`.
fn version(place: &Place<'_>) -> Option<String> {
    let core = place.core;
    // A capital alone is an engine's: "V8".
    let is_known = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
    let small = core.strip_prefix('v').filter(is_known);
    let bare_core =
        small.or_else(|| core.strip_prefix('V').filter(is_known).filter(|rest| rest.contains('.')));
    let before = place.behind(1);
    let named =
        ["version", "versions", "release", "v", "ver.", "v."].contains(&before.to_lowercase().as_str());
    let text = bare_core.unwrap_or(core);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (numbers, suffix) = text.split_at(end);
    let (numbers, suffix) = match numbers.strip_suffix('.') {
        Some(numbers) => (numbers, text.get(numbers.len()..).unwrap_or_default()),
        None => (numbers, suffix),
    };
    let parts: Vec<&str> = numbers.split('.').collect();
    let enough = if bare_core.is_some() {
        parts.len() > 1 || suffix.is_empty()
    } else {
        parts.len() > 2 || (named && parts.len() > 1)
    };
    let in_threes =
        parts.len() > 2 && parts[1..].iter().all(|part| part.len() == 3) && bare_core.is_none() && !named;
    let is_suffix = suffix.is_empty()
        || suffix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+'))
            && suffix.len() < 16;
    if !enough || in_threes || !is_suffix || !parts.iter().all(|part| digits(part)) {
        return None;
    }
    let part =
        |part: &&str| if part.len() > 1 && part.starts_with('0') { spaced(part) } else { (*part).to_owned() };
    let mut words = parts.iter().map(part).collect::<Vec<_>>().join(" point ");
    if bare_core.is_some() && !named {
        words = format!("version {words}");
    }
    let mut last = '-';
    for c in suffix.chars() {
        let turns = last.is_ascii_digit() != c.is_ascii_digit();
        match c {
            '-' | '+' => words.push(' '),
            '.' if !words.ends_with(' ') => {
                words.push_str(if last.is_ascii_digit() { " point " } else { " " })
            }
            c => {
                if turns && !words.ends_with(' ') {
                    words.push(' ');
                }
                words.push(c);
            }
        }
        last = c;
    }
    Some(words.trim_end().to_owned())
}

/// `example.com/path`, `index.html`, `Node.js`.
fn host(core: &str) -> Option<String> {
    let (name, path) = core.split_at(core.find('/').unwrap_or(core.len()));
    let (name, port) = name.split_once(':').unwrap_or((name, ""));
    let labels: Vec<&str> = name.split('.').collect();
    let last = labels.last()?;
    let is_label = |label: &&str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let lower = last.to_lowercase();
    let last = &lower.as_str();
    let known = DOMAINS.contains(last) || (FILES.contains(last) && path.is_empty()) || *last == "localhost";
    // "end.Next" lacks a space; an address that is a word at its end needs its path to be known for one.
    let word_like =
        ["me", "it", "in", "is", "us", "to", "be", "so", "at", "no"].contains(last) && path.len() > 1;
    if labels.len() < 2
        || !labels.iter().all(is_label)
        || !(known || word_like)
        || !(port.is_empty() || digits(port))
    {
        return None;
    }
    let whole = if path.is_empty() { dotted(name) } else { address(&format!("{name}{path}")) };
    Some(if port.is_empty() { whole } else { format!("{whole} port {}", spaced(port)) })
}

/// Telephone numbers figure by figure, with a pause between groups: `555-0199`, `(555) 123-4567`, `+1 800 555 0199`,
/// `020 7946 0958`, `1-800-FLOWERS`.
fn telephone(place: &Place<'_>) -> Option<Reading> {
    // As many tokens as may belong to one.
    const MOST: usize = 7;
    let mut taken = Vec::new();
    for ahead in 0..MOST {
        let raw = place.ahead(ahead);
        let raw = raw.strip_prefix("tel:").unwrap_or(raw);
        let trimmed = raw.trim_end_matches(['.', ',', ';', ':', '!', '?', '"', '”', '\'', '’']);
        let is_part = trimmed.chars().any(|c| c.is_ascii_digit())
            && trimmed
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | '(' | ')' | '/' | '–'));
        if !is_part || (ahead > 0 && trimmed.starts_with('+')) {
            break;
        }
        taken.push(trimmed);
        if trimmed.len() < raw.len() {
            break;
        }
    }
    (1..=taken.len())
        .rev()
        .find_map(|count| {
            let last = place.ahead(count - 1);
            let last = last.strip_prefix("tel:").unwrap_or(last);
            let mut tail = &last[taken[count - 1].len()..];
            let mut parts: Vec<&str> = taken[..count].to_vec();
            let mut head = "";
            // A bracket around the whole number is no part of it.
            let joined = parts.concat();
            if joined.matches(')').count() > joined.matches('(').count() && joined.ends_with(')') {
                let inner = parts[count - 1].strip_suffix(')')?;
                tail = &last[inner.len()..];
                parts[count - 1] = inner;
            } else if joined.starts_with("(+") && !joined.contains(')') {
                parts[0] = parts[0].strip_prefix('(')?;
                head = "(";
            }
            let words = dialled(&parts.join(" "))?;
            Some(Reading { takes: count - 1, ..Reading::whole(head, &words, tail) })
        })
        .or_else(|| lettered(place.core).map(Reading::words))
}

/// The figures of a telephone number in groups; none where it is some other number.
fn dialled(text: &str) -> Option<String> {
    let international = text.starts_with('+');
    let groups: Vec<&str> =
        text.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    let total: usize = groups.iter().map(|group| group.len()).sum();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let area = text
        .trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-'))
        .starts_with('(');
    let hyphens = !text.contains([' ', '.', '(', '/', '–']);
    let dots = text.contains('.') && !text.contains([' ', '-', '(', '/', '–']);
    let spaces = !text.contains(['-', '.', '(', '/', '–']);
    let is_known = match lengths[..] {
        // Cards, and numbers of Americans.
        [4, 4, 4, 4] if hyphens || spaces => true,
        [3, 2, 4] if hyphens => true,
        [3, 1, 2, 6, 1] if hyphens && (text.starts_with("978") || text.starts_with("979")) => true,
        _ if international => (8..=15).contains(&total),
        _ if area => (9..=12).contains(&total) && groups.len() > 1 && text.contains(')'),
        [3, 4] | [1, 3, 3, 4] if hyphens => true,
        [3, 3, 4] => hyphens || dots || spaces,
        [1, 3, 3, 4] => dots || spaces && text.starts_with('1'),
        // Numbers with the zero that leads out of town.
        [first, ..] if spaces && text.starts_with('0') => {
            groups.len() > 1 && (3..=5).contains(&first) && (9..=11).contains(&total)
        }
        _ => false,
    };
    if !is_known {
        return None;
    }
    let said = groups.iter().map(|group| spaced(group)).collect::<Vec<_>>().join(", ");
    Some(if international { format!("plus {said}") } else { said })
}

/// `1-800-FLOWERS`: figures, then a word to dial.
fn lettered(core: &str) -> Option<String> {
    let (figures, word) = core.rsplit_once('-')?;
    let groups: Vec<&str> = figures.split('-').collect();
    let is_free = matches!(groups[..], ["1", area] if area.len() == 3 && digits(area))
        || matches!(groups[..], [area] if area.len() == 3 && area.starts_with('8') && digits(area));
    let dials = word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase());
    (is_free && dials).then(|| {
        let said = groups.iter().map(|group| spaced(group)).collect::<Vec<_>>().join(", ");
        format!("{said}, {}", word.to_lowercase())
    })
}
