//! `vortex-node speak`: hears a voice, or shows with which phonemes it would speak.
//!
//! A text is spoken as long as it lasts; a recipe's script into its slot, the very sound that `render` would make.

mod answer;
mod bar;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{ConfigFlags, Context, Failed};
use crate::app::bundle::{choose_with, known_voices, voices_of};
use crate::app::voice::{self, Pace};
use crate::config::{Loaded, SpeakerError};
use crate::contract::{Model, ModelError, Speak, Warning};
use crate::exit::Exit;
use crate::files::{Existing, Readers, write_whole};
use crate::media::wav;
use crate::models::kokoro::text::check_speakable;
use crate::recipe::{Recipe, SCRIPT};
use crate::types::{Emotion, Pcm, SpeechSpeed};

use self::answer::{Heard, Silent};

/// Where a text is spoken to unless `--output` says otherwise.
const DEFAULT: &str = "speech.wav";
/// The voice of a text unless `--voice` names one: as recipes ask for it.
const DEFAULT_VOICE: &str = "default";
/// What a text is given beyond the length that was predicted for it; what is not needed is cut off again.
const MARGIN: Duration = Duration::from_secs(2);

/// Arguments of `speak`.
#[derive(Debug, Args)]
pub struct SpeakCommand {
    /// What to say; or a recipe's file, whose script is said with its voice, emotion, speed and seed into its slot
    #[arg(value_name = "TEXT|RECIPE.json")]
    pub what: OsString,
    /// The WAV file to write [default: speech.wav, or the recipe's name]; one that is there is kept
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    /// A character, a voice or a blend such as "af_sarah(0.3)+af_jessica(0.7)" [default: the recipe's, or voices.toml's]
    #[arg(long, value_name = "VOICE")]
    pub voice: Option<String>,
    /// neutral, excited, sad, angry, manic, calm, sarcastic or fearful [default: the recipe's, or neutral]
    #[arg(long)]
    pub emotion: Option<Emotion>,
    /// 0.8 to 1.2 times the voice's own speed [default: the recipe's, or 1]
    #[arg(long, value_parser = speed)]
    pub speed: Option<SpeechSpeed>,
    /// Of the noise in the sound [default: the recipe's, or 0]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only show the phonemes; needs no weights
    #[arg(long, conflicts_with_all = ["output", "force"])]
    pub phonemes: bool,
    /// Bundle of weights, a folder or its bundle.toml; its other models are not needed [default: the setting `bundle`]
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigFlags,
}

fn speed(text: &str) -> Result<SpeechSpeed, String> {
    text.parse::<f32>().map_err(|_| format!("{text:?} is not a number from 0.8 to 1.2"))?.try_into()
}

/// What is to be said.
struct Asked {
    job: Speak,
    /// How long the slot is, where a recipe names one.
    slot: Option<Duration>,
    /// Who speaks for a voice that the bundle lacks.
    replaced: Option<Warning>,
}

impl SpeakCommand {
    /// The bundle and the voices are the settings'.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        Some(&self.config)
    }

    /// Speaks. Exit code 0 with a sound or phonemes, 1 where it failed, 2 where text, recipe, voice or settings are wrong or
    /// the file is there.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let loaded = context.loaded()?.clone();
        let recipe = recipe(&self.what)?;
        if self.phonemes {
            let asked = self.asked(recipe, &loaded, &known_voices(self.bundle.as_deref(), &loaded)?)?;
            return self.show(&asked, context);
        }
        let file = self.file(recipe.is_some());
        if !self.force && file.exists() {
            return Err(taken(&file));
        }
        let chosen = choose_with(&voice::NEEDED, self.bundle.as_deref(), &loaded)?;
        let asked = self.asked(recipe, &loaded, &voices_of(&chosen.bundle))?;
        for note in &chosen.notes {
            writeln!(context.console.err(), "note: {note}")?;
        }
        let bar = bar::begun();
        let spoken = || -> Result<_, Failed> {
            let (mut model, device, notes) = voice::kokoro(&chosen, &loaded.settings, &bar.run())?;
            let saying = model.saying(&asked.job).map_err(failed)?;
            let mut job = asked.job.clone();
            if asked.slot.is_none() {
                job.duration = saying.length.mul_f64(1.1) + MARGIN;
            }
            let speech = model.run(job, &bar.run()).map_err(failed)?;
            Ok((saying, speech, device, notes))
        };
        let spoken = spoken();
        bar.end();
        let (saying, mut speech, device, notes) = spoken?;
        for note in notes {
            writeln!(context.console.err(), "note: {note}")?;
        }
        if asked.slot.is_none() {
            trim(&mut speech.pcm);
        }
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let bytes = wav::encode(&speech.pcm);
        write_whole(&file, existing, Readers::Umask, |out| std::io::Write::write_all(out, &bytes)).map_err(
            |error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => taken(&file),
                _ => Failed::failure(format!("{} cannot be written: {error}", file.display())),
            },
        )?;
        let heard =
            Heard { file: &file, asked: &asked, saying: &saying, speech: &speech, device, chosen: &chosen };
        if self.json {
            context.console.json(&heard.json())?
        } else {
            heard.write(context.console)?
        }
        Ok(Exit::Success)
    }

    fn show(&self, asked: &Asked, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let (saying, _) =
            Pace::by_table().saying(&asked.job).map_err(|error| Failed::bad_input(error.chain()))?;
        let silent = Silent { asked, saying: &saying };
        if self.json {
            context.console.json(&silent.json())?
        } else {
            silent.write(context.console)?
        }
        Ok(Exit::Success)
    }

    /// What is to be said with these flags and a bundle of the voices `known`.
    fn asked(&self, recipe: Option<Recipe>, loaded: &Loaded, known: &[String]) -> Result<Asked, Failed> {
        let unspoken = |error: SpeakerError| Failed::bad_input(format!("voice: {error}"));
        let speaker = |name: &str| loaded.voices.speaker(name, known).map_err(unspoken);
        let (mut job, mut replaced, slot) = match recipe {
            Some(mut recipe) => {
                if let Some(voice) = &self.voice {
                    recipe.audio.voice_id.clone_from(voice);
                }
                let (job, replaced) = voice::job(&recipe, &loaded.voices, known).map_err(unspoken)?;
                (job, replaced, Some(recipe.duration))
            }
            None => {
                let text = self.what.to_str().ok_or_else(|| Failed::bad_input("the text is not UTF-8"))?;
                let count = text.chars().count();
                if count > SCRIPT {
                    return Err(Failed::bad_input(format!(
                        "the text has {count} characters; accepted: at most {SCRIPT}, as in a recipe"
                    )));
                }
                let speaker = speaker(self.voice.as_deref().unwrap_or(DEFAULT_VOICE))?;
                let job = Speak {
                    text: text.to_owned(),
                    voice: speaker.voice,
                    speed: SpeechSpeed::NORMAL,
                    emotion: Emotion::Neutral,
                    duration: MARGIN,
                    seed: 0,
                };
                (job, speaker.replaced, None)
            }
        };
        job.speed = self.speed.unwrap_or(job.speed);
        job.emotion = self.emotion.unwrap_or(job.emotion);
        job.seed = self.seed.unwrap_or(job.seed);
        check_speakable(&job.text).map_err(|error| Failed::bad_input(error.chain()))?;
        let replaced = replaced.take().map(|message| Warning::new("voice_replaced", message));
        Ok(Asked { job, slot, replaced })
    }

    fn file(&self, is_recipe: bool) -> PathBuf {
        let named = || Path::new(&self.what).with_extension("wav").file_name().map(PathBuf::from);
        let default = || if is_recipe { named() } else { None };
        self.output.clone().or_else(default).unwrap_or_else(|| DEFAULT.into())
    }
}

/// The recipe that `what` names: a file that is there, or what is called like one. Anything else is a text.
fn recipe(what: &OsStr) -> Result<Option<Recipe>, Failed> {
    let path = Path::new(what);
    if !path.is_file() && path.extension().is_none_or(|extension| extension != "json") {
        return Ok(None);
    }
    let text = std::fs::read(path).map_err(|error| {
        Failed::bad_input(format!("the recipe {} cannot be read: {error}", path.display()))
    })?;
    let recipe = Recipe::read(&text)
        .map_err(|problems| Failed::bad_input(format!("{} is not a recipe: {problems}", path.display())))?;
    Ok(Some(recipe))
}

/// Takes the silence off the end of a sound that was given more room than it needed.
fn trim(pcm: &mut Pcm) {
    let length = pcm.samples.iter().rposition(|sample| *sample != 0.0).map_or(0, |last| last + 1);
    pcm.samples.truncate(length);
}

fn taken(file: &Path) -> Failed {
    Failed::bad_input(format!(
        "{} is there and stays as it is; accepted: another --output, or --force",
        file.display()
    ))
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn failed(error: ModelError) -> Failed {
    Failed::failure(error.chain())
}
