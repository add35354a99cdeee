//! What `speak` answers: for people and for machines.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Asked;
use crate::app::bundle::Chosen;
use crate::cli::{Console, Style};
use crate::contract::{Speech, Warning};
use crate::models::kokoro::timer::Saying;
use crate::types::{DeviceId, with_path};

/// A sound that was written.
pub(super) struct Heard<'a> {
    pub(super) file: &'a Path,
    pub(super) asked: &'a Asked,
    pub(super) saying: &'a Saying,
    pub(super) speech: &'a Speech,
    pub(super) device: DeviceId,
    pub(super) chosen: &'a Chosen,
}

/// What would be said.
pub(super) struct Silent<'a> {
    pub(super) asked: &'a Asked,
    pub(super) saying: &'a Saying,
}

impl Heard<'_> {
    /// How long the sound in the file is.
    fn length(&self) -> Duration {
        let pcm = &self.speech.pcm;
        Duration::from_secs_f64(pcm.samples.len() as f64 / f64::from(pcm.sample_rate))
    }

    fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.asked.replaced.iter().chain(&self.speech.warnings)
    }

    pub(super) fn json(&self) -> Value {
        let Self { file, asked, saying, chosen, .. } = self;
        let mut answer = said(asked, saying, self.warnings());
        answer["seconds"] = json!(self.length().as_secs_f64());
        answer["script_seconds"] = json!(saying.length.as_secs_f64());
        answer["device"] = json!(self.device);
        answer["bundle"] = json!({ "name": chosen.bundle.name, "sha256": chosen.sha256 });
        with_path(answer, "file", file)
    }

    pub(super) fn write(&self, console: &mut Console) -> io::Result<()> {
        let slot = match self.asked.slot {
            None => String::new(),
            Some(slot) => format!(
                ", {:.1} s of speech in {:.1} s of slot",
                self.saying.length.as_secs_f64(),
                slot.as_secs_f64()
            ),
        };
        let (file, length) = (self.file.display(), self.length().as_secs_f64());
        writeln!(console.out(), "{file}: {length:.2} s by {}{slot}", self.asked.job.voice)?;
        written(self.saying, self.warnings(), console)
    }
}

impl Silent<'_> {
    fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.asked.replaced.iter().chain(&self.saying.warnings)
    }

    pub(super) fn json(&self) -> Value {
        let mut answer = said(self.asked, self.saying, self.warnings());
        answer["script_seconds"] = json!(self.saying.length.as_secs_f64());
        answer
    }

    pub(super) fn write(&self, console: &mut Console) -> io::Result<()> {
        let (length, voice) = (self.saying.length.as_secs_f64(), &self.asked.job.voice);
        writeln!(console.out(), "about {length:.1} s by {voice}")?;
        written(self.saying, self.warnings(), console)
    }
}

/// What both answers tell.
fn said<'a>(asked: &Asked, saying: &Saying, warnings: impl Iterator<Item = &'a Warning>) -> Value {
    let sentence = |sentence: &crate::models::kokoro::timer::Sentence| json!({ "text": sentence.text, "phonemes": sentence.phonemes, "seconds": sentence.length.as_secs_f64() });
    json!({
        "voice": asked.job.voice,
        "emotion": asked.job.emotion,
        "speed": asked.job.speed,
        "seed": asked.job.seed,
        "slot_seconds": asked.slot.map(|slot| slot.as_secs_f64()),
        "sentences": saying.sentences.iter().map(sentence).collect::<Vec<_>>(),
        "guessed": saying.guessed,
        "spelled": saying.spelled,
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

/// The sentences with their phonemes, and the warnings, which name the words that were guessed or spelled.
fn written<'a>(
    saying: &Saying,
    warnings: impl Iterator<Item = &'a Warning>,
    console: &mut Console,
) -> io::Result<()> {
    for (number, sentence) in (1..).zip(&saying.sentences) {
        let length = console.paint(Style::Faint, format!("{:6.2} s", sentence.length.as_secs_f64()));
        writeln!(console.out(), "{number:4}  {length}  {}", sentence.phonemes)?;
    }
    for Warning { code, message } in warnings {
        let label = console.paint(Style::Doubtful, format!("{code}:"));
        writeln!(console.out(), "{label} {message}")?;
    }
    Ok(())
}
