//! The videos that are being encoded: one end per slot, kept from the attempt that began it until it is collected.
//!
//! Owns no encoder and no file: those are the media thread's. A new attempt replaces the end of an earlier one, whose
//! file is void.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::journal::Videos;
use crate::media::VideoEnd;
use crate::telemetry::names::event;
use crate::types::SlotId;

/// All of a process.
#[derive(Default)]
pub struct Encoders {
    open: Mutex<HashMap<SlotId, VideoEnd>>,
}

impl Encoders {
    /// An attempt at `slot`'s video begins; the file that an earlier one made is void.
    pub(crate) fn begin(&self, slot: SlotId, end: VideoEnd) {
        lock(&self.open).insert(slot, end);
    }
}

impl Videos for std::sync::Arc<Encoders> {
    fn closed(&self, slot: SlotId) -> Pin<Box<dyn Future<Output = Result<PathBuf, String>> + Send>> {
        let encoders = std::sync::Arc::clone(self);
        Box::pin(async move {
            let end = lock(&encoders.open).remove(&slot);
            let end = end.ok_or_else(|| format!("nobody is encoding a video for slot {slot}"))?;
            let file = end.closed().await.map_err(|error| error.to_string())?;
            tracing::debug!(
                event = event::VIDEO_ENCODED,
                %slot,
                frames = file.frames,
                bytes = file.bytes.get(),
                encoding = file.encoding.as_secs_f64(),
                "video encoded"
            );
            Ok(file.path)
        })
    }
}

/// Entries are put and taken in one step; a panic elsewhere leaves them whole.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
