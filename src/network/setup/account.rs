//! What the account may use: too little is refused before it runs out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::consumers::MOST_PENDING;
use super::wanted::{Kept, consumers_of};
use super::{Finding, ROOM, Setup};
use crate::network::error::NetworkError;
use crate::network::session::Session;

/// What an account has and may have.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Account {
    #[serde(default)]
    limits: Limits,
    /// Where limits are told for each number of copies: `R1`, `R3`.
    #[serde(default)]
    tiers: BTreeMap<String, Tier>,
}

#[derive(Debug, Deserialize)]
struct Tier {
    limits: Limits,
}

/// Below zero where there is none.
#[derive(Debug, Deserialize)]
struct Limits {
    #[serde(default = "none")]
    max_storage: i64,
    #[serde(default = "none")]
    max_streams: i64,
    #[serde(default = "none")]
    max_consumers: i64,
    #[serde(default = "none")]
    max_ack_pending: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_storage: none(), max_streams: none(), max_consumers: none(), max_ack_pending: none() }
    }
}

const fn none() -> i64 {
    -1
}

/// Asks for it.
pub(super) async fn of(session: &Session) -> Result<Account, NetworkError> {
    session.api("ask for the account's limits", "INFO", &json!(null)).await
}

impl Account {
    /// What is too small for `setup`.
    pub(super) fn check(&self, setup: &Setup) -> Vec<Finding> {
        let tier = format!("R{}", setup.replicas);
        let limits = if self.tiers.is_empty() {
            Some(&self.limits)
        } else {
            self.tiers.get(&tier).map(|it| &it.limits)
        };
        let Some(limits) = limits else {
            let tiers: Vec<&str> = self.tiers.keys().map(String::as_str).collect();
            return vec![Finding {
                what: "account".to_owned(),
                setting: "tiers".to_owned(),
                found: tiers.join(", "),
                wanted: format!("one of {tier}"),
                mend: format!(
                    "add the tier, or set network.replicas to what a tier has ({})",
                    tiers.join(", ")
                ),
            }];
        };
        // Where there are tiers, each counts a stream's bytes once.
        let copies = if self.tiers.is_empty() { u64::from(setup.replicas.get()) } else { 1 };
        let room = setup.queue.saturating_mul(ROOM).saturating_mul(copies);
        let all = [
            ("max_streams", limits.max_streams, Kept::ALL.len() as u64),
            ("max_consumers", limits.max_consumers, consumers_of(setup.nodes)),
            ("max_ack_pending", limits.max_ack_pending, MOST_PENDING),
            ("max_storage", limits.max_storage, room),
        ];
        let too_small = all.into_iter().filter_map(|(setting, found, wanted)| {
            let has_less = u64::try_from(found).is_ok_and(|found| found < wanted);
            has_less.then(|| Finding {
                what: "account".to_owned(),
                setting: setting.to_owned(),
                found: found.to_string(),
                wanted: format!("at least {wanted}"),
                mend: "raise it in the server's configuration (accounts), or with nsc edit account; or set network.queue lower"
                    .to_owned(),
            })
        });
        too_small.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    fn setup() -> Setup {
        Setup {
            ack_wait: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            replicas: NonZeroU32::new(3).unwrap(),
            queue: 1000,
            nodes: 10,
        }
    }

    fn found(account: serde_json::Value) -> Vec<String> {
        let account: Account = serde_json::from_value(account).unwrap();
        account.check(&setup()).into_iter().map(|finding| finding.setting).collect()
    }

    #[test]
    fn only_limits_that_are_too_small_are_refused() {
        assert!(found(json!({})).is_empty());
        assert!(
            found(json!({"limits": {"max_storage": -1, "max_streams": 7, "max_consumers": -1}})).is_empty()
        );
        let small = json!({"limits": {"max_storage": 1000 * 8192 * 3 - 1, "max_streams": 6, "max_consumers": 3,
            "max_ack_pending": 1000}});
        assert_eq!(found(small), ["max_streams", "max_consumers", "max_ack_pending", "max_storage"]);
    }

    #[test]
    fn where_there_are_tiers_that_of_the_copies_counts() {
        let none = json!({"max_storage": 0, "max_streams": 0});
        let tier = json!({"limits": {"max_storage": 1000 * 8192, "max_streams": 10}});
        assert!(found(json!({"limits": none, "tiers": {"R3": tier}})).is_empty());
        assert_eq!(found(json!({"limits": none, "tiers": {"R1": tier}})), ["tiers"]);
    }
}
