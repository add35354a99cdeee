//! `vortex-node dead-letters`: work of a network that no node could do; look at it, hand it in again, or drop it.

mod named;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::network::{NetworkFlags, short};
use super::remote::{ago, block_on, count, plain};
use super::{ConfigFlags, Console, Context, Failed, Style};
use crate::clock;
use crate::exit::Exit;
use crate::network::Session;
use crate::network::letters::{self, Letter, ReplayError};
use crate::network::listing::Listed;
use named::{Name, letter_name, name_of};

/// Arguments of `dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLettersCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them, the oldest first: which work, why, by which node, how often it was delivered
    #[command(after_help = "Example: vortex-node dead-letters list --nats=nats://queue.example.org:4222")]
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100,
            value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        network: NetworkFlags,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Show all about one: what was tried, the headers, and with --recipe nothing but the recipe's bytes
    #[command(
        after_help = "Example: vortex-node dead-letters show 6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21/1/1 --recipe > recipe.json"
    )]
    Show {
        /// As `dead-letters list` names it
        #[arg(value_name = "WORK", value_parser = letter_name)]
        work: Name,
        /// Write the recipe, byte for byte, and nothing else
        #[arg(long, conflicts_with = "json")]
        recipe: bool,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        network: NetworkFlags,
        #[command(flatten)]
        config: ConfigFlags,
    },
    /// Hand the recipe in again, under the next epoch, and drop the letter
    #[command(after_help = "Example: vortex-node dead-letters replay --all")]
    Replay(ManyArguments),
    /// Remove them for good: the work stays dead
    #[command(after_help = "Example: vortex-node dead-letters drop 6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21/1/1")]
    Drop(ManyArguments),
}

#[derive(Debug, Args)]
struct ManyArguments {
    /// As `dead-letters list` names them
    #[arg(required_unless_present = "all", value_name = "WORK", value_parser = letter_name)]
    works: Vec<Name>,
    /// Every one that there is when the command begins
    #[arg(long, conflicts_with = "works")]
    all: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    config: ConfigFlags,
}

/// Letters that are read at a time.
const PAGE: usize = 500;

impl DeadLettersCommand {
    /// The network is found by the settings where no flag names it.
    pub fn config_flags(&self) -> &ConfigFlags {
        match &self.what {
            What::List { config, .. } | What::Show { config, .. } => config,
            What::Replay(many) | What::Drop(many) => &many.config,
        }
    }

    /// Does what was asked. Exit code 0, 1 where the network cannot be asked or a letter cannot be replayed, 2 where there is
    /// no such letter.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
            What::List { limit, json, network, .. } => {
                let target = network.find(context)?;
                let limit = limit as usize;
                let (found, unreadable) = block_on(async { some(&target.open().await?, limit + 1).await })??;
                list(&found, &unreadable, limit, json, context)?;
                Ok(Exit::Success)
            }
            What::Show { work, recipe, json, network, .. } => {
                let target = network.find(context)?;
                let letter = block_on(async { named::find(&target.open().await?, &work).await })??;
                show(&letter.record, recipe, json, context)?;
                Ok(Exit::Success)
            }
            What::Replay(many) => many.each(context, &async |session, letter| {
                let Some(work) = letter.record.work else {
                    return Err(Failed::failure(format!(
                        "{} cannot be replayed: it names no work; hand its recipe in again, or drop it",
                        name_of(letter)
                    )));
                };
                let next = letters::replay(session, work).await?;
                Ok((Done::Replayed, json!({ "replayed_as": next.to_string() }), format!("as {next}")))
            }),
            What::Drop(many) => many.each(context, &async |session, letter| {
                let was_there = letters::drop_letter(session, letter.sequence).await?;
                let told = if was_there { String::new() } else { "was gone already".to_owned() };
                Ok((Done::Dropped, json!({ "was_there": was_there }), told))
            }),
        }
    }
}

/// What was done with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Replayed,
    Dropped,
}

impl Done {
    const fn word(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Dropped => "dropped",
        }
    }
}

impl From<ReplayError> for Failed {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Network(error) => error.into(),
            ReplayError::Missing(_) => Self::bad_input(error.to_string()),
            ReplayError::Unusable { .. } => Self::failure(error.to_string()),
        }
    }
}

/// What became of a letter: an answer for machines and one for people, or why nothing.
type Became = Result<(Done, Value, String), Failed>;

impl ManyArguments {
    /// Does `act` to each; what fails with one does not keep the others.
    fn each(
        &self,
        context: &mut Context<'_>,
        act: &impl AsyncFn(&Session, &Listed<Letter>) -> Became,
    ) -> Result<Exit, Failed> {
        let target = self.network.find(context)?;
        let became = block_on(async {
            let session = target.open().await?;
            let mut became: Vec<(String, Became)> = Vec::new();
            if self.all {
                let (found, _) = some(&session, usize::MAX).await?;
                for letter in &found {
                    became.push((name_of(letter), act(&session, letter).await));
                }
            }
            for name in &self.works {
                let done = match named::find(&session, name).await {
                    Ok(letter) => act(&session, &letter).await,
                    Err(error) => Err(error),
                };
                became.push((name.to_string(), done));
            }
            Ok::<_, Failed>(became)
        })??;
        told(&became, self.json, context)
    }
}

fn told(became: &[(String, Became)], as_json: bool, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let exits = became.iter().map(|(_, became)| became.as_ref().map_or_else(Failed::exit, |_| Exit::Success));
    let exit = exits.fold(Exit::Success, |all, one| match (all, one) {
        (Exit::BadInput, _) | (_, Exit::Success) => all,
        (_, one) => one,
    });
    if as_json {
        let letters: Vec<Value> = became
            .iter()
            .map(|(name, became)| match became {
                Ok((done, more, _)) => {
                    let mut answer = json!({ "work": name, "done": done.word() });
                    if let (Some(answer), Some(more)) = (answer.as_object_mut(), more.as_object()) {
                        answer.extend(more.clone());
                    }
                    answer
                }
                Err(failed) => json!({ "work": name, "error": failed.message() }),
            })
            .collect();
        context.console.json(&json!({ "ok": exit == Exit::Success, "letters": letters }))?;
        return Ok(exit);
    }
    if became.is_empty() {
        writeln!(context.console.err(), "no dead letters")?;
    }
    for (name, became) in became {
        match became {
            Ok((done, _, more)) => {
                let word = context.console.paint(Style::Good, format!("{:8}", done.word()));
                writeln!(context.console.out(), "{}", format!("{word} {} {more}", plain(name)).trim_end())?;
            }
            Err(failed) => {
                let label = context.console.paint_err(Style::Bad, "error:");
                writeln!(context.console.err(), "{label} {}", failed.message())?;
            }
        }
    }
    Ok(exit)
}

/// At most `limit` letters, the oldest first, and what is wrong with others.
async fn some(session: &Session, limit: usize) -> Result<(Vec<Listed<Letter>>, Vec<String>), Failed> {
    let (mut found, mut unreadable, mut from) = (Vec::new(), Vec::new(), Some(1));
    while let Some(next) = from
        && found.len() < limit
    {
        let page = letters::list(session, next, PAGE.min(limit - found.len())).await?;
        unreadable.extend(page.unreadable.iter().map(ToString::to_string));
        found.extend(page.found);
        from = page.next;
    }
    Ok((found, unreadable))
}

/// One letter, for machines.
fn entry(letter: &Listed<Letter>) -> Value {
    let Listed { sequence, record } = letter;
    json!({
        "letter": name_of(letter),
        "number": sequence,
        "work": record.work.map(|work| work.to_string()),
        "reason": record.reason,
        "detail": record.detail,
        "at": record.at,
        "node": record.node,
        "deliveries": record.deliveries,
        "submitted_at": record.submitted_at,
        "replayed": record.replayed,
        "holds_recipe": record.recipe.is_some(),
    })
}

fn list(
    found: &[Listed<Letter>],
    unreadable: &[String],
    limit: usize,
    as_json: bool,
    context: &mut Context<'_>,
) -> Result<(), Failed> {
    let (shown, has_more) = (&found[..found.len().min(limit)], found.len() > limit);
    if as_json {
        let letters: Vec<Value> = shown.iter().map(entry).collect();
        let answer = json!({ "letters": letters, "more": has_more, "unreadable": unreadable });
        return Ok(context.console.json(&answer)?);
    }
    for wrong in unreadable {
        let label = context.console.paint_err(Style::Doubtful, "beside");
        writeln!(context.console.err(), "{label} {}", plain(wrong))?;
    }
    if shown.is_empty() {
        writeln!(context.console.err(), "no dead letters")?;
    }
    let now = clock::unix_time();
    for letter in shown {
        let reason = context.console.paint(Style::Bad, format!("{:16}", letter.record.reason.to_string()));
        let (node, when) = (short(&letter.record.node), ago(letter.record.at, now));
        let deliveries = match letter.record.deliveries {
            0 => String::new(),
            many => format!(", after {}", deliveries(many)),
        };
        let (name, detail) = (name_of(letter), plain(&letter.record.detail));
        writeln!(context.console.out(), "{name:44}  {reason}  {when} by {node}{deliveries}: {detail}")?;
    }
    if has_more {
        writeln!(context.console.err(), "there are more: --limit")?;
    }
    Ok(())
}

fn deliveries(many: u64) -> String {
    if many == 1 { "1 delivery".to_owned() } else { format!("{many} deliveries") }
}

fn show(letter: &Letter, recipe: bool, as_json: bool, context: &mut Context<'_>) -> Result<(), Failed> {
    if recipe {
        let bytes = letter
            .recipe()
            .map_err(|wrong| Failed::failure(format!("the letter holds no recipe: {wrong}")))?;
        return Ok(context.console.out().write_all(&bytes)?);
    }
    if as_json {
        return Ok(context.console.json(letter)?);
    }
    print(letter, context.console)
}

fn print(letter: &Letter, console: &mut Console) -> Result<(), Failed> {
    let now = clock::unix_time();
    let name = letter.work.map_or_else(|| format!("message {}", letter.sequence), |work| work.to_string());
    let (name, reason) = (console.paint(Style::Strong, name), console.paint(Style::Bad, letter.reason));
    writeln!(console.out(), "{name}: {reason}")?;
    writeln!(console.out(), "  {}", plain(&letter.detail))?;
    let node = plain(&letter.node);
    writeln!(console.out(), "  {} by {node}, after {}", ago(letter.at, now), deliveries(letter.deliveries))?;
    if let Some(at) = letter.submitted_at {
        writeln!(console.out(), "  handed in {}", ago(at, now))?;
    }
    if let Some(epoch) = letter.replayed {
        writeln!(console.out(), "  a replay of epoch {epoch}")?;
    }
    writeln!(console.out(), "  subject {}", plain(&letter.subject))?;
    for (name, value) in &letter.headers {
        writeln!(console.out(), "  header {}: {}", plain(name), plain(value))?;
    }
    for attempt in &letter.history {
        let detail = attempt.detail.as_deref().map(|it| format!(": {}", plain(it))).unwrap_or_default();
        let (delivery, what, node) = (attempt.delivery, attempt.what, short(&attempt.node));
        writeln!(console.out(), "  delivery {delivery}: {what} by {node} {}{detail}", ago(attempt.at, now))?;
    }
    match letter.recipe() {
        Ok(bytes) => writeln!(console.out(), "  it holds the recipe ({} bytes): --recipe", bytes.len())?,
        Err(wrong) => writeln!(console.out(), "  it holds no recipe: {}", plain(&wrong))?,
    }
    if !letter.left_out.is_empty() {
        writeln!(console.out(), "  {} left out", count(letter.left_out.len(), "field"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::remote::testing::parse;

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        let work = "6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21/1/1";
        for arguments in [
            &[][..],
            &["replay"],
            &["drop", "x"],
            &["drop", "unreadable/0x"],
            &["replay", work, "--all"],
            &["show"],
            &["show", work, "--recipe", "--json"],
            &["list", "--limit", "0"],
        ] {
            assert!(parse::<DeadLettersCommand>(arguments).is_err(), "{arguments:?}");
        }
        for arguments in
            [&["replay", "--all"][..], &["drop", work, "unreadable/7"], &["show", work], &["list"]]
        {
            assert!(parse::<DeadLettersCommand>(arguments).is_ok(), "{arguments:?}");
        }
    }
}
