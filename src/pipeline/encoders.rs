//! The file of a video that is being encoded, for the folder that is to keep it.

use std::path::PathBuf;

use crate::events::{Bus, EventKind};
use crate::journal::AnyError;
use crate::media::VideoEnd;
use crate::types::SlotId;

/// Where the video of `slot` is, once it is complete, which `bus` is told.
pub(crate) async fn encoded(slot: SlotId, end: VideoEnd, bus: Bus) -> Result<PathBuf, AnyError> {
    let file = end.closed().await?;
    let (frames, bytes, encoding) = (file.frames, file.bytes, file.encoding);
    bus.tell_of(slot, EventKind::VideoEncoded { frames, bytes, encoding });
    Ok(file.path)
}
