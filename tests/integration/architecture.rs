//! Reads every path token in `src/` and fails where a part knows what it may not.
//!
//! Paths count wherever they stand: `use` trees, types, expressions, macro arguments and definitions, strings in
//! attributes. A re-export makes whoever names it know what stands behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

mod paths;
mod table;

use paths::{Found, paths_of};
use table::{Row, TABLE, TENSORS};

/// One source file: its part, where it stands in the module tree, its text.
struct Source {
    part: String,
    module: Vec<String>,
    name: String,
    text: String,
}

fn rule_of(part: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.part == part)
}

/// A way round from a part to itself along `known` (who knows whom), if there is one.
fn circle(known: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        part: &str,
        known: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(place) = way.iter().position(|it| it == part) {
            return Some(way[place..].to_vec());
        }
        if !done.insert(part.to_owned()) {
            return None;
        }
        way.push(part.to_owned());
        let found = known.get(part).into_iter().flatten().find_map(|next| walk(next, known, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    known.keys().find_map(|part| walk(part, known, &mut Vec::new(), &mut done))
}

/// Everything that is wrong in `sources`, one line each.
fn violations(sources: &[Source]) -> Vec<String> {
    let parts: BTreeSet<&str> = sources.iter().map(|source| source.part.as_str()).collect();
    let found: Vec<(&Source, Vec<Found>)> =
        sources.iter().map(|source| (source, paths_of(&source.text, &source.module))).collect();

    let mut wrong = Vec::new();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
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
                let is_part = parts.contains(known);
                if is_part {
                    edges.entry(source.part.clone()).or_default().insert(known.to_owned());
                }
                let allowed = if is_part { rule.knows.contains(&known) } else { !rule.not.contains(&known) };
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
        .extend(circle(&edges).map(|way| format!("parts know each other in a circle: {}", way.join(" -> "))));
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

/// The modules right below `part` that know each other in a circle, if there is one. What the part's own file
/// re-exports counts as the module that it comes from.
fn module_circle(part: &str, sources: &[Source]) -> Option<Vec<String>> {
    let within: Vec<&Source> = sources.iter().filter(|source| source.part == part).collect();
    let modules: BTreeSet<&str> =
        within.iter().filter_map(|source| source.module.get(1)).map(String::as_str).collect();
    let mut exported: BTreeMap<String, String> = BTreeMap::new();
    for source in within.iter().filter(|source| source.module.len() == 1) {
        for path in paths_of(&source.text, &source.module) {
            let text = path.text();
            let mut words = text.split("::").filter(|word| *word != "crate" && *word != part);
            if let (Some(name), Some(module)) = (path.exported, words.next())
                && modules.contains(module)
            {
                exported.insert(name, module.to_owned());
            }
        }
    }
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in &within {
        let Some(own) = source.module.get(1) else { continue };
        for path in paths_of(&source.text, &source.module) {
            let text = path.text();
            let words: Vec<&str> = text.split("::").collect();
            let ["crate", of, name, ..] = words[..] else { continue };
            let target = modules.get(name).copied().or_else(|| exported.get(name).map(String::as_str));
            if let Some(target) = target.filter(|target| of == part && target != own) {
                known.entry(own.clone()).or_default().insert(target.to_owned());
            }
        }
    }
    circle(&known)
}

/// Parts with modules that know each other in a circle still. A part goes from here when it is untied; none is added.
const TIED: [&str; 9] =
    ["cli", "config", "gpu_check", "journal", "media", "models", "pipeline", "recipe", "vram"];

#[test]
fn no_modules_of_a_part_know_each_other_in_a_circle() {
    let sources = all_sources();
    let parts: BTreeSet<&str> = sources.iter().map(|source| source.part.as_str()).collect();
    let tied = parts.iter().filter(|part| module_circle(part, &sources).is_some());
    assert_eq!(tied.collect::<Vec<_>>(), TIED.iter().collect::<Vec<_>>());

    let ring = [
        source("actors.rs", "mod a; mod b; pub use b::Told;"),
        source("actors/a.rs", "use super::Told;"),
        source("actors/b.rs", "fn f() { super::c::g() }"),
        source("actors/c/inner.rs", "use crate::actors::a::Go;"),
    ];
    assert_eq!(module_circle("actors", &ring).map(|way| way.join(" ")), Some("a b c".to_owned()));
    assert_eq!(module_circle("actors", &ring[..3]), None);
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
        "use crate::{contract, actors as a};",
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
        source("config.rs", "pub struct Settings;"),
        source("telemetry.rs", "pub use crate::config::Settings as All; pub fn run() {}"),
        source("actors/device.rs", "use crate::telemetry::All;"),
        source("actors/node.rs", "use crate::telemetry::run;"),
        source("actors/tree.rs", "use crate::telemetry::*;"),
    ];
    let wrong = violations(&sources);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong.iter().all(|wrong| wrong.contains("actors may not know config")), "{wrong:?}");
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
    assert!(TENSORS.iter().all(|tensors| rule_of("direction").unwrap().not.contains(tensors)));
}

#[test]
fn a_circle_is_found_and_told_whole() {
    let sources = [
        source("contract.rs", "use crate::types::Bytes;"),
        source("types.rs", "use crate::clock::now;"),
        source("clock.rs", "use crate::contract::Model;"),
    ];
    let wrong = violations(&sources);
    let told = wrong.iter().find(|wrong| wrong.contains("in a circle")).unwrap();
    assert!(told.contains("clock -> contract -> types"), "{told}");
    let straight = [source("contract.rs", "use crate::types::Bytes;"), source("types.rs", "")];
    assert_eq!(violations(&straight), Vec::<String>::new());
}

#[test]
fn the_table_itself_allows_no_circle_and_names_only_parts_above() {
    for (place, row) in TABLE.iter().enumerate() {
        let above: Vec<&str> = TABLE[..place].iter().map(|row| row.part).collect();
        for known in row.knows {
            assert!(above.contains(known), "{} names {known}, which does not stand above it", row.part);
        }
    }
}
