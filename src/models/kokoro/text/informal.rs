//! Words as people shorten and join them: `movin'`, `O'Brien`, `D'Angelo`, `McGregor`.
//!
//! Each is given to Misaki with its phonemes, put together from words that its dictionaries have.

use misaki_rs::Lexicon;

use super::fallback::Unknown;
use super::guess::{british, guess};
use super::{Accent, accents};

const APOSTROPHES: [char; 2] = ['\'', '’'];

/// The dictionaries, and where unknown words are noted.
pub(super) struct Informal<'a> {
    pub(super) lexicon: &'a Lexicon,
    pub(super) unknown: &'a Unknown,
    pub(super) accent: Accent,
}

impl Informal<'_> {
    /// `sentence` with the phonemes of such words beside them, in Misaki's own marks.
    pub(super) fn rewrite(&self, sentence: &str) -> String {
        let mut is_quoted = false;
        let tokens = sentence.split(' ').map(|token| {
            is_quoted |= token.starts_with(['\'', '‘']);
            let rewritten = self.token(token, is_quoted);
            is_quoted &= !token.trim_end_matches(['.', ',', '!', '?']).ends_with(APOSTROPHES);
            rewritten.unwrap_or_else(|| token.to_owned())
        });
        tokens.collect::<Vec<_>>().join(" ")
    }

    fn token(&self, token: &str, is_quoted: bool) -> Option<String> {
        if let Some(short) =
            self.shortened(token).or_else(|| self.elided(token)).or_else(|| self.accented(token))
        {
            return Some(short);
        }
        // The dictionaries are of ASCII letters, and cut words between bytes.
        let is_part = |c: char| c.is_ascii_alphabetic() || APOSTROPHES.contains(&c);
        let start = token.find(|c: char| c.is_ascii_alphabetic())?;
        let (head, rest) = token.split_at(start);
        let (core, tail) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        // Another mark inside makes it a word of several, which is looked up in parts.
        if head.chars().chain(tail.chars()).any(char::is_alphanumeric) {
            return None;
        }
        // "talkin" is a word of the dictionaries: its mark alone is in the way.
        if let Some(stem) =
            core.strip_suffix(APOSTROPHES).filter(|stem| !is_quoted && self.is_known_without_g(stem))
        {
            return Some(format!("{head}{stem}{tail}"));
        }
        if let Some(plain) = self.drawn_out(core) {
            return Some(format!("{head}{plain}{tail}"));
        }
        if self.known(core).is_some() {
            return None;
        }
        let (word, phonemes, rest) = self.without_g(core, is_quoted).or_else(|| self.name(core))?;
        // In one piece, as Misaki takes the phonemes for the first piece only.
        let letters: String = word.chars().filter(|c| c.is_alphabetic()).collect();
        Some(format!("{head}[{}](/{phonemes}/){rest}{tail}", letters.to_lowercase()))
    }

    /// Words that begin with what is left out: `'em`, `'cause`.
    fn shortened(&self, token: &str) -> Option<String> {
        let rest = token.strip_prefix(APOSTROPHES)?;
        let (core, tail) = rest.split_at(rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len()));
        let (written, phonemes) = match core.to_lowercase().as_str() {
            "em" => ("emm", "əm"),
            "tis" => ("tiss", "tˈɪz"),
            "twas" => ("twass", "twˈʌz"),
            "cause" | "cuz" => ("cuzz", "kˈʌz"),
            "til" | "till" => ("tilll", "tˈɪl"),
            "bout" => ("boutt", "bˈWt"),
            _ => return None,
        };
        (!tail.contains(APOSTROPHES)).then(|| format!("[{written}](/{phonemes}/){tail}"))
    }

    /// `d'état`, `L'Oréal`: Misaki parts these at the apostrophe.
    fn elided(&self, token: &str) -> Option<String> {
        if !token.contains(APOSTROPHES) {
            return None;
        }
        let start = token.find(char::is_alphabetic)?;
        let end = token
            .rfind(char::is_alphabetic)
            .map(|at| at + token[at..].chars().next().map_or(0, char::len_utf8))?;
        let (word, tail) = (&token[start..end], &token[end..]);
        let phonemes = accents::said(word).filter(|_| word.contains(APOSTROPHES))?;
        let phonemes = match self.accent {
            Accent::American => phonemes.to_owned(),
            Accent::British => british(phonemes),
        };
        let letters: String = word.chars().filter(|c| c.is_alphabetic()).collect();
        Some(format!("{}[{}](/{phonemes}/){tail}", &token[..start], letters.to_lowercase()))
    }

    /// A word that ends in é and is none that is known by its accent: known without it, or said as its spelling
    /// suggests.
    fn accented(&self, token: &str) -> Option<String> {
        let at =
            token.rfind('é').filter(|_| !token.split(|c: char| !c.is_alphabetic()).any(accents::is_kept))?;
        let start = token[..at]
            .rfind(|c: char| !c.is_ascii_alphabetic())
            .map_or(0, |place| place + token[place..].chars().next().map_or(1, char::len_utf8));
        let (head, stem) = (&token[..start], &token[start..at]);
        let rest = &token[at + 'é'.len_utf8()..];
        let (ending, tail) =
            rest.split_at(rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()));
        let plain = format!("{stem}e{ending}");
        let is_known = self.known(&plain).is_some_and(|phonemes| phonemes.contains('A'));
        if is_known || stem.is_empty() {
            return Some(format!("{head}{plain}{tail}"));
        }
        let Some(mut phonemes) = guess(&format!("{stem}ay"), self.accent) else {
            return Some(format!("{head}{plain}{tail}"));
        };
        if ending.ends_with('s') {
            phonemes.push('z');
        }
        self.unknown.guessed(&plain);
        Some(format!("{head}[{}](/{phonemes}/){tail}", plain.to_lowercase()))
    }

    /// The word that letters are repeated in: "sooo", "Noooo", "loooong".
    fn drawn_out(&self, core: &str) -> Option<String> {
        let chars: Vec<char> = core.chars().collect();
        let is_drawn = chars.windows(3).any(|run| run[0].eq_ignore_ascii_case(&run[1]) && run[1] == run[2]);
        // "AAA" and "VIII" are none.
        if !is_drawn || core.len() < 4 || core.bytes().all(|c| b"IVXLCDM".contains(&c)) {
            return None;
        }
        let shortened = |most: usize| {
            let mut kept = String::new();
            let mut run = 0;
            for (place, c) in chars.iter().enumerate() {
                let is_same = place > 0 && chars[place - 1].eq_ignore_ascii_case(c);
                run = if is_same { run + 1 } else { 1 };
                let is_long =
                    chars[place + 1 - run..].iter().take_while(|next| next.eq_ignore_ascii_case(c)).count()
                        > 2;
                if !is_long || run <= most {
                    kept.push(*c);
                }
            }
            kept
        };
        let known = |word: &String| self.known(&word.to_lowercase()).is_some() && word.len() > 1;
        [shortened(2), shortened(1)].into_iter().find(known).or_else(|| Some(shortened(2)))
    }

    fn is_known_without_g(&self, stem: &str) -> bool {
        let lower = stem.to_lowercase();
        lower.len() > 3
            && lower.ends_with("in")
            && self.known(&lower).is_some()
            && self.known(&format!("{lower}g")).is_some()
    }

    fn known(&self, word: &str) -> Option<String> {
        let word = word.replace('’', "'");
        self.lexicon.get_word(&word, "NN", None, None).map(|(phonemes, _)| phonemes)
    }

    /// `movin'` is "moving" with an n; in single quotes the mark may be the closing one.
    fn without_g(&self, core: &str, is_quoted: bool) -> Option<(String, String, String)> {
        let at = core.find(APOSTROPHES)?;
        let (stem, mark) = core.split_at(at);
        let rest = mark.trim_start_matches(APOSTROPHES);
        let lower = stem.to_lowercase();
        if is_quoted
            || lower.len() < 4
            || !lower.ends_with("in")
            || !rest.is_empty()
            || self.known(&lower).is_some()
        {
            return None;
        }
        let whole = self.lexicon.get_word(&format!("{lower}g"), "VBG", Some(0.5), None)?.0;
        let phonemes = format!("{}n", whole.strip_suffix('ŋ')?);
        // One mark is the word's; another one closes a quotation.
        let others = mark.chars().skip(1).collect();
        Some((stem.to_owned(), phonemes.replace('ɾ', "T"), others))
    }

    /// Names that begin with O', D', L', Mc and the like.
    fn name(&self, core: &str) -> Option<(String, String, String)> {
        let (stem, possessive) =
            match APOSTROPHES.iter().find_map(|mark| core.strip_suffix(&format!("{mark}s"))) {
                Some(stem) => (stem, true),
                None => (core.trim_end_matches(APOSTROPHES), false),
            };
        let (prefix, name) = match stem.split_once(APOSTROPHES) {
            Some(parts) => parts,
            None => ("Mc", stem.strip_prefix("Mc")?),
        };
        let is_name = name.len() > 2
            && name.starts_with(char::is_uppercase)
            && name.chars().all(|c| c.is_ascii_alphabetic());
        let begins_with_vowel = name.starts_with(['A', 'E', 'I', 'O', 'U', 'Y', 'H']);
        let sound = match (prefix, self.accent) {
            ("O", Accent::American) => "ˌO",
            ("O", Accent::British) => "ˌQ",
            ("Mc", _) if begins_with_vowel => "mək",
            ("Mc", _) if name.starts_with(['K', 'G', 'C', 'Q']) => "mə",
            ("Mc", _) => "mək",
            ("D" | "d" | "L" | "l" | "M" | "N" | "Qu", _) => match (prefix, begins_with_vowel) {
                ("D" | "d", true) => "d",
                ("D" | "d", false) => "də",
                ("L" | "l", true) => "l",
                ("L" | "l", false) => "lə",
                ("M", _) => "əm",
                ("N", _) => "ən",
                _ => "kw",
            },
            _ => return None,
        };
        if !is_name {
            return None;
        }
        let said =
            self.lexicon.get_word(name, "NNP", Some(0.5), None).map(|(phonemes, _)| phonemes).or_else(
                || {
                    let guessed = guess(name, self.accent)?;
                    self.unknown.guessed(stem);
                    Some(guessed)
                },
            )?;
        let mut phonemes = format!("{sound}{}", said.replace('ɾ', "T"));
        if possessive {
            phonemes = self.lexicon.append_s(&phonemes);
        }
        let rest = if possessive { "" } else { &core[stem.len()..] };
        Some((core[..core.len() - rest.len()].to_owned(), phonemes, rest.to_owned()))
    }
}
