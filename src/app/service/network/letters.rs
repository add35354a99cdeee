//! Letters of work that this node has given up for all.

use std::sync::atomic::Ordering;

use base64::Engine;

use super::Network;
use crate::clock;
use crate::network::attempts;
use crate::network::letters::{self, Letter, LetterReason};
use crate::network::{Delivery, NetworkError, Session, VERSION};
use crate::types::WorkId;

/// Writes the letter of a delivery; one that is there already stands.
pub(super) async fn send(
    network: &Network,
    session: &Session,
    delivery: &Delivery,
    work: Option<WorkId>,
    reason: LetterReason,
    detail: &str,
) -> Result<(), NetworkError> {
    let history = match work {
        Some(work) => attempts::of(session, work).await?,
        None => Vec::new(),
    };
    let letter = Letter {
        version: VERSION,
        work,
        sequence: delivery.sequence,
        subject: delivery.raw_subject.clone(),
        reason,
        detail: detail.to_owned(),
        at: clock::unix_time().as_secs_f64(),
        node: network.id.to_string(),
        deliveries: delivery.delivered,
        submitted_at: delivery.submitted.map(|at| at.as_secs_f64()),
        headers: delivery.headers(),
        recipe: Some(base64::engine::general_purpose::STANDARD.encode(&delivery.recipe)),
        history,
        replayed: None,
        left_out: Vec::new(),
    };
    if letters::put(session, &letter).await? {
        network.letters.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
