//! The file of a video that is being encoded, for the folder that is to keep it.

use std::path::PathBuf;

use crate::journal::AnyError;
use crate::media::VideoEnd;
use crate::telemetry::names::event;
use crate::types::SlotId;

/// Where the video of `slot` is, once it is complete.
pub(crate) async fn encoded(slot: SlotId, end: VideoEnd) -> Result<PathBuf, AnyError> {
    let file = end.closed().await?;
    tracing::debug!(
        event = event::VIDEO_ENCODED,
        %slot,
        frames = file.frames,
        bytes = file.bytes.get(),
        encoding = file.encoding.as_secs_f64(),
        "video encoded"
    );
    Ok(file.path)
}
