//! Kokoro-82M: text to speech with the exact time of every phoneme.

pub mod config;
pub mod decoder;
pub mod generator;
pub mod net;
pub mod ops;
pub mod plbert;
pub mod predictor;
pub mod source;
pub mod text_encoder;
