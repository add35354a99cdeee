//! What the archive says of itself: for people, for machines, and for whoever made it.

use std::time::Duration;

use serde_json::{Value, json};

use super::archive::Archive;
use super::time;

/// What stands in for the slots' files in lists.
const SLOTS: &str = "slots/";
const SLOTS_ARE: &str = "one folder for each of the newest slots: its signed result, its records, its recipe; no sound, picture or video";

/// The files with what they are; those of all slots in one line.
pub(super) fn lines(archive: &Archive) -> Vec<(&str, &'static str)> {
    let mut lines = vec![("README.txt", "this list"), ("index.json", "the same for machines")];
    let of_slots = |name: &str| name.starts_with(SLOTS);
    lines.extend(archive.entries().filter(|it| !of_slots(&it.name)).map(|it| (it.name.as_str(), it.about)));
    if archive.entries().any(|it| of_slots(&it.name)) {
        lines.push(("slots/ID/…", SLOTS_ARE));
    }
    lines
}

/// What is in it that not everybody need know.
pub(super) fn warning(with_recipes: bool) -> &'static str {
    if with_recipes {
        "Tokens, keys and secrets are taken out of it; this machine's name, paths, settings and the texts of recipes are in it."
    } else {
        "Tokens, keys and secrets are taken out of it, and the texts of recipes are left out (--with-recipes puts them in), \
         though a message may quote single words of a script; this machine's name, paths and settings are in it."
    }
}

/// The archive's first file.
pub(super) fn text(archive: &Archive, at: Duration, with_recipes: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("vortex-node {version} diagnose, {}\n\n{}\n\n", time(at), warning(with_recipes));
    for (name, about) in lines(archive) {
        text.push_str(&format!("{name}\n    {about}\n"));
    }
    text.push_str("\nNot in it:\n");
    for missing in archive.missing() {
        text.push_str(&format!("{}\n    {}\n", missing.part, missing.why));
    }
    text.push_str(
        "the node's log\n    a node writes it to standard error: journalctl -u vortex-node --since -1d, or kubectl logs\n",
    );
    text
}

/// The archive's second file.
pub(super) fn index(archive: &Archive, at: Duration) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"), "at": at.as_secs(),
        "files": archive.entries().collect::<Vec<_>>(), "missing": archive.missing(),
    })
}
