//! One file from a hub: what is there already goes on where it stopped, what is whole is checked and then renamed.
//!
//! Nothing has its final name before its hash is right. Files are written by a thread for blocking work; whoever drops the
//! download leaves a part that the next one goes on with.

mod range;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderValue};
use reqwest::{Response, Url};
use tokio::sync::mpsc;

use super::client::{HubClient, Known};
use super::error::{CAME, HubError, cause};
use super::expected::Expected;
use super::part::Part;
use super::patience::Tries;
use super::remote_file::RemoteFile;
use crate::types::{Bytes, Sha256};
use range::{Coming, coming};

/// Pieces on their way from the connection to the disk: enough to keep both busy.
const WAITING: usize = 16;

/// A file that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Download {
    /// Where from.
    pub(crate) remote: RemoteFile,
    /// What it must be; enough to tell it from every other file.
    pub(crate) expected: Expected,
    /// Where it gets its final name.
    pub(crate) to: PathBuf,
}

impl Download {
    /// Where it is written until it is whole.
    pub(crate) fn part(&self) -> PathBuf {
        self.to.with_added_extension("part")
    }

    /// How much of it an earlier try left.
    pub(crate) fn begun(&self) -> Bytes {
        Bytes::new(length(&self.part()))
    }
}

/// A file that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Its size.
    pub(crate) size: Bytes,
    /// Of it, what an earlier run had left.
    pub(crate) resumed: Bytes,
    /// What it hashes to.
    pub(crate) sha256: Sha256,
}

/// What happens meanwhile.
#[derive(Debug)]
pub(crate) enum Notice<'a> {
    /// So many bytes are there.
    Reached(Bytes),
    /// Something failed, and is tried again after a pause.
    Again {
        /// What failed.
        error: &'a HubError,
        /// How long nothing happens now.
        pause: Duration,
    },
    /// What was there is of no use.
    StartsOver(&'a str),
}

/// What one download has learned on its way.
#[derive(Default)]
struct Course {
    /// What the hub said, until it has been used.
    known: Option<Known>,
    /// What the hub last said that changes with the content.
    identity: Option<String>,
    /// The tag of the server that sent the last bytes, and where it stands.
    tag: Option<(Url, HeaderValue)>,
    /// The server breaks ranges: everything at once.
    is_without_ranges: bool,
    /// Bytes of more than one answer are in the part.
    is_joined: bool,
    /// The part, between two tries: nobody reads it again for its hash.
    part: Option<Part>,
    /// Of what is in the part, how much an earlier run had left.
    resumed: u64,
}

impl Course {
    /// Begins anew from nothing.
    fn empty(&mut self, part: &mut Part) -> io::Result<()> {
        (self.tag, self.is_joined, self.resumed) = (None, false, 0);
        part.empty()
    }
}

impl HubClient {
    /// Asks what `file` is, patiently.
    pub(crate) async fn known(
        &self,
        file: &RemoteFile,
        watch: &dyn Fn(Notice<'_>),
    ) -> Result<Known, HubError> {
        let mut tries = Tries::new(self.patience, 0);
        loop {
            match self.look(file).await {
                Ok(known) => return Ok(known),
                Err(error) => match tries.after(&error, 0) {
                    Some(pause) => wait(&error, pause, watch).await,
                    None => return Err(error.at(&place(file))),
                },
            }
        }
    }

    /// Fetches a file of which `known` was said, patiently.
    pub(crate) async fn fetch(
        &self,
        wanted: &Download,
        known: Option<Known>,
        watch: &dyn Fn(Notice<'_>),
    ) -> Result<Fetched, HubError> {
        let resumed = wanted.begun().get();
        let mut tries = Tries::new(self.patience, resumed);
        let mut course = Course { known, is_joined: resumed > 0, resumed, ..Course::default() };
        loop {
            let error = match self.attempt(wanted, &mut course, watch).await {
                Ok((size, sha256)) => {
                    return Ok(Fetched { size, resumed: Bytes::new(course.resumed), sha256 });
                }
                Err(error) => error,
            };
            let reached = wanted.begun().get();
            if reached == 0 {
                tries.start_over();
            }
            if matches!(error, HubError::Different { whose: CAME, .. }) && course.is_joined {
                // One of the pieces was not what it was taken for; the whole at once may be.
                watch(Notice::StartsOver("what was put together has another hash"));
                course = Course { is_without_ranges: true, ..Course::default() };
                continue;
            }
            match tries.after(&error, reached) {
                Some(pause) => wait(&error, pause, watch).await,
                None if error.passes() => {
                    let place = format!("{}: given up after {}", place(&wanted.remote), Bytes::new(reached));
                    return Err(error.at(&place));
                }
                None => return Err(error.at(&place(&wanted.remote))),
            }
        }
    }

    async fn attempt(
        &self,
        wanted: &Download,
        course: &mut Course,
        watch: &dyn Fn(Notice<'_>),
    ) -> Result<(Bytes, Sha256), HubError> {
        let known = match course.known.take() {
            Some(known) => known,
            None => self.look(&wanted.remote).await?,
        };
        known.must_be(&wanted.expected)?;
        let (path, local) = (wanted.part(), |error: io::Error| wanted.local(&error));
        let mut part = match course.part.take() {
            Some(part) => part,
            None => blocking(move || Part::open(&path)).await?.map_err(local)?,
        };
        let has_changed = match (&course.identity, &known.tag) {
            (Some(before), Some(now)) => before != now,
            _ => false,
        };
        if has_changed {
            watch(Notice::StartsOver("the hub has another file by now"));
        }
        let is_too_long = known.size.is_some_and(|size| part.length() > size);
        if has_changed || is_too_long || (course.is_without_ranges && Some(part.length()) != known.size) {
            course.empty(&mut part).map_err(local)?;
        }
        course.identity.clone_from(&known.tag);
        watch(Notice::Reached(Bytes::new(part.length())));
        let mut size = known.size;
        if size != Some(part.length()) {
            (part, size) = self.receive(wanted, &known, part, course, watch).await?;
        }
        let reached = part.length();
        if let Some(size) = size.filter(|size| reached < *size) {
            course.part = Some(part);
            let told = format!("the connection ended after {reached} of {size} bytes");
            return Err(HubError::Passing(told));
        }
        let (found, path, expected) = (part.hash(), wanted.part(), wanted.expected);
        let holds = blocking(move || expected.holds(&path, found, reached)).await?.map_err(local)?;
        if let Err(different) = holds {
            part.remove().map_err(local)?;
            return Err(different);
        }
        let to = wanted.to.clone();
        blocking(move || part.finish(&to)).await?.map_err(local)?;
        Ok((Bytes::new(reached), found))
    }

    /// Asks for what is missing and writes what comes. The second is the file's size, as far as somebody said it.
    async fn receive(
        &self,
        wanted: &Download,
        known: &Known,
        mut part: Part,
        course: &mut Course,
        watch: &dyn Fn(Notice<'_>),
    ) -> Result<(Part, Option<u64>), HubError> {
        let local = |error: io::Error| wanted.local(&error);
        let begin = part.length();
        let tag = course.tag.take().filter(|(at, _)| at.origin() == known.address.origin());
        let response = self.open(&wanted.remote, known, begin, tag.as_ref().map(|(_, tag)| tag)).await?;
        let headers = response.headers();
        let skip =
            match coming(response.status(), headers, begin, known.size, tag.as_ref().map(|(_, tag)| tag)) {
                Coming::Rest => 0,
                Coming::All { skip } => skip,
                Coming::Another => {
                    watch(Notice::StartsOver("the server has another file by now"));
                    course.empty(&mut part).map_err(local)?;
                    0
                }
                Coming::Nothing(told) => {
                    (course.is_without_ranges, course.part) = (true, Some(part));
                    return Err(HubError::Passing(told));
                }
            };
        // A weak tag promises nothing about bytes.
        let strong = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
        course.tag = strong.map(|tag| (known.address.clone(), tag.clone()));
        course.is_joined = part.length() > 0;
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let size = known.size.or_else(|| Some(announced? + if skip > 0 { 0 } else { part.length() }));
        let (part, ended) = pour(response, part, Pouring { skip, size, wanted, watch }).await?;
        match ended {
            Ok(()) => Ok((part, size)),
            Err(error) => {
                course.part = Some(part);
                Err(error)
            }
        }
    }
}

impl Download {
    fn local(&self, error: &io::Error) -> HubError {
        let part = self.part();
        if error.kind() == io::ErrorKind::StorageFull {
            return HubError::File(format!(
                "{}: the disk is full after {}; with room made, the same command goes on from there",
                part.display(),
                Bytes::new(length(&part))
            ));
        }
        HubError::File(format!("{} cannot be written: {error}", part.display()))
    }
}

/// How an answer becomes the end of a part.
struct Pouring<'a> {
    /// How many of its first bytes are there already.
    skip: u64,
    size: Option<u64>,
    wanted: &'a Download,
    watch: &'a dyn Fn(Notice<'_>),
}

/// Writes what comes, by a thread for blocking work, until it ends, breaks or is more than was announced.
async fn pour(
    mut response: Response,
    mut part: Part,
    to: Pouring<'_>,
) -> Result<(Part, Result<(), HubError>), HubError> {
    let mut reached = part.length();
    let (hand, mut pieces) = mpsc::channel::<Vec<u8>>(WAITING);
    let writer = tokio::task::spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            part.append(&piece)?;
        }
        Ok::<_, io::Error>(part)
    });
    let (mut skip, mut is_too_much) = (to.skip, false);
    let ended = loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break Ok(()),
            Err(error) => {
                let place = response.url().origin().ascii_serialization();
                break Err(HubError::Passing(format!("{place}: {}", cause(&error.without_url()))));
            }
        };
        let left_out = piece.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
        skip -= left_out as u64;
        reached += (piece.len() - left_out) as u64;
        if let Some(size) = to.size.filter(|size| reached > *size) {
            is_too_much = true;
            break Err(HubError::Passing(format!("more came than the {size} bytes announced")));
        }
        if hand.send(piece[left_out..].to_vec()).await.is_err() {
            // The writer has failed, and says why.
            break Ok(());
        }
        (to.watch)(Notice::Reached(Bytes::new(reached)));
    };
    drop(hand);
    let written =
        writer.await.map_err(|error| HubError::File(format!("the writing thread ended: {error}")))?;
    let local = |error: io::Error| to.wanted.local(&error);
    let mut part = written.map_err(local)?;
    if is_too_much {
        part.empty().map_err(local)?;
    }
    Ok((part, ended))
}

pub(super) async fn wait(error: &HubError, pause: Duration, watch: &dyn Fn(Notice<'_>)) {
    watch(Notice::Again { error, pause });
    tokio::time::sleep(pause).await;
}

/// How a file is named in errors.
pub(super) fn place(file: &RemoteFile) -> String {
    format!("{} of {}", file.path, file.repo)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HubError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| HubError::File(format!("the thread for files ended: {error}")))
}

#[cfg(test)]
mod tests;
