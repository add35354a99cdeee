//! `vortex-node nodes`: who is in a network, and what each can do just now.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::network::{NetworkFlags, short};
use super::remote::{age, block_on, count, length, plain, seconds};
use super::{ConfigFlags, Console, Context, Failed, Style};
use crate::clock;
use crate::exit::Exit;
use crate::network::overview::{self, Counts};
use crate::network::registry::{self, NodeEntry, Strain};

/// Arguments of `nodes`.
#[derive(Debug, Args)]
#[command(after_help = "Example: vortex-node nodes --nats=nats://queue.example.org:4222 --long")]
pub struct NodesCommand {
    /// With stages' times, models, devices and classes of work
    #[arg(short, long)]
    long: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

/// What there is to show.
struct Found {
    nodes: Vec<NodeEntry>,
    /// Nodes that are not there, with how much work is addressed to each.
    away: Vec<(String, u64)>,
    counts: Counts,
}

impl NodesCommand {
    /// The network is found by the settings where no flag names it.
    pub fn config_flags(&self) -> &ConfigFlags {
        &self.config
    }

    /// Shows. Exit code 0, 1 where the network cannot be asked.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let target = self.network.find(context)?;
        let found = block_on(async {
            let session = target.open().await?;
            let nodes = registry::nodes(&session).await?;
            let mut addressed = overview::addressed(&session).await?;
            addressed.retain(|node, _| !nodes.iter().any(|entry| entry.node == *node));
            let counts = overview::counts(&session).await?;
            Ok::<_, Failed>(Found { nodes, away: addressed.into_iter().collect(), counts })
        })??;
        if self.json {
            let away = found.away.iter().map(|(node, open)| json!({ "node": node, "open": open }));
            context.console.json(&json!({
                "nodes": found.nodes.iter().map(entry).collect::<Vec<_>>(),
                "away": away.collect::<Vec<_>>(),
                "open": found.counts.work,
                "ended": found.counts.results,
                "dead_letters": found.counts.letters,
            }))?;
            return Ok(Exit::Success);
        }
        table(&found, self.long, context.console)?;
        Ok(Exit::Success)
    }
}

fn entry(node: &NodeEntry) -> Value {
    let mut entry = serde_json::to_value(node).unwrap_or_default();
    entry["free"] = json!(node.free());
    entry
}

fn table(found: &Found, long: bool, console: &mut Console) -> Result<(), Failed> {
    let Found { nodes, away, counts } = found;
    let now = clock::unix_time();
    if !nodes.is_empty() {
        let head = format!(
            "{:12}  {:10}  {:9}  {:8}  {:>9}  {:>10}  {:24}  {:>8}  {}",
            "NODE", "VERSION", "STATE", "PRESSURE", "OPEN", "SLOT", "BUNDLE", "SEEN", "CLASSES"
        );
        let head = console.paint(Style::Strong, head);
        writeln!(console.out(), "{head}")?;
    }
    for node in nodes {
        row(node, now, console)?;
        if long {
            detail(node, now, console)?;
        }
    }
    for (node, open) in away {
        let (node, word) = (short(node), console.paint(Style::Bad, format!("{:9}", "away")));
        writeln!(
            console.out(),
            "{node:12}  {:10}  {word}  {} addressed to it",
            "-",
            count(usize::try_from(*open).unwrap_or(usize::MAX), "slot")
        )?;
    }
    let takes = |node: &&NodeEntry| node.ready && !node.draining;
    let free: u64 = nodes.iter().filter(takes).map(|node| u64::from(node.free())).sum();
    let Counts { work, letters, .. } = counts;
    let letters = count(usize::try_from(*letters).unwrap_or(usize::MAX), "dead letter");
    writeln!(
        console.err(),
        "{}, room for {free}; {work} open in the network, {letters}",
        count(nodes.len(), "node")
    )?;
    Ok(())
}

/// Whether it takes work, in a word.
fn state(node: &NodeEntry) -> (Style, &'static str) {
    match (node.draining, node.ready) {
        (true, _) => (Style::Doubtful, "draining"),
        (false, true) => (Style::Good, "ready"),
        (false, false) => (Style::Bad, "not ready"),
    }
}

fn row(node: &NodeEntry, now: Duration, console: &mut Console) -> Result<(), Failed> {
    let (style, word) = state(node);
    let word = console.paint(style, format!("{word:9}"));
    let style = match node.pressure {
        Strain::None => Style::Faint,
        Strain::Soft => Style::Doubtful,
        Strain::Hard => Style::Bad,
    };
    let pressure = console.paint(style, format!("{:8}", node.pressure.to_string()));
    let (id, version) = (short(&node.node), plain(&node.software));
    let room = format!("{}/{}", node.open, node.capacity);
    let hash: String = node.bundle.sha256.to_string().chars().take(8).collect();
    let name: String = plain(&node.bundle.name).chars().take(15).collect();
    let bundle = format!("{name} {hash}");
    let (slot, seen) = (seconds(node.expected_seconds), length(age(node.at, now)));
    let classes = classes(&node.classes);
    writeln!(
        console.out(),
        "{id:12}  {version:10}  {word}  {pressure}  {room:>9}  {slot:>10}  {bundle:24}  {seen:>8}  {classes}"
    )?;
    if !node.not_ready.is_empty() {
        writeln!(console.out(), "              {}", plain(&node.not_ready.join(", ")))?;
    }
    Ok(())
}

/// The sizes and paces among `PRIORITY.SIZE.BUNDLE.PACE`: what tells nodes apart.
fn classes(all: &[String]) -> String {
    if all.is_empty() {
        return "none".to_owned();
    }
    let part = |at: usize| {
        let mut parts: Vec<&str> = all.iter().filter_map(|class| class.split('.').nth(at)).collect();
        parts.sort_unstable();
        parts.dedup();
        plain(&parts.join(",")).into_owned()
    };
    format!("{} {}", part(1), part(3))
}

fn detail(node: &NodeEntry, now: Duration, console: &mut Console) -> Result<(), Failed> {
    let mut field = |name: &str, text: &str| -> Result<(), Failed> {
        if text.is_empty() {
            return Ok(());
        }
        Ok(writeln!(console.out(), "              {name:8} {}", plain(text))?)
    };
    field("key", &node.node)?;
    field("address", node.address.as_deref().unwrap_or_default())?;
    field("up", &length(age(node.started_at, now)))?;
    field("queue", &count(node.queue as usize, "slot"))?;
    let stages = node.stage_seconds.iter().map(|(stage, time)| format!("{stage} {}", seconds(*time)));
    field("stages", &stages.collect::<Vec<_>>().join(", "))?;
    let models = node.models.iter().map(|(model, state)| format!("{model} {state}"));
    field("models", &models.collect::<Vec<_>>().join(", "))?;
    field("devices", &node.devices.join(", "))?;
    field("pixels", &format!("at most {}", node.max_pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_shown_by_size_and_pace() {
        let all = ["high.p512.any.free", "low.p512.any.soon", "low.p1024.any.free"].map(str::to_owned);
        assert_eq!(classes(&all), "p1024,p512 free,soon");
        assert_eq!(classes(&[]), "none");
    }
}
