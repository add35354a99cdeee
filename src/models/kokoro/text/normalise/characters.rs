//! Characters in the form that the dictionaries know: Unicode's compatibility forms undone, accents gone.
//!
//! Not all of NFKC: an ellipsis stays one sign, and figures that stand high or low keep their meaning.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::super::accents;

/// Small capitals, which Unicode does not relate to the letters that they show.
const SMALL_CAPITALS: &str = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡxʏᴢ";

/// `text` as the dictionaries write it: Latin letters plain, quotes and dashes those of English, nothing invisible.
pub(super) fn plain(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        replaced(c, chars.peek().copied(), &mut written);
    }
    without_accents(&written)
}

/// Appends what `c`, before `next`, is written as.
fn replaced(c: char, next: Option<char>, written: &mut String) {
    let before = written.chars().next_back();
    match c {
        '\n' => written.push('\n'),
        // Misaki hears other brackets than these wrongly.
        '[' | '{' => written.push('('),
        ']' | '}' => written.push(')'),
        c if c.is_ascii() && !c.is_ascii_control() => written.push(c),
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => {}
        // Variation selectors and the key around a figure.
        '\u{fe00}'..='\u{fe0f}' | '\u{20e3}' | '\u{e0000}'..='\u{e007f}' => {}
        '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{b}' | '\u{c}' => written.push('\n'),
        // A space between figures keeps their groups of three together.
        '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' => written.push(match (before, next) {
            (Some('0'..='9'), Some('0'..='9')) => GROUP,
            _ => ' ',
        }),
        c if c.is_control() => written.push(' '),
        // The okina of Hawaiian names is heard as a break at most.
        '\u{2bb}' if next.is_some_and(char::is_alphabetic) => {}
        '\u{2b9}'
        | '\u{2bb}'..='\u{2bd}'
        | '\u{2c8}'
        | '\u{2032}'
        | '\u{b4}'
        | '\u{201b}'
        | '\u{55a}'
        | '\u{a78c}'
        | '\u{1fbd}'
        | '\u{1fbf}'
        | '\u{ff07}' => written.push('\''),
        '\u{2033}' | '\u{2036}' | '\u{ff02}' | '\u{2ba}' | '\u{2ee}' => written.push('"'),
        '«' | '„' | '‟' | '〝' | '《' | '「' | '『' => written.push('“'),
        '»' | '〞' | '〟' | '》' | '」' | '』' => written.push('”'),
        '‹' | '〈' => written.push('‘'),
        '›' | '〉' => written.push('’'),
        '\u{2010}' | '\u{2011}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}' => written.push('-'),
        '\u{2012}' => written.push('–'),
        '\u{2015}' | '\u{2e3a}' | '\u{fe58}' => written.push('—'),
        '\u{2044}' | '\u{2215}' => written.push('/'),
        '⁰' | '¹' | '²' | '³' | '⁴'..='⁹' if is_raised(written) => written.push_str(&compatible(c)),
        '²' | '³' | '…' | '‥' | '¨' | '¯' | '¸' | '˘' | '˙' | '˜' => written.push(c),
        'º' | '˚' if before.is_some_and(|before| before.is_ascii_digit()) => written.push('°'),
        '™' | '®' | '℠' => {}
        '©' => written.push_str(" copyright "),
        '№' => written.push_str("number "),
        'µ' => written.push('μ'),
        '∆' => written.push('Δ'),
        '∑' => written.push('Σ'),
        // Exponents but squares and cubes, which are read by their signs.
        '⁰' | '¹' | '⁴'..='⁹' | '⁻'
            if before.is_some_and(|before| before.is_ascii_digit()) && !is_raised(written) =>
        {
            written.push('^');
            written.push_str(&compatible(c).replace('−', "-"));
        }
        '。' | '｡' => written.push_str(". "),
        '、' => written.push_str(", "),
        c if is_fraction(c) => {
            if before.is_some_and(|before| before.is_ascii_digit()) {
                written.push(' ');
            }
            written.extend(c.nfkd().map(|part| if part == '\u{2044}' { '/' } else { part }));
        }
        '\u{1f150}'..='\u{1f169}' => written.push(letter(c, '\u{1f150}')),
        '\u{1f170}'..='\u{1f189}' => written.push(letter(c, '\u{1f170}')),
        c if is_pictograph(c) => {
            // A sign of its own, not a part of the word beside it.
            if before.is_some_and(|before| !before.is_whitespace()) {
                written.push(' ');
            }
            written.push(c);
            if next.is_some_and(|next| !next.is_whitespace() && next != '\u{200d}') {
                written.push(' ');
            }
        }
        c => match SMALL_CAPITALS.chars().position(|small| small == c) {
            Some(place) if !c.is_ascii() => written.push(char::from(b'a' + u8::try_from(place).unwrap_or(0))),
            _ => written.push_str(&compatible(c)),
        },
    }
}

/// Whether an exponent has begun and not ended.
fn is_raised(written: &str) -> bool {
    let figures = written.trim_end_matches(|c: char| c.is_ascii_digit());
    figures.ends_with('^') || figures.ends_with("^-")
}

/// Between figures where a space stood that does not part them.
pub(super) const GROUP: char = '\u{a0}';

fn letter(c: char, first: char) -> char {
    char::from_u32(u32::from(c) - u32::from(first) + u32::from('A')).unwrap_or(c)
}

/// `½` and its kind.
fn is_fraction(c: char) -> bool {
    !c.is_ascii() && c.nfkd().any(|part| part == '\u{2044}')
}

/// Whether `c` is a picture or an ornament: emoji, arrows, boxes, dingbats.
pub(super) fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2500}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}'
        | '\u{1f000}'..='\u{1f12f}' | '\u{1f18a}'..='\u{1faff}')
}

/// The compatibility form, where it is one of plain letters, figures and signs: full-width, styled, joined ones.
fn compatible(c: char) -> String {
    let form: String = c.nfkd().collect();
    let is_plain = form.chars().all(|part| part.is_ascii_graphic() || part == '°' || is_combining_mark(part));
    if is_plain { form } else { c.to_string() }
}

/// Latin letters without their accents, but in words that are told by them; all others whole.
fn without_accents(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let composed: String = text.nfc().collect();
    let mut plain = String::with_capacity(composed.len());
    let mut rest = composed.as_str();
    let is_part = |c: char| c.is_alphabetic() || is_combining_mark(c) || matches!(c, '\'' | '’');
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        let (between, behind) = after.split_at(after.find(is_part).unwrap_or(after.len()));
        if accents::is_kept(word.trim_start_matches(['\'', '’'])) {
            plain.push_str(word);
        } else {
            fold(word, &mut plain);
        }
        fold(between, &mut plain);
        rest = behind;
    }
    plain
}

/// Appends `text` with its Latin letters plain. A last é is kept: it is heard where an e is not.
fn fold(text: &str, plain: &mut String) {
    let ends = ["é", "és", "ée", "ées", "é's", "é’s"];
    let last = ends.iter().find_map(|end| text.strip_suffix(end)).filter(|stem| {
        stem.chars().count() > 1 && stem.chars().all(|c| c.is_ascii_alphabetic() || accents::is_latin(c))
    });
    let stem = last.unwrap_or(text);
    let mut letters = String::with_capacity(stem.len());
    let mut on_latin = false;
    for c in stem.nfd() {
        if is_combining_mark(c) {
            if !on_latin {
                letters.push(c);
            }
            continue;
        }
        on_latin = c.is_ascii_alphanumeric();
        match latin(c) {
            Some(written) => {
                on_latin = true;
                letters.push_str(written);
            }
            None => letters.push(c),
        }
    }
    plain.extend(letters.nfc());
    plain.push_str(&text[stem.len()..]);
}

/// Latin letters that are no letter with an accent to Unicode.
fn latin(c: char) -> Option<&'static str> {
    Some(match c {
        'æ' => "ae",
        'Æ' => "Ae",
        'œ' => "oe",
        'Œ' => "Oe",
        'ß' => "ss",
        'ẞ' => "SS",
        'ø' => "o",
        'Ø' => "O",
        'ł' | 'ŀ' => "l",
        'Ł' | 'Ŀ' => "L",
        'đ' | 'ð' | 'ɗ' => "d",
        'Đ' | 'Ð' | 'Ɗ' => "D",
        'þ' => "th",
        'Þ' => "Th",
        'ħ' => "h",
        'Ħ' => "H",
        'ı' => "i",
        'ŋ' => "ng",
        'Ŋ' => "Ng",
        'ŧ' => "t",
        'Ŧ' => "T",
        'ĸ' | 'ƙ' => "k",
        'ɓ' => "b",
        'ƒ' => "f",
        'ə' => "a",
        'Ə' => "A",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_out_plain_however_they_are_written() {
        for (text, expected) in [
            ("cafe\u{301} re\u{301}sume\u{301} Zu\u{308}rich", "café résumé Zürich"),
            (
                "Dvořák, Erdoğan, Nguyễn, Łódź, Þór, Đặng, İzmir, ığdır",
                "Dvorak, Erdoğan, Nguyen, Lodz, Thor, Dang, Izmir, igdir",
            ),
            (
                "ﬁne oﬃce ﬂow, Ｈｅｌｌｏ！ 𝗛𝗲𝗹𝗹𝗼 𝒲𝑜𝓇𝓁𝒹 ⓗⓘ ʜᴇʟʟᴏ 🅷🅸",
                "fine office flow, Hello! Hello World hi hello HI",
            ),
            ("Itʼs don＇t can´t Hawaiʻi 6′2″", "It's don't can't Hawaii 6'2\""),
            ("«Bonjour» „Tag‟ 「hi」 ‹a›", "“Bonjour” “Tag“ “hi” ‘a’"),
            ("2½ ½ ⅞ 1⁄2", "2 1/2 1/2 7/8 1/2"),
            ("m² 10³ 20º 25℃ Acme™ №5 Ⅷ 1️⃣ 1ˢᵗ H₂O", "m² 10³ 20° 25°C Acme number 5 VIII 1 1st H2O"),
            ("h̶e̶l̶l̶o̶ a\u{200d}b\u{ad}c", "hello abc"),
            ("great😊. ok👍🏽", "great 😊 . ok 👍 🏽"),
            ("–—−‐", "–—--"),
            // Other scripts are left whole.
            ("й 日本 각 ά", "й 日本 각 ά"),
            ("10\u{a0}000 5\u{a0}kg", "10\u{a0}000 5 kg"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
