//! `vortex-node recipe`: start, check, sign and verify recipes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ConfigFlags, Context, Failed, Style};
use crate::app::bundle::{known_prompts, known_voices};
use crate::app::voice::{self, Basis, Pace};
use crate::clock;
use crate::config::Loaded;
use crate::exit::Exit;
use crate::files::{Existing, Readers, write_whole};
use crate::models::kokoro::text::check_speakable;
use crate::recipe::{Problem, Problems, Recipe, example, schema, signature};
use crate::signing::{create_key, read_key, to_hex};
use crate::types::with_path;

/// Arguments of `recipe`.
#[derive(Debug, Args)]
pub struct RecipeCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the JSON Schema of recipes
    Schema,
    /// Check recipes and list everything that is wrong with them; exit code 2 where something is. A script that does not fit
    /// its slot is a warning
    Check {
        /// Recipe files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Bundle whose voices the recipes may name [default: the setting `bundle`]
        #[arg(long, value_name = "DIR")]
        bundle: Option<PathBuf>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Write a commented example with an id of its own
    New {
        /// Where to; standard output if not given. Nothing is overwritten
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// What the picture shows, instead of the example's
        #[arg(long, value_name = "TEXT")]
        prompt: Option<String>,
        /// List the prompts that the bundle is known to paint well, and write nothing
        #[arg(long, conflicts_with_all = ["file", "prompt"])]
        prompts: bool,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Make a director's key, readable by its owner only
    Keygen {
        /// Where to; nothing is overwritten
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Sign a recipe and print it, without its comments
    Sign {
        /// The recipe
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The director's key, as `recipe keygen` makes it
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where to; standard output if not given. May be the recipe itself
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check a recipe's signature; exit code 1 where it does not hold
    Verify {
        /// The recipe
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

impl RecipeCommand {
    /// Checks and new recipes ask for settings: they name the bundle, which has voices and knows prompts.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        match &self.what {
            What::Check { config, .. } | What::New { config, .. } => Some(config),
            _ => None,
        }
    }

    /// Does what was asked.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
            What::Schema => {
                context.console.json(&schema::schema())?;
                Ok(Exit::Success)
            }
            What::Check { files, bundle, json, .. } => check(&files, bundle.as_deref(), json, context),
            What::New { prompts: true, .. } => prompts(context),
            What::New { file, prompt, .. } => new(file.as_deref(), prompt.as_deref(), context),
            What::Keygen { file } => keygen(&file, context),
            What::Sign { file, key, output } => sign(&file, &key, output.as_deref(), context),
            What::Verify { file } => verify(&file, context),
        }
    }
}

/// Everything that is wrong with the recipe at `path`, readable or not, whatever bundle it is rendered with.
pub(super) fn problems_of(path: &Path) -> Vec<String> {
    checked(path).err().unwrap_or_default()
}

/// The recipe at `path`, or everything that is wrong with it.
fn checked(path: &Path) -> Result<Recipe, Vec<String>> {
    let text = std::fs::read(path).map_err(|error| vec![format!("cannot be read: {error}")])?;
    let recipe = Recipe::read(&text).map_err(|problems| lines(&problems))?;
    check_speakable(&recipe.audio.script).map_err(|error| vec![format!("audio_track.script: {error}")])?;
    Ok(recipe)
}

/// What keeps a node with these settings from rendering the recipe with a bundle of these voices.
fn unrenderable(recipe: &Recipe, loaded: &Loaded, voices: &[String]) -> Vec<String> {
    let speaker = loaded.voices.speaker(&recipe.audio.voice_id, voices);
    let nobody = speaker.err().map(|error| format!("audio_track.voice_id: {error}"));
    let late = recipe.too_late(clock::unix_time()).map(|problem| problem.to_string());
    nobody.into_iter().chain(late).collect()
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.list().iter().map(Problem::to_string).collect()
}

fn check(
    files: &[PathBuf],
    bundle: Option<&Path>,
    as_json: bool,
    context: &mut Context<'_>,
) -> Result<Exit, Failed> {
    let loaded = context.loaded()?.clone();
    let voices = known_voices(bundle, &loaded)?;
    // Only where a recipe is good enough to be timed.
    let mut pace = None;
    let mut is_good = true;
    let mut answers = Vec::new();
    for file in files {
        let recipe = checked(file);
        let problems = match &recipe {
            Ok(recipe) => unrenderable(recipe, &loaded, &voices),
            Err(problems) => problems.clone(),
        };
        let length = recipe.ok().filter(|_| problems.is_empty()).and_then(|recipe| {
            let pace = pace.get_or_insert_with(|| Pace::of(bundle, &loaded));
            Length::of(&recipe, &loaded, &voices, pace)
        });
        let warning = length.as_ref().and_then(Length::warning);
        is_good &= problems.is_empty();
        if as_json {
            let warnings: Vec<String> = warning.into_iter().collect();
            let answer =
                json!({ "problems": problems, "warnings": warnings, "speech": length.map(Length::json) });
            answers.push(with_path(answer, "path", file));
            continue;
        }
        let (style, verdict) = if problems.is_empty() { (Style::Good, "ok") } else { (Style::Bad, "wrong") };
        let verdict = context.console.paint(style, format!("{verdict:5}"));
        writeln!(context.console.out(), "{verdict}  {}", file.display())?;
        for problem in problems {
            writeln!(context.console.out(), "       {problem}")?;
        }
        if let Some(warning) = warning {
            let label = context.console.paint(Style::Doubtful, "warning:");
            writeln!(context.console.out(), "       {label} {warning}")?;
        }
    }
    if as_json {
        context.console.json(&json!({ "ok": is_good, "recipes": answers }))?;
    }
    Ok(if is_good { Exit::Success } else { Exit::BadInput })
}

/// How long a recipe's script takes to speak, and its slot.
struct Length {
    speech: Duration,
    slot: Duration,
    by: Basis,
}

impl Length {
    /// None where nobody can say.
    fn of(recipe: &Recipe, loaded: &Loaded, voices: &[String], pace: &Pace) -> Option<Self> {
        let (job, _) = voice::job(recipe, &loaded.voices, voices).ok()?;
        let (saying, by) = pace.saying(&job).ok()?;
        Some(Self { speech: saying.length, slot: recipe.duration, by })
    }

    /// What there is to warn of where the script does not fit.
    fn warning(&self) -> Option<String> {
        let (speech, slot) = (self.speech.as_secs_f64(), self.slot.as_secs_f64());
        (speech > slot).then(|| {
            format!(
                "audio_track.script: about {speech:.1} s of speech, {slot} s of slot: its end is not heard; accepted: a \
                 shorter script, a longer slot_params.duration_sec, a higher audio_track.speed"
            )
        })
    }

    fn json(self) -> Value {
        json!({
            "seconds": self.speech.as_secs_f64(),
            "slot_seconds": self.slot.as_secs_f64(),
            "by": self.by,
        })
    }
}

/// As many prompts stand in a new recipe.
const OFFERED: usize = 3;

fn new(file: Option<&Path>, prompt: Option<&str>, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let known = match &context.config {
        Some(loaded) => known_prompts(loaded)?,
        None => Vec::new(),
    };
    let example = Recipe::read(example::text().as_bytes()).map(|recipe| recipe.visual.prompt).ok();
    let asked = prompt.or(example.as_deref());
    let others: Vec<String> =
        known.into_iter().filter(|known| Some(known.as_str()) != asked).take(OFFERED).collect();
    let text = example::with_prompt(Uuid::new_v4(), prompt, &others);
    if let Err(problems) = Recipe::read(text.as_bytes()) {
        return Err(Failed::bad_input(format!(
            "no recipe can have this prompt:\n{}",
            lines(&problems).join("\n")
        )));
    }
    match file {
        None => write!(context.console.out(), "{text}")?,
        Some(path) => write_file(path, &text, Existing::Keep)?,
    }
    Ok(Exit::Success)
}

fn prompts(context: &mut Context<'_>) -> Result<Exit, Failed> {
    let known = match &context.config {
        Some(loaded) => known_prompts(loaded)?,
        None => Vec::new(),
    };
    if known.is_empty() {
        return Err(Failed::failure("the bundle names no prompts: its image model takes any".to_owned()));
    }
    for prompt in known {
        writeln!(context.console.out(), "{prompt}")?;
    }
    Ok(Exit::Success)
}

fn keygen(file: &Path, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let key = create_key(file).map_err(|error| Failed::failure(error.to_string()))?;
    writeln!(context.console.out(), "{}", to_hex(key.verifying_key().as_bytes()))?;
    Ok(Exit::Success)
}

fn sign(file: &Path, key: &Path, output: Option<&Path>, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let key = read_key(key).map_err(|error| Failed::bad_input(error.to_string()))?;
    let recipe = read(file)?;
    let signed = signature::sign(recipe.document().clone(), &key, clock::unix_time().as_secs());
    let text = format!("{signed:#}\n");
    match output {
        None => write!(context.console.out(), "{text}")?,
        Some(path) => write_file(path, &text, Existing::Replace)?,
    }
    Ok(Exit::Success)
}

fn verify(file: &Path, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let recipe = read(file)?;
    match signature::verify(&recipe) {
        Ok(security) => {
            let (director, signed) = (to_hex(&security.director), security.timestamp);
            writeln!(context.console.out(), "signed by {director} at {signed} (Unix seconds)")?;
            Ok(Exit::Success)
        }
        Err(error) => Err(Failed::failure(format!("{}: {error}", file.display()))),
    }
}

fn read(file: &Path) -> Result<Recipe, Failed> {
    let text = std::fs::read(file)
        .map_err(|error| Failed::bad_input(format!("{} cannot be read: {error}", file.display())))?;
    Recipe::read(&text).map_err(|problems| {
        Failed::bad_input(format!("{} is not a recipe:\n{}", file.display(), lines(&problems).join("\n")))
    })
}

fn write_file(path: &Path, text: &str, existing: Existing) -> Result<(), Failed> {
    write_whole(path, existing, Readers::Umask, |file| file.write_all(text.as_bytes()))
        .map_err(|error| Failed::failure(format!("{} cannot be written: {error}", path.display())))
}
