//! One recipe through the whole node into a slot folder: what `vortex-node render` does.
//!
//! Owns the order of things: recipe, bundle, folder, node, display, end. The parts do the work; a folder that holds an
//! unfinished slot of the same recipe and bundle is taken up where it was left.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::display::{Display, Facts};
use super::slot::{Outcome, RenderedSlot};
use super::{RenderCommand, outcome};
use crate::app::bundle::{Chosen, choose};
use crate::app::{Node, NodeParts, Serving, door};
use crate::cli::{Context, Failed};
use crate::config::Loaded;
use crate::events::Forward;
use crate::exit::Exit;
use crate::intake::resume::{Course, course};
use crate::intake::{Entry, Kind, Origin, Rejection, Submission};
use crate::journal::index::{DataFolder, FolderError};
use crate::journal::{JournalError, SlotFolders};
use crate::models::workspace::SlotSize;
use crate::telemetry;
use crate::types::TraceParent;

/// Where whoever starts a command names the trace that it belongs to, as OpenTelemetry has it for environments.
const TRACEPARENT: &str = "TRACEPARENT";

/// Renders what `command` names.
pub(super) fn render(command: &RenderCommand, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let loaded = context.loaded()?.clone();
    let text = std::fs::read(&command.recipe).map_err(|error| {
        Failed::bad_input(format!("the recipe {} cannot be read: {error}", command.recipe.display()))
    })?;
    let mut notes = Vec::new();
    let submission = Submission {
        document: text.into(),
        origin: Origin::File(command.recipe.clone()),
        traceparent: traceparent(&mut notes),
    };
    // Before any weights are looked for: a wrong recipe is told as such.
    let checked = submission.check(&loaded.settings.intake.signers)?;
    let chosen = choose(command.bundle.as_deref(), &loaded)?;
    notes.extend_from_slice(&chosen.notes);
    let entry = Arc::new(door(&loaded, &chosen).enter(checked)?);
    let folder = command.output.clone().unwrap_or_else(|| default_folder(&command.recipe));
    if !folder.exists() {
        // What an earlier rendering left may have ended in time, and is shown.
        entry.in_time()?;
    }
    let folders = Arc::new(SlotFolders::new());
    let (slot, key) = (entry.recipe.slot(), entry.key);
    folders.place(slot, &folder);
    let (kept, standing) = folders.prepare(slot, key)?;
    let resumed = match course(standing, &folder, entry.deadline.is_some()) {
        Course::Finished(terminal) => {
            return outcome::finished_before(command, &folder, &terminal, context.console);
        }
        Course::TakeUp { again, note } => {
            entry.in_time()?;
            if again {
                kept.reopen(Some(entry.due()))?;
            }
            notes.push(note);
            true
        }
        Course::Ask { note } => {
            entry.in_time()?;
            notes.extend(note);
            false
        }
    };
    drop(kept);
    // The node's key and its history of crashes lie there: one process at a time has them.
    let _lock = DataFolder::lock(&loaded.settings.data_dir)?;
    let slot = Rendering { entry, resumed, folder, chosen, folders, notes };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The tree's actors wait for models most of the time; two threads keep a slow journal from delaying the watchdog.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failed::failure(format!("the system gives no threads: {error}")))?;
    let ended = runtime.block_on(slot.go(command, &loaded, context));
    // A model's thread that does not heed its cancellation ends with the process.
    runtime.shutdown_background();
    ended
}

/// The trace that whoever started the command is in; one that cannot be read is said and left out.
fn traceparent(notes: &mut Vec<String>) -> Option<TraceParent> {
    let text = std::env::var(TRACEPARENT).ok().filter(|text| !text.is_empty())?;
    match text.parse() {
        Ok(traceparent) => Some(traceparent),
        Err(error) => {
            notes.push(format!("the variable {TRACEPARENT} is left out: {error}"));
            None
        }
    }
}

fn default_folder(recipe: &Path) -> PathBuf {
    Path::new("renders").join(recipe.file_stem().unwrap_or(recipe.as_os_str()))
}

struct Rendering {
    entry: Arc<Entry>,
    /// The journal has the slot already.
    resumed: bool,
    folder: PathBuf,
    chosen: Chosen,
    folders: Arc<SlotFolders>,
    notes: Vec<String>,
}

impl Rendering {
    async fn go(
        self,
        command: &RenderCommand,
        loaded: &Loaded,
        context: &mut Context<'_>,
    ) -> Result<Exit, Failed> {
        let console = &mut *context.console;
        let recipe = &self.entry.recipe;
        let (heard_by, mut heard) = mpsc::unbounded_channel();
        let node = Node::build(NodeParts {
            loaded,
            chosen: &self.chosen,
            folders: self.folders.clone(),
            journal: self.folders.clone(),
            size: SlotSize { resolution: recipe.resolution, duration: recipe.duration },
            subscribers: vec![Arc::new(Forward(heard_by))],
            serving: Serving::One,
        })?;
        let facts = Facts { limits: node.limits(), deadline: self.entry.deadline };
        let terminal = !command.json && telemetry::Terminal::of(&std::io::stderr()).moves_cursor();
        let mut display = Display::new(command.json, terminal, facts);
        for note in self.notes.iter().chain(node.notes()) {
            display.note(note, console)?;
        }
        let node = node.start().await.map_err(|error| Failed::failure(error.to_string()))?;
        let asking = (!self.resumed).then(|| Arc::clone(&self.entry));
        let slot = RenderedSlot::new(node.handle(), self.folders.clone(), asking);
        let (ended, exit) = slot.wait(node, &mut heard, &mut display, console).await?;
        display.finish();
        match ended {
            Outcome::Ended => outcome::ended(command, &self.folder, console),
            Outcome::NotKept(why) => Err(outcome::not_kept(&self.folder, &why)),
            Outcome::Interrupted => outcome::interrupted(command, &self.folder, console),
            Outcome::Gone(why) => outcome::gone(command, &self.folder, exit, &why, console),
        }
    }
}

impl From<Rejection> for Failed {
    fn from(rejection: Rejection) -> Self {
        match rejection.kind() {
            Kind::Invalid | Kind::Forbidden => Self::bad_input(rejection.to_string()),
            Kind::Late | Kind::Unavailable | Kind::Duplicate | Kind::Storage => {
                Self::failure(rejection.to_string())
            }
        }
    }
}

impl From<FolderError> for Failed {
    fn from(error: FolderError) -> Self {
        Self::failure(error.to_string())
    }
}

impl From<JournalError> for Failed {
    fn from(error: JournalError) -> Self {
        Self::failure(error.to_string())
    }
}
