//! The node itself, where one runs: its process as the system sees it, which also tells of one that hangs, and what it
//! answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::archive::{Archive, MOST_OF_ONE};
use super::machine::beginning_of;
use super::recipes::Texts;
use super::step::within;
use crate::cli::probe::from_here;
use crate::cli::remote::{RemoteFlags, block_on};
use crate::client::local::Serving;
use crate::client::{Access, Client, ClientError, Looked, Patience, Wanted};

/// What is asked for: its path, the name that it is kept under, and what is in it.
type Asked = (&'static [&'static str], &'static str, &'static str);

const ASKED: [Asked; 7] = [
    (&["livez"], "livez.txt", "whether the process is worth keeping, and why not"),
    (&["readyz"], "readyz.txt", "whether slots may be sent, and why not"),
    (&["startupz"], "startupz.txt", "whether all models have been ready once"),
    (&["metrics"], "metrics.txt", "everything that is measured, as Prometheus reads it"),
    (&["v1", "node"], "node.json", "supervision tree with restarts, ledger, pressure, queue, journal"),
    (&["v1", "node", "snapshots"], "snapshots.json", "memory over time, by device"),
    (&["v1", "slots"], "slots.json", "slots as they stand, the newest first"),
];
/// Of these, what the second listener answers as well, without TLS and tokens.
const ON_MANAGEMENT: usize = 4;
/// One that works answers within milliseconds; one that says nothing for so long is asked nothing more.
const SILENCE: Duration = Duration::from_secs(5);
/// For all answers together.
const ANSWERS: Duration = Duration::from_secs(30);
/// To look at a process with thousands of threads.
const PROCESS: Duration = Duration::from_secs(10);
/// So many threads are told.
const THREADS: usize = 512;
/// A thread's files are a line or a page.
const LINE: u64 = 16 << 10;

/// Where a node may be asked.
pub(super) struct Places<'a> {
    /// What the command line says.
    pub(super) remote: &'a RemoteFlags,
    /// The data folder, where it can be read.
    pub(super) data: Option<&'a Path>,
    /// The second listener.
    pub(super) management: Option<SocketAddr>,
}

/// Puts all of it into the archive; without what recipes say, where their `texts` are given.
pub(super) fn gather(places: &Places<'_>, texts: Option<&Texts>, archive: &mut Archive) {
    let serving = places.data.map(Serving::read);
    let running = match &serving {
        Some(Ok(Some(serving))) if serving.is_running() => Some(serving.clone()),
        _ => None,
    };
    if let Some(serving) = &running {
        process(serving.pid, archive);
    }
    let wanted = places.remote.wanted(places.data.map(Path::to_owned));
    let is_named = wanted.url.is_some() || wanted.url_variable.as_ref().is_some_and(|url| !url.is_empty());
    // Whatever answers where a node usually is may be another one.
    if running.is_none() && !is_named {
        let why = match serving {
            Some(Ok(Some(gone))) => {
                format!("the process {} that served from this data folder is gone", gone.pid)
            }
            Some(Err(error)) => error.to_string(),
            Some(Ok(None)) | None => "no node serves from this data folder, and --url names none".to_owned(),
        };
        return archive.miss("node", why);
    }
    let has_answered = answers(&wanted, "node", &ASKED, texts, archive);
    // By TLS it may only answer to whoever trusts its certificate.
    if let (false, Some(_), Some(management)) = (has_answered, &running, places.management) {
        let wanted = Wanted { url: Some(format!("http://{}", from_here(management))), ..Wanted::default() };
        answers(&wanted, "node/management", &ASKED[..ON_MANAGEMENT], texts, archive);
    }
}

/// Asks one address, and puts what it answers below `folder`; whether anything answered.
fn answers(
    wanted: &Wanted,
    folder: &str,
    asked: &'static [Asked],
    texts: Option<&Texts>,
    archive: &mut Archive,
) -> bool {
    let patience = Patience { tries: 1, silence: SILENCE, ..Patience::default() };
    let client = Access::find(wanted).and_then(|access| Client::new(access, patience));
    let answers = client.map_err(|error| error.to_string()).and_then(|client| {
        let answers = within(ANSWERS, move || block_on(ask(&client, asked)))?;
        answers.map_err(|failed| failed.message().to_owned())
    });
    let answers = match answers {
        Ok(answers) => answers,
        Err(why) => {
            archive.miss(folder, why);
            return false;
        }
    };
    let has_answered = answers.iter().any(Result::is_ok);
    for ((parts, name, about), answer) in asked.iter().zip(answers) {
        let name = format!("{folder}/{name}");
        match answer {
            Err(why) => archive.miss(name, why),
            // A probe says no by its status; of everything else, only an answer is kept under its name.
            Ok(Looked { status, said, .. }) if parts.len() == 1 && parts[0].ends_with('z') => {
                archive.text(name, about, &format!("{status} {said}\n"));
            }
            Ok(Looked { status: 200, said, cut, .. }) => {
                match (serde_json::from_str::<Value>(&said), texts) {
                    (Ok(value), Some(texts)) => archive.json(&name, about, without(texts, value)),
                    (Ok(value), None) => archive.json(&name, about, value),
                    (Err(_), _) => archive.text(&name, about, &said),
                }
                if cut {
                    archive
                        .miss(format!("{name}: all of it"), format!("it has more than {MOST_OF_ONE} bytes"));
                }
            }
            Ok(Looked { status, said, .. }) => {
                let said: String = said.chars().take(500).collect();
                archive.miss(name, format!("the node answers {status}: {said}"));
            }
        }
    }
    has_answered
}

/// Slots as the node lists them, without what their recipes say.
fn without(texts: &Texts, value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| without(texts, item)).collect(),
        Value::Object(fields) => {
            let slot = fields.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            let inner = fields.into_iter().map(|(name, value)| (name, without(texts, value))).collect();
            texts.hidden(slot, inner)
        }
        value => value,
    }
}

/// Asks for everything in turn, until once nothing comes.
async fn ask(client: &Client, asked: &[Asked]) -> Vec<Result<Looked, String>> {
    let mut answers = Vec::new();
    let mut silent = None;
    for (parts, ..) in asked {
        if let Some(why) = &silent {
            answers.push(Err(format!("not asked: {why}")));
            continue;
        }
        let query: &[(&str, &str)] = if *parts == ["v1", "slots"] { &[("limit", "50")] } else { &[] };
        answers.push(client.look(parts, query, MOST_OF_ONE).await.map_err(|error| {
            if matches!(error, ClientError::Unreachable { .. } | ClientError::Broken { .. }) {
                silent = Some(error.to_string());
            }
            error.to_string()
        }));
    }
    answers
}

/// The process `pid` as the system sees it. Its arguments and environment are left out: they may hold secrets.
fn process(pid: u32, archive: &mut Archive) {
    let about = "the node's process: memory, limits, open files, what its threads wait for";
    match within(PROCESS, move || look(pid)) {
        Ok(Ok(found)) => archive.json("node/process.json", about, found),
        Ok(Err(error)) => archive.miss("node/process.json", format!("process {pid}: {error}")),
        Err(why) => archive.miss("node/process.json", why),
    }
}

fn look(pid: u32) -> std::io::Result<Value> {
    let process = Path::new("/proc").join(pid.to_string());
    let lines = |text: String| -> BTreeMap<String, String> {
        let field =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        text.lines().filter_map(field).collect()
    };
    let status = lines(beginning_of(&process.join("status"), LINE)?);
    let said =
        |name: &str| beginning_of(&process.join(name), LINE).unwrap_or_else(|error| format!("({error})"));
    let open_files = std::fs::read_dir(process.join("fd")).map(Iterator::count).ok();
    let mut threads: Vec<Value> = Vec::new();
    for thread in std::fs::read_dir(process.join("task"))?.flatten().take(THREADS) {
        let said = |name: &str| {
            let text = beginning_of(&thread.path().join(name), LINE).unwrap_or_default();
            text.trim().to_owned()
        };
        let state = lines(said("status")).remove("State");
        threads.push(json!({ "name": said("comm"), "state": state, "waits_in": said("wchan") }));
    }
    Ok(json!({
        "pid": pid, "status": status, "limits": said("limits").lines().collect::<Vec<_>>(), "open_files": open_files,
        "oom_score": said("oom_score").trim(), "io": lines(said("io")), "threads": threads,
    }))
}
