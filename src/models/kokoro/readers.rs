//! Who reads a text for a voice: the dictionaries of its accent, and the symbols that the network knows.

use std::collections::BTreeSet;

use super::config::KokoroConfig;
use super::text::{Accent, Phonemiser, Script};
use crate::contract::{ModelError, Warning};
use crate::types::VoiceBlend;

/// The dictionaries that a bundle's voices need.
#[derive(Debug)]
pub(super) struct Readers {
    american: Option<Phonemiser>,
    british: Option<Phonemiser>,
}

impl Readers {
    /// Those of these voices.
    pub(super) fn of<'a>(voices: impl Iterator<Item = &'a str>) -> Self {
        let accents: BTreeSet<bool> =
            voices.map(|voice| Accent::of(voice) == Some(Accent::British)).collect();
        let phonemiser = |british, accent| accents.contains(&british).then(|| Phonemiser::new(accent));
        Self { american: phonemiser(false, Accent::American), british: phonemiser(true, Accent::British) }
    }

    /// What a voice speaks a text with, and what to warn of.
    pub(super) fn script(
        &self,
        config: &KokoroConfig,
        text: &str,
        voice: &VoiceBlend,
    ) -> Result<Script, ModelError> {
        let (name, accent) = speaker(voice);
        let phonemiser = match accent {
            Some(Accent::British) => &self.british,
            Some(Accent::American) | None => &self.american,
        };
        let phonemiser = phonemiser
            .as_ref()
            .ok_or_else(|| ModelError::own(format!("no dictionary was loaded for the voice {name:?}")))?;
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
