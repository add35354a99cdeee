//! One piece of work, from its delivery to its acknowledgement.
//!
//! Owns the order of what is asked: is there a result, is it wanted, has it killed others, may it come in, does this node
//! have it already. Renews the claim meanwhile, and where that comes to nothing falls silent: what was lost is another's.

use std::sync::Arc;
use std::time::Duration;

use super::admit::{Local, Way};
use super::claims::{Course, Held};
use super::conclude::Unrendered;
use super::{Network, letters};
use crate::app::service::Service;
use crate::clock;
use crate::intake::Entry;
use crate::journal::Recorded;
use crate::network::attempts::{self, Attempt, Happening};
use crate::network::cancels;
use crate::network::directors::{self, DirectorError};
use crate::network::letters::LetterReason;
use crate::network::results::{self, EndState};
use crate::network::{Delivery, NetworkError, Priority, Session, VERSION};
use crate::signing::to_hex;
use crate::types::WorkId;

/// Whoever is stopped leaves a slot within this; a claim is then free for the next.
const LEAVES: Duration = Duration::from_secs(60);
/// Between two tries to tell the queue something.
const PAUSE: Duration = Duration::from_millis(200);

/// How far a slot is is told so often at most, beside the beginnings of stages.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What the queue is told at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Its result stands.
    Acknowledge,
    /// Its letter and its result stand, and nobody is to try again.
    Terminate,
    /// Nothing: it comes again, to this node or another.
    Nothing,
}

impl Network {
    /// Sees a delivery through.
    pub(super) async fn hold(self, service: Arc<Service>, delivery: Delivery) {
        let Some(subject) = delivery.subject.clone() else {
            return self.unreadable(&delivery).await;
        };
        let held = Arc::new(Held::new(subject.work, delivery.claim.clone(), delivery.delivered));
        let renewing = tokio::spawn(self.clone().renew(delivery.clone(), Arc::clone(&held)));
        let word = tokio::select! {
            word = self.see_through(&service, &delivery, &held) => word,
            () = is_lost(&held) => Word::Nothing,
        };
        match word {
            Word::Acknowledge => self.tell(&held, &delivery, Word::Acknowledge).await,
            Word::Terminate => self.tell(&held, &delivery, Word::Terminate).await,
            Word::Nothing => {}
        }
        renewing.abort();
        if word == Word::Nothing && !held.clock.holds() {
            tracing::warn!(
                work = %held.work,
                delivered = delivery.delivered,
                "the claim on this work is lost; nothing more is told of it, and another node may have it"
            );
            self.losses.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        held.lose();
        self.leave(&service, &held).await;
    }

    /// Stops what this node does for a claim that is over, and lets go of it.
    async fn leave(&self, service: &Service, held: &Arc<Held>) {
        if self.claims.of(held.work.slot).is_some_and(|other| Arc::ptr_eq(&other, held)) {
            if held.was_recorded().is_none() && service.node.cancel(held.work.slot).await {
                // What ignores it is stopped by its own supervisor; its end then finds no claim.
                let _ = tokio::time::timeout(LEAVES, held.recorded()).await;
            }
            self.claims.free(held);
        }
        self.room.notify_one();
    }

    /// Renews the claim until it is over.
    async fn renew(self, delivery: Delivery, held: Arc<Held>) {
        loop {
            tokio::time::sleep(delivery.claim.pause()).await;
            if !held.holds() {
                held.lose();
                return;
            }
            let told = async {
                let session = self.link.up().await?;
                Some(session.progress(&delivery).await)
            };
            match tokio::time::timeout(delivery.claim.left(), told).await {
                Ok(Some(Ok(()))) | Err(_) => {}
                Ok(Some(Err(error))) => {
                    tracing::debug!(work = %held.work, %error, "progress is not confirmed");
                    tokio::time::sleep(PAUSE.min(delivery.claim.left())).await;
                }
                Ok(None) => return,
            }
        }
    }

    async fn see_through(&self, service: &Arc<Service>, delivery: &Delivery, held: &Arc<Held>) -> Word {
        loop {
            match self.once(service, delivery, held).await {
                Ok(word) => return word,
                Err(error) => {
                    tracing::debug!(work = %held.work, %error, "not seen through yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn session(&self) -> Result<Session, NetworkError> {
        self.link.up().await.ok_or_else(|| NetworkError::Unavailable {
            doing: "go on with work".to_owned(),
            said: "the node leaves the network".to_owned(),
        })
    }

    async fn once(
        &self,
        service: &Arc<Service>,
        delivery: &Delivery,
        held: &Arc<Held>,
    ) -> Result<Word, NetworkError> {
        let work = held.work;
        let session = self.session().await?;
        if let Some(result) = results::read(&session, work).await? {
            self.settle(service, &result).await;
            return Ok(Word::Acknowledge);
        }
        if let Some(marker) = cancels::read(&session, work.slot).await?.filter(|it| cancels::covers(it, work))
        {
            let by = format!("{} wants it no more", marker.by);
            return Ok(self.end_unrendered(service, held, EndState::Cancelled, "requested", by).await);
        }
        if delivery.delivered > u64::from(self.settings.deliveries.get()) {
            let detail = format!(
                "it was delivered {} times and no node came to an end with it; accepted: {} (network.deliveries)",
                delivery.delivered, self.settings.deliveries
            );
            return self.dead(service, &session, delivery, held, LetterReason::Deliveries, detail).await;
        }
        let entry = match self.admit(service, delivery, held) {
            Ok(entry) => entry,
            Err(refused) => {
                return self.dead(service, &session, delivery, held, refused.reason, refused.detail).await;
            }
        };
        if let Some(detail) = self.above_its_priority(&session, delivery, &entry).await? {
            return self.dead(service, &session, delivery, held, LetterReason::Priority, detail).await;
        }
        if let Err(other) = self.claims.take(held)
            && !Arc::ptr_eq(&other, held)
        {
            return self.taken(service, &session, delivery, held, &other).await;
        }
        // A line of a letter's history, if it ever comes to that.
        let _ = attempts::tell(&session, &self.attempt(delivery, work, Happening::Begun, None)).await;
        match self.local(service, work, &entry).await {
            Local::Ended => Ok(Word::Acknowledge),
            Local::Lost => Ok(Word::Nothing),
            Local::Conflict(detail) => {
                let reason = LetterReason::ReplicaConflict;
                self.dead(service, &session, delivery, held, reason, detail).await
            }
            Local::Begin => match self.begin(service, delivery, held, entry).await {
                Way::Going => Ok(self.watch(service, held).await),
                Way::Refused(refused) => {
                    self.dead(service, &session, delivery, held, refused.reason, refused.detail).await
                }
                Way::LeftToOthers => Ok(Word::Nothing),
            },
            Local::Going => Ok(self.watch(service, held).await),
        }
    }

    /// What is wrong with work that its director has given a priority which it may not give.
    async fn above_its_priority(
        &self,
        session: &Session,
        delivery: &Delivery,
        entry: &Entry,
    ) -> Result<Option<String>, NetworkError> {
        let wanted = match &delivery.subject {
            // Everybody may have the lowest.
            Some(subject) if subject.class.priority < Priority::Low => subject.class.priority,
            _ => return Ok(None),
        };
        let director = entry.recipe.security.as_ref().map(|security| to_hex(&security.director));
        match directors::allow(session, director.as_deref(), Some(wanted), 0).await {
            Err(error @ DirectorError::Priority { .. }) => Ok(Some(error.to_string())),
            Err(DirectorError::Network(error)) => Err(error),
            // Shares are counted by whoever hands in: what is here was within one, or two were handed in at once.
            Ok(_) | Err(DirectorError::Queued { .. } | DirectorError::Name { .. }) => Ok(None),
        }
    }

    /// Waits for the end of a slot that goes on here; ends it when somebody wants it no more.
    async fn watch(&self, service: &Service, held: &Arc<Held>) -> Word {
        let mut look = tokio::time::interval(self.cancels_read_every());
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut events = service.told.subscribe();
        let mut told_at = clock::now();
        loop {
            tokio::select! {
                recorded = held.recorded() => {
                    return match recorded {
                        Recorded::Ended | Recorded::Superseded { .. } => Word::Acknowledge,
                        Recorded::Left => Word::Nothing,
                    };
                }
                told = events.recv() => {
                    let Ok(event) = told else { continue };
                    if event.slot != Some(held.work.slot) {
                        continue;
                    }
                    let begins = &*event.kind == "stage_began";
                    let now = clock::now();
                    if begins || now.saturating_duration_since(told_at) >= TOLD_EVERY {
                        told_at = now;
                        self.tell_progress(held, &event).await;
                    }
                    if !begins {
                        continue;
                    }
                }
                _ = look.tick() => {}
            }
            let Some(session) = self.link.session() else { continue };
            let marker = cancels::read(&session, held.work.slot).await;
            if marker.is_ok_and(|marker| marker.is_some_and(|it| cancels::covers(&it, held.work))) {
                tracing::info!(work = %held.work, "cancelled by the network");
                service.node.cancel(held.work.slot).await;
            }
        }
    }

    fn attempt(&self, delivery: &Delivery, work: WorkId, what: Happening, detail: Option<String>) -> Attempt {
        let at = clock::unix_time().as_secs_f64();
        let (node, delivery) = (self.id.to_string(), delivery.delivered);
        Attempt { version: VERSION, work, node, at, delivery, what, detail }
    }

    /// Another claim on the slot is at work here.
    async fn taken(
        &self,
        service: &Arc<Service>,
        session: &Session,
        delivery: &Delivery,
        held: &Arc<Held>,
        other: &Arc<Held>,
    ) -> Result<Word, NetworkError> {
        if !other.holds() {
            // It was lost a moment ago, maybe to this very delivery.
            self.claims.is_free(held.work.slot).await;
            return Err(NetworkError::Unavailable {
                doing: format!("take {}", held.work),
                said: "an earlier claim has only just gone".to_owned(),
            });
        }
        if other.work == held.work {
            // Delivered twice: the first goes on, and its acknowledgement is this one's too.
            return Ok(Word::Nothing);
        }
        let detail = format!("this node renders {} at the same time", other.work);
        self.dead(service, session, delivery, held, LetterReason::ReplicaConflict, detail).await
    }

    /// Work that nobody is to try again: its letter, then its result, then its end in the queue.
    async fn dead(
        &self,
        service: &Arc<Service>,
        session: &Session,
        delivery: &Delivery,
        held: &Arc<Held>,
        reason: LetterReason,
        detail: String,
    ) -> Result<Word, NetworkError> {
        tracing::warn!(work = %held.work, reason = reason.name(), detail, "work goes to the dead letters");
        if !held.holds() {
            return Ok(Word::Nothing);
        }
        letters::send(self, session, delivery, Some(held.work), reason, &detail).await?;
        let word = self.end_unrendered(service, held, EndState::Dead, reason.name(), detail).await;
        Ok(if word == Word::Acknowledge { Word::Terminate } else { word })
    }

    async fn end_unrendered(
        &self,
        service: &Arc<Service>,
        held: &Arc<Held>,
        state: EndState,
        cause: &'static str,
        message: String,
    ) -> Word {
        let why = Unrendered { state, cause, message };
        match self.create_unrendered(held, &why).await {
            super::claims::Verdict::Lost => Word::Nothing,
            super::claims::Verdict::Stands | super::claims::Verdict::Superseded { .. } => {
                if let Some(session) = self.link.session()
                    && let Ok(Some(result)) = results::read(&session, held.work).await
                {
                    self.settle(service, &result).await;
                }
                Word::Acknowledge
            }
        }
    }

    /// A message whose subject says nothing: a letter by its number, and it is gone.
    async fn unreadable(&self, delivery: &Delivery) {
        while delivery.claim.holds() {
            let done = async {
                let session = self.session().await?;
                let detail = format!("its subject {:?} is none of work", delivery.raw_subject);
                letters::send(self, &session, delivery, None, LetterReason::Unreadable, &detail).await?;
                session.terminate(delivery).await
            };
            match done.await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "a message that is no work is not put aside yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tells the queue, as long as the claim holds; where that fails the work comes again and finds its result.
    async fn tell(&self, held: &Held, delivery: &Delivery, word: Word) {
        while delivery.claim.holds() {
            let Ok(Some(session)) = tokio::time::timeout(delivery.claim.left(), self.link.up()).await else {
                return;
            };
            let told = match word {
                Word::Acknowledge => session.acknowledge(delivery).await,
                Word::Terminate => session.terminate(delivery).await,
                Word::Nothing => return,
            };
            match told {
                Ok(()) => return,
                Err(error) => tracing::debug!(work = %held.work, %error, "not acknowledged yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Resolves when the claim is over without an end.
async fn is_lost(held: &Held) {
    loop {
        match held.over().await {
            Course::Lost => return,
            // Its end is being seen to.
            Course::Recorded(_) => std::future::pending().await,
            Course::Holding => {}
        }
    }
}
