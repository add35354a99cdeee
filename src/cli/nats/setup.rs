//! `vortex-node nats setup`: makes what a network keeps on its servers, and tells what is wrong with what is there.

use std::num::{NonZeroU32, NonZeroU64};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::network::NetworkFlags;
use crate::cli::remote::block_on;
use crate::cli::{ConfigFlags, Context, Failed, Style};
use crate::config::Network;
use crate::exit::Exit;
use crate::network::setup::{self, Finding, Report, Setup, SetupError};
use crate::network::sync::{self, Monitors};

/// Arguments of `nats setup`.
#[derive(Debug, Args)]
pub(super) struct SetupArguments {
    /// Copies of each stream among the servers: 1, 3 or 5 [default: the setting network.replicas]
    #[arg(long, value_name = "N", value_parser = copies)]
    copies: Option<NonZeroU32>,
    /// Slots that may wait in the network [default: the setting network.queue]
    #[arg(long, value_name = "N")]
    queue: Option<NonZeroU64>,
    /// Nodes that there will be at most: limits of the servers that are too small for them are told
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    most_nodes: u32,
    /// The servers' monitors, http://HOST:8222 of each, commas between several [default: the setting network.monitor]
    #[arg(long, value_name = "URL,…", value_delimiter = ',')]
    monitor: Vec<String>,
    /// Take it for granted that the servers sync what they have confirmed, where no monitor says so
    #[arg(long)]
    assume_synced: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    pub(super) config: ConfigFlags,
}

fn copies(text: &str) -> Result<NonZeroU32, String> {
    let read = text.parse().ok().filter(|copies: &NonZeroU32| matches!(copies.get(), 1 | 3 | 5));
    read.ok_or_else(|| format!("{text:?}; accepted: 1, 3 or 5"))
}

/// What came of it.
#[derive(Default)]
struct Found {
    report: Report,
    findings: Vec<Finding>,
}

impl SetupArguments {
    /// Makes and checks. Exit code 0 where a network can be used so, 1 where not or where it cannot be asked.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let target = self.network.find(context)?;
        let settings = context.loaded()?.settings.network.clone();
        let (setup, monitors) = (self.setup(&settings)?, self.monitors(&settings));
        let found = block_on(async {
            let session = target.open().await?;
            let mut found = Found::default();
            match setup::prepare(&session, &setup).await {
                Ok(report) => found.report = report,
                Err(SetupError::Wrong(findings)) => found.findings.extend(findings),
                Err(SetupError::Network(error)) => return Err(Failed::from(error)),
            }
            match sync::synced(&session, &monitors).await {
                Ok(warnings) => found.report.warnings.extend(warnings),
                Err(SetupError::Wrong(findings)) => found.findings.extend(findings),
                Err(SetupError::Network(error)) => return Err(error.into()),
            }
            Ok(found)
        })??;
        let exit = if found.findings.is_empty() { Exit::Success } else { Exit::Failure };
        if self.json {
            context.console.json(&answer(&found, exit))?;
        } else {
            tell(&found, context)?;
        }
        Ok(exit)
    }

    fn setup(&self, settings: &Network) -> Result<Setup, Failed> {
        let told = NonZeroU32::new(settings.replicas);
        let none = || Failed::bad_input("network.replicas = 0; accepted: 1, 3 or 5");
        Ok(Setup {
            ack_wait: settings.ack_wait,
            heartbeat: settings.heartbeat,
            replicas: self.copies.or(told).ok_or_else(none)?,
            queue: self.queue.map_or(u64::from(settings.queue.get()), NonZeroU64::get),
            nodes: self.most_nodes,
        })
    }

    fn monitors(&self, settings: &Network) -> Monitors {
        let addresses = if self.monitor.is_empty() { settings.monitor.clone() } else { self.monitor.clone() };
        Monitors { addresses, assume_synced: self.assume_synced || settings.assume_synced }
    }
}

fn answer(found: &Found, exit: Exit) -> Value {
    let Report { created, found: there, warnings } = &found.report;
    let findings = found.findings.iter().map(|it| {
        json!({ "what": it.what, "setting": it.setting, "found": it.found, "wanted": it.wanted, "mend": it.mend })
    });
    json!({
        "ok": exit == Exit::Success,
        "created": created,
        "found": there,
        "warnings": warnings,
        "wrong": findings.collect::<Vec<_>>(),
    })
}

fn tell(found: &Found, context: &mut Context<'_>) -> Result<(), Failed> {
    let console = &mut *context.console;
    for (style, word, names) in
        [(Style::Good, "made", &found.report.created), (Style::Faint, "there", &found.report.found)]
    {
        let word = console.paint(style, format!("{word:6}"));
        for name in names {
            writeln!(console.out(), "{word} {name}")?;
        }
    }
    let word = console.paint(Style::Doubtful, "beside");
    for warning in &found.report.warnings {
        writeln!(console.out(), "{word} {warning}")?;
    }
    let word = console.paint(Style::Bad, "wrong ");
    for Finding { what, setting, found, wanted, mend } in &found.findings {
        writeln!(console.out(), "{word} {what}: {setting} is {found}, wanted {wanted}\n       {mend}")?;
    }
    let (style, verdict) = match found.findings.len() {
        0 => (Style::Good, "the network can be used".to_owned()),
        many => (
            Style::Bad,
            format!("the network cannot be used: {many} wrong, nothing that is there was changed"),
        ),
    };
    let verdict = console.paint(style, verdict);
    writeln!(console.out(), "{verdict}")?;
    Ok(())
}
