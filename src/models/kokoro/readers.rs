//! Who reads a text for a voice: the dictionaries of its accent, and the symbols that the network knows.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::config::KokoroConfig;
use super::text::{Accent, Phonemiser, Script};
use crate::contract::{ModelError, Warning};
use crate::types::VoiceBlend;

/// The dictionaries of both accents, each read when it is first needed: some 70 MB of host memory and a quarter of a second.
#[derive(Debug, Default)]
pub struct Readers {
    american: OnceLock<Phonemiser>,
    british: OnceLock<Phonemiser>,
}

impl Readers {
    /// For these voices, with the dictionaries that most of them need read already.
    pub(super) fn of<'a>(voices: impl Iterator<Item = &'a str>) -> Self {
        let readers = Self::default();
        let british: Vec<bool> = voices.map(|voice| Accent::of(voice) == Some(Accent::British)).collect();
        let most = british.iter().filter(|british| **british).count() * 2 > british.len();
        readers.reader(if most { Accent::British } else { Accent::American });
        readers
    }

    /// The dictionaries of `accent`.
    pub fn reader(&self, accent: Accent) -> &Phonemiser {
        let place = match accent {
            Accent::American => &self.american,
            Accent::British => &self.british,
        };
        place.get_or_init(|| Phonemiser::new(accent))
    }

    /// What a voice speaks a text with, and what to warn of.
    pub(super) fn script(
        &self,
        config: &KokoroConfig,
        text: &str,
        voice: &VoiceBlend,
    ) -> Result<Script, ModelError> {
        let (name, accent) = speaker(voice);
        let phonemiser = self.reader(accent.unwrap_or(Accent::American));
        let mut script = phonemiser.script(text)?;
        if accent.is_none() {
            let message =
                format!("the voice {name:?} is not made for English; it speaks with an American's phonemes");
            script.warnings.push(Warning::new("voice_language", message));
        }
        known(config, &script)?;
        Ok(script)
    }
}

/// The voice of a blend that decides whose English it is, the heaviest, and whose that is.
pub fn speaker(voice: &VoiceBlend) -> (&str, Option<Accent>) {
    let heaviest = voice.parts().iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
    let name = heaviest.map_or("", |(name, _)| name.as_str());
    (name, Accent::of(name))
}

/// Fails where a script has symbols that the network does not know.
fn known(config: &KokoroConfig, script: &Script) -> Result<(), ModelError> {
    let unknown: BTreeSet<char> = script
        .utterances
        .iter()
        .flat_map(|utterance| utterance.symbols().chars().collect::<Vec<_>>())
        .filter(|symbol| !config.vocab.contains_key(symbol))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let list: Vec<String> =
        unknown.iter().map(|symbol| format!("{symbol:?} (U+{:04X})", *symbol as u32)).collect();
    Err(ModelError::own(format!(
        "the vocabulary of config.json lacks symbols that this text is spoken with: {}; it has {} symbols, the \
         published one has 114",
        list.join(", "),
        config.vocab.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_read_when_a_voice_needs_them() {
        let readers = Readers::of(["af_heart", "bf_emma", "am_adam"].into_iter());
        assert!(readers.american.get().is_some() && readers.british.get().is_none());
        let readers = Readers::of(["bm_george"].into_iter());
        assert!(readers.american.get().is_none() && readers.british.get().is_some());
        assert!(readers.reader(Accent::American).script("Hello.").is_ok());
        assert!(readers.american.get().is_some());
    }
}
