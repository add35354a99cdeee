//! What each stream must be, and what is wrong with one that is there. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Finding, ROOM, Setup, WORK_MESSAGE};
use crate::network::bucket;
use crate::network::subjects::{Stream, Subjects};

/// Consumers of classes that nodes of a few bundles make, at most: 27 without a bundle and 27 for each of nine.
const CLASSES: u64 = 270;
/// What a server allows on a stream that says nothing else, unless it was told.
const SERVERS_CONSUMERS: u64 = 1000;
/// A director has an entry.
const DIRECTORS: i64 = 1000;
/// How long a marker of a slot that is wanted no more stays.
const CANCELS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long it is known who has tried what.
const ATTEMPTS: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many tries of a rendering are known.
const TRIES: i64 = 16;
/// Within which a message of the work stream is known by its id: what it is without being told.
const TWICE: Duration = Duration::from_secs(120);

/// Consumers of the work stream of a network of so many nodes.
pub(super) fn consumers_of(nodes: u32) -> u64 {
    u64::from(nodes) + CLASSES
}

/// What is kept on the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Stream(Stream),
    Nodes,
    Directors,
}

impl Kept {
    pub(super) const ALL: [Self; 7] = [
        Self::Stream(Stream::Work),
        Self::Stream(Stream::Results),
        Self::Stream(Stream::Letters),
        Self::Stream(Stream::Cancels),
        Self::Stream(Stream::Attempts),
        Self::Nodes,
        Self::Directors,
    ];
}

/// What all of it must be like.
pub(super) struct Needs {
    pub setup: Setup,
    pub subjects: Subjects,
}

/// What a setting must be.
enum Rule {
    Is(Value),
    /// One of these.
    Among(&'static [&'static str]),
    /// At least so much; what is not above zero is no limit.
    AtLeast(i64),
    /// At least so much, or nothing.
    Copies(i64),
    /// Without anything.
    Absent,
}

/// How a setting is changed.
enum Mend {
    /// By this flag of `nats stream edit`.
    Flag(String),
    /// In the editor.
    Editor,
    /// Not at all.
    Never,
}

struct Wanted {
    setting: &'static str,
    /// What a server means that does not tell it.
    unsaid: Value,
    rule: Rule,
    mend: Mend,
}

impl Needs {
    /// The name of a stream.
    pub(super) fn name(&self, kept: Kept) -> String {
        match kept {
            Kept::Stream(stream) => self.subjects.stream(stream),
            Kept::Nodes => bucket::stream(&self.subjects.nodes()),
            Kept::Directors => bucket::stream(&self.subjects.directors()),
        }
    }

    fn subject(&self, kept: Kept) -> String {
        match kept {
            Kept::Stream(stream) => self.subjects.all(stream),
            Kept::Nodes => bucket::subjects(&self.subjects.nodes()),
            Kept::Directors => bucket::subjects(&self.subjects.directors()),
        }
    }

    /// How one is made.
    pub(super) fn config(&self, kept: Kept) -> Value {
        let mut config = json!({
            "name": self.name(kept),
            "subjects": [self.subject(kept)],
            "retention": retention(kept),
            "storage": "file",
            "discard": discard(kept),
            "discard_new_per_subject": keeps_first(kept),
            "max_msgs_per_subject": per_subject(kept),
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": nanoseconds(self.age(kept)),
            "num_replicas": self.setup.replicas.get(),
            "allow_direct": true,
        });
        let more = match kept {
            Kept::Stream(Stream::Work) => json!({
                "max_msgs": self.setup.queue,
                "max_msg_size": WORK_MESSAGE,
                "max_consumers": self.consumers().max(10_000),
                "allow_atomic": true,
                "duplicate_window": nanoseconds(TWICE),
            }),
            Kept::Nodes | Kept::Directors => json!({ "allow_rollup_hdrs": true, "deny_delete": true }),
            Kept::Stream(_) => json!({}),
        };
        if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
            config.extend(more);
        }
        config
    }

    /// What is wrong with one that is there.
    pub(super) fn check(&self, kept: Kept, config: &Value) -> Vec<Finding> {
        let name = self.name(kept);
        let mut findings = Vec::new();
        for Wanted { setting, unsaid, rule, mend } in self.wanted(kept) {
            let found = config.get(setting).unwrap_or(&unsaid);
            let Some(wanted) = rule.broken_by(found) else { continue };
            let mend = match mend {
                Mend::Flag(flag) => format!("nats stream edit {name} {flag}"),
                Mend::Editor => format!("nats stream edit {name} --interactive, and take {setting} out"),
                Mend::Never => format!(
                    "it cannot be changed: when nothing in the stream is needed any more, nats stream rm {name}, and start \
                     a node, which makes it anew"
                ),
            };
            let (what, found) = (format!("stream {name}"), found.to_string());
            findings.push(Finding { what, setting: setting.to_owned(), found, wanted, mend });
        }
        findings
    }

    fn consumers(&self) -> u64 {
        consumers_of(self.setup.nodes)
    }

    /// After which time messages go; zero where they stay.
    fn age(&self, kept: Kept) -> Duration {
        match kept {
            Kept::Stream(Stream::Work | Stream::Results | Stream::Letters) | Kept::Directors => {
                Duration::ZERO
            }
            Kept::Stream(Stream::Cancels) => CANCELS,
            Kept::Stream(Stream::Attempts) => ATTEMPTS,
            Kept::Nodes => self.setup.heartbeat.saturating_mul(3),
        }
    }

    fn wanted(&self, kept: Kept) -> Vec<Wanted> {
        use Mend::{Editor, Flag, Never};
        use Rule::{Absent, Among, AtLeast, Copies, Is};
        let one = |setting, unsaid, rule, mend| Wanted { setting, unsaid, rule, mend };
        let flag = |flag: &str| Flag(flag.to_owned());
        let off = |setting, mend| one(setting, json!(false), Is(json!(false)), mend);
        let none = |setting, mend| one(setting, Value::Null, Absent, mend);
        let queue = i64::try_from(self.setup.queue).unwrap_or(i64::MAX);
        let messages = match kept {
            Kept::Nodes => i64::from(self.setup.nodes),
            Kept::Directors => DIRECTORS,
            Kept::Stream(_) => queue,
        };
        let bytes = i64::try_from(ROOM / 2).unwrap_or(i64::MAX).saturating_mul(messages);
        let age = self.age(kept);
        let seconds = age.as_secs_f64();
        let (subject, copies) = (self.subject(kept), self.setup.replicas.get());
        let of_first = keeps_first(kept);
        let mut all = vec![
            none("mirror", flag("--no-mirror")),
            none("sources", Editor),
            none("subject_transform", flag("--no-transform")),
            none("republish", flag("--no-republish")),
            one("subjects", json!([]), Is(json!([subject])), Flag(format!("--subjects='{subject}'"))),
            one("retention", json!("limits"), Is(json!(retention(kept))), Never),
            one("storage", json!("file"), Is(json!("file")), Never),
            one("persist_mode", json!("default"), Among(&["default", ""]), Never),
            off("sealed", Never),
            off("no_ack", flag("--ack")),
            one(
                "discard",
                json!("old"),
                Is(json!(discard(kept))),
                Flag(format!("--discard={}", discard(kept))),
            ),
            one(
                "discard_new_per_subject",
                json!(false),
                Is(json!(of_first)),
                flag(if of_first { "--discard-per-subject" } else { "--no-discard-per-subject" }),
            ),
            one("max_msgs", json!(-1), AtLeast(messages), Flag(format!("--max-msgs={messages}"))),
            one("max_bytes", json!(-1), AtLeast(bytes), Flag(format!("--max-bytes={bytes}"))),
            one("num_replicas", json!(1), Copies(copies.into()), Flag(format!("--replicas={copies}"))),
            one("allow_direct", json!(false), Is(json!(true)), flag("--allow-direct")),
        ];
        let per_subject = per_subject(kept);
        let is_one = if per_subject == 1 { Is(json!(1)) } else { AtLeast(per_subject) };
        let mend = Flag(format!("--max-msgs-per-subject={per_subject}"));
        all.push(one("max_msgs_per_subject", json!(-1), is_one, mend));
        let is_age = match kept {
            Kept::Stream(Stream::Cancels | Stream::Attempts) => AtLeast(nanoseconds(age)),
            _ => Is(json!(nanoseconds(age))),
        };
        all.push(one("max_age", json!(0), is_age, Flag(format!("--max-age={seconds}s"))));
        if kept != Kept::Nodes {
            // A message that says itself when it goes would take a result or a claim's message away.
            all.push(off("allow_msg_ttl", Never));
        }
        match kept {
            Kept::Stream(Stream::Work) => all.extend(self.of_work()),
            Kept::Stream(Stream::Letters) => all.push(off("deny_delete", Never)),
            Kept::Nodes | Kept::Directors => {
                all.push(one("allow_rollup_hdrs", json!(false), Is(json!(true)), flag("--allow-rollup")));
            }
            Kept::Stream(_) => {}
        }
        all
    }

    /// What the work stream needs besides.
    fn of_work(&self) -> Vec<Wanted> {
        let consumers = self.consumers();
        let flag = |setting: &str, value: u64| Mend::Flag(format!("--{setting}={value}"));
        let at_least = |count: u64| Rule::AtLeast(i64::try_from(count).unwrap_or(i64::MAX));
        let size = WORK_MESSAGE as u64;
        let mut all = vec![
            Wanted {
                setting: "allow_atomic",
                unsaid: json!(false),
                rule: Rule::Is(json!(true)),
                mend: Mend::Flag("--allow-batch".to_owned()),
            },
            Wanted {
                setting: "max_msg_size",
                unsaid: json!(-1),
                rule: at_least(size),
                mend: flag("max-msg-size", size),
            },
            // It would take idle nodes' consumers away, and hold back busy ones.
            Wanted {
                setting: "consumer_limits",
                unsaid: json!({}),
                rule: Rule::Absent,
                mend: Mend::Flag("--limit-consumer-inactive=0s --limit-consumer-max-pending=0".to_owned()),
            },
        ];
        // A stream that says nothing has what its server allows.
        let rule = match consumers {
            ..=SERVERS_CONSUMERS => at_least(consumers),
            _ => Rule::Copies(i64::try_from(consumers).unwrap_or(i64::MAX)),
        };
        let mend = flag("max-consumers", consumers);
        all.push(Wanted { setting: "max_consumers", unsaid: json!(-1), rule, mend });
        all
    }
}

impl Rule {
    /// What is wanted in place of `found`, where that will not do.
    fn broken_by(&self, found: &Value) -> Option<String> {
        let number = found.as_i64();
        match self {
            Self::Is(wanted) => (found != wanted).then(|| wanted.to_string()),
            Self::Among(names) => {
                let is_one = found.as_str().is_some_and(|found| names.contains(&found));
                (!is_one).then(|| format!("{:?}", names.first().unwrap_or(&"")))
            }
            Self::AtLeast(least) => {
                let is_enough = number.is_some_and(|found| found <= 0 || found >= *least);
                (!is_enough).then(|| format!("at least {least}, or no limit"))
            }
            Self::Copies(least) => {
                let is_enough = number.is_some_and(|found| found >= *least);
                (!is_enough).then(|| format!("at least {least}"))
            }
            Self::Absent => {
                let is_nothing = match found {
                    Value::Null => true,
                    Value::Array(items) => items.is_empty(),
                    Value::Object(fields) => fields.values().all(|value| *value == json!(0)),
                    _ => false,
                };
                (!is_nothing).then(|| "nothing".to_owned())
            }
        }
    }
}

const fn retention(kept: Kept) -> &'static str {
    match kept {
        Kept::Stream(Stream::Work) => "workqueue",
        _ => "limits",
    }
}

const fn discard(kept: Kept) -> &'static str {
    match kept {
        Kept::Stream(Stream::Attempts) => "old",
        _ => "new",
    }
}

/// Whether a second message under a subject is refused. Markers, entries and attempts follow their last.
const fn keeps_first(kept: Kept) -> bool {
    matches!(kept, Kept::Stream(Stream::Work | Stream::Results | Stream::Letters))
}

const fn per_subject(kept: Kept) -> i64 {
    match kept {
        Kept::Stream(Stream::Attempts) => TRIES,
        _ => 1,
    }
}

/// As JetStream counts time.
pub(super) fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
