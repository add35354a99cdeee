//! Handing in what is due, and what a refusal means: again later, or never.

use std::time::Duration;

use super::Run;
use crate::cli::remote::length;
use crate::cli::submit::job::Stand;
use crate::cli::{Console, Failed};
use crate::client::{ClientError, Submission, plain};
use crate::clock;

/// Where a node that takes nothing in does not say when to come again.
const COME_AGAIN: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Hands in what is due.
    pub(super) async fn hand_in(&mut self, console: &mut Console) -> Result<(), Failed> {
        for at in 0..self.jobs.len() {
            if self.jobs[at].due().is_none_or(|due| due > clock::now()) {
                continue;
            }
            let document = &self.jobs[at].document;
            let submission = Submission {
                id: document.id,
                document: document.text.clone(),
                webhook: self.command.webhook.clone(),
                webhook_events: self.command.webhook_events.clone(),
            };
            match self.client.submit(&submission).await {
                Ok(receipt) => {
                    self.answered();
                    self.jobs[at].known = receipt.known;
                    self.read(at, receipt.slot, console)?;
                }
                Err(error) => self.not_in(at, error, console)?,
            }
        }
        Ok(())
    }

    /// A recipe was not taken in: for now, or for good.
    fn not_in(&mut self, at: usize, error: ClientError, console: &mut Console) -> Result<(), Failed> {
        let (now, waits) = (clock::now(), self.command.wait);
        let refusal = error.refusal();
        let is_first = !self.had_contact;
        if is_first && refusal.is_none_or(|refusal| refusal.status == 401) {
            // Nothing is in, and nothing can be.
            return Err(error.into());
        }
        let again = match refusal {
            Some(refusal) if waits && refusal.passes() => {
                let again = refusal.retry_after.unwrap_or(COME_AGAIN);
                let patience = self.command.patience;
                (now + again <= self.began + patience).then_some(again)
            }
            // What is lost on the way may be in: the node tells, once it answers again.
            None if waits && error.passes() => Some(COME_AGAIN),
            _ => None,
        };
        if refusal.is_some() {
            self.answered();
        }
        let Some(again) = again else {
            self.jobs[at].stand = Stand::Refused(error);
            return self.show(at, console);
        };
        let name = plain(&self.jobs[at].document.name).into_owned();
        let told = format!("{name}: {error}; again in {}", length(again));
        self.note(&told, console)?;
        if error.refusal().is_none() {
            self.trouble.get_or_insert((now, error));
        }
        // Whatever keeps this one out keeps the others out, too.
        for job in &mut self.jobs {
            job.postpone(now + again);
        }
        Ok(())
    }
}
