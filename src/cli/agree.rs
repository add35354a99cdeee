//! `vortex-node agree`: which of several nodes' results of one slot agree, and whether enough do.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{Context, Failed, Style};
use crate::exit::Exit;
use crate::network::agree::{self, Agreement, Candidate, MOST, Member, Terms};
use crate::sink::{self, PublicKey};
use crate::types::with_path;

/// Arguments of `agree`.
#[derive(Debug, Args)]
pub struct AgreeCommand {
    /// Signed results of one slot by several nodes: files, or the folders that hold them as result.json
    #[arg(required = true, value_name = "RESULT")]
    results: Vec<PathBuf>,
    /// How many must agree with each other
    #[arg(long, value_name = "N", default_value = "3")]
    needs: NonZeroUsize,
    /// Two results agree where the cosine of their embeddings is above this, 0 or more and below 1
    #[arg(long, value_name = "COSINE", default_value = "0.95", value_parser = cosine)]
    cosine: f64,
    /// Nodes whose results count, 64 hexadecimal digits each, separated by commas [default: whoever signed]
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    known: Vec<PublicKey>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

fn cosine(text: &str) -> Result<f64, String> {
    let read = text.parse().ok().filter(|cosine| (0.0..1.0).contains(cosine));
    read.ok_or_else(|| format!("{text:?} is no cosine that two results can be above; accepted: such as 0.95"))
}

impl AgreeCommand {
    /// Does what was asked. Exit code 0 where enough agree, 1 where not, 2 where a file cannot be read.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let terms = Terms { known: self.known, cosine: self.cosine, needs: self.needs };
        if terms.needs.get() > MOST {
            let told =
                format!("--needs: {} results are never compared; accepted: at most {MOST}", terms.needs);
            return Err(Failed::bad_input(told));
        }
        let candidates = self.results.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        let agreement =
            agree::agree(candidates, &terms).map_err(|error| Failed::bad_input(error.to_string()))?;
        if self.json {
            context.console.json(&answer(&agreement, &terms, &self.results))?;
        } else {
            report(&agreement, &terms, self.results.len(), context)?;
        }
        Ok(if agreement.is_reached { Exit::Success } else { Exit::Failure })
    }
}

fn read(path: &Path) -> Result<Candidate, Failed> {
    let file = if path.is_dir() { path.join(sink::FILE_NAME) } else { path.to_owned() };
    let bytes = fs::read(&file)
        .map_err(|error| Failed::bad_input(format!("{} cannot be read: {error}", file.display())))?;
    // What is no text is no result that a node wrote, and is refused as such.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Candidate { name: path.to_string_lossy().into_owned(), text })
}

fn answer(agreement: &Agreement, terms: &Terms, paths: &[PathBuf]) -> Value {
    let named = |name: &str, object: Value| {
        let path = paths.iter().find(|path| path.to_string_lossy() == name);
        with_path(object, "path", path.map_or(Path::new(name), PathBuf::as_path))
    };
    let node = |at: usize| agreement.members.get(at).map(|member| member.node);
    let members = agreement.members.iter().map(|it| {
        named(&it.name, json!({ "node": it.node, "in_group": it.is_in_group, "video_sha256": it.video }))
    });
    let refused = agreement.refused.iter().map(|it| {
        named(&it.name, json!({ "node": it.node, "reason": it.why.name(), "what": it.why.to_string() }))
    });
    let pairs = agreement.pairs.iter().map(
        |it| json!({ "nodes": [node(it.of.0), node(it.of.1)], "cosine": it.cosine, "agree": it.agrees }),
    );
    json!({
        "ok": agreement.is_reached,
        "needs": terms.needs,
        "cosine_above": terms.cosine,
        "slot": agreement.subject.map(|subject| subject.slot),
        "recipe_sha256": agreement.subject.map(|subject| subject.recipe),
        "in_group": group_size(agreement),
        "identical": agreement.identical,
        "identical_videos": agreement.identical_videos,
        "results": members.collect::<Vec<_>>(),
        "pairs": pairs.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
    })
}

fn group_size(agreement: &Agreement) -> usize {
    agreement.members.iter().filter(|member| member.is_in_group).count()
}

/// So many digits tell nodes, and videos, apart for people.
fn short(text: &impl ToString) -> String {
    text.to_string().chars().take(8).collect()
}

fn report(
    agreement: &Agreement,
    terms: &Terms,
    given: usize,
    context: &mut Context<'_>,
) -> Result<(), Failed> {
    let console = &mut *context.console;
    if let Some(subject) = agreement.subject {
        writeln!(console.out(), "slot {}, recipe {}", subject.slot, subject.recipe)?;
    }
    let size = group_size(agreement);
    if !agreement.members.is_empty() {
        let heads: Vec<String> =
            agreement.members.iter().map(|member| format!("{:>9}", short(&member.node))).collect();
        let line = format!("         {:8}  {:8}{}  result", "node", "video", heads.concat());
        let line = console.paint(Style::Strong, line);
        writeln!(console.out(), "{line}")?;
    }
    for (at, member) in agreement.members.iter().enumerate() {
        let Member { name, node, video, is_in_group } = member;
        // Alone, nobody agrees.
        let (style, label) =
            if *is_in_group && size > 1 { (Style::Good, "agrees") } else { (Style::Doubtful, "apart") };
        let label = console.paint(style, format!("{label:7}"));
        let (node, video) = (short(node), video.as_ref().map(short).unwrap_or_default());
        let cosines: String = (0..agreement.members.len()).map(|other| cell(agreement, at, other)).collect();
        writeln!(console.out(), "{label}  {node:8}  {video:8}{cosines}  {name}")?;
    }
    for refused in &agreement.refused {
        let label = console.paint(Style::Bad, format!("{:7}", "refused"));
        writeln!(console.out(), "{label}  {}: {}", refused.name, refused.why)?;
    }
    let needs = terms.needs;
    let verdict = if agreement.is_reached {
        console.paint(Style::Good, "agreement")
    } else {
        console.paint(Style::Bad, "no agreement")
    };
    writeln!(
        console.out(),
        "{verdict}: {size} of {given} results agree, {needs} are needed; {} of them are the same, {} have the same video",
        agreement.identical,
        agreement.identical_videos
    )?;
    if terms.known.is_empty() {
        // Anyone can sign with keys of their own, as many as are needed.
        writeln!(console.out(), "whether these are nodes to trust, --known tells")?;
    }
    Ok(())
}

/// The cosine of two results, as wide as every other.
fn cell(agreement: &Agreement, at: usize, other: usize) -> String {
    let both = (at.min(other), at.max(other));
    match agreement.pairs.iter().find(|pair| pair.of == both).and_then(|pair| pair.cosine) {
        Some(cosine) => format!("{cosine:9.5}"),
        None => format!("{:>9}", "-"),
    }
}
