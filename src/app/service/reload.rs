//! Reading the settings again while the node runs: what can change does, the rest is named and waits for a restart.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::listen::{Opened, access_settings};
use super::outbox::secret_file;
use super::{DoorSettings, Service};
use crate::app::bundle::Chosen;
use crate::app::door;
use crate::app::limits::Card;
use crate::clock;
use crate::config::{Effective, Inputs, Loaded, load};
use crate::telemetry;
use crate::webhooks::{Rules, Secrets};

/// Settings that take effect when they are read again. Tokens, certificates and keys are read again from their files,
/// wherever the settings say they are since the start.
const CHANGEABLE: [&str; 8] = [
    "intake.signers",
    "intake.replay_window",
    "http.hosts",
    "http.rate",
    "http.burst",
    "telemetry.filter",
    "webhooks.allow",
    "webhooks.public",
];
/// Likewise, where the devices are not played ones: those have their scenario's.
const LIMITS: [&str; 6] = [
    "memory.soft_limit",
    "memory.hard_limit",
    "memory.hysteresis",
    "memory.dwell",
    "slots.queue",
    "slots.lookahead",
];
/// Likewise, with everything below.
const VOICES: &str = "voices";

/// Reads the settings again.
pub(super) struct Reloader {
    inputs: Inputs,
    /// In force.
    loaded: Loaded,
    chosen: Chosen,
    opened: Opened,
    /// Those whose limits can be changed; none where they are played.
    cards: Vec<Card>,
}

impl Reloader {
    pub(super) fn new(
        inputs: Inputs,
        loaded: Loaded,
        chosen: Chosen,
        opened: Opened,
        cards: Vec<Card>,
    ) -> Self {
        Self { inputs, loaded, chosen, opened, cards }
    }

    /// What changed, and what waits for a restart; on an error everything stays as it was. Blocks for a few files.
    pub(super) async fn reload(&mut self, service: &Service) -> Result<Value, String> {
        tokio::task::block_in_place(|| self.read(service))
    }

    fn read(&mut self, service: &Service) -> Result<Value, String> {
        let loaded = load(&self.inputs).map_err(|problems| problems.to_string())?;
        let differing = differing(&self.loaded.effective, &loaded.effective);
        let are_played = self.cards.is_empty();
        let (changed, kept): (Vec<String>, Vec<String>) =
            differing.into_iter().partition(|key| can_change(key, are_played));
        let settings = &loaded.settings;
        // Everything is checked before anything is changed.
        let access = access_settings(&settings.http)?;
        let rules = Rules::new(settings.webhooks.public, &settings.webhooks.allow)
            .map_err(|error| error.to_string())?;
        let secrets =
            Secrets::open(&secret_file(&self.loaded.settings.data_dir)).map_err(|error| error.to_string())?;
        let limits = self.cards.iter().map(|card| card.limits(settings, &self.chosen.bundle));
        let limits: Vec<_> = limits.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let mut warnings = Vec::new();
        if let Some(tls) = &self.opened.tls {
            warnings = tls.reload(clock::unix_time()).map_err(|error| error.to_string())?;
        }
        let tokens = self.opened.access.tokens().reload().map_err(|error| error.to_string())?;
        telemetry::refilter(&settings.telemetry.filter).map_err(|error| error.to_string())?;
        self.opened.access.change(&access);
        self.cards.iter().zip(limits).for_each(|(card, limits)| card.change(limits));
        service.targets.send_replace(rules.into());
        if let Some(signed_with) = service.secrets.get() {
            signed_with.send_replace(secrets.into());
        }
        service.change_door(DoorSettings {
            door: door(&loaded, &self.chosen),
            signers: settings.intake.signers.clone(),
            replay_window: settings.intake.replay_window,
        });
        // What waits for a restart is told again next time.
        let effective = merged(&self.loaded.effective, &loaded.effective, are_played);
        self.loaded = Loaded { effective, ..loaded };
        Ok(json!({
            "changed": changed,
            "needs_restart": kept,
            "tokens": tokens,
            "certificates": self.opened.tls.is_some(),
            "warnings": warnings,
        }))
    }
}

fn can_change(key: &str, are_played: bool) -> bool {
    CHANGEABLE.contains(&key)
        || (!are_played && LIMITS.contains(&key))
        || key.strip_prefix(VOICES).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The keys whose values differ.
fn differing(before: &[Effective], after: &[Effective]) -> Vec<String> {
    let values = |all: &[Effective]| -> BTreeMap<String, Value> {
        all.iter().map(|it| (it.key.clone(), it.value.clone())).collect()
    };
    let (before, after) = (values(before), values(after));
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}

/// What is in force after a reload: new values of what can change, old ones of what cannot.
fn merged(before: &[Effective], after: &[Effective], are_played: bool) -> Vec<Effective> {
    let old = before.iter().filter(|it| !can_change(&it.key, are_played));
    let new = after.iter().filter(|it| can_change(&it.key, are_played));
    old.chain(new).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn value(key: &str, value: u32) -> Effective {
        Effective { key: key.to_owned(), value: value.into(), source: Origin::Default }
    }

    #[test]
    fn what_cannot_change_is_named_again_at_every_reload_and_what_can_only_once() {
        let before = [value("http.rate", 1), value("slots.queue", 1), value("voices.anna", 1)];
        let after = [value("http.rate", 2), value("slots.queue", 2), value("voices.bert", 1)];
        assert_eq!(differing(&before, &after), ["http.rate", "slots.queue", "voices.anna", "voices.bert"]);
        assert_eq!(differing(&merged(&before, &after, true), &after), ["slots.queue"]);
        assert!(differing(&merged(&before, &after, false), &after).is_empty());
        for (key, changes) in [("voices.anna", true), ("voicesx", false), ("http.listen", false)] {
            assert_eq!((can_change(key, true), can_change(key, false)), (changes, changes), "{key}");
        }
    }
}
