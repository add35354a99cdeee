//! One file from the hub into a partial file that a later run goes on with.
//!
//! hf-hub speaks to the hub (addresses, tokens, redirects, its chunk store) and streams ranges; its own downloads begin
//! anew after an interruption and check no hash, so continuing and checking are done here and in the caller.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use hf_hub::{HFClient, HFClientBuilder, HFError};

use crate::cli::Failed;
use crate::cli::weights::progress;
use crate::models::bundle::Hub;
use crate::types::Bytes;

/// How long to put up with a bad line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Failures in a row without a single byte before giving up.
    pub retries: u32,
    /// The first pause between two tries; doubles with each failure.
    pub pause: Duration,
    /// How long a connection may be silent: longer than any stall of a hub's storage seen in practice.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { retries: 5, pause: Duration::from_millis(200), silence: Duration::from_secs(60) }
    }
}

/// A connection to a hub.
pub(super) struct Fetch {
    client: HFClient,
    patience: Patience,
}

impl Fetch {
    /// To the hub at `endpoint`, or the public one.
    pub(super) fn new(endpoint: Option<&str>, patience: Patience) -> Result<Self, Failed> {
        // Its own retries cover the first answer of a request; ours cover everything after it.
        let mut builder = HFClientBuilder::new().cache_enabled(false).retry_max_attempts(1);
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint(endpoint);
        }
        let client =
            builder.build().map_err(|error| Failed::bad_input(format!("the hub's address: {error}")))?;
        Ok(Self { client, patience })
    }

    /// Brings `part` to the full length of `remote`, beginning where it ends. Its content is the caller's to check.
    pub(super) async fn file(&self, hub: &Hub, remote: &str, part: &Path) -> Result<Bytes, String> {
        let folder = part.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let (mut failures, mut reached) = (0, length(part));
        loop {
            let error = match self.attempt(hub, remote, part).await {
                Ok(size) => return Ok(size),
                Err(Trouble::Final(error)) => return Err(format!("{remote} of {}: {error}", hub.repo)),
                Err(Trouble::Passing(error)) => error,
            };
            let now = length(part);
            failures = if now > reached { 0 } else { failures + 1 };
            reached = now;
            if failures > self.patience.retries {
                let reached = Bytes::new(reached);
                return Err(format!("{remote} of {}: given up after {reached}: {error}", hub.repo));
            }
            tracing::warn!(file = remote, bytes = reached, error, "download interrupted, going on");
            // Doubling, up to a minute.
            tokio::time::sleep(self.patience.pause * (1 << failures.min(8))).await;
        }
    }

    async fn attempt(&self, hub: &Hub, remote: &str, part: &Path) -> Result<Bytes, Trouble> {
        let (owner, name) = hub.repo.split_once('/').unwrap_or(("", &hub.repo));
        let repository = self.client.model(owner, name);
        let known = self
            .timely(repository.get_file_metadata().filepath(remote).revision(&hub.revision).send())
            .await?;
        let total = known.file_size;
        let mut start = length(part);
        if start > total {
            // A leftover of another revision.
            std::fs::remove_file(part).map_err(local(part))?;
            start = 0;
        }
        let mut file = std::fs::File::options().create(true).append(true).open(part).map_err(local(part))?;
        if start == total {
            return Ok(Bytes::new(total));
        }
        let bar = progress::bytes(Bytes::new(total), remote);
        bar.set_position(start);
        let request = repository.download_file_stream().filename(remote).revision(hub.revision.clone());
        let (coming, mut stream) = self.timely(request.range(start..total).send()).await?;
        // A server may ignore the range and send everything, or announce the whole length of what it sends in part:
        // what comes is then kept aside until its length tells which it was.
        let whole = (start > 0 && coming != Some(total - start)).then(|| part.with_added_extension("whole"));
        if let Some(whole) = &whole {
            file = std::fs::File::create(whole).map_err(local(whole))?;
        }
        let mut came = 0;
        let ended = loop {
            let next = tokio::time::timeout(self.patience.silence, stream.next()).await;
            let piece = match next {
                Ok(None) => break Ok(()),
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(error))) => break Err(Trouble::from(error)),
                Err(_) => {
                    break Err(Trouble::Passing(format!("nothing came for {:?}", self.patience.silence)));
                }
            };
            came += piece.len() as u64;
            if came > if whole.is_some() { total } else { total - start } {
                break Err(Trouble::Passing(format!("more came than the {total} bytes announced")));
            }
            if let Err(error) = file.write_all(&piece) {
                break Err(local(part)(error));
            }
            bar.set_position(if whole.is_some() { came } else { start + came });
        };
        if let Some(whole) = whole {
            let joined = if came == total {
                std::fs::rename(&whole, part)
            } else {
                append(&whole, part, total - start)
            };
            joined.map_err(local(part))?;
        }
        ended?;
        let reached = length(part);
        if reached < total {
            return Err(Trouble::Passing(format!("the connection ended after {reached} of {total} bytes")));
        }
        file.sync_all().map_err(local(part))?;
        Ok(Bytes::new(total))
    }

    async fn timely<T>(&self, request: impl Future<Output = Result<T, HFError>>) -> Result<T, Trouble> {
        match tokio::time::timeout(self.patience.silence, request).await {
            Ok(answer) => answer.map_err(Trouble::from),
            Err(_) => Err(Trouble::Passing(format!("no answer for {:?}", self.patience.silence))),
        }
    }
}

/// What went wrong, and whether trying again can help.
enum Trouble {
    Final(String),
    Passing(String),
}

impl From<HFError> for Trouble {
    fn from(error: HFError) -> Self {
        let text = chain(&error);
        match error {
            // "Too many requests" and "request timeout" are the client errors that pass.
            HFError::Http { context } if context.status.is_client_error() => {
                if matches!(context.status.as_u16(), 408 | 429) {
                    Self::Passing(text)
                } else {
                    Self::Final(text)
                }
            }
            HFError::AuthRequired { .. }
            | HFError::Forbidden { .. }
            | HFError::RepoNotFound { .. }
            | HFError::RevisionNotFound { .. }
            | HFError::EntryNotFound { .. }
            | HFError::InvalidParameter(_) => Self::Final(text),
            _ => Self::Passing(text),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

fn local(path: &Path) -> impl Fn(std::io::Error) -> Trouble {
    move |error| Trouble::Final(format!("{} cannot be written: {error}", path.display()))
}

/// Moves the bytes of `whole` to the end of `part` if there are `expected` of them; drops them otherwise.
fn append(whole: &Path, part: &Path, expected: u64) -> std::io::Result<()> {
    if length(whole) == expected {
        let mut part = std::fs::File::options().append(true).open(part)?;
        std::io::copy(&mut std::fs::File::open(whole)?, &mut part)?;
        part.sync_all()?;
    }
    std::fs::remove_file(whole)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}
