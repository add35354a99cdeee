//! `vortex-node nats gc`: removes from the artifact store what no result of the network names.

use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::Stream;
use serde_json::json;

use crate::cli::network::{NetworkFlags, StoreFlags};
use crate::cli::remote::{block_on, length, time_span};
use crate::cli::{ConfigFlags, Context, Failed, Style};
use crate::clock;
use crate::exit::Exit;
use crate::network::gc::{self, Object, Objects, Sweep, Swept};
use crate::sink::store::{Held, Listed, Store, SweepError};
use crate::types::Bytes;

/// Arguments of `nats gc`.
#[derive(Debug, Args)]
pub(super) struct GcArguments {
    /// Leave alone what is younger
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = time_span)]
    older_than: Duration,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    pub(super) config: ConfigFlags,
}

impl GcArguments {
    /// Sweeps. Exit code 0, 1 where the network or the store cannot be asked or an object could not be removed.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let target = self.network.find(context)?;
        let store = self.store.open(context)?;
        let sweep = Sweep { retention: self.older_than, now: clock::unix_time(), dry_run: self.dry_run };
        let name = store.to_string();
        let swept = block_on(async {
            let session = target.open().await?;
            gc::sweep(&session, &InStore(store), sweep).await.map_err(|error| match error {
                gc::SweepError::Network(error) => Failed::from(error),
                error @ gc::SweepError::Store { .. } => Failed::failure(error.to_string()),
            })
        })??;
        let exit = if swept.failed.is_empty() { Exit::Success } else { Exit::Failure };
        if self.json {
            context.console.json(&json!({
                "ok": exit == Exit::Success,
                "store": name,
                "dry_run": self.dry_run,
                "older_than": self.older_than.as_secs(),
                "removed": swept.removed,
                "bytes": swept.bytes,
                "named": swept.named,
                "open": swept.open,
                "young": swept.young,
                "unreadable": swept.unreadable,
                "failed": swept.failed,
            }))?;
        } else {
            self.tell(&name, &swept, context)?;
        }
        Ok(exit)
    }

    fn tell(&self, store: &str, swept: &Swept, context: &mut Context<'_>) -> Result<(), Failed> {
        let console = &mut *context.console;
        for wrong in &swept.failed {
            let label = console.paint_err(Style::Bad, "error:");
            writeln!(console.err(), "{label} {wrong}")?;
        }
        let done = if self.dry_run { "would be removed" } else { "removed" };
        let what =
            console.paint(Style::Strong, format!("{} objects ({}) {done}", swept.removed, swept.bytes));
        writeln!(console.out(), "{what} from {store}")?;
        let age = length(self.older_than);
        for (many, why) in [
            (swept.named, "named by a result".to_owned()),
            (swept.open, "of renderings without a result".to_owned()),
            (swept.young, format!("garbage that is younger than {age}")),
            (swept.unreadable, "of renderings whose result cannot be read".to_owned()),
        ] {
            if many > 0 {
                writeln!(console.out(), "{many} stay: {why}")?;
            }
        }
        Ok(())
    }
}

/// The store, as it is swept.
struct InStore(Store);

impl Objects for InStore {
    type Handle = Listed;
    type Error = SweepError;

    fn list(&self) -> impl Stream<Item = Result<Object<Listed>, SweepError>> + Send + Unpin {
        let objects = self.0.works().chain(self.0.stages());
        objects.map(|listed| {
            listed.map(|listed| Object {
                work: listed.work,
                sha256: match &listed.held {
                    Held::Artifact(sha256) => Some(*sha256),
                    Held::Stage(_) => None,
                },
                bytes: Bytes::new(listed.bytes),
                written: listed.modified,
                handle: listed,
            })
        })
    }

    async fn remove(&self, handle: &Listed) -> Result<(), SweepError> {
        self.0.remove(handle).await
    }
}
