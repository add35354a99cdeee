//! One recipe through the whole node into a slot folder: what `vortex-node render` does.
//!
//! Owns the order of things: recipe, bundle, folder, node, display, end. The parts do the work; a folder that holds an
//! unfinished slot of the same recipe and bundle is taken up where it was left.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::display::{Display, Facts};
use super::heard::Ear;
use super::slot::{Outcome, RenderedSlot};
use super::{RenderCommand, outcome};
use crate::actors::orchestrator::Request;
use crate::app::bundle::{Chosen, choose, voices_of};
use crate::app::{Node, NodeParts};
use crate::cli::{Context, Failed};
use crate::clock;
use crate::config::Loaded;
use crate::exit::Exit;
use crate::journal::{Ending, Failure, Key, SlotFolder, SlotFolders, Standing, Terminal};
use crate::models::kokoro::text::check_speakable;
use crate::models::workspace::SlotSize;
use crate::recipe::{Recipe, document, signature};
use crate::telemetry;
use crate::types::{Deadline, Sha256, Stage};

/// For a recipe that names no deadline: longer than any slot takes, short enough for every clock.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Renders what `command` names.
pub(super) fn render(command: &RenderCommand, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let loaded = context.loaded()?.clone();
    let text = std::fs::read(&command.recipe).map_err(|error| {
        Failed::bad_input(format!("the recipe {} cannot be read: {error}", command.recipe.display()))
    })?;
    let recipe = read(&command.recipe, &text)?;
    let chosen = choose(command.bundle.as_deref(), &loaded)?;
    loaded.voices.speaker(&recipe.audio.voice_id, &voices_of(&chosen.bundle)).map_err(|error| {
        Failed::bad_input(format!("{}: audio_track.voice_id: {error}", command.recipe.display()))
    })?;
    let folder = command.output.clone().unwrap_or_else(|| default_folder(&command.recipe));
    // An earlier rendering in the folder may have ended in time, and is shown.
    if !folder.exists() {
        refuse_late(&recipe)?;
    }
    let key = Key { recipe: recipe_hash(&recipe), bundle: chosen.sha256 };
    let folders = Arc::new(SlotFolders::new());
    folders.place(recipe.slot(), &folder);
    let (journal, standing) =
        folders.prepare(recipe.slot(), key).map_err(|error| Failed::failure(error.to_string()))?;
    let slot = Slot { recipe, text: text.into(), folder, chosen, folders, journal };
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
    check_speakable(&recipe.audio.script).map_err(|error| named(format!("audio_track.script: {error}")))?;
    if recipe.security.is_some() {
        signature::verify(&recipe).map_err(|error| named(error.to_string()))?;
    }
    Ok(recipe)
}

/// Refuses a recipe whose deadline has passed: nothing is loaded for it.
fn refuse_late(recipe: &Recipe) -> Result<(), Failed> {
    match recipe.too_late(clock::unix_time()) {
        None => Ok(()),
        Some(problem) => Err(Failed::failure(format!("slot {} is refused: {problem}", recipe.slot()))),
    }
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
    folders: Arc<SlotFolders>,
    journal: Arc<SlotFolder>,
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
        if let Standing::Ended(terminal) = &standing
            && is_final(terminal)
        {
            return outcome::finished_before(command, &self.folder, terminal, console);
        }
        refuse_late(&self.recipe)?;
        let resumed = match standing {
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
        let node = Node::build(NodeParts {
            loaded,
            chosen: &self.chosen,
            journal: self.folders.clone(),
            folder: self.journal.clone(),
            recipe: recipe_hash(&self.recipe),
            size: SlotSize { resolution: self.recipe.resolution, duration: self.recipe.duration },
            subscribers: vec![Arc::new(Ear(heard_by))],
        })?;
        notes.extend_from_slice(node.notes());
        let facts = Facts { limits: node.limits(), deadline };
        let terminal = !command.json && telemetry::Terminal::of(&std::io::stderr()).moves_cursor();
        let mut display = Display::new(command.json, terminal, facts);
        for note in &notes {
            display.note(note, console)?;
        }
        let node = node.start().await.map_err(|error| Failed::failure(error.to_string()))?;
        let asking = (!resumed).then(|| Request {
            slot: self.recipe.slot(),
            recipe: Arc::clone(&self.text),
            deadline: deadline.unwrap_or_else(no_deadline),
        });
        let slot = RenderedSlot::new(node.handle(), asking);
        let (ended, exit) = slot.wait(node, &mut heard, &mut display, console).await?;
        display.finish();
        match ended {
            Outcome::Ended => outcome::ended(command, &self.folder, console),
            Outcome::Interrupted => outcome::interrupted(command, &self.folder, console),
            Outcome::Gone(why) => outcome::gone(command, &self.folder, exit, &why, console),
        }
    }
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
