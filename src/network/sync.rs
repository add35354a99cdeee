//! Whether the servers sync what they have confirmed. Their API of streams does not tell; their monitors do.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;

use super::session::Session;
use super::setup::{Finding, SetupError, old};

/// For a monitor to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Whom to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitors {
    /// Where the servers' monitors are: `http://HOST:8222` of each.
    pub addresses: Vec<String>,
    /// Whether to go on where it cannot be told.
    pub assume_synced: bool,
}

/// What one server's monitor says.
#[derive(Clone, Debug, Default, Deserialize)]
struct Told {
    #[serde(default)]
    server_id: String,
    #[serde(default)]
    server_name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    jetstream: JetStream,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct JetStream {
    /// None where the server keeps no streams.
    config: Option<Config>,
    /// Of a cluster.
    meta: Option<Meta>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Config {
    /// 120 s stand in `sync_interval` where this is true as well: it alone says so.
    #[serde(default)]
    sync_always: bool,
    /// Nanoseconds.
    #[serde(default)]
    sync_interval: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    cluster_size: usize,
}

/// Asks every monitor whether its server syncs each write before it confirms it, and how old it is. What is not known is refused
/// too, unless it is to be assumed: then it is returned as warnings.
pub async fn synced(session: &Session, monitors: &Monitors) -> Result<Vec<String>, SetupError> {
    let told = join_all(monitors.addresses.iter().map(|address| ask(address))).await;
    let (_, own) = session.server();
    let (mut findings, unknown) = judge(&monitors.addresses, &told, &own);
    if monitors.assume_synced {
        SetupError::unless_none(findings)?;
        return Ok(unknown.iter().map(|finding| format!("assumed: {finding}")).collect());
    }
    findings.extend(unknown);
    SetupError::unless_none(findings)?;
    Ok(Vec::new())
}

async fn ask(address: &str) -> Result<Told, String> {
    let said = |error: reqwest::Error| error.without_url().to_string();
    let url = format!("{}/varz", address.trim_end_matches('/'));
    let client = reqwest::Client::builder().timeout(ANSWER).no_proxy().build().map_err(said)?;
    let answer = client.get(&url).send().await.map_err(said)?;
    answer.error_for_status().map_err(said)?.json().await.map_err(said)
}

/// What is known to be wrong, and what is not known.
fn judge(addresses: &[String], told: &[Result<Told, String>], own: &str) -> (Vec<Finding>, Vec<Finding>) {
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    let not_known = |what: String, found: String, mend: &str| Finding {
        what,
        setting: "jetstream sync_interval".to_owned(),
        found,
        wanted: "known to be always".to_owned(),
        mend: format!("{mend}; or set network.assume_synced = true"),
    };
    let (mut asked, mut servers) = (BTreeSet::new(), 1);
    for (address, told) in addresses.iter().zip(told) {
        let told = match told {
            Ok(told) => told,
            Err(said) => {
                let found = format!("not known: {said}");
                let mend = "have the server answer there (http: 8222 in its configuration), or take it out of network.monitor";
                unknown.push(not_known(format!("server at {address}"), found, mend));
                continue;
            }
        };
        let what = format!("server {} at {address}", told.server_name);
        wrong.extend(old(&what, &told.version));
        asked.insert(told.server_id.as_str());
        servers = servers.max(told.jetstream.meta.as_ref().map_or(0, |meta| meta.cluster_size));
        if let Some(config) = told.jetstream.config.as_ref().filter(|config| !config.sync_always) {
            wrong.push(Finding {
                what,
                setting: "jetstream sync_interval".to_owned(),
                found: format!("{:?}", Duration::from_nanos(config.sync_interval)),
                wanted: "always: what a server has confirmed must outlive its power".to_owned(),
                mend: "write sync_interval: always into the jetstream block of its configuration, and restart it".to_owned(),
            });
        }
    }
    let is_all_unreachable = asked.is_empty() && !unknown.is_empty();
    if addresses.is_empty() {
        let mend = "name the monitor of each server in network.monitor, such as \"http://HOST:8222\"";
        unknown.push(not_known("servers".to_owned(), "not known: no monitor to ask".to_owned(), mend));
    } else if !is_all_unreachable && !asked.contains(own) {
        let found =
            "not known: none of the monitors is of the server that this node is connected to".to_owned();
        unknown.push(not_known("server".to_owned(), found, "name its monitor in network.monitor as well"));
    } else if !is_all_unreachable && asked.len() < servers {
        let found = format!("known of {} out of {servers} servers", asked.len());
        unknown.push(not_known("servers".to_owned(), found, "name the monitor of each in network.monitor"));
    }
    (wrong, unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(value: serde_json::Value) -> Result<Told, String> {
        Ok(serde_json::from_value(value).unwrap())
    }

    fn server(id: &str, always: bool, size: usize) -> Result<Told, String> {
        told(json!({"server_id": id, "server_name": id, "version": "2.15.1", "jetstream": {
            "config": {"sync_always": always, "sync_interval": 120_000_000_000u64}, "meta": {"cluster_size": size}}}))
    }

    fn judged(told: &[Result<Told, String>]) -> (String, String) {
        let addresses: Vec<String> = (0..told.len()).map(|n| format!("http://h{n}:8222")).collect();
        let (wrong, unknown) = judge(&addresses, told, "a");
        let text =
            |findings: Vec<Finding>| findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n");
        (text(wrong), text(unknown))
    }

    #[test]
    fn every_server_of_a_cluster_must_be_known_to_sync() {
        let (a, b, c) = (server("a", true, 3), server("b", true, 3), server("c", true, 3));
        assert_eq!(judged(&[a.clone(), b.clone(), c]), (String::new(), String::new()));
        let (wrong, unknown) = judged(&[a.clone(), b.clone()]);
        assert!(wrong.is_empty() && unknown.contains("known of 2 out of 3 servers"), "{unknown}");
        let (wrong, _) = judged(&[a.clone(), b.clone(), server("c", false, 3)]);
        assert!(wrong.contains("server c at http://h2:8222: jetstream sync_interval is 120s"), "{wrong}");
        assert!(wrong.contains("write sync_interval: always"), "{wrong}");
        let (wrong, unknown) = judged(&[b]);
        assert!(wrong.is_empty() && unknown.contains("connected to"), "{unknown}");
        let (wrong, unknown) = judged(&[a, Err("refused".to_owned())]);
        assert!(wrong.is_empty() && unknown.contains("server at http://h1:8222"), "{unknown}");
        assert!(unknown.contains("known of 1 out of 3"), "{unknown}");
    }

    #[test]
    fn an_old_server_is_refused() {
        let old = told(json!({"server_id": "a", "server_name": "a", "version": "2.11.9"}));
        let (wrong, unknown) = judged(&[old]);
        assert!(
            wrong.contains("version is \"2.11.9\", wanted at least 2.12") && unknown.is_empty(),
            "{wrong}"
        );
    }
}
