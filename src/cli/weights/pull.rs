//! `weights pull`: a bundle's files from their model hub.
//!
//! First what is there, then what the hub says about the rest and whether it fits on the disk, then the transfers. One
//! file that fails keeps no other from coming. What came is entered in the bundle's lock, file by file.

mod bars;
mod plan;
mod room;
mod ship;
mod transfer;

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, stream};

use super::Chosen;
use crate::cli::remote::{Signals, block_on, count, length, plain};
use crate::cli::{Console, Context, Failed, Style};
use crate::exit::Exit;
use crate::hub::{HubClient, HubError, Listings, Notice, Patience, Token};
use crate::models::bundle::lock::Locked;
use crate::models::bundle::receipt::{Receipt, Stamp};
use crate::models::bundle::{Bundle, Lock, Sha256};
use crate::types::Bytes;
use bars::Bars;
use plan::{Asking, Item, Looked, Standing};
use room::Needs;

/// Arguments of `weights pull`.
#[derive(Debug, Args)]
pub(super) struct Pull {
    #[command(flatten)]
    chosen: Chosen,
    /// Fetch the bundle that ships under the name BUNDLE (`weights list` tells them) into this folder; a folder that holds
    /// it already is gone on with
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// The hub's address (by default <https://huggingface.co>)
    #[arg(long, value_name = "URL", env = "HF_ENDPOINT")]
    endpoint: Option<String>,
    /// How often in a row a file may fail without a single byte coming
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
    /// Only tell what would be fetched, with sizes, and whether there is room for it
    #[arg(long)]
    dry_run: bool,
    /// Take the hub's word for files whose hash neither the bundle nor its lock says, and keep to it from then on
    #[arg(long)]
    trust_hub: bool,
    /// Hash every file that is there, also those that have not changed since an earlier pull found them whole
    #[arg(long)]
    rehash: bool,
}

/// Files under way at once: the second fills the pauses of the first, more would only share the line.
const AT_ONCE: usize = 2;
/// Questions under way at once, of a few hundred bytes each.
const ASKED_AT_ONCE: usize = 4;

impl Pull {
    /// Fetches what is not there yet; what was interrupted goes on where it stopped. Exit code 0 where every file is there
    /// with its hash, 1 where one is not or there is no room, 2 where the input is wrong, 130 where it was interrupted.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let _alone = alone(&self.bundle()?.0.folder)?;
        if let Some(folder) = &self.into {
            ship::tell_of_changes(&self.chosen.bundle.to_string_lossy(), folder, context)?;
        }
        // Only now: another pull may have written the lock meanwhile.
        let (bundle, models) = self.bundle()?;
        let items = plan::items(&bundle, &models)?;
        self.check_trust(&items)?;
        let session = Session {
            pull: &self,
            console: RefCell::new(context.console),
            bars: Bars::new(),
            receipt: Receipt::open(&bundle.folder),
            lock: RefCell::new(bundle.lock.clone().unwrap_or_default()),
            lock_file: self.lock_file(),
        };
        session.prune(&bundle)?;
        let ended = block_on(async {
            let mut signals = Signals::listen()?;
            tokio::select! {
                ended = session.run(items) => ended,
                () = signals.next() => Ok(Exit::Interrupted),
            }
        })?;
        session.bars.clear();
        if matches!(ended, Ok(Exit::Interrupted)) {
            let mut console = session.console.borrow_mut();
            writeln!(console.err(), "interrupted: the same command goes on from there")?;
        }
        ended
    }
}

/// How many files are named where more have no hash.
const NAMED: usize = 3;

impl Pull {
    /// Refuses what only the hub could say, unless the hub is to be trusted or nothing is fetched.
    fn check_trust(&self, items: &[Item]) -> Result<(), Failed> {
        let unknown: Vec<&str> =
            items.iter().filter(|item| item.needs_trust()).map(|item| item.file.path.as_str()).collect();
        if self.trust_hub || self.dry_run || unknown.is_empty() {
            return Ok(());
        }
        let more = unknown.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = unknown.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        Err(Failed::bad_input(format!(
            "neither the bundle nor its lock says what {named}{more} must hash to; accepted: sha256 in the description, the \
             {} of whoever pulled it before, or --trust-hub, which takes the hub's word now and keeps to it",
            self.lock_file().display()
        )))
    }
}

/// One process at a time writes into a bundle: two would write the same parts.
fn alone(folder: &Path) -> Result<Option<File>, Failed> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // A system that locks no folders has to do without.
    let Ok(opened) = File::open(folder) else { return Ok(None) };
    match opened.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(Failed::failure(format!("another `weights pull` is at work in {}", folder.display())))
        }
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(opened)),
    }
}

/// One run of the command.
struct Session<'a, 'c> {
    pull: &'a Pull,
    console: RefCell<&'c mut Console>,
    bars: Bars,
    receipt: Receipt,
    lock: RefCell<Lock>,
    lock_file: PathBuf,
}

/// What became of a file.
enum Outcome {
    /// It was there already, with its hash.
    There,
    /// It came, with its hash.
    Fetched {
        size: Bytes,
        /// Of it, what an earlier run had left.
        resumed: Bytes,
    },
    /// The program itself had it, or has it.
    Supplied { size: Bytes, written: bool },
    /// It would come: all that is said in a dry run.
    Wanted { size: Option<Bytes>, begun: Bytes },
}

impl Session<'_, '_> {
    async fn run(&self, items: Vec<Item>) -> Result<Exit, Failed> {
        let (mut failed, mut missing) = (0, Vec::new());
        for item in items {
            let receipt = (!self.pull.rehash).then_some(&self.receipt);
            match item.standing(receipt, &self.bars).await {
                Ok(Standing::There { hashed }) => {
                    self.remember(&item, hashed, item.here);
                    self.row(&item, &Ok(Outcome::There))?;
                }
                Ok(Standing::Unknown) => missing.push(item),
                Ok(Standing::Missing) => match item.shipped() {
                    Some(content) => failed += usize::from(!self.supply(&item, content)?),
                    None => missing.push(item),
                },
                Err(error) => {
                    failed += 1;
                    self.row(&item, &Err(error))?;
                }
            }
        }
        if !missing.is_empty() {
            let client = self.client()?;
            let (wanted, refused) = self.look(&client, missing).await?;
            failed += refused;
            failed +=
                if self.pull.dry_run { self.tell(&wanted)? } else { self.fetch(&client, wanted).await? };
        }
        Ok(if failed == 0 { Exit::Success } else { Exit::Failure })
    }

    /// Writes a file that the program has; whether that went well.
    fn supply(&self, item: &Item, content: &[u8]) -> Result<bool, Failed> {
        let size = Bytes::of::<u8>(content.len());
        let written = !self.pull.dry_run;
        let outcome = if written { item.supply(content) } else { Ok(()) };
        if written && outcome.is_ok() {
            self.remember(item, Stamp::of(&item.path), item.here);
        }
        let outcome = outcome.map(|()| Outcome::Supplied { size, written });
        self.row(item, &outcome)?;
        Ok(outcome.is_ok())
    }

    fn client(&self) -> Result<HubClient, Failed> {
        let wrong = |error: HubError| Failed::bad_input(plain(&error.to_string()).into_owned());
        let token = Token::find(|name| std::env::var_os(name)).map_err(wrong)?;
        let patience = Patience { retries: self.pull.retries, ..Patience::default() };
        let client = HubClient::new(self.pull.endpoint.as_deref(), token, patience).map_err(wrong)?;
        if let Some(why) = client.withheld() {
            self.note(&why)?;
        }
        Ok(client)
    }

    /// What the hub says about each; how many it says no to.
    async fn look(&self, client: &HubClient, missing: Vec<Item>) -> Result<(Vec<Looked>, usize), Failed> {
        let listings = Listings::default();
        let listings = &listings;
        let asked = missing.into_iter().map(|item| async {
            let (watch, tell) =
                (|notice: Notice<'_>| self.hear(&item, &notice), |told: &str| self.tell_of(&item, told));
            let looked = item.look(&Asking { client, listings, watch: &watch, tell: &tell }).await;
            (item, looked)
        });
        let mut answers = stream::iter(asked).buffered(ASKED_AT_ONCE);
        let (mut wanted, mut refused) = (Vec::new(), 0);
        while let Some((item, looked)) = answers.next().await {
            match looked {
                Ok(found) => wanted.push(Looked { item, found }),
                Err(error) => {
                    refused += 1;
                    self.row(&item, &Err(error))?;
                }
            }
        }
        Ok((wanted, refused))
    }

    /// Fetches all that fits on the disk, or nothing; how many did not come.
    async fn fetch(&self, client: &HubClient, wanted: Vec<Looked>) -> Result<usize, Failed> {
        Needs::of(&wanted).check()?;
        let unknown = wanted.iter().filter(|looked| looked.item.needs_trust()).count();
        if unknown > 0 {
            let (files, lock) = (count(unknown, "file"), self.lock_file.display());
            self.note(&format!(
                "taking the hub's word for {files} without a hash; from now on {lock} says it"
            ))?;
        }
        self.bars.begin(wanted.iter().map(Looked::total).sum(), wanted.iter().map(Looked::begun).sum());
        let transfers = wanted.into_iter().map(|looked| async {
            let bar = self.bars.file(&looked.item.file.path, looked.total());
            let watch = |notice: Notice<'_>| self.hear(&looked.item, &notice);
            let came = looked.transfer(client, &bar, &watch, &|locked| self.keep(locked)).await;
            (looked.item, came)
        });
        let mut ended = stream::iter(transfers).buffer_unordered(AT_ONCE);
        let mut failed = 0;
        while let Some((item, came)) = ended.next().await {
            match &came {
                Ok((_, sha256)) => self.remember(&item, Stamp::of(&item.path), Some(*sha256)),
                Err(_) => failed += 1,
            }
            self.row(&item, &came.map(|(outcome, _)| outcome))?;
        }
        Ok(failed)
    }

    /// That a file is whole in this state. A folder that cannot be written costs the next run the time, and nothing else.
    fn remember(&self, item: &Item, stamp: Option<Stamp>, sha256: Option<Sha256>) {
        if let (false, Some(sha256)) = (self.pull.dry_run || stamp.is_none(), sha256) {
            let _ = self.receipt.note(&item.file.path, stamp, sha256);
        }
    }

    /// Enters a file that came in the lock, on disk before anything else happens to it.
    fn keep(&self, locked: Locked) -> Result<(), String> {
        let mut lock = self.lock.borrow_mut();
        lock.put(locked);
        lock.write(&self.lock_file)
            .map_err(|error| format!("{} cannot be written: {error}", self.lock_file.display()))
    }

    /// Drops what the lock has of files that are described no more.
    fn prune(&self, bundle: &Bundle) -> Result<(), Failed> {
        let described: HashSet<&str> = bundle
            .models
            .values()
            .flat_map(|model| model.entries())
            .map(|(_, file)| file.path.as_str())
            .collect();
        let mut lock = self.lock.borrow_mut();
        if self.pull.dry_run || !lock.keep(|path| described.contains(path)) {
            return Ok(());
        }
        let failed =
            |error| Failed::failure(format!("{} cannot be written: {error}", self.lock_file.display()));
        lock.write(&self.lock_file).map_err(failed)
    }

    /// What a run would fetch; 1 where there is no room for it.
    fn tell(&self, wanted: &[Looked]) -> Result<usize, Failed> {
        for looked in wanted {
            let (size, begun) = (looked.size(), looked.begun());
            self.row(&looked.item, &Ok(Outcome::Wanted { size, begun }))?;
        }
        let unknown = wanted.iter().filter(|looked| looked.item.needs_trust()).count();
        if unknown > 0 {
            let files = count(unknown, "file");
            self.note(&format!(
                "{files} without a hash in the bundle or its lock: a pull asks for --trust-hub"
            ))?;
        }
        let needs = Needs::of(wanted);
        let mut console = self.console.borrow_mut();
        let (files, total) = (count(wanted.len(), "file"), needs.to_come());
        writeln!(console.out(), "{files} to fetch, {total} to come; {}", needs.told())?;
        Ok(usize::from(needs.check().is_err()))
    }

    /// A line for each role that the file has.
    fn row(&self, item: &Item, outcome: &Result<Outcome, String>) -> Result<(), Failed> {
        let (style, word, more) = match outcome {
            Ok(Outcome::There) => (Style::Faint, "there", String::new()),
            Ok(Outcome::Fetched { size, resumed: Bytes::ZERO }) => (Style::Good, "ok", format!(" ({size})")),
            Ok(Outcome::Fetched { size, resumed }) => {
                (Style::Good, "ok", format!(" ({size}, {resumed} of it from before)"))
            }
            Ok(Outcome::Supplied { size, written }) => {
                let word = if *written { "ok" } else { "fetch" };
                (Style::Good, word, format!(" ({size}, from the program)"))
            }
            Ok(Outcome::Wanted { size, begun }) => {
                let size = size.map_or_else(|| "of unknown size".to_owned(), |size| size.to_string());
                let begun =
                    if *begun == Bytes::ZERO { String::new() } else { format!(", {begun} of it there") };
                let gated =
                    if item.file.gated { ", its licence to be accepted at the hub's page" } else { "" };
                (Style::Doubtful, "fetch", format!(" ({size}{begun}{gated})"))
            }
            Err(error) => (Style::Bad, "wrong", format!("\n       {}", plain(error))),
        };
        self.bars.aside(|| {
            let mut console = self.console.borrow_mut();
            for (model, role) in &item.owners {
                let word = console.paint(style, format!("{word:5}"));
                writeln!(console.out(), "{word}  {model:12}  {role:28}  {}{more}", item.file.path)?;
            }
            Ok(())
        })
    }

    fn note(&self, text: &str) -> Result<(), Failed> {
        self.bars.aside(|| Ok(writeln!(self.console.borrow_mut().err(), "{}", plain(text))?))
    }

    fn hear(&self, item: &Item, notice: &Notice<'_>) {
        let told = match notice {
            Notice::Reached(_) => return,
            Notice::Again { error, pause } => format!("{error}; again in {}", pause_told(*pause)),
            Notice::StartsOver(why) => format!("{why}, starting over"),
        };
        self.tell_of(item, &told);
    }

    fn tell_of(&self, item: &Item, told: &str) {
        // Whoever does not hear it misses nothing that the end does not tell.
        let _ = self.note(&format!("{}: {told}", item.file.path));
    }
}

fn pause_told(pause: Duration) -> String {
    if pause < Duration::from_secs(1) { format!("{} ms", pause.as_millis()) } else { length(pause) }
}
