//! Settings that are each fine and cannot hold together.

use super::network::{Network, Wrong, check_address};
use super::origin::Origin;
use super::preflight::{Budgets, preflight};
use super::problem::Problem;
use super::service::Http;
use super::settings::{Memory, Models, Settings};
use super::values::{Limit, Precision};
use crate::types::ModelId;

/// Reports each contradiction in `settings` at the key to blame; `found` gives a key's value as written and its origin.
///
/// Says nothing about a key that has been reported already: what stands in for its value is a default.
pub(super) fn contradictions(
    settings: &Settings,
    found: &dyn Fn(&str) -> (String, Origin),
    problems: &mut Vec<Problem>,
) {
    let mut report =
        Report { found, reported: problems.iter().filter_map(|p| p.key.clone()).collect(), problems };
    memory(&settings.memory, &mut report);
    budgets(settings, &mut report);
    precisions(&settings.models, &mut report);
    let restart = &settings.restart;
    for (name, backoff, backoff_max) in [
        ("model", restart.model.backoff, restart.model.backoff_max),
        ("device", restart.device.backoff, restart.device.backoff_max),
        ("process", restart.process.backoff, restart.process.backoff_max),
    ] {
        if backoff > backoff_max {
            let (longest, first) = (format!("restart.{name}.backoff_max"), format!("restart.{name}.backoff"));
            report.pair(&longest, "is shorter than", &first, "at least as long");
        }
    }
    service(settings, &mut report);
    network(settings, &mut report);
    if settings.data_dir.as_os_str().is_empty() {
        report.single("data_dir", "names no folder", "a path");
    }
    if settings.node.key_file.file_name().is_none() {
        report.single("node.key_file", "names no file", "a path");
    }
    if let Err(error) = super::check_filter(&settings.telemetry.filter) {
        report.single(
            "telemetry.filter",
            &error,
            "levels and targets such as \"info,vortex_node::vram=debug\"",
        );
    }
}

struct Report<'a> {
    found: &'a dyn Fn(&str) -> (String, Origin),
    reported: Vec<String>,
    problems: &'a mut Vec<Problem>,
}

impl Report<'_> {
    fn add(&mut self, key: &str, others: &[&str], what: String, accepted: &str) {
        if [key].iter().chain(others).any(|key| self.reported.iter().any(|reported| reported == key)) {
            return;
        }
        let (value, origin) = (self.found)(key);
        self.problems.push(Problem::of_value(key, value, origin, what).accepting(accepted));
    }

    fn single(&mut self, key: &str, what: &str, accepted: &str) {
        self.add(key, &[], what.to_owned(), accepted);
    }

    /// Of a list of addresses of servers: the first that is none.
    fn addresses(&mut self, key: &str, addresses: &[String], schemes: [&str; 2], accepted: &str) {
        let wrong = addresses.iter().find_map(|text| Some((text, check_address(text, schemes).err()?)));
        match wrong {
            None => {}
            Some((text, Wrong::NoAddress)) => {
                self.add(key, &[], format!("{text:?} is no address of a server"), accepted);
            }
            Some((_, Wrong::Secret)) if self.reported.iter().any(|reported| reported == key) => {}
            // Whatever reports problems must not repeat a password.
            Some((_, Wrong::Secret)) => {
                let (_, origin) = (self.found)(key);
                let what = "an address holds a name or a password; settings are shown and told to others";
                let problem = Problem::of_value(key, "(not repeated)".to_owned(), origin, what);
                self.problems
                    .push(problem.accepting(format!(
                        "{accepted}, with network.credentials or network.nkey beside it"
                    )));
            }
        }
    }

    fn pair(&mut self, key: &str, relation: &str, other: &str, accepted: &str) {
        let (value, origin) = (self.found)(other);
        self.add(key, &[other], format!("{relation} {other} = {value} ({origin})"), accepted);
    }
}

fn memory(memory: &Memory, report: &mut Report<'_>) {
    // An amount and a share cannot be compared before the device is known; preflight does.
    let crossed = match (memory.soft_limit, memory.hard_limit) {
        (Limit::Amount(soft), Limit::Amount(hard)) => soft >= hard,
        (Limit::OfFree(soft), Limit::OfFree(hard)) => soft >= hard,
        _ => false,
    };
    if crossed {
        report.pair("memory.soft_limit", "is not below", "memory.hard_limit", "less than the hard limit");
    }
    if let Limit::Amount(soft) = memory.soft_limit
        && memory.hysteresis >= soft
    {
        report.pair("memory.hysteresis", "is not below", "memory.soft_limit", "less than the soft limit");
    }
    if memory.stale_after <= memory.sample_every {
        report.pair(
            "memory.stale_after",
            "is not longer than",
            "memory.sample_every",
            "more than the time between two samples",
        );
    }
    if memory.blind_rebuild <= memory.stale_after {
        report.pair("memory.blind_rebuild", "is not longer than", "memory.stale_after", "longer than that");
    }
    if memory.blind_at_most <= memory.blind_rebuild {
        report.pair("memory.blind_at_most", "is not longer than", "memory.blind_rebuild", "longer than that");
    }
}

fn service(settings: &Settings, report: &mut Report<'_>) {
    let (http, journal) = (&settings.http, &settings.journal);
    match (&http.tls_certificate, &http.tls_key) {
        (Some(_), None) => {
            report.single("http.tls_key", "is off beside a certificate", "the certificate's key")
        }
        (None, Some(_)) => {
            report.single("http.tls_certificate", "is off beside a key", "the key's certificate")
        }
        (None, None) if http.client_ca.is_some() => {
            report.single("http.client_ca", "needs TLS, and there is no http.tls_certificate", "\"off\"");
        }
        _ => {}
    }
    if http.management == Some(http.listen) && http.listen.port() != 0 {
        report.pair("http.management", "is the same as", "http.listen", "another address or port");
    }
    let end = http.farewell + settings.slots.drain + Http::CLOSING;
    if http.killed_after.is_some_and(|after| after < end) {
        let closing = Http::CLOSING;
        let (farewell, drain) = (http.farewell, settings.slots.drain);
        report.add(
            "http.killed_after",
            &["http.farewell", "slots.drain"],
            format!(
                "is shorter than the end of the process may take: {farewell:?} of http.farewell, {drain:?} of \
                 slots.drain and {closing:?} to close"
            ),
            &format!("at least {end:?}, and the same in the manifest; or a shorter slots.drain"),
        );
    }
    if journal.keep_at_most < journal.keep {
        report.pair("journal.keep_at_most", "is shorter than", "journal.keep", "at least as long");
    }
    if journal.tombstones < settings.intake.replay_window {
        report.pair("journal.tombstones", "is shorter than", "intake.replay_window", "at least as long");
    }
}

fn network(settings: &Settings, report: &mut Report<'_>) {
    const STORE: &str = "such as store.url = \"s3://bucket/prefix\"";
    let network = &settings.network;
    let stored = settings.store.url.is_some();
    if !network.servers.is_empty() && !stored {
        let what = "a node in a network needs store.url, so that others can fetch what it has made";
        report.add("network.servers", &["store.url"], what.to_owned(), STORE);
    }
    if network.share_stages && !stored {
        let what = "stages are shared by the store, and store.url is off";
        report.add("network.share_stages", &["store.url"], what.to_owned(), STORE);
    }
    report.addresses(
        "network.servers",
        &network.servers,
        ["nats", "tls"],
        "nats://HOST:4222 or tls://HOST:4222",
    );
    report.addresses(
        "network.monitor",
        &network.monitor,
        ["http", "https"],
        "http://HOST:8222 or https://HOST:8222",
    );
    if !Network::fits_as_prefix(&network.prefix) {
        report.single("network.prefix", "cannot begin subjects", "1 to 40 letters, digits, - and _");
    }
    if network.credentials.is_some() && network.nkey.is_some() {
        report.pair("network.nkey", "stands beside", "network.credentials", "one of both, the other \"off\"");
    }
    match (&network.client_certificate, &network.client_key) {
        (Some(_), None) => {
            report.single("network.client_key", "is off beside a certificate", "the certificate's key");
        }
        (None, Some(_)) => {
            report.single("network.client_certificate", "is off beside a key", "the key's certificate");
        }
        _ => {}
    }
    if !matches!(network.replicas, 1 | 3 | 5) {
        report.single("network.replicas", "is no number of copies that can agree", "1, 3 or 5");
    }
    if network.ack_wait < Network::SHORTEST_ACK_WAIT {
        let accepted = format!("at least {:?}", Network::SHORTEST_ACK_WAIT);
        report.single("network.ack_wait", "is too short for claims to be confirmed in", &accepted);
    }
    let expires = network.heartbeat.saturating_mul(3);
    if network.away < expires {
        let accepted = format!("at least {expires:?}, after which a node's entry expires");
        report.pair("network.away", "is shorter than three times", "network.heartbeat", &accepted);
    }
}

/// Preflight of what is set against a limit that is known beforehand; a share of what is free, and what the bundle says,
/// is judged when the node starts.
fn budgets(settings: &Settings, report: &mut Report<'_>) {
    if let Some(Err(misfit)) = preflight(settings, &Budgets::at_least(settings), None) {
        let accepted = format!("at least {}, or smaller budgets", misfit.needed);
        report.add("memory.hard_limit", &["memory.overhead"], misfit.to_string(), &accepted);
    }
}

/// Which precisions each model can be held in.
pub(super) const fn precisions_of(model: ModelId) -> &'static [Precision] {
    use Precision::{Bf16, Bundle, F16, F32, Int8, Nf4, Nf4Nested};
    match model {
        ModelId::Flux => &[Bundle, F32, F16, Bf16, Nf4, Nf4Nested],
        ModelId::LivePortrait => &[Bundle, F32, F16],
        ModelId::Kokoro => &[Bundle, F32],
        ModelId::ClipB | ModelId::ClipL => &[Bundle, F32, F16, Int8],
    }
}

fn precisions(models: &Models, report: &mut Report<'_>) {
    for model in ModelId::ALL {
        let accepted = precisions_of(model);
        let precision = models.budget(model).precision;
        if !accepted.contains(&precision) {
            let names: Vec<&str> = accepted.iter().map(|precision| precision.name()).collect();
            let what = format!("{model} is not held in {precision}");
            report.single(&format!("models.{model}.precision"), &what, &names.join(", "));
        }
    }
}
