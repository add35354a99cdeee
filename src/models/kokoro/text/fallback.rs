//! Words that no dictionary has: said as their spelling suggests, or letter by letter.

use std::sync::{Arc, Mutex, PoisonError};

use misaki_rs::Fallback;
use misaki_rs::fallback::FallbackError;

use super::Accent;
use super::guess::guess;

/// Which words no dictionary had, in order, each once; shared with the [`Speller`] inside the G2P.
#[derive(Clone, Debug, Default)]
pub struct Unknown(Arc<Mutex<Words>>);

/// What became of unknown words.
#[derive(Debug, Default)]
pub struct Words {
    /// Said as their spelling suggests.
    pub guessed: Vec<String>,
    /// Said letter by letter.
    pub spelled: Vec<String>,
}

impl Unknown {
    /// What came up since the last time.
    pub fn take(&self) -> Words {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, word: &str, into: impl Fn(&mut Words) -> &mut Vec<String>) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let list = into(&mut words);
        if !list.iter().any(|noted| noted == word) {
            list.push(word.to_owned());
        }
    }
}

/// Misaki's way out for unknown words.
#[derive(Debug)]
pub struct Speller {
    accent: Accent,
    unknown: Unknown,
}

impl Speller {
    /// Notes what it meets in `unknown`.
    pub fn new(accent: Accent, unknown: Unknown) -> Self {
        Self { accent, unknown }
    }
}

impl Fallback for Speller {
    fn phonemize(&self, word: &str) -> Result<String, FallbackError> {
        if let Some(phonemes) = guess(word, self.accent) {
            self.unknown.note(word, |words| &mut words.guessed);
            return Ok(phonemes);
        }
        let names: Vec<&str> =
            word.chars().filter_map(|letter| name_of(plain(letter)?, self.accent)).collect();
        if !names.is_empty() {
            self.unknown.note(word, |words| &mut words.spelled);
        }
        Ok(names.join(" "))
    }
}

/// The letter without its accent, in lower case; `None` for what is no Latin letter or digit.
fn plain(letter: char) -> Option<char> {
    let letter = letter.to_lowercase().next()?;
    Some(match letter {
        'a'..='z' | '0'..='9' => letter,
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' | 'æ' => 'a',
        'ç' | 'ć' | 'č' | 'ĉ' | 'ċ' => 'c',
        'ď' | 'đ' | 'ð' => 'd',
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => 'e',
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => 'g',
        'ĥ' | 'ħ' => 'h',
        'ì' | 'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => 'i',
        'ĵ' => 'j',
        'ķ' => 'k',
        'ĺ' | 'ļ' | 'ľ' | 'ł' => 'l',
        'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'œ' => 'o',
        'ŕ' | 'ŗ' | 'ř' => 'r',
        'ś' | 'ŝ' | 'ş' | 'š' | 'ß' | 'ș' => 's',
        'ţ' | 'ť' | 'ŧ' | 'ț' | 'þ' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => 'u',
        'ŵ' => 'w',
        'ý' | 'ÿ' | 'ŷ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        _ => return None,
    })
}

/// The name of a letter or digit in Kokoro's alphabet.
fn name_of(letter: char, accent: Accent) -> Option<&'static str> {
    let american = accent == Accent::American;
    Some(match letter {
        'a' => "ˈA",
        'b' => "bˈi",
        'c' => "sˈi",
        'd' => "dˈi",
        'e' => "ˈi",
        'f' => "ˈɛf",
        'g' => "ʤˈi",
        'h' => "ˈAʧ",
        'i' => "ˈI",
        'j' => "ʤˈA",
        'k' => "kˈA",
        'l' => "ˈɛl",
        'm' => "ˈɛm",
        'n' => "ˈɛn",
        'o' if american => "ˈO",
        'o' => "ˈQ",
        'p' => "pˈi",
        'q' => "kjˈu",
        'r' if american => "ˈɑɹ",
        'r' => "ˈɑː",
        's' => "ˈɛs",
        't' => "tˈi",
        'u' => "jˈu",
        'v' => "vˈi",
        'w' => "dˈʌbᵊlju",
        'x' => "ˈɛks",
        'y' => "wˈI",
        'z' if american => "zˈi",
        'z' => "zˈɛd",
        '0' if american => "zˈɪɹO",
        '0' => "zˈɪəɹQ",
        '1' => "wˈʌn",
        '2' => "tˈu",
        '3' => "θɹˈi",
        '4' if american => "fˈɔɹ",
        '4' => "fˈɔː",
        '5' => "fˈIv",
        '6' => "sˈɪks",
        '7' => "sˈɛvən",
        '8' => "ˈAt",
        '9' => "nˈIn",
        _ => return None,
    })
}
