//! An artifact into a folder: what is there already goes on where it stopped, what is whole is checked and then renamed.
//!
//! Nothing has its final name before its hash is right. Files are written by a thread for blocking work.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};
use sha2::Digest;
use tokio::sync::mpsc;

use super::answer::not_vortex;
use super::error::{ClientError, cause};
use super::names::{local_name, part_of, plain};
use super::request::Client;
use crate::api::views::ArtifactView;
use crate::types::Sha256;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It was there, with its hash.
    There,
    /// It came; of it, `resumed` bytes had come before.
    Came {
        /// Bytes that an earlier try left.
        resumed: u64,
    },
}

/// Pieces on their way from the connection to the disk: enough to keep both busy.
const WAITING: usize = 16;

impl Client {
    /// Fetches `artifact` into `folder`; tells `reached` how many bytes are there.
    pub async fn fetch(
        &self,
        artifact: &ArtifactView,
        folder: &Path,
        reached: &(dyn Fn(u64) + Sync),
    ) -> Result<Fetched, ClientError> {
        let wanted = Wanted::new(artifact, folder)?;
        if wanted.is_there().await? {
            reached(artifact.bytes);
            return Ok(Fetched::There);
        }
        let (mut failures, mut best) = (0, 0);
        let mut resumed = None;
        loop {
            let begun = wanted.length();
            resumed.get_or_insert(begun);
            let error = match self.attempt(&wanted, reached).await {
                Ok(()) => return Ok(Fetched::Came { resumed: resumed.unwrap_or_default() }),
                Err(error) => error,
            };
            // A part with a wrong hash is gone by now; whatever came before was no use.
            let now = wanted.length();
            if now == 0 {
                resumed = Some(0);
            }
            failures = if now > best { 1 } else { failures + 1 };
            best = best.max(now);
            let may_pass = error.passes() || (matches!(error, ClientError::Artifact(_)) && begun > 0);
            if !may_pass || failures >= self.patience().tries {
                return Err(error);
            }
            let told = error.refusal().and_then(|refusal| refusal.retry_after).unwrap_or_default();
            if told > self.patience().longest {
                return Err(error);
            }
            tokio::time::sleep((self.patience().pause * (1 << (failures - 1).min(8))).max(told)).await;
        }
    }

    async fn attempt(&self, wanted: &Wanted, reached: &(dyn Fn(u64) + Sync)) -> Result<(), ClientError> {
        let artifact = &wanted.artifact;
        let name = plain(&artifact.name).into_owned();
        let part = wanted.part.clone();
        let mut file = blocking(move || Growing::open(&part)).await?.map_err(|error| wanted.local(&error))?;
        if file.length > artifact.bytes {
            file = file.emptied().map_err(|error| wanted.local(&error))?;
        }
        reached(file.length);
        if file.length < artifact.bytes || artifact.bytes == 0 {
            let begin = file.length;
            let response = self.open_from(wanted, begin).await?;
            if begin > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                // The server has another file by now, or knows no ranges: everything comes.
                file = file.emptied().map_err(|error| wanted.local(&error))?;
                reached(0);
            }
            file = pour(response, file, wanted, reached).await?;
        }
        let found = file.hash();
        if file.length != artifact.bytes {
            return Err(ClientError::Broken {
                url: self.address().to_owned(),
                why: format!(
                    "{name}: the connection ended after {} of {} bytes",
                    file.length, artifact.bytes
                ),
            });
        }
        if found != wanted.sha256 {
            std::fs::remove_file(&wanted.part).map_err(|error| wanted.local(&error))?;
            return Err(ClientError::Artifact(format!(
                "{name}: what came is not what was announced: expected sha256 {}, found {found}",
                wanted.sha256
            )));
        }
        let (part, path) = (wanted.part.clone(), wanted.path.clone());
        let finish = move || {
            file.file.sync_all()?;
            std::fs::rename(&part, &path)?;
            crate::files::sync_folder(path.parent().unwrap_or(Path::new(".")));
            Ok(())
        };
        blocking(finish).await?.map_err(|error: io::Error| wanted.local(&error))
    }

    /// The artifact's bytes from `begin` on, or all where the server says so by its status.
    async fn open_from(&self, wanted: &Wanted, begin: u64) -> Result<Response, ClientError> {
        let artifact = &wanted.artifact;
        let no_address =
            || ClientError::Artifact(format!("{:?} is no address of {:?}", artifact.url, artifact.name));
        let url = self.resolve(&artifact.url).ok_or_else(no_address)?;
        let mut headers = HeaderMap::new();
        if begin > 0 {
            let text = |text: String| HeaderValue::from_str(&text).map_err(|_| no_address());
            headers.insert(RANGE, text(format!("bytes={begin}-"))?);
            // A store has tags of its own: there, the hash decides alone.
            if super::access::same_place(&url, &self.resolve("/").ok_or_else(no_address)?) {
                headers.insert(IF_RANGE, text(format!("\"{}\"", wanted.sha256))?);
            }
        }
        let response = self.open(url, headers).await?;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
            if !range.is_some_and(|range| range.starts_with(&format!("bytes {begin}-"))) {
                let range = range.unwrap_or("none").to_owned();
                let told = format!("{}: asked for bytes from {begin}, came range {range}", artifact.name);
                return Err(ClientError::Artifact(plain(&told).into_owned()));
            }
        } else if response.status() != StatusCode::OK {
            return Err(not_vortex(&response));
        }
        Ok(response)
    }
}

/// Writes what comes, by a thread for blocking work, until it ends or is more than was announced.
async fn pour(
    mut response: Response,
    mut file: Growing,
    wanted: &Wanted,
    reached: &(dyn Fn(u64) + Sync),
) -> Result<Growing, ClientError> {
    let (begin, total) = (file.length, wanted.artifact.bytes);
    let (hand, mut pieces) = mpsc::channel::<Vec<u8>>(WAITING);
    let writer = tokio::task::spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            file.append(&piece)?;
        }
        Ok::<_, io::Error>(file)
    });
    let mut came = begin;
    let ended = loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break Ok(()),
            Err(error) => {
                let why = format!("{}: {}", plain(&wanted.artifact.name), cause(&error.without_url()));
                let url = response.url().origin().ascii_serialization();
                break Err(ClientError::Broken { url, why });
            }
        };
        came += piece.len() as u64;
        if came > total {
            let name = plain(&wanted.artifact.name);
            break Err(ClientError::Artifact(format!("{name}: more came than the {total} bytes announced")));
        }
        if hand.send(piece.to_vec()).await.is_err() {
            // The writer has failed, and says why.
            break Ok(());
        }
        reached(came);
    };
    drop(hand);
    let written =
        writer.await.map_err(|error| ClientError::File(format!("the writing thread ended: {error}")))?;
    let file = written.map_err(|error| wanted.local(&error))?;
    match ended {
        Err(error @ ClientError::Artifact(_)) => {
            drop(file);
            std::fs::remove_file(&wanted.part).map_err(|error| wanted.local(&error))?;
            Err(error)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(file),
    }
}

/// Where `artifact` belongs in `folder`, which is made, and whether it is there with its hash: for those that come from
/// elsewhere than a node.
pub(crate) async fn place(artifact: &ArtifactView, folder: &Path) -> Result<(PathBuf, bool), ClientError> {
    let wanted = Wanted::new(artifact, folder)?;
    let is_there = wanted.is_there().await?;
    Ok((wanted.path, is_there))
}

/// An artifact and where it goes.
struct Wanted {
    artifact: ArtifactView,
    sha256: Sha256,
    path: PathBuf,
    part: PathBuf,
}

impl Wanted {
    fn new(artifact: &ArtifactView, folder: &Path) -> Result<Self, ClientError> {
        let inside = local_name(&artifact.name).ok_or_else(|| {
            let name = plain(&artifact.name);
            ClientError::Artifact(format!(
                "{name:?} is refused as a file's name: it could lead out of the folder, or hides; accepted: names and \
                 folders like video.mp4 and keyframes/1.png"
            ))
        })?;
        let sha256 = artifact.sha256.parse().map_err(|accepted| {
            let (name, found) = (plain(&artifact.name), plain(&artifact.sha256));
            ClientError::Artifact(format!("{name}: {found:?} is no sha256; accepted: {accepted}"))
        })?;
        let path = folder.join(inside);
        let part = part_of(&path, &artifact.sha256);
        let above = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(above)
            .map_err(|error| ClientError::File(format!("{} cannot be made: {error}", above.display())))?;
        Ok(Self { artifact: artifact.clone(), sha256, path, part })
    }

    /// Whether the file is there with its hash; with another it may be somebody's only copy.
    async fn is_there(&self) -> Result<bool, ClientError> {
        let path = self.path.clone();
        let found = blocking(move || match File::open(&path) {
            Ok(file) => Sha256::of_reader(file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        });
        match found.await?.map_err(|error| ClientError::File(format!("{}: {error}", self.path.display())))? {
            None => Ok(false),
            Some((found, _)) if found == self.sha256 => Ok(true),
            Some((found, _)) => Err(ClientError::File(format!(
                "{} is there with another sha256: expected {}, found {found}; move it away, or name another folder by --out",
                self.path.display(),
                self.sha256
            ))),
        }
    }

    fn length(&self) -> u64 {
        std::fs::metadata(&self.part).map_or(0, |found| found.len())
    }

    fn local(&self, error: &io::Error) -> ClientError {
        ClientError::File(format!("{} cannot be written: {error}", self.part.display()))
    }
}

/// A file at whose end is written, with the hash of all that is in it.
struct Growing {
    file: File,
    hash: sha2::Sha256,
    length: u64,
}

impl Growing {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        let (mut hash, mut length, mut piece) = (sha2::Sha256::new(), 0, vec![0; 1 << 18]);
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(Self { file, hash, length }),
                Ok(count) => {
                    hash.update(&piece[..count]);
                    length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hash.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    fn emptied(self) -> io::Result<Self> {
        self.file.set_len(0)?;
        Ok(Self { file: self.file, hash: sha2::Sha256::new(), length: 0 })
    }

    fn hash(&self) -> Sha256 {
        Sha256::from_digest(self.hash.clone().finalize().into())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ClientError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ClientError::File(format!("the thread for files ended: {error}")))
}
