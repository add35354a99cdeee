//! What each role of a network may do on its servers, as subjects: no more than it needs. Pure text; asks no server.
//!
//! Only nodes and setup may make consumers: a consumer delivers to whatever subject it names, whether or not its maker may
//! publish there. Everybody else reads streams message by message and listens to what is published.

use serde_json::{Value, json};

use crate::sink::PublicKey;

mod conf;

#[cfg(test)]
mod tests;

pub use conf::conf;

/// What somebody does in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes and changes streams, buckets and consumers, sets directors' quotas and drops dead letters: an administrator.
    Setup,
    /// Renders; by its public key.
    Node(PublicKey),
    /// Hands work in, by the public key that signs its recipes; none for recipes that nobody signs.
    Director(Option<PublicKey>),
    /// Looks.
    Watcher,
}

/// What one user of a server may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// A name for the user, in lower-case letters, digits and -.
    pub user: String,
    /// What the subjects begin with on which it has its answers: the client must be told.
    pub inbox: String,
    /// Subjects that it may publish to; requests are published, too.
    pub publish: Vec<String>,
    /// Subjects that it may subscribe to.
    pub subscribe: Vec<String>,
}

/// The streams with work and what becomes of it, and the streams behind the buckets.
const STREAMS: [&str; 5] = ["work", "results", "letters", "cancels", "attempts"];
const BUCKETS: [&str; 2] = ["nodes", "directors"];

/// What a director without a key is called in subjects.
const OPEN: &str = "open";
/// Digits of a key that stand for a director in subjects, and for a user here.
const SHORT: usize = 16;

impl Role {
    /// As it is asked for.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Node(_) => "node",
            Self::Director(_) => "director",
            Self::Watcher => "watcher",
        }
    }

    const fn key(&self) -> Option<PublicKey> {
        match self {
            Self::Setup | Self::Watcher => None,
            Self::Node(key) => Some(*key),
            Self::Director(key) => *key,
        }
    }
}

/// What the inboxes of `role` begin with in the network of `prefix`: its own, so that nobody reads another's answers.
pub fn inbox(role: &Role, prefix: &str) -> String {
    let who = match role {
        Role::Setup | Role::Watcher => String::new(),
        Role::Node(key) | Role::Director(Some(key)) => format!(".{key}"),
        Role::Director(None) => format!(".{OPEN}"),
    };
    format!("_INBOX_{prefix}.{}{who}", role.name())
}

/// Subjects of one network.
struct Names<'a>(&'a str);

impl Names<'_> {
    /// All streams by name, those of the buckets included.
    fn streams(&self) -> impl Iterator<Item = String> {
        let streams = STREAMS.map(|stream| format!("{}_{stream}", self.0));
        let buckets = BUCKETS.map(|bucket| format!("KV_{}_{bucket}", self.0));
        streams.into_iter().chain(buckets)
    }

    /// The one whose messages are not for everybody.
    fn work(&self) -> String {
        format!("{}_work", self.0)
    }

    /// What says how each stream stands and what subjects it has, and reads all but the work, message by message: recipes
    /// that wait are their director's and the nodes'.
    fn reading(&self) -> Vec<String> {
        // How much the account may store, and has.
        let mut reading = vec!["$JS.API.INFO".to_owned()];
        reading.extend(self.streams().map(|name| format!("$JS.API.STREAM.INFO.{name}")));
        for name in self.streams().filter(|name| *name != self.work()) {
            reading.push(format!("$JS.API.STREAM.MSG.GET.{name}"));
            reading.push(format!("$JS.API.DIRECT.GET.{name}"));
            reading.push(format!("$JS.API.DIRECT.GET.{name}.>"));
        }
        reading
    }

    /// What is heard when it is published, without asking a stream.
    fn hearing(&self) -> Vec<String> {
        let Self(prefix) = self;
        let mut heard: Vec<String> = ["results", "letters", "cancels", "attempts", "progress"]
            .map(|kind| format!("{prefix}.{kind}.>"))
            .into();
        heard.extend(BUCKETS.map(|bucket| format!("$KV.{prefix}_{bucket}.>")));
        heard
    }
}

impl Permissions {
    /// Of `role` in the network whose subjects and streams begin with `prefix`, a token of subjects.
    pub fn of(role: &Role, prefix: &str) -> Self {
        let names = Names(prefix);
        let inbox = inbox(role, prefix);
        let mut publish = names.reading();
        let mut subscribe = vec![format!("{inbox}.>")];
        let work = names.work();
        if matches!(role, Role::Setup | Role::Node(_)) {
            publish.push(format!("$JS.API.STREAM.MSG.GET.{work}"));
        }
        match role {
            Role::Setup => {
                for stream in names.streams() {
                    publish
                        .extend(["CREATE", "UPDATE"].map(|call| format!("$JS.API.STREAM.{call}.{stream}")));
                }
                for call in ["CREATE", "DURABLE.CREATE", "INFO", "DELETE"] {
                    publish.push(format!("$JS.API.CONSUMER.{call}.{work}.>"));
                }
                publish.extend(["NAMES", "LIST"].map(|call| format!("$JS.API.CONSUMER.{call}.{work}")));
                publish.push(format!("$JS.API.STREAM.MSG.DELETE.{prefix}_letters"));
                publish.push(format!("$KV.{prefix}_directors.>"));
            }
            Role::Node(key) => {
                // A consumer's filter stands in the request's subject: for anybody's work, or this node's.
                publish.push(format!("$JS.API.CONSUMER.CREATE.{work}.*.{prefix}.work.any.>"));
                publish.push(format!("$JS.API.CONSUMER.CREATE.{work}.to-{key}.{prefix}.work.{key}.>"));
                // Of others' consumers, too: somebody must do the work that is addressed to a node that is gone.
                publish.extend(["INFO", "MSG.NEXT"].map(|call| format!("$JS.API.CONSUMER.{call}.{work}.*")));
                publish.extend(["NAMES", "LIST"].map(|call| format!("$JS.API.CONSUMER.{call}.{work}")));
                publish.push(format!("$JS.ACK.{work}.>"));
                for kind in ["results", "letters", "attempts", "progress"] {
                    publish.push(format!("{prefix}.{kind}.>"));
                }
                publish.push(format!("$KV.{prefix}_nodes.{key}"));
                subscribe.push(format!("{prefix}.cancels.>"));
                subscribe.extend(BUCKETS.map(|bucket| format!("$KV.{prefix}_{bucket}.>")));
            }
            Role::Director(key) => {
                let director = key.map_or_else(|| OPEN.to_owned(), short);
                publish.push(format!("{prefix}.work.*.*.*.*.*.{director}.*.*.*"));
                publish.push(format!("{prefix}.cancels.*"));
                subscribe.extend(names.hearing());
            }
            Role::Watcher => subscribe.extend(names.hearing()),
        }
        let of = role.key().map(|key| format!("-{}", short(key))).unwrap_or_default();
        Self { user: format!("{}-{}{of}", user_part(prefix), role.name()), inbox, publish, subscribe }
    }

    /// As they stand in a user's JWT (`nats.pub`, `nats.sub`), with what the client must know beside them.
    pub fn json(&self) -> Value {
        json!({
            "user": self.user,
            "inbox_prefix": self.inbox,
            "pub": { "allow": self.publish },
            "sub": { "allow": self.subscribe },
        })
    }
}

fn short(key: PublicKey) -> String {
    key.to_string().chars().take(SHORT).collect()
}

fn user_part(prefix: &str) -> String {
    prefix.to_ascii_lowercase().replace('_', "-")
}
