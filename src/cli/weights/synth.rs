//! `weights synth`: a bundle of random weights.

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;

use super::progress;
use crate::cli::{Context, Failed};
use crate::exit::Exit;
use crate::models::bundle::FILE_NAME;
use crate::models::synth::{self, Profile, Writing};
use crate::types::ModelId;

/// Arguments of `weights synth`.
#[derive(Debug, Args)]
pub(super) struct Synth {
    /// tiny: a few megabytes; full: the published sizes (Flux and T5 take 34 GB on disk)
    #[arg(long, value_name = "PROFILE")]
    profile: Profile,
    /// The same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Folder for the bundle
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Only these models, separated by commas [default: all five]
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    models: Vec<ModelId>,
}

impl Synth {
    /// Writes it and says what was written.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let models = if self.models.is_empty() { ModelId::ALL.to_vec() } else { self.models };
        let mut current: Option<(PathBuf, ProgressBar)> = None;
        let bundle =
            synth::write(&self.out, &models, self.profile, self.seed, |Writing { file, done, total }| {
                if current.as_ref().is_none_or(|(path, _)| path != file) {
                    let name = file.strip_prefix(&self.out).unwrap_or(file).display().to_string();
                    current = Some((file.to_owned(), progress::bytes(total, &name)));
                }
                if let Some((_, bar)) = &current {
                    bar.set_position(done.get());
                }
            })?;
        drop(current);
        let files: usize = bundle.models.values().map(|entry| entry.entries().count()).sum();
        let path = self.out.join(FILE_NAME);
        writeln!(context.console.out(), "wrote {} ({files} files) to {}", bundle.name, path.display())?;
        Ok(Exit::Success)
    }
}
