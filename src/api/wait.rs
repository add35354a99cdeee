//! The long poll: an answer once a slot has ended, or the time is over, or the node is on its way out.
//!
//! Listens to events; asks the node only at the beginning and when one of them says that the slot has ended.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use super::problem::Fault;
use super::state::Api;
use super::views::SlotView;
use crate::types::SlotId;

/// The slot, as it stands when it has ended, and after `wait` at the latest.
pub(crate) async fn for_the_end(api: &Api, id: SlotId, wait: Duration) -> Result<SlotView, Fault> {
    // Before the look: an end between the two is heard.
    let mut live = api.backend.listen();
    let slot = api.backend.slot(id).await?;
    if slot.state.is_final() || wait.is_zero() {
        return Ok(slot);
    }
    let _permit = api.wait()?;
    let over = tokio::time::sleep(wait);
    let drained = api.drained();
    tokio::pin!(over, drained);
    loop {
        let looks = tokio::select! {
            heard = live.recv() => match heard {
                Ok(event) => event.slot == Some(id) && event.ends_slot(),
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => break,
            },
            () = &mut over => break,
            () = &mut drained => break,
        };
        if looks {
            let slot = api.backend.slot(id).await?;
            if slot.state.is_final() {
                return Ok(slot);
            }
        }
    }
    Ok(api.backend.slot(id).await?)
}
