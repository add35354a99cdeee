//! `vortex-node rehearse`: the real tree on a scripted device, as a scenario says.

use std::path::PathBuf;

use clap::Args;

use super::{Context, Failed};
use crate::config::{self, Telemetry, TelemetryFormat};
use crate::exit::Exit;
use crate::rehearse::{Pace, Scenario, rehearse};
use crate::telemetry;

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
pub struct RehearseCommand {
    /// Scenario to play, such as config/rehearsals/steady.toml
    #[arg(value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    /// Play in real time, models on threads of their own, instead of on a paused clock
    #[arg(long)]
    realtime: bool,
    /// Write the node's log lines to standard error, such as --log info
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl RehearseCommand {
    /// Plays the scenario. Exit code 0 where everything was as it expects, 1 where not, 2 where it makes no sense.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        if let Some(filter) = self.log {
            config::check_filter(&filter)
                .map_err(|why| Failed::bad_input(format!("--log {filter}: {why}")))?;
            let settings = Telemetry { format: TelemetryFormat::Auto, filter };
            telemetry::install(&settings).map_err(|error| Failed::failure(error.to_string()))?;
        }
        let name = self.scenario.display();
        let text = std::fs::read_to_string(&self.scenario)
            .map_err(|error| Failed::bad_input(format!("{name} could not be read: {error}")))?;
        let scenario: Scenario =
            text.parse().map_err(|error| Failed::bad_input(format!("{name}: {error}")))?;
        let pace = if self.realtime { Pace::RealTime } else { Pace::Accelerated };
        let report =
            rehearse(&scenario, pace, Vec::new()).map_err(|error| Failed::failure(error.to_string()))?;
        if self.json {
            context.console.json(&report)?;
        } else {
            writeln!(context.console.out(), "{report}")?;
        }
        Ok(if report.passed() { Exit::Success } else { Exit::Failure })
    }
}
