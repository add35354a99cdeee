//! `vortex-node render`: one recipe through the whole node, into a folder.

mod display;
mod outcome;
mod run;
mod slot;

use std::path::PathBuf;

use clap::Args;

use super::{ConfigFlags, Context, Failed};
use crate::exit::Exit;

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct RenderCommand {
    /// Recipe to render, such as config/recipes/hello.json
    #[arg(value_name = "RECIPE.json")]
    pub recipe: PathBuf,
    /// Folder for the video and everything that belongs to it [default: renders/ and the recipe's name]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Bundle of weights, a folder or its bundle.toml [default: the setting `bundle`]
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Write events as JSON, one a line, to standard output; the last one is the result
    #[arg(long)]
    pub json: bool,
    /// Write where the time goes, by stage, layer and thread, for ui.perfetto.dev or chrome://tracing
    #[arg(long, value_name = "FILE")]
    pub profile_out: Option<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigFlags,
}

impl RenderCommand {
    /// Rendering needs settings.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        Some(&self.config)
    }

    /// Renders. Exit code 0 with a finished video, 1 where the slot failed, 2 where the recipe or the settings are wrong,
    /// 130 where it was interrupted and can be taken up again.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        run::render(&self, context)
    }
}
