//! Where files are published: repositories, and mirrors of single files.

use toml::Value;

use super::section::{Section, absent, wrong};
use super::{PLAIN, Problem, is_plain};
use crate::models::bundle::{Hub, Mirror};

const REPOSITORY: &str = "a repository as \"owner/name\"";

/// A table `{ repo = "owner/name", revision = "…" }`.
pub(super) fn hub(mut section: Section, problems: &mut Vec<Problem>) -> Option<Hub> {
    let hub = taken(&mut section, problems);
    section.finish(problems);
    hub
}

/// The list `also` of a file: `[{ repo = "owner/name", revision = "…", path = "…" }]`.
pub(super) fn mirrors(section: &mut Section, problems: &mut Vec<Problem>) -> Vec<Mirror> {
    let key = section.key("also");
    let shape = "a list of mirrors as { repo = \"owner/name\", revision = \"…\", path = \"…\" }";
    let values = match section.take("also") {
        None => return Vec::new(),
        Some(Value::Array(values)) => values,
        Some(other) => {
            problems.push(wrong(key, &other, shape));
            return Vec::new();
        }
    };
    let mut mirrors = Vec::new();
    for (place, value) in values.into_iter().enumerate() {
        let key = format!("{key}[{place}]");
        match value {
            Value::Table(table) => mirrors.extend(mirror(Section::new(key, table), problems)),
            other => problems.push(wrong(key, &other, shape)),
        }
    }
    mirrors
}

fn mirror(mut section: Section, problems: &mut Vec<Problem>) -> Option<Mirror> {
    let path = section.text("path", problems);
    if let Some(path) = path.as_ref().filter(|path| !is_plain(path)) {
        problems.push(wrong(section.key("path"), &Value::from(path.as_str()), PLAIN));
    }
    let hub = taken(&mut section, problems);
    section.finish(problems);
    Some(Mirror { hub: hub?, path })
}

fn taken(section: &mut Section, problems: &mut Vec<Problem>) -> Option<Hub> {
    let revision = section.text("revision", problems);
    let key = section.key("repo");
    let repo = section.text("repo", problems);
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\\']);
    match repo {
        Some(repo) if repo.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name)) => {
            Some(Hub { repo, revision: revision.unwrap_or_else(|| "main".to_owned()) })
        }
        Some(repo) => {
            problems.push(wrong(key, &Value::from(repo), REPOSITORY));
            None
        }
        None => {
            problems.push(absent(key, REPOSITORY));
            None
        }
    }
}
