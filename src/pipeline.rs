//! One slot's production: what a recipe means for the models, its timings, its encoders and its result.
//!
//! Everything between an accepted recipe and its signed result; the actors call it through the traits in
//! [`actors::pipeline`](crate::actors::pipeline). One object for each slot owns all that is the slot's own, so that slots
//! side by side change nothing of each other; `Shared` is what they have in common. Owns no actor and no model.

mod encoders;
mod notes;
pub(crate) mod result;
mod slot;
pub(crate) mod timings;

pub(crate) use self::slot::speak;

use std::sync::Arc;
use std::time::Duration;

use self::result::Signer;
use self::slot::RecipeSlot;
use self::timings::Timings;
use crate::actors::pipeline::{Pipeline, PipelineError, SlotPipeline};
use crate::config::Voices;
use crate::events::Bus;
use crate::journal::{Accepted, SlotFolders};
use crate::models::vocabulary::Vocabulary;
use crate::types::Resolution;
use crate::verify::Thresholds;

/// The slot that the profile's estimates are for, in frames: the longest video, at the usual rate; its picture is of the
/// size that nodes are planned for.
pub(crate) const FULL_FRAMES: f64 = 45.0 * 24.0;

/// What all slots of a process share.
pub(crate) struct Shared {
    /// Characters and their voices.
    pub(crate) voices: Voices,
    /// The voices that the bundle has.
    pub(crate) known_voices: Vec<String>,
    /// The size that the bundle's image model paints in; none where it paints in any.
    pub(crate) paints: Option<Resolution>,
    /// What the bundle's image model knows; none where it knows all.
    pub(crate) vocabulary: Option<World>,
    /// How the check judges.
    pub(crate) thresholds: Thresholds,
    /// What a rendered frame costs, as far as the profile knows.
    pub(crate) per_frame: Duration,
    /// What comes after the video, with the buffer before the deadline.
    pub(crate) afterwards: Duration,
    /// Where each slot's files go.
    pub(crate) folders: Arc<SlotFolders>,
    /// Who hears what happens.
    pub(crate) bus: Bus,
    /// When the stages of each open slot ran.
    pub(crate) timings: Arc<Timings>,
    /// Who renders, with what; signs every result.
    pub(crate) signer: Signer,
}

/// What an image model knows that knows only some things.
pub(crate) struct World {
    /// Every word of it.
    pub(crate) words: Vocabulary,
    /// What can be said with them.
    pub(crate) about: Option<String>,
}

/// Reads accepted recipes.
pub(crate) struct RecipePipeline(pub(crate) Arc<Shared>);

impl Pipeline for RecipePipeline {
    fn open(&self, accepted: &Accepted) -> Result<Arc<dyn SlotPipeline>, PipelineError> {
        Ok(Arc::new(RecipeSlot::open(accepted, &self.0)?))
    }
}
