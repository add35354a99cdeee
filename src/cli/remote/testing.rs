//! Runs a command in a test and keeps what it said.

use std::io::{self, Write};
use std::sync::Arc;

use clap::Args;
use parking_lot::Mutex;

use crate::cli::{Console, Context, Failed};
use crate::client::fake::install_provider;
use crate::exit::Exit;

#[derive(Clone, Default)]
pub(in crate::cli) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    pub(in crate::cli) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

/// What a command came to.
#[derive(Debug)]
pub(in crate::cli) struct Ran {
    pub(in crate::cli) exit: Exit,
    pub(in crate::cli) out: String,
    pub(in crate::cli) err: String,
}

/// The command that these arguments make, or why they make none.
pub(in crate::cli) fn parse<C: Args>(arguments: &[&str]) -> Result<C, clap::Error> {
    let command = C::augment_args(clap::Command::new("test"));
    let matches = command.try_get_matches_from(std::iter::once("test").chain(arguments.iter().copied()))?;
    C::from_arg_matches(&matches)
}

/// Runs the command that these arguments make, without settings.
pub(in crate::cli) fn run<C: Args>(
    arguments: &[&str],
    run: impl FnOnce(C, &mut Context<'_>) -> Result<Exit, Failed>,
) -> Ran {
    install_provider();
    let (out, err) = (Shared::default(), Shared::default());
    let mut console = Console::new(out.clone(), err.clone(), false);
    let ended = run(parse(arguments).unwrap(), &mut Context { config: None, console: &mut console });
    let exit = ended.unwrap_or_else(|failed| failed.report(&mut console));
    let exit = console.finish(exit);
    let ran = Ran { exit, out: out.text(), err: err.text() };
    assert!(
        !ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'),
        "no terminal, no escape codes: {ran:?}"
    );
    ran
}
