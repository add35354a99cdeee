//! The end of a rendering: its files into the store, then its result, once. Each write behind a look at the claim's clock.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Network;
use super::claims::{Conclude, Conclusion, Held, Verdict};
use crate::clock;
use crate::journal::{Ending, SlotFolders, Terminal};
use crate::network::VERSION;
use crate::network::results::{self, EndState, Put, ResultArtifact, ResultRecord};
use crate::sink::FILE_NAME;
use crate::sink::store::{ParcelFile, PutError};
use crate::types::{Bytes, Stage, WorkId};

/// For one answer of the queue.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two tries at first …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The claim was lost before the write.
pub(super) struct Lost;

impl Conclude for Network {
    fn share(&self, held: Arc<Held>, stage: Stage, folders: Arc<SlotFolders>) {
        tokio::spawn(self.clone().put_stage(held, stage, folders));
    }

    fn conclude(&self, end: Conclusion) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let network = self.clone();
        Box::pin(async move { network.tell_end(end).await.unwrap_or(Verdict::Lost) })
    }
}

/// What a slot that nobody renders ends with.
#[derive(Clone, Debug)]
pub(super) struct Unrendered {
    pub(super) state: EndState,
    pub(super) cause: &'static str,
    pub(super) message: String,
}

impl Network {
    async fn tell_end(&self, end: Conclusion) -> Result<Verdict, Lost> {
        let Conclusion { work, held, terminal, artifacts, dir } = end;
        let held = held.as_deref();
        let mut stored = Vec::new();
        let mut result = None;
        if let Some(dir) = &dir {
            for artifact in artifacts {
                let file =
                    ParcelFile { name: artifact.name, sha256: artifact.sha256, bytes: artifact.bytes.get() };
                // The record has the signed result itself, which names all the others and not itself.
                if file.name == FILE_NAME {
                    result = self.signed(dir).await;
                    continue;
                }
                let address = self.upload(work, held, dir, &file).await?;
                let ParcelFile { name, sha256, bytes } = file;
                stored.push(ResultArtifact { name, sha256, bytes: Bytes::new(bytes), address });
            }
        }
        let record = ResultRecord { artifacts: stored, result, ..self.record(work, held, &terminal) };
        self.create(&record, held).await
    }

    /// Has one file in the store, however long that takes.
    async fn upload(
        &self,
        work: WorkId,
        held: Option<&Held>,
        dir: &Path,
        file: &ParcelFile,
    ) -> Result<String, Lost> {
        let mut pause = FIRST_PAUSE;
        loop {
            look(held)?;
            match self.store.put_work(work, dir, file).await {
                Ok(address) => return Ok(address),
                Err(error @ (PutError::Damaged { .. } | PutError::Conflict { .. })) if held.is_some() => {
                    tracing::error!(%work, %error, "a file cannot be handed over; the claim is given up");
                    return Err(Lost);
                }
                Err(error) => tracing::warn!(%work, %error, "a file is not in the store yet"),
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// The signed result, as it was signed.
    async fn signed(&self, dir: &Path) -> Option<String> {
        tokio::fs::read_to_string(dir.join(FILE_NAME)).await.ok()
    }

    /// Creates the result, once.
    pub(super) async fn create(&self, record: &ResultRecord, held: Option<&Held>) -> Result<Verdict, Lost> {
        let mut pause = FIRST_PAUSE;
        loop {
            look(held)?;
            let left = held.map_or(ANSWER, |held| held.clock.left().min(ANSWER));
            let session = match held {
                // Not longer than the claim: whoever waits behind it waits for an answer, too.
                Some(held) => match tokio::time::timeout(held.clock.left(), self.link.up()).await {
                    Ok(Some(session)) => session,
                    Ok(None) | Err(_) => return Err(Lost),
                },
                None => self.link.up().await.ok_or(Lost)?,
            };
            look(held)?;
            match results::create(&session, record, left).await {
                Ok(Put::First) => return Ok(Verdict::Stands),
                // This node's own, whose answer was lost, or that a process before this one created.
                Ok(Put::Taken(other)) if other.is_same(record) => return Ok(Verdict::Stands),
                Ok(Put::Taken(other)) => return Ok(Verdict::Superseded { by: other.node }),
                Err(error) if error.is_open() => {
                    tracing::debug!(work = %record.work, %error, "whether the result stands is not known yet");
                }
                Err(error) => tracing::warn!(work = %record.work, %error, "the result does not stand yet"),
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    fn record(&self, work: WorkId, held: Option<&Held>, terminal: &Terminal) -> ResultRecord {
        let (state, deadline_met, cause, stage, message) = match &terminal.ending {
            Ending::Completed { deadline_met } => {
                (EndState::Completed, Some(*deadline_met), None, None, None)
            }
            Ending::Failed { cause, stage, message } => {
                (EndState::Failed, None, Some(cause.name()), *stage, Some(message.clone()))
            }
            Ending::Cancelled { cause } => (EndState::Cancelled, None, Some(cause.name()), None, None),
        };
        let cause = cause.map(str::to_owned);
        ResultRecord { state, deadline_met, cause, stage, message, ..self.blank(work, held) }
    }

    fn blank(&self, work: WorkId, held: Option<&Held>) -> ResultRecord {
        ResultRecord {
            version: VERSION,
            work,
            node: self.id.to_string(),
            state: EndState::Failed,
            at: clock::unix_time().as_secs_f64(),
            deadline_met: None,
            cause: None,
            stage: None,
            message: None,
            deliveries: held.map_or(0, |held| held.delivered),
            bundle: Some(self.bundle),
            artifacts: Vec::new(),
            result: None,
        }
    }

    /// Creates the result of work that nobody renders.
    pub(super) async fn create_unrendered(&self, held: &Held, why: &Unrendered) -> Verdict {
        let record = ResultRecord {
            state: why.state,
            cause: Some(why.cause.to_owned()),
            message: Some(why.message.clone()),
            ..self.blank(held.work, Some(held))
        };
        self.create(&record, Some(held)).await.unwrap_or(Verdict::Lost)
    }
}

/// The look at the clock before a write.
fn look(held: Option<&Held>) -> Result<(), Lost> {
    if held.is_none_or(Held::holds) { Ok(()) } else { Err(Lost) }
}
