//! The encoder's own OS thread: takes frames, writes the file aside, gives it its name, and answers.
//!
//! Owns the unfinished file. Whatever goes wrong, a panic included, ends in an answer and leaves no file behind.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::container::{self, Stopped, Written, samples_of};
use super::video::{Answer, Feed};
use super::{VideoError, VideoFile, VideoSpec, Yuv};
use crate::clock;
use crate::files::{self, Existing, Readers};
use crate::profile::timed;
use crate::types::Bytes;

/// Starts it; its answer comes when the file is complete and synced, or when it never will be.
pub(super) fn start(path: PathBuf, spec: VideoSpec, feed: Feed, answer: Answer) -> Result<(), VideoError> {
    let body = move || {
        let made = contained(|| make(&path, &spec, &feed)).map_err(|error| feed.fate.fail(error));
        let _ = answer.send(made); // nobody need be waiting
        // `feed` goes only now: a sink that finds the channel closed finds the reason, too.
    };
    std::thread::Builder::new()
        .name("video-encoder".to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|error| VideoError::Encoder(format!("no thread for the encoder: {error}")))
}

/// The outcome of `work`, its panic as an error.
fn contained<T>(work: impl FnOnce() -> Result<T, VideoError>) -> Result<T, VideoError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(VideoError::Panicked(said(&*payload))))
}

fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
        .to_owned()
}

fn make(path: &Path, spec: &VideoSpec, feed: &Feed) -> Result<VideoFile, VideoError> {
    let (began, mut waited) = (clock::now(), Duration::ZERO);
    let mut received = 0;
    let next = |picture: &mut Yuv| {
        let asked = clock::now();
        let frame = feed.full.recv();
        waited += clock::now().saturating_duration_since(asked);
        if let Some(error) = feed.fate.failed() {
            return Err(error.clone());
        }
        let frame = frame.map_err(|_| VideoError::Incomplete { received, expected: spec.frames })?;
        timed!("frame to planes", frame = received);
        picture.convert(&frame);
        received += 1;
        let _ = feed.empty.send(frame); // the sink has gone after its last frame
        Ok(())
    };
    let written = write_whole(path, |file| container::write(file, spec, next))?;
    let seconds =
        |count: u64, rate: u32| Duration::from_nanos(count * 1_000_000_000 / u64::from(rate.max(1)));
    Ok(VideoFile {
        path: path.to_owned(),
        bytes: Bytes::new(written.bytes),
        frames: spec.frames,
        duration: seconds(spec.frames.into(), spec.fps),
        sound: seconds(samples_of(spec.frames, spec.fps, spec.sound.sample_rate), spec.sound.sample_rate),
        encoding: clock::now().saturating_duration_since(began).saturating_sub(waited),
        video_codec: written.codec,
        audio_codec: "fLaC",
    })
}

/// Writes the file aside, syncs it and gives it its name, in place of one that may be there.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> Result<Written, Stopped>,
) -> Result<Written, VideoError> {
    let mut written = None;
    let outcome = files::write_whole(path, Existing::Replace, Readers::Umask, |file| match write(file) {
        Ok(done) => {
            written = Some(done);
            Ok(())
        }
        Err(Stopped::Write(error)) => Err(error),
        Err(Stopped::Video(error)) => Err(io::Error::other(error)),
    });
    let failed = |error: io::Error| match error.downcast::<VideoError>() {
        Ok(error) => error,
        Err(error) => VideoError::Write { path: path.to_owned(), cause: error.to_string() },
    };
    outcome.map_err(failed)?;
    written
        .ok_or_else(|| VideoError::Write { path: path.to_owned(), cause: "nothing was written".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let panicked = |message: &str| VideoError::Panicked(message.to_owned());
        assert_eq!(contained::<()>(|| panic!("lost {}", 7)).unwrap_err(), panicked("lost 7"));
        assert_eq!(contained::<()>(|| panic!("lost")).unwrap_err(), panicked("lost"));
        assert_eq!(contained(|| Ok(7)), Ok(7));
    }

    #[test]
    fn a_panic_takes_the_unfinished_file_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        let made = contained(|| {
            write_whole(&path, |file| {
                io::Write::write_all(file, b"half").unwrap();
                panic!("lost")
            })
        });
        assert!(made.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
