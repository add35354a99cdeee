//! Reads every path token in `src/` and fails where a part knows what it may not.
//!
//! Paths count wherever they stand: `use` trees, types, expressions, macro arguments and definitions, strings in
//! attributes. A re-export makes whoever names it know what stands behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

mod paths;

use paths::{Found, paths_of};

/// What one part may know.
enum Rule {
    /// These parts of ours and nothing else of ours.
    Only(&'static [&'static str]),
    /// Everything but these, which may be parts of ours or crates.
    Not(&'static [&'static str]),
}

const CANDLE: [&str; 3] = ["candle_core", "candle_nn", "candle_transformers"];

/// The design's "may not know" table. `clock`, `exit`, `files` and `simd` are leaves without imports.
const TABLE: &[(&str, Rule)] = &[
    ("clock", Rule::Only(&[])),
    ("exit", Rule::Only(&[])),
    ("files", Rule::Only(&[])),
    ("simd", Rule::Only(&[])),
    ("signing", Rule::Only(&["files"])),
    ("types", Rule::Only(&["clock"])),
    ("contract", Rule::Only(&["types"])),
    ("cuda", Rule::Only(&["types"])),
    ("config", Rule::Not(&["cli", "app", "actors", "models"])),
    ("recipe", Rule::Not(&["cli", "app", "actors", "models"])),
    (
        "direction",
        Rule::Not(&["cli", "app", "actors", "models", "candle_core", "candle_nn", "candle_transformers"]),
    ),
    ("verify", Rule::Not(&["cli", "app", "actors", "models"])),
    ("events", Rule::Only(&["clock", "contract", "exit", "journal", "types", "vram"])),
    ("journal", Rule::Not(&["cli", "app", "actors", "models"])),
    ("vram", Rule::Not(&["cli", "app", "actors", "models"])),
    ("models", Rule::Not(&["cli", "app", "ractor", "tokio", "config", "telemetry", "actors"])),
    (
        "actors",
        Rule::Not(&["cli", "app", "candle_core", "candle_nn", "candle_transformers", "cudarc", "models"]),
    ),
    (
        "rehearse",
        Rule::Not(&["cli", "app", "candle_core", "candle_nn", "candle_transformers", "cudarc", "models"]),
    ),
    ("intake", Rule::Not(&["cli", "app", "models"])),
    ("media", Rule::Not(&["cli", "app", "actors"])),
    ("sink", Rule::Not(&["cli", "app", "actors", "models"])),
    ("telemetry", Rule::Not(&["cli", "app", "models"])),
    ("pipeline", Rule::Not(&["cli", "app", "candle_core", "candle_nn", "candle_transformers", "cudarc"])),
    ("gpu_check", Rule::Not(&["cli", "app", "config", "telemetry"])),
    ("cli", Rule::Not(&[])),
    ("app", Rule::Not(&["cli"])),
    ("main", Rule::Not(&[])),
];

/// One source file: its part, where it stands in the module tree, its text.
struct Source {
    part: String,
    module: Vec<String>,
    name: String,
    text: String,
}

fn rule_of(part: &str) -> Option<&'static Rule> {
    TABLE.iter().find(|(name, _)| *name == part).map(|(_, rule)| rule)
}

/// Everything that is wrong in `sources`, one line each.
fn violations(sources: &[Source]) -> Vec<String> {
    let parts: BTreeSet<&str> = sources.iter().map(|source| source.part.as_str()).collect();
    let found: Vec<(&Source, Vec<Found>)> =
        sources.iter().map(|source| (source, paths_of(&source.text, &source.module))).collect();

    let mut wrong = Vec::new();
    let mut behind: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new(); // part → (exported name, what stands behind it)
    for (source, paths) in &found {
        for path in paths.iter().filter(|path| path.exported.is_some()) {
            let Some(target) = path.target(&parts).filter(|target| *target != source.part) else { continue };
            if source.part == "lib" {
                wrong.push(format!(
                    "{}:{}: lib.rs re-exports {}; it re-exports nothing",
                    source.name,
                    path.line,
                    path.text()
                ));
            }
            behind.entry(&source.part).or_default().push((path.exported.as_deref().unwrap_or("*"), target));
        }
    }

    for (source, paths) in &found {
        if source.part == "lib" {
            continue;
        }
        let Some(rule) = rule_of(&source.part) else {
            wrong.push(format!("{}: part {:?} has no row in the table", source.name, source.part));
            continue;
        };
        for path in paths {
            let Some(target) = path.target(&parts) else { continue };
            let hidden = behind
                .get(target)
                .into_iter()
                .flatten()
                .filter(|(name, _)| path.names(name))
                .map(|(_, t)| *t);
            for known in std::iter::once(target).chain(hidden).filter(|known| *known != source.part) {
                let allowed = match rule {
                    Rule::Only(list) => !parts.contains(known) || list.contains(&known),
                    Rule::Not(list) => !list.contains(&known),
                };
                if !allowed {
                    let (part, text) = (&source.part, path.text());
                    wrong.push(format!(
                        "{}:{}: {part} may not know {known} (through {text})",
                        source.name, path.line
                    ));
                }
            }
        }
    }
    wrong
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A source under the name `vram/ledger.rs`, as the checker sees it.
fn source(name: &str, text: &str) -> Source {
    let mut module: Vec<String> = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let part = module[0].clone();
    if part == "lib" || part == "main" {
        module.clear();
    }
    Source { part, module, name: name.to_owned(), text: text.to_owned() }
}

/// Every file under `src/`.
fn all_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
            source(name, &std::fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(sources.len() > 10, "the sources were not found under {}", root.display());
    sources
}

#[test]
fn no_part_knows_what_it_may_not() {
    let wrong = violations(&all_sources());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where a source outside of `simd` picks a vector width itself, one line each.
fn own_dispatches(sources: &[Source]) -> Vec<String> {
    // pulp's own choice and its tokens for one width; below, the standard library's detection.
    let is_choice = |path: &str| {
        path.starts_with("pulp::")
            && path.split("::").any(|word| matches!(word, "*" | "Arch" | "x86" | "aarch64" | "Scalar"))
    };
    let outside = sources.iter().filter(|source| source.part != "simd");
    let choices = outside.flat_map(|source| {
        let paths = paths_of(&source.text, &source.module).into_iter();
        paths.map(move |path| (source, path)).filter(|(_, path)| is_choice(&path.text()))
    });
    let paths = choices.map(|(source, path)| format!("{}:{}: {}", source.name, path.line, path.text()));
    // A macro of one word is no path.
    let macros = sources.iter().filter(|source| source.part != "simd").flat_map(|source| {
        let lines = source.text.lines().filter(|line| line.contains("feature_detected!"));
        lines.map(move |line| format!("{}: {}", source.name, line.trim()))
    });
    paths.chain(macros).collect()
}

/// A kernel behind pulp's own choice runs one number at a time where there is AVX2 and no AVX-512.
#[test]
fn vector_widths_are_chosen_in_one_place() {
    let sources = all_sources();
    assert_eq!(own_dispatches(&sources), Vec::<String>::new());
    let users =
        sources.iter().filter(|source| source.part == "models" && source.text.contains("crate::simd"));
    assert!(users.count() > 10, "the kernels use it");
    for text in [
        "use pulp::{Arch, Simd};",
        "fn f() { pulp::Arch::new().dispatch(Op); }",
        "fn f() { let simd = pulp::x86::V3::try_new(); }",
        "use pulp::*;",
        "fn f() -> bool { std::arch::is_x86_feature_detected!(\"avx2\") }",
        "fn f() -> bool { is_x86_feature_detected!(\"avx2\") }",
    ] {
        assert_ne!(own_dispatches(&[source("models/clip.rs", text)]), Vec::<String>::new(), "{text}");
    }
    let right = source("models/clip.rs", "use pulp::{Simd, WithSimd}; use crate::simd::vectorised;");
    assert_eq!(own_dispatches(&[right]), Vec::<String>::new());
}

#[test]
fn every_way_of_naming_a_part_is_seen() {
    let others = [source("actors.rs", ""), source("config.rs", ""), source("models.rs", "")];
    for text in [
        "use crate::actors::Watchdog;",
        "use crate::{types, actors as a};",
        "use super::super::actors;",
        "pub use ::tokio as t;",
        "extern crate ractor;",
        "fn f() { let x = crate::config::load(); }",
        "fn f() -> Option<Vec<ractor::ActorRef<()>>> { None }",
        "macro_rules! m { () => { $crate::actors::go() } }",
        "fn f() { println!(\"{}\", crate::config::NAME); }",
        "#[derive(Serialize)] struct S { #[serde(with = \"crate::config::as_text\")] x: u8 }",
        "mod inner { use super::super::super::config; }",
        "fn f() { tokio::spawn(async {}); }",
        "impl super::super::actors::Go for S {}",
    ] {
        let mut sources: Vec<Source> = others.iter().map(|s| source(&s.name, &s.text)).collect();
        sources.push(source("models/clip.rs", text));
        assert_eq!(violations(&sources).len(), 1, "{text}: {:?}", violations(&sources));
    }
}

#[test]
fn a_reexport_hides_nothing() {
    let sources = [
        source("actors.rs", "pub struct Watchdog;"),
        source("pipeline.rs", "pub use crate::actors::Watchdog as Dog; pub fn run() {}"),
        source("journal.rs", "use crate::pipeline::Dog;"),
        source("vram.rs", "use crate::pipeline::run;"),
        source("verify.rs", "use crate::pipeline::*;"),
    ];
    let wrong = violations(&sources);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(
        wrong[0].contains("journal may not know actors") && wrong[1].contains("verify may not know actors")
    );
    let at_the_root =
        [source("actors.rs", ""), source("lib.rs", "pub mod actors; pub use actors::Watchdog;")];
    assert_eq!(violations(&at_the_root).len(), 1);
}

#[test]
fn what_a_part_may_know_is_not_held_against_it() {
    let sources = [
        source("types.rs", ""),
        source(
            "contract.rs",
            "use crate::types::Bytes; use std::fmt; fn f() { self::g(); fmt::format(format_args!(\"x\")); }",
        ),
        source(
            "models/clip.rs",
            "use candle_core::Tensor; use crate::contract::Model; struct S { tokio: u8 }",
        ),
    ];
    assert_eq!(violations(&sources), Vec::<String>::new());
    let same_name =
        [source("config.rs", ""), source("models/clip.rs", "mod config; pub use config::ClipConfig;")];
    assert_eq!(violations(&same_name), Vec::<String>::new(), "a module of a part's name is not that part");
    assert_eq!(violations(&[source("novelty.rs", "")]).len(), 1, "a part without a row must be noticed");
    assert!(
        CANDLE
            .iter()
            .all(|tensors| matches!(rule_of("direction"), Some(Rule::Not(list)) if list.contains(tensors)))
    );
}
