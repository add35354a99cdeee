//! `vortex-node rehearse`: the real tree on a scripted device, as a scenario says, or as many seeds draw it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Context, Failed};
use crate::config::{self, Telemetry, TelemetryFormat};
use crate::exit::Exit;
use crate::rehearse::{Pace, Scenario, rehearse};
use crate::telemetry;

mod chaos;

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
pub struct RehearseCommand {
    /// Scenario to play, such as config/rehearsals/steady.toml
    #[arg(value_name = "SCENARIO.toml", required_unless_present = "chaos", conflicts_with = "chaos")]
    scenario: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    /// Play in real time, models on threads of their own, instead of on a paused clock
    #[arg(long, conflicts_with = "chaos")]
    realtime: bool,
    /// Write the node's log lines to standard error, such as --log info
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    #[command(flatten)]
    chaos: chaos::ChaosFlags,
}

impl RehearseCommand {
    /// Plays the scenario. Exit code 0 where everything was as it expects, 1 where not, 2 where it makes no sense. With
    /// `--chaos`: 0 where no seed failed, 1 where one did, 2 where the arguments make no sense.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        if let Some(filter) = self.log {
            config::check_filter(&filter)
                .map_err(|why| Failed::bad_input(format!("--log {filter}: {why}")))?;
            let settings = Telemetry { format: TelemetryFormat::Auto, filter };
            telemetry::install(&settings, None).map_err(|error| Failed::failure(error.to_string()))?;
        }
        match self.scenario {
            Some(scenario) => {
                let pace = if self.realtime { Pace::RealTime } else { Pace::Accelerated };
                play(&scenario, pace, self.json, context)
            }
            None => chaos::play(&self.chaos, self.json, context),
        }
    }
}

fn play(file: &Path, pace: Pace, json: bool, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failed::bad_input(format!("{name} could not be read: {error}")))?;
    let scenario: Scenario = text.parse().map_err(|error| Failed::bad_input(format!("{name}: {error}")))?;
    let report = rehearse(&scenario, pace, Vec::new()).map_err(|error| Failed::failure(error.to_string()))?;
    if json {
        context.console.json(&report)?;
    } else {
        writeln!(context.console.out(), "{report}")?;
    }
    Ok(if report.passed() { Exit::Success } else { Exit::Failure })
}
