//! `vortex-node serve`: the node as a service, until it is told to stop.
//!
//! Owns what an operator sees at the start: where it listens, how to open the page, what was repaired. Logs say the rest.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{ConfigFlags, Context, Failed, Style};
use crate::app::bundle::choose;
use crate::app::service::{Announced, ServeError, ServeParts, serve};
use crate::exit::Exit;
use crate::rehearse::Scenario;
use crate::telemetry;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeCommand {
    /// Bundle of weights, a folder or its bundle.toml [default: the setting `bundle`]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Play a rehearsal's devices and models in real time in place of real ones, to try clients, alerts and drills; a
    /// file of config/rehearsals, or one of your own
    #[arg(long, value_name = "SCENARIO")]
    scripted: Option<PathBuf>,
    /// Say where it listens, and that it is ready, in JSON: one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

impl ServeCommand {
    pub(crate) fn config_flags(&self) -> &ConfigFlags {
        &self.config
    }

    /// Serves. Exit code 0 after an orderly stop, 2 where settings or bundle are wrong, 70 and 71 where a new process is
    /// wanted.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let loaded = context.loaded()?.clone();
        let scripted = self.scripted.as_ref().map(|path| scenario(path)).transpose()?;
        let chosen = choose(self.bundle.as_deref(), &loaded)?;
        for note in &chosen.notes {
            tracing::warn!(note, "bundle");
        }
        let terminal = telemetry::Terminal::of(&std::io::stderr());
        let parts = ServeParts {
            loaded,
            inputs: self.config.inputs(std::env::vars_os()),
            chosen,
            scripted,
            shows_login: terminal.is_terminal() && !self.json,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failed::failure(format!("the system gives no threads: {error}")))?;
        let (told, said) = std::sync::mpsc::channel();
        let ended = runtime.spawn(async move {
            let tell = Box::new(move |news| drop(told.send(news)));
            serve(parts, tell).await
        });
        // Until the service has ended and let go of its end of the channel.
        for news in said {
            self.tell(&news, context)?;
        }
        let ended = runtime.block_on(ended);
        // A thread of a model that hangs ends with the process.
        runtime.shutdown_background();
        ended.map_err(|error| Failed::failure(error.to_string()))?.map_err(Failed::from)
    }

    fn tell(&self, news: &Announced, context: &mut Context<'_>) -> Result<(), Failed> {
        let console = &mut *context.console;
        if self.json {
            let line = match news {
                Announced::Listening { url, management, .. } => {
                    json!({ "event": "listening", "url": url, "management": management })
                }
                Announced::Repaired(repairs) => json!({ "event": "repaired", "repairs": repairs }),
                Announced::Ready { after } => json!({ "event": "ready", "after": after.as_secs_f64() }),
            };
            writeln!(console.out(), "{line}")?;
            console.out().flush()?;
            return Ok(());
        }
        let text = match news {
            Announced::Listening { url, login: Some(login), .. } => {
                let url = console.paint_err(Style::Strong, url);
                format!("listening on {url}; open the page once with\n  {}", login.reveal())
            }
            Announced::Listening { url, login: None, .. } => {
                format!("listening on {}", console.paint_err(Style::Strong, url))
            }
            Announced::Repaired(repairs) => {
                let text = format!("the journal was repaired:\n  {}", repairs.join("\n  "));
                console.paint_err(Style::Doubtful, text)
            }
            Announced::Ready { after } => {
                let text = format!("ready after {:.1} s; stop it with Ctrl-C", after.as_secs_f64());
                console.paint_err(Style::Good, text)
            }
        };
        writeln!(console.err(), "{text}")?;
        Ok(())
    }
}

fn scenario(path: &std::path::Path) -> Result<Scenario, Failed> {
    let read = |error| Failed::bad_input(format!("the scenario {} cannot be read: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(read)?;
    text.parse().map_err(|error| Failed::bad_input(format!("{}: {error}", path.display())))
}

impl From<ServeError> for Failed {
    fn from(error: ServeError) -> Self {
        if error.is_bad_input() {
            Self::bad_input(error.to_string())
        } else {
            Self::failure(error.to_string())
        }
    }
}
