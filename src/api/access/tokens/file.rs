//! The token file: for each token its id, hash, scopes, name and times.
//!
//! Owns reading it, and changing it under a lock, whole, with access for its owner only. Holds no secret: whoever reads it
//! cannot use a token; whoever could write it could let themselves in, so a file that others may write is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Token, TokenError};
use crate::api::access::scopes::{Scopes, TokenId};
use crate::api::access::secret::Digest;
use crate::files::{Existing, Readers, write_whole};

/// The file's name in the data folder.
const NAME: &str = "tokens.json";

/// Held while the file is changed, so that of two commands at once neither loses the other's change.
const LOCK: &str = "tokens.lock";

/// The only layout there has been.
const VERSION: u32 = 1;

/// More tokens than a node has callers by far; it bounds memory and the time that a change takes.
const MOST: usize = 10_000;

/// What [`MOST`] tokens with the longest names take, with room to spare.
const LARGEST: u64 = 8 << 20;

/// Longer names help nobody to tell tokens apart.
const LONGEST_NAME: usize = 200;

/// What is kept of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Its public part.
    pub id: TokenId,
    /// Of its whole text.
    pub(crate) sha256: Digest,
    /// What it may do.
    pub scopes: Scopes,
    /// What it is for, in its maker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was made, in seconds since the Unix epoch.
    pub created: u64,
    /// From when on it is refused, in seconds since the Unix epoch; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

impl TokenRecord {
    /// Whether it is refused at `now`, seconds since the Unix epoch, for its age.
    pub fn expired(&self, now: Duration) -> bool {
        self.expires.is_some_and(|expires| now >= Duration::from_secs(expires))
    }
}

/// A token that was just made: the only moment at which its text is known.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The text, to be shown once.
    pub token: Token,
    /// What was kept of it.
    pub record: TokenRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    tokens: Vec<TokenRecord>,
}

/// What tells one state of the file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    changed: Option<std::time::SystemTime>,
    bytes: u64,
    inode: u64,
}

/// The token file of a data folder.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
    lock: PathBuf,
}

impl TokenFile {
    /// The one in `folder`, which need not have one yet.
    pub fn within(folder: &Path) -> Self {
        Self { path: folder.join(NAME), lock: folder.join(LOCK) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every token, oldest first; none where there is no file. Blocks.
    pub fn read(&self) -> Result<Vec<TokenRecord>, TokenError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.io(error)),
        };
        self.only_ours_to_write(&file)?;
        let mut text = Vec::new();
        let read = (&mut file).take(LARGEST + 1).read_to_end(&mut text).map_err(|error| self.io(error))?;
        if read as u64 > LARGEST {
            return Err(self.corrupt(format!("it is larger than {LARGEST} bytes")));
        }
        // serde's messages name lines and fields; of values they repeat only what is not a secret: hashes hide theirs.
        let contents: Contents =
            serde_json::from_slice(&text).map_err(|error| self.corrupt(error.to_string()))?;
        if contents.version != VERSION {
            let found = contents.version;
            return Err(self.corrupt(format!("its version is {found}, and this program knows {VERSION}")));
        }
        let mut ids: Vec<TokenId> = contents.tokens.iter().map(|token| token.id).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(self.corrupt(format!("two tokens have the id {}", pair[0]))),
            None => Ok(contents.tokens),
        }
    }

    /// Makes a token with `scopes` at `now` (seconds since the Unix epoch) that is good for `lasts`, or for ever. Its
    /// record is on disk when this returns. Blocks.
    pub fn mint(
        &self,
        scopes: Scopes,
        name: Option<&str>,
        lasts: Option<Duration>,
        now: Duration,
    ) -> Result<Minted, TokenError> {
        if scopes.is_empty() {
            return Err(TokenError::NoScope);
        }
        let token = Token::new()?;
        let record = TokenRecord {
            id: token.id(),
            sha256: token.digest(),
            scopes,
            name: name.map(|name| name.chars().take(LONGEST_NAME).collect()),
            created: now.as_secs(),
            expires: lasts.map(|lasts| now.saturating_add(lasts).as_secs()),
        };
        self.change(|tokens| {
            if tokens.len() >= MOST {
                return Err(TokenError::Full { path: self.path.clone(), count: MOST });
            }
            tokens.push(record.clone());
            Ok(())
        })?;
        Ok(Minted { token, record })
    }

    /// Takes the token `id` away: no node that looks at this file lets it in any more. Blocks.
    pub fn revoke(&self, id: TokenId) -> Result<TokenRecord, TokenError> {
        self.change(|tokens| match tokens.iter().position(|token| token.id == id) {
            Some(place) => Ok(tokens.remove(place)),
            None => {
                let known: Vec<String> = tokens.iter().map(|token| token.id.to_string()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(TokenError::Unknown { id, known })
            }
        })
    }

    /// What tells this state from others; none where there is no file.
    pub(super) fn stamp(&self) -> Result<Option<Stamp>, TokenError> {
        match fs::metadata(&self.path) {
            Ok(about) => {
                Ok(Some(Stamp { changed: about.modified().ok(), bytes: about.len(), inode: inode(&about) }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io(error)),
        }
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<TokenRecord>) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let lock = |error| TokenError::Io { path: self.lock.clone(), source: error };
        let held =
            OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock).map_err(lock)?;
        // Others hold it only while they write one small file; it falls with `held`, also when a process dies.
        held.lock().map_err(lock)?;
        let mut tokens = self.read()?;
        let result = change(&mut tokens)?;
        let text = serde_json::to_vec_pretty(&Contents { version: VERSION, tokens })
            .map_err(|error| self.io(io::Error::other(error)))?;
        write_whole(&self.path, Existing::Replace, Readers::Owner, |file| file.write_all(&text))
            .map_err(|error| self.io(error))?;
        Ok(result)
    }

    #[cfg(unix)]
    fn only_ours_to_write(&self, file: &File) -> Result<(), TokenError> {
        use std::os::unix::fs::MetadataExt;
        let about = file.metadata().map_err(|error| self.io(error))?;
        let exposed = |problem| Err(TokenError::Exposed { path: self.path.clone(), problem });
        if about.mode() & 0o022 != 0 {
            let mode = about.mode() & 0o777;
            return exposed(format!("others may change it (mode {mode:03o}); run `chmod 600` on it"));
        }
        // The system's own user may hand a file to anybody.
        let (owner, we) = (about.uid(), rustix::process::geteuid().as_raw());
        if owner != we && owner != 0 {
            return exposed(format!(
                "it belongs to user {owner}, and this process runs as {we}; change one of them"
            ));
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn only_ours_to_write(&self, _: &File) -> Result<(), TokenError> {
        Ok(())
    }

    fn io(&self, source: io::Error) -> TokenError {
        TokenError::Io { path: self.path.clone(), source }
    }

    fn corrupt(&self, problem: String) -> TokenError {
        TokenError::Corrupt { path: self.path.clone(), problem }
    }
}

#[cfg(unix)]
fn inode(about: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(about)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}
