//! What lies where in a slot folder. Names only; touches no file.

use crate::types::Stage;

/// The recipe, as it came.
pub(super) const RECIPE: &str = "recipe.json";
/// The signed result.
pub(super) const RESULT: &str = "result.json";
/// The speech.
pub(super) const AUDIO: &str = "audio.wav";
/// The picture.
pub(super) const IMAGE: &str = "actor.png";
/// The frames that were looked at.
pub(super) const KEYFRAMES: &str = "keyframes";
/// The video.
pub(super) const VIDEO: &str = "video.mp4";
/// The node's own records, and what is unfinished.
pub(super) const JOURNAL: &str = "journal";
/// Held by the one process that works in the folder; its number stands in it.
pub(super) const LOCK: &str = "journal/lock";
/// The slot as it came in.
pub(super) const ACCEPTED: &str = "journal/accepted.json";
/// How it ended.
pub(super) const END: &str = "journal/end.json";

/// The record that a stage is done.
pub(super) const fn record(stage: Stage) -> &'static str {
    match stage {
        Stage::Audio => "journal/audio.json",
        Stage::Image => "journal/image.json",
        Stage::Video => "journal/video.json",
        Stage::Verify => "journal/verify.json",
        Stage::Package => "journal/package.json",
    }
}

/// The stage and all that came of it, the latest first.
pub(super) const fn with_what_follows(stage: Stage) -> &'static [Stage] {
    match stage {
        Stage::Audio => &[Stage::Package, Stage::Verify, Stage::Video, Stage::Audio],
        Stage::Image => &[Stage::Package, Stage::Verify, Stage::Video, Stage::Image],
        Stage::Video => &[Stage::Package, Stage::Verify, Stage::Video],
        Stage::Verify => &[Stage::Package, Stage::Verify],
        Stage::Package => &[Stage::Package],
    }
}

/// A keyframe's file.
pub(super) fn keyframe(index: u32) -> String {
    format!("{KEYFRAMES}/{index:05}.png")
}

/// Whether a file in the keyframes' folder is one of them.
pub(super) fn is_keyframe(name: &str) -> bool {
    name.strip_suffix(".png")
        .is_some_and(|digits| digits.len() >= 5 && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Where the encoder of the process's so many-th attempt writes.
pub(super) fn partial_video(number: u64) -> String {
    format!("{}/video-{number}.mp4", super::disk::PARTIAL)
}
