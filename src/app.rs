//! The only place that wires parts together: from a parsed command to the parts that carry it out.

pub mod bundle;
pub mod models;
pub mod render;
pub mod settings;

use crate::cli::{Command, Console, Context, Failed};
use crate::config::Loaded;
use crate::exit::Exit;

/// Carries out `command` and says how the process is to end. `config` is there for commands that need settings.
pub fn run(command: Command, config: Option<Loaded>, console: &mut Console) -> Result<Exit, Failed> {
    let mut context = Context { config, console };
    match command {
        Command::Config(command) => command.run(&mut context),
        Command::Render(command) => command.run(&mut context),
        Command::GpuCheck(command) => command.run(&mut context),
        Command::Recipe(command) => command.run(&mut context),
        Command::Storyboard(command) => command.run(&mut context),
        Command::Weights(command) => command.run(&mut context),
        Command::Check(command) => command.run(&mut context),
        Command::Rehearse(command) => command.run(&mut context),
        Command::Result(command) => command.run(&mut context),
    }
}
