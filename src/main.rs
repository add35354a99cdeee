//! The thin binary: arguments, configuration, telemetry, run, exit code.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use vortex_node::allocator;
use vortex_node::cli::{self, Cli, Command, Console, Failed};
use vortex_node::config::{self, Loaded};
use vortex_node::exit::Exit;
use vortex_node::telemetry::{self, profile::Recording};

fn main() -> ExitCode {
    allocator::limit_arenas();
    // Two providers are linked in (a dependency brings the other): without a choice the first use of TLS would panic. Fails
    // only where a choice was made before, and nobody was here before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version are answers, everything else is bad input.
            let exit = if answer.use_stderr() { Exit::BadInput } else { Exit::Success };
            return match answer.print().and_then(|()| std::io::stdout().flush()) {
                Err(error) if error.kind() != ErrorKind::BrokenPipe && exit == Exit::Success => Exit::Failure,
                _ => exit,
            }
            .into();
        }
    };
    let mut console = Console::standard();
    let mut recording = None;
    let ended = configure(&cli.command, &mut recording)
        .and_then(|config| cli::run(cli.command, config, &mut console));
    let recorded = recording.map_or(Ok(()), Recording::finish);
    let ended = ended.and_then(|exit| match recorded {
        Ok(()) => Ok(exit),
        Err(error) => Err(Failed::failure(error.to_string())),
    });
    let exit = ended.unwrap_or_else(|failed| failed.report(&mut console));
    console.finish(exit).into()
}

fn configure(command: &Command, recording: &mut Option<Recording>) -> Result<Option<Loaded>, Failed> {
    let Some(flags) = command.config_flags() else { return Ok(None) };
    let loaded = config::load(&flags.inputs(std::env::vars_os()))?;
    let begun = command.profile_out().map(Recording::begin).transpose();
    *recording = begun.map_err(|error| Failed::bad_input(error.to_string()))?;
    telemetry::install(&command.telemetry(&loaded), recording.as_ref())
        .map_err(|error| Failed::failure(error.to_string()))?;
    tracing::debug!(
        event = telemetry::names::event::CONFIG_LOADED,
        profile = loaded.settings.profile,
        dir = %loaded.dir.display(),
        "configuration loaded"
    );
    Ok(Some(loaded))
}
