//! One slot's production: what a recipe means for the models, its timings, its encoders and its result.
//!
//! Everything between an accepted recipe and its signed result; the actors call it through the traits in
//! [`actors::studio`](crate::actors::studio). Owns no actor and no model.

pub(crate) mod clerk;
pub(crate) mod desk;
pub mod encoders;
pub(crate) mod recorder;
pub(crate) mod studio;
