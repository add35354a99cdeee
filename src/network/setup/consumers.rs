//! Consumers of the work stream: one for each class that nodes do, one for each node.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::wanted::nanoseconds;
use super::{Finding, SetupError};
use crate::network::class::Class;
use crate::network::error::NetworkError;
use crate::network::session::Session;
use crate::network::subjects::Stream;

/// Messages that are under way over one consumer: those of the whole fleet, which a default of 1,000 would hold back.
pub(super) const MOST_PENDING: u64 = 100_000;
/// Pulls that wait on one consumer: one of each node, and none of many nodes may be turned away.
const WAITING: i64 = 10_000;
/// The fewest that will do.
const FEWEST_WAITING: i64 = 512;
/// Requests at a time: each takes the server a sync.
const AT_ONCE: usize = 16;

/// The server has a consumer of this name with other settings.
const EXISTS: u64 = 10_148;
/// Another consumer of the stream takes some of the same subjects.
const NOT_UNIQUE: u64 = 10_100;
/// The stream, or the account, has as many consumers as it may.
const TOO_MANY: u64 = 10_026;

#[derive(Deserialize)]
struct Told {
    config: Value,
}

/// Makes the consumers of `classes` and of `node`'s own work where they are missing, and checks those that are there. All nodes
/// of a network have the same `ack_wait`: one consumer has one.
pub async fn consumers(
    session: &Session,
    classes: &[Class],
    node: &str,
    ack_wait: Duration,
) -> Result<(), SetupError> {
    let subjects = session.subjects();
    let mut wanted: Vec<(String, String)> =
        classes.iter().map(|class| (class.consumer(), subjects.work_for_any(class))).collect();
    wanted.push((subjects.consumer_of(node), subjects.work_for(node)));
    let asked = wanted.iter().map(|(name, filter)| one(session, name, filter, ack_wait));
    let answers: Vec<Result<Vec<Finding>, NetworkError>> =
        stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let mut findings = Vec::new();
    for answer in answers {
        findings.extend(answer?);
    }
    findings.sort_by(|a, b| (&a.what, &a.setting).cmp(&(&b.what, &b.setting)));
    SetupError::unless_none(findings)
}

async fn one(
    session: &Session,
    name: &str,
    filter: &str,
    ack_wait: Duration,
) -> Result<Vec<Finding>, NetworkError> {
    let work = session.subjects().stream(Stream::Work);
    let config = json!({
        "name": name,
        "durable_name": name,
        "filter_subject": filter,
        "ack_policy": "explicit",
        "ack_wait": nanoseconds(ack_wait),
        "max_deliver": -1,
        "max_ack_pending": -1,
        "max_waiting": WAITING,
        "deliver_policy": "all",
        "replay_policy": "instant",
    });
    let request = json!({ "stream_name": work, "config": config, "action": "create" });
    let what = format!("consumer {name} of stream {work}");
    let missing = |found: String, mend: String| {
        let (setting, wanted) = ("it".to_owned(), "there".to_owned());
        vec![Finding { what: what.clone(), setting, found, wanted, mend }]
    };
    let call = format!("CONSUMER.CREATE.{work}.{name}.{filter}");
    let told: Result<Told, _> = session.api(&format!("make {what}"), &call, &request).await;
    let after = match told {
        Ok(told) => return Ok(check(&what, &work, name, filter, ack_wait, &told.config)),
        Err(NetworkError::Refused { code: EXISTS, .. }) => None,
        // What the credentials do not allow is not answered; it may be there all the same.
        Err(NetworkError::NoAnswer { after, .. }) => Some(after),
        Err(NetworkError::Refused { code: NOT_UNIQUE, said, .. }) => {
            let mend =
                format!("find the consumer that takes {filter} too (nats consumer ls {work}), and remove it");
            return Ok(missing(format!("missing, and cannot be made: {said}"), mend));
        }
        Err(NetworkError::Refused { code: TOO_MANY, said, .. }) => {
            let mend = format!(
                "nats consumer ls {work} shows those of nodes and bundles that are gone, which nats consumer rm {work} NAME \
                 removes; or nats stream edit {work} --max-consumers=NUMBER, and max_consumers of the account"
            );
            return Ok(missing(format!("missing, and cannot be made: {said}"), mend));
        }
        Err(error) => return Err(error),
    };
    match session
        .api::<Told>(&format!("look at {what}"), &format!("CONSUMER.INFO.{work}.{name}"), &json!(null))
        .await
    {
        Ok(told) => Ok(check(&what, &work, name, filter, ack_wait, &told.config)),
        Err(error) if error.is_missing() && after.is_some() => {
            let found =
                format!("missing, and to make it is not answered within {:?}", after.unwrap_or_default());
            let mend = format!(
                "allow these credentials to publish to $JS.API.{call}, or have a node make it whose credentials may"
            );
            Ok(missing(found, mend))
        }
        Err(error) => Err(error),
    }
}

/// What is wrong with a consumer that is there.
fn check(
    what: &str,
    work: &str,
    name: &str,
    filter: &str,
    ack_wait: Duration,
    config: &Value,
) -> Vec<Finding> {
    let edit = |flag: &str| format!("nats consumer edit {work} {name} {flag}");
    let anew = || format!("nats consumer rm {work} {name}, and start the node again, which makes it");
    let wait = nanoseconds(ack_wait);
    let seconds = ack_wait.as_secs_f64();
    let all_equal = "all nodes of a network have the same network.ack_wait";
    let most = i64::try_from(MOST_PENDING).unwrap_or(i64::MAX);
    let is = |value: Value| move |found: &Value| *found == value;
    let none = |found: &Value| match found {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty() || text == "none",
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    };
    let unlimited = |least: i64| move |found: &Value| found.as_i64().is_some_and(|it| it <= 0 || it >= least);
    type Holds = Box<dyn Fn(&Value) -> bool>;
    let rules: Vec<(&str, Holds, String, String)> = vec![
        ("filter_subject", Box::new(is(json!(filter))), format!("{filter:?}"), anew()),
        ("ack_policy", Box::new(is(json!("explicit"))), "\"explicit\"".to_owned(), anew()),
        (
            "ack_wait",
            Box::new(is(json!(wait))),
            format!("{wait} ({seconds} s): {all_equal}"),
            format!("set network.ack_wait as the others have it, or {}", edit(&format!("--wait={seconds}s"))),
        ),
        (
            "max_deliver",
            Box::new(unlimited(i64::MAX)),
            "-1: nodes count deliveries".to_owned(),
            edit("--max-deliver=-1"),
        ),
        (
            "max_ack_pending",
            Box::new(unlimited(most)),
            format!("-1, or at least {most}"),
            edit(&format!("--max-pending={most}")),
        ),
        ("max_waiting", Box::new(unlimited(FEWEST_WAITING)), format!("at least {FEWEST_WAITING}"), anew()),
        ("deliver_policy", Box::new(is(json!("all"))), "\"all\"".to_owned(), anew()),
        ("replay_policy", Box::new(is(json!("instant"))), "\"instant\"".to_owned(), anew()),
        ("backoff", Box::new(none), "nothing".to_owned(), edit("--backoff=none")),
        ("deliver_subject", Box::new(none), "nothing: nodes pull".to_owned(), anew()),
        ("headers_only", Box::new(none), "false".to_owned(), edit("--no-headers-only")),
        ("inactive_threshold", Box::new(none), "nothing".to_owned(), edit("--inactive-threshold=0s")),
        ("rate_limit_bps", Box::new(none), "nothing".to_owned(), anew()),
        ("max_batch", Box::new(none), "nothing".to_owned(), edit("--max-pull-batch=0")),
        ("max_expires", Box::new(none), "nothing".to_owned(), edit("--max-pull-expire=0s")),
        ("max_bytes", Box::new(none), "nothing".to_owned(), edit("--max-pull-bytes=0")),
        ("mem_storage", Box::new(none), "false".to_owned(), anew()),
        ("priority_groups", Box::new(none), "nothing".to_owned(), anew()),
        ("pause_until", Box::new(none), "nothing".to_owned(), format!("nats consumer resume {work} {name}")),
    ];
    let wrong = rules.into_iter().filter_map(|(setting, holds, wanted, mend)| {
        let found = config.get(setting).unwrap_or(&Value::Null);
        let finding = || Finding {
            what: what.to_owned(),
            setting: setting.to_owned(),
            found: found.to_string(),
            wanted,
            mend,
        };
        (!holds(found)).then(finding)
    });
    wrong.collect()
}
