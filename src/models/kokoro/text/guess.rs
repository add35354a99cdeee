//! How an unknown word is probably said, by English spelling: names, mostly, which dictionaries never have all of.
//!
//! A few dozen rules, the longest spelling first; stress falls on the first syllable. Words that no English reader would
//! try (no vowel, five consonants in a row, capitals only) are left to be spelled.

use super::Accent;

/// Spellings and their sounds wherever they stand; vowels are handled apart, since they depend on the stress.
const CONSONANTS: [(&str, &str); 40] = [
    ("tch", "ʧ"),
    ("sch", "ʃ"),
    ("ch", "ʧ"),
    ("sh", "ʃ"),
    ("th", "θ"),
    ("ph", "f"),
    ("wh", "w"),
    ("ck", "k"),
    ("nk", "ŋk"),
    ("qu", "kw"),
    ("dg", "ʤ"),
    ("gh", "ɡ"),
    ("bb", "b"),
    ("cc", "k"),
    ("dd", "d"),
    ("ff", "f"),
    ("gg", "ɡ"),
    ("kk", "k"),
    ("ll", "l"),
    ("mm", "m"),
    ("nn", "n"),
    ("pp", "p"),
    ("rr", "ɹ"),
    ("ss", "s"),
    ("tt", "t"),
    ("zz", "z"),
    ("b", "b"),
    ("d", "d"),
    ("f", "f"),
    ("h", "h"),
    ("j", "ʤ"),
    ("k", "k"),
    ("l", "l"),
    ("m", "m"),
    ("n", "n"),
    ("p", "p"),
    ("r", "ɹ"),
    ("t", "t"),
    ("v", "v"),
    ("w", "w"),
];

/// Vowels of several letters.
const TEAMS: [(&str, &str); 27] = [
    ("eigh", "A"),
    ("augh", "ɔ"),
    ("ough", "O"),
    ("igh", "I"),
    ("eau", "O"),
    ("ai", "A"),
    ("ay", "A"),
    ("ea", "i"),
    ("ee", "i"),
    ("ei", "A"),
    ("eu", "u"),
    ("ew", "u"),
    ("ie", "i"),
    ("oa", "O"),
    ("oe", "O"),
    ("oi", "Y"),
    ("oy", "Y"),
    ("oo", "u"),
    ("ou", "W"),
    ("au", "ɔ"),
    ("aw", "ɔ"),
    ("ui", "u"),
    ("ey", "i"),
    ("ah", "ɑ"),
    ("oh", "O"),
    ("eh", "A"),
    ("uh", "ʌ"),
];

/// The phonemes of `word`, or `None` where it is better spelled.
pub(super) fn guess(word: &str, accent: Accent) -> Option<String> {
    let lower = word.to_lowercase().replace('’', "'");
    let (stem, possessive) = match lower.strip_suffix("'s") {
        Some(stem) => (stem, true),
        None => (lower.as_str(), false),
    };
    if !is_readable(word, stem) {
        return None;
    }
    let mut reader = Reader { letters: stem, at: 0, sounds: Vec::new(), stressed: false };
    while reader.at < stem.len() {
        reader.step();
    }
    let mut sounds = reader.sounds.concat();
    if possessive {
        sounds.push_str(match sounds.chars().next_back()? {
            's' | 'z' | 'ʃ' | 'ʒ' | 'ʧ' | 'ʤ' => "ɪz",
            'p' | 't' | 'k' | 'f' | 'θ' => "s",
            _ => "z",
        });
    }
    if accent == Accent::British {
        sounds = british(&sounds);
    }
    reader.stressed.then_some(sounds)
}

/// An American's phonemes as a speaker of Received Pronunciation says them.
pub(super) fn british(sounds: &str) -> String {
    let sounds = sounds.replace('O', "Q").replace('T', "t").replace('æ', "a").replace('ᵻ', "ɪ");
    lengthened(&without_final_r(&sounds.replace("ɑɹ", "ɑːɹ").replace("ɜɹ", "ɜːɹ").replace("ɪɹ", "ɪəɹ")))
}

/// Vowels that are long there are marked so; the one of "hot" is rounded.
fn lengthened(sounds: &str) -> String {
    let mut marked = String::with_capacity(2 * sounds.len());
    let mut symbols = sounds.chars().peekable();
    while let Some(symbol) = symbols.next() {
        let next = symbols.peek().copied();
        let open = next.is_none_or(|next| "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵊ".contains(next));
        match symbol {
            'ɑ' if next != Some('ː') && next.is_some_and(|next| next != 'ˈ') => marked.push('ɒ'),
            'ɔ' | 'ɑ' | 'ɜ' if next != Some('ː') => marked.extend([symbol, 'ː']),
            'u' | 'i' if !open && next != Some('ː') => marked.extend([symbol, 'ː']),
            _ => marked.push(symbol),
        }
    }
    marked
}

fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

fn is_readable(word: &str, stem: &str) -> bool {
    let runs = stem.as_bytes().split(|letter| is_vowel(*letter)).map(<[u8]>::len).max();
    let capitals = word.chars().filter(|c| c.is_uppercase()).count();
    stem.len() > 1
        && stem.bytes().all(|letter| letter.is_ascii_lowercase())
        && stem.bytes().any(is_vowel)
        && runs.is_some_and(|run| run < 5)
        && (capitals < 2 || capitals < stem.len().div_ceil(2))
}

struct Reader<'a> {
    letters: &'a str,
    at: usize,
    sounds: Vec<&'static str>,
    stressed: bool,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.letters[self.at..]
    }

    fn letter(&self, at: usize) -> Option<u8> {
        self.letters.as_bytes().get(at).copied()
    }

    fn vowel_at(&self, at: usize) -> bool {
        self.letter(at).is_some_and(is_vowel)
    }

    fn consonant(&mut self, letters: usize, sound: &'static str) {
        self.sounds.push(sound);
        self.at += letters;
    }

    fn vowel(&mut self, letters: usize, stressed: &'static str, weak: &'static str) {
        if self.stressed {
            self.sounds.push(weak);
        } else {
            self.stressed = true;
            self.sounds.extend(["ˈ", stressed]);
        }
        self.at += letters;
    }

    fn step(&mut self) {
        let Some(first) = self.letter(self.at) else { return };
        let last = self.at + 1 == self.letters.len();
        if first == b'y' && self.at == 0 && self.vowel_at(1) {
            return self.consonant(1, "j");
        }
        if is_vowel(first) {
            return self.read_vowel(first, last);
        }
        let rest = self.rest();
        if self.at == 0 {
            let silent = [("kn", "n"), ("gn", "n"), ("wr", "ɹ"), ("ps", "s"), ("pn", "n"), ("x", "z")];
            if let Some((spelling, sound)) =
                silent.into_iter().find(|(spelling, _)| rest.starts_with(spelling))
            {
                return self.consonant(spelling.len(), sound);
            }
        }
        for (spelling, sound) in [("tion", "ʃən"), ("sion", "ʒən"), ("ture", "ʧəɹ")] {
            if self.stressed && rest == spelling {
                return self.consonant(spelling.len(), sound);
            }
        }
        let soft = matches!(self.letter(self.at + 1), Some(b'e' | b'i' | b'y'));
        let voiced = self.at > 0 && self.vowel_at(self.at - 1) && (self.vowel_at(self.at + 1) || last);
        match first {
            b'n' if rest == "ng" => self.consonant(2, "ŋ"),
            b'n' if rest.starts_with("ng") && !self.vowel_at(self.at + 2) => self.consonant(2, "ŋɡ"),
            b'l' if rest == "le" && self.stressed && self.at > 0 && !self.vowel_at(self.at - 1) => {
                self.consonant(2, "ᵊl");
            }
            b'c' if soft => self.consonant(1, "s"),
            b'g' if soft && !rest.starts_with("gg") => self.consonant(1, "ʤ"),
            b's' if !rest.starts_with("ss") && !rest.starts_with("sh") && !rest.starts_with("sch") => {
                // "Harris", "Markus": voiceless behind a weak vowel at the end.
                let weak = last
                    && self.stressed
                    && matches!(self.letters.as_bytes().get(self.at - 1), Some(b'i' | b'u'));
                self.consonant(1, if voiced && !weak { "z" } else { "s" });
            }
            // Behind a vowel, before a consonant or at the end, it is not heard.
            b'h' if self.at > 0 && self.vowel_at(self.at - 1) && !self.vowel_at(self.at + 1) => self.at += 1,
            _ => match CONSONANTS.iter().find(|(spelling, _)| rest.starts_with(spelling)) {
                Some((spelling, sound)) => self.consonant(spelling.len(), sound),
                None => {
                    let sound = match first {
                        b'c' | b'q' => "k",
                        b'g' => "ɡ",
                        b'x' => "ks",
                        _ => "z",
                    };
                    self.consonant(1, sound);
                }
            },
        }
    }

    fn read_vowel(&mut self, first: u8, last: bool) {
        let rest = self.rest();
        // A vowel and r: one sound unless another vowel follows.
        let doubled = rest.as_bytes().get(1..3) == Some(b"rr");
        if self.letter(self.at + 1) == Some(b'r') && (doubled || !self.vowel_at(self.at + 2)) {
            let (stressed, weak) = match (first, doubled) {
                (b'a', true) => ("æɹ", "əɹ"),
                (b'e', true) => ("ɛɹ", "əɹ"),
                (b'i' | b'y', true) => ("ɪɹ", "əɹ"),
                (b'a', false) => ("ɑɹ", "ɑɹ"),
                (b'o', _) => ("ɔɹ", "ɔɹ"),
                _ => ("ɜɹ", "əɹ"),
            };
            return self.vowel(if doubled { 3 } else { 2 }, stressed, weak);
        }
        if rest == "ow" || rest == "ue" {
            let sound = if rest == "ow" { "O" } else { "u" };
            return self.vowel(2, sound, sound);
        }
        if rest == "ah" {
            return self.vowel(2, "ɑ", "ə");
        }
        if let Some((spelling, sound)) = TEAMS.iter().find(|(spelling, _)| rest.starts_with(spelling)) {
            return self.vowel(spelling.len(), sound, sound);
        }
        if rest.starts_with("ow") {
            return self.vowel(2, "W", "W");
        }
        // A final e is silent once a vowel was heard; it makes the one before a single consonant long.
        if first == b'e' && last && self.stressed {
            self.at += 1;
            return;
        }
        let long = rest.len() == 3 && rest.ends_with('e') && !self.vowel_at(self.at + 1);
        let open = last || (!self.vowel_at(self.at + 1) && self.vowel_at(self.at + 2));
        let (stressed, weak) = match (first, long, last) {
            (b'a', true, _) => ("A", "A"),
            (b'a', false, true) => ("ɑ", "ə"),
            (b'a', ..) => ("æ", if open { "ə" } else { "æ" }),
            (b'e', true, _) => ("i", "i"),
            (b'e', false, true) => ("i", "i"),
            (b'e', ..) => ("ɛ", "ə"),
            (b'i' | b'y', true, _) => ("I", "I"),
            (b'i', false, true) => ("i", "i"),
            (b'y', false, true) => ("I", "i"),
            (b'i' | b'y', ..) => ("ɪ", "ɪ"),
            (b'o', true, _) | (b'o', _, true) => ("O", "O"),
            (b'o', ..) => (if open { "O" } else { "ɑ" }, "ə"),
            (_, true, _) | (_, _, true) => ("u", "u"),
            _ => (if open { "u" } else { "ʌ" }, "ə"),
        };
        self.vowel(1, stressed, weak);
    }
}

/// Non-rhotic: an r is heard before vowels only, and lengthens what it leaves.
fn without_final_r(sounds: &str) -> String {
    let symbols: Vec<char> = sounds.chars().collect();
    let mut kept = String::new();
    for (place, symbol) in symbols.iter().enumerate() {
        let next = symbols[place + 1..].iter().find(|symbol| **symbol != 'ˈ');
        let before_vowel = next.is_some_and(|next| "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵊ".contains(*next));
        match (symbol, place.checked_sub(1).and_then(|before| symbols.get(before))) {
            ('ɹ', Some('ɔ')) if !before_vowel => kept.push('ː'),
            ('ɹ', Some('ə' | 'ː')) if !before_vowel => {}
            ('ɹ', Some('ɛ')) if !before_vowel => kept.push('ː'),
            _ => kept.push(*symbol),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_said_as_their_spelling_suggests() {
        let cases = [
            ("Morty", "mˈɔɹti"),
            ("Jerry", "ʤˈɛɹi"),
            ("Hannah", "hˈænə"),
            ("Angela", "ˈænʤələ"),
            ("Kevin's", "kˈɛvɪnz"),
            ("Zorblax", "zˈɔɹblæks"),
            ("Blake", "blˈAk"),
            ("Knox's", "nˈɑksɪz"),
            ("Yolanda", "jˈOlændə"),
            ("Phil", "fˈɪl"),
            ("Grumble", "ɡɹˈʌmbᵊl"),
        ];
        for (word, expected) in cases {
            assert_eq!(guess(word, Accent::American).as_deref(), Some(expected), "{word}");
        }
        assert_eq!(guess("Morty", Accent::British).as_deref(), Some("mˈɔːti"));
        assert_eq!(guess("Jerry", Accent::British).as_deref(), Some("ʤˈɛɹi"));
    }

    #[test]
    fn what_no_one_would_try_to_say_is_left_to_be_spelled() {
        for word in ["qzxwv", "XKCD", "UNHCR", "a1b2", "brrrrt", "日本", "x", ""] {
            assert_eq!(guess(word, Accent::American), None, "{word}");
        }
    }
}
