//! One recipe through the whole supervision tree into a slot folder: what `vortex-node render` does.
//!
//! Owns the order of things: recipe, bundle, folder, tree, display, end. The parts do the work; a folder that holds an
//! unfinished slot of the same recipe and bundle is taken up where it was left. Of several cards one slot needs one: the
//! one with most free memory serves, the others stand by with nothing loaded and take over where it is lost.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use self::clerk::{About, Clerk};
use self::desk::Desk;
use self::display::{Display, Facts};
use self::encoders::Encoders;
use self::heard::Ear;
use self::recorder::Recorder;
use self::studio::{RecipeStudio, Studios};
use self::walk::{Outcome, Walk};
use super::bundle::{Chosen, choose, fit};
use super::models::company;
use super::settings::{Opened, hard_limit, model_limits, open_all, tree_settings};
use crate::actors::cards::Cards;
use crate::actors::events::{Subscriber, Subscribers};
use crate::actors::node::OpenSlots;
use crate::actors::orchestrator::Request;
use crate::actors::tree::{Tree, TreeParts};
use crate::actors::watchdog::ThreadLooker;
use crate::cli::render::RenderCommand;
use crate::cli::{Context, Failed};
use crate::clock;
use crate::config::{Loaded, Settings};
use crate::exit::Exit;
use crate::journal::{Ending, Failure, FolderJournal, Key, Standing, Terminal};
use crate::models::bundle::Bundle;
use crate::models::vocabulary::Vocabulary;
use crate::recipe::{Recipe, document, signature};
use crate::sink::{self, BundleRef, NodeReport, PublicKey};
use crate::types::{Deadline, DeviceId, ModelId, Sha256, Stage};
use crate::verify::Thresholds;
use crate::vram::Ledger;

mod answer;
mod clerk;
mod desk;
mod display;
mod encoders;
mod heard;
mod recorder;
mod studio;
mod walk;

/// For a recipe that names no deadline: longer than any slot takes, short enough for every clock.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Renders what `command` names.
pub fn render(command: &RenderCommand, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let loaded = context.loaded()?.clone();
    let text = std::fs::read(&command.recipe).map_err(|error| {
        Failed::bad_input(format!("the recipe {} cannot be read: {error}", command.recipe.display()))
    })?;
    let recipe = read(&command.recipe, &text)?;
    if let Err(error) = loaded.voices.resolve(&recipe.audio.voice_id) {
        return Err(Failed::bad_input(format!(
            "{}: audio_track.voice_id: {error}",
            command.recipe.display()
        )));
    }
    let chosen = choose(command.bundle.as_deref(), &loaded)?;
    let folder = command.output.clone().unwrap_or_else(|| default_folder(&command.recipe));
    let key = Key { recipe: recipe_hash(&recipe), bundle: chosen.sha256 };
    let encoders = Arc::new(Encoders::default());
    let (journal, standing) = FolderJournal::open(&folder, key, Arc::new(Arc::clone(&encoders)))
        .map_err(|error| Failed::failure(error.to_string()))?;
    let slot = Slot { recipe, text: text.into(), folder, chosen, journal, encoders };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The tree's actors wait for models most of the time; two threads keep a slow journal from delaying the watchdog.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failed::failure(format!("the system gives no threads: {error}")))?;
    let ended = runtime.block_on(slot.go(command, standing, &loaded, context));
    // A model's thread that does not heed its cancellation ends with the process.
    runtime.shutdown_background();
    ended
}

fn read(path: &Path, text: &[u8]) -> Result<Recipe, Failed> {
    let named = |what: String| Failed::bad_input(format!("{}: {what}", path.display()));
    let recipe = Recipe::read(text).map_err(|problems| named(problems.to_string()))?;
    if recipe.security.is_some() {
        signature::verify(&recipe).map_err(|error| named(error.to_string()))?;
    }
    Ok(recipe)
}

/// Of the canonical document: comments and layout change nothing.
fn recipe_hash(recipe: &Recipe) -> Sha256 {
    Sha256::of(&document::canonical(recipe.document()))
}

fn default_folder(recipe: &Path) -> PathBuf {
    Path::new("renders").join(recipe.file_stem().unwrap_or(recipe.as_os_str()))
}

struct Slot {
    recipe: Recipe,
    text: Arc<[u8]>,
    folder: PathBuf,
    chosen: Chosen,
    journal: Arc<FolderJournal>,
    encoders: Arc<Encoders>,
}

impl Slot {
    async fn go(
        self,
        command: &RenderCommand,
        standing: Standing,
        loaded: &Loaded,
        context: &mut Context<'_>,
    ) -> Result<Exit, Failed> {
        let console = &mut *context.console;
        let mut notes = self.chosen.notes.clone();
        let resumed = match standing {
            Standing::Ended(terminal) if is_final(&terminal) => {
                return answer::finished_before(command, &self.folder, &terminal, console);
            }
            Standing::Ended(_) => {
                let again = deadline(&self.recipe).unwrap_or_else(no_deadline);
                self.journal.reopen(Some(again)).map_err(|error| Failed::failure(error.to_string()))?;
                notes.push(format!(
                    "{} holds an attempt that failed; it is tried again",
                    self.folder.display()
                ));
                true
            }
            Standing::Resumable { done, damaged } => {
                notes.push(resuming(&self.folder, &done, &damaged));
                if self.recipe.deadline.is_none() {
                    // However long ago it was interrupted: nothing is late that names no time.
                    self.journal
                        .reopen(Some(no_deadline()))
                        .map_err(|error| Failed::failure(error.to_string()))?;
                }
                true
            }
            Standing::Replaced { why } => {
                notes.push(format!("{}: the earlier rendering is replaced: {why}", self.folder.display()));
                false
            }
            Standing::New => false,
        };
        let deadline = deadline(&self.recipe);
        let (heard_by, mut heard) = mpsc::unbounded_channel();
        let recorder = Arc::new(Recorder::new());
        let ear = Arc::new(Ear(heard_by));
        let (cards, facts) = self.cards(loaded, recorder, ear, &mut notes)?;
        let terminal = !command.json && std::io::stderr().is_terminal();
        let mut display = Display::new(command.json, terminal, facts);
        for note in &notes {
            display.note(note, console)?;
        }
        let node = cards.start().await.map_err(|error| Failed::failure(error.to_string()))?;
        let asking = (!resumed).then(|| Request {
            slot: self.recipe.slot(),
            recipe: Arc::clone(&self.text),
            deadline: deadline.unwrap_or_else(no_deadline),
        });
        let walk = Walk::new(node.handle(), asking);
        let (outcome, exit) = walk.wait(node, &mut heard, &mut display, console).await?;
        display.finish();
        match outcome {
            Outcome::Ended => answer::ended(command, &self.folder, console),
            Outcome::Interrupted => answer::interrupted(command, &self.folder, console),
            Outcome::Gone(why) => answer::gone(command, &self.folder, exit, &why, console),
        }
    }

    /// What could render the slot: the cards, preflighted, and what is known of the first.
    fn cards(
        &self,
        loaded: &Loaded,
        recorder: Arc<Recorder>,
        ear: Arc<Ear>,
        notes: &mut Vec<String>,
    ) -> Result<(Cards, Facts), Failed> {
        let settings = &loaded.settings;
        // Before anything is loaded: budgets and workspaces that cannot fit are refused by how much and with what would.
        let (mut opened, left_out) =
            open_all(settings, |it| fit(&self.chosen.bundle, settings, &it.device, it.free).map(drop))?;
        notes.extend(left_out);
        let first = opened.remove(0);
        if !opened.is_empty() {
            let others: Vec<String> = opened.iter().map(|other| other.id.to_string()).collect();
            notes.push(format!("rendering on {}; {} on standby", first.id, others.join(", ")));
        }
        let (free, device_id) = (first.free, first.id);
        let (soft, hard) =
            (settings.memory.soft_limit.resolve(free), settings.memory.hard_limit.resolve(free));
        let facts = Facts { soft, hard, deadline: deadline(&self.recipe) };
        let told: Vec<Arc<dyn Subscriber>> = vec![recorder.clone(), ear];
        let clerk = self.clerk(settings, device_id, recorder)?;
        let shared = Shared {
            studio: Arc::new(RecipeStudio(Arc::new(self.studios(loaded, Arc::clone(&clerk))?))),
            journal: Arc::new(Desk { folder: self.journal.clone(), clerk }),
            subscribers: Subscribers::new(told, device_id),
        };
        let first = self.tree(settings, first, &shared)?;
        let others = opened.into_iter().map(|other| self.tree(settings, other, &shared));
        Ok((Cards::one_at_a_time(first, others.collect::<Result<_, _>>()?), facts))
    }

    fn clerk(
        &self,
        settings: &Settings,
        device: DeviceId,
        recorder: Arc<Recorder>,
    ) -> Result<Arc<Clerk>, Failed> {
        let key = sink::node_key(&settings.key_file()).map_err(|error| Failed::failure(error.to_string()))?;
        let about = About {
            bundle: BundleRef { name: self.chosen.bundle.name.clone(), sha256: self.chosen.sha256 },
            recipe: recipe_hash(&self.recipe),
            node: NodeReport {
                id: PublicKey(key.verifying_key().to_bytes()),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                device,
                profile: settings.profile.clone(),
                threads: u32::try_from(rayon::current_num_threads()).unwrap_or(u32::MAX),
                frame_batch: settings.models.liveportrait.frame_batch.get(),
            },
        };
        Ok(Arc::new(Clerk::new(about, key, self.journal.clone(), recorder)))
    }

    fn studios(&self, loaded: &Loaded, clerk: Arc<Clerk>) -> Result<Studios, Failed> {
        let settings = &loaded.settings;
        let verification = &self.chosen.bundle.verification;
        let stage = |stage: Stage| settings.stages.of(stage).estimate;
        Ok(Studios {
            voices: loaded.voices.clone(),
            known_voices: known_voices(&self.chosen.bundle),
            paints: self.chosen.bundle.image.resolution,
            vocabulary: vocabulary(&self.chosen.bundle)?,
            thresholds: Thresholds {
                clip_b: verification.clip_b,
                clip_l: verification.clip_l,
                weight_b: verification.weight_b,
                weight_l: verification.weight_l,
                outlier: verification.outlier,
            },
            per_frame: stage(Stage::Video).div_f64(studio::FULL_FRAMES),
            afterwards: stage(Stage::Verify) + stage(Stage::Package) + settings.slots.deadline_buffer,
            encoders: self.encoders.clone(),
            folder: self.journal.clone(),
            clerk,
        })
    }

    /// The tree of one card; nothing of it runs, and nothing is loaded.
    fn tree(&self, settings: &Settings, opened: Opened, shared: &Shared) -> Result<Tree, Failed> {
        let Opened { id, chain, free, .. } = opened;
        let looker = ThreadLooker::start(chain).map_err(|error| {
            Failed::failure(format!("the system gives no thread for the watchdog of {id}: {error}"))
        })?;
        Ok(Tree::new(TreeParts {
            settings: tree_settings(settings, id, free, OpenSlots::Resume)?,
            models: company(&self.chosen.bundle, settings, id, model_limits(settings))?,
            studio: shared.studio.clone(),
            journal: shared.journal.clone(),
            looker: Arc::new(looker),
            ledger: Ledger::new(id, hard_limit(settings, free), settings.memory.overhead),
            subscribers: shared.subscribers.clone(),
        }))
    }
}

/// What the trees of all cards share.
struct Shared {
    studio: Arc<RecipeStudio>,
    journal: Arc<Desk>,
    subscribers: Subscribers,
}

/// The words that the bundle's image model knows, and what can be said with them.
fn vocabulary(bundle: &Bundle) -> Result<Option<studio::World>, Failed> {
    let words = Vocabulary::of_bundle(bundle).map_err(|error| Failed::failure(error.chain()))?;
    let about = bundle.image.vocabulary.as_ref().and_then(|file| file.about.clone());
    Ok(words.map(|words| studio::World { words, about }))
}

/// The names of the voices that `bundle` has: those of their files.
fn known_voices(bundle: &Bundle) -> Vec<String> {
    let files = bundle.paths(ModelId::Kokoro, "voices");
    files.iter().filter_map(|file| Some(file.file_stem()?.to_string_lossy().into_owned())).collect()
}

/// Completed, or refused by a check that would refuse it again: the same recipe and bundle give the same video.
fn is_final(terminal: &Terminal) -> bool {
    match &terminal.ending {
        Ending::Completed { .. } => true,
        Ending::Failed { cause, .. } => *cause == Failure::Rejected,
        Ending::Cancelled { .. } => false,
    }
}

fn resuming(folder: &Path, done: &[Stage], damaged: &[(Stage, String)]) -> String {
    let names: Vec<&str> = done.iter().map(|stage| stage.name()).collect();
    let kept = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let mut text = format!("{} holds an unfinished slot: {kept} is kept", folder.display());
    for (stage, why) in damaged {
        text.push_str(&format!("; {stage} is done again: {why}"));
    }
    text
}

/// The recipe's, on this process's clock; one that has passed is now.
fn deadline(recipe: &Recipe) -> Option<Deadline> {
    let left = recipe.deadline?.saturating_sub(clock::unix_time());
    Deadline::after(clock::now(), left)
}

fn no_deadline() -> Deadline {
    let now = clock::now();
    Deadline::after(now, NO_DEADLINE).unwrap_or_else(|| Deadline::at(now))
}
