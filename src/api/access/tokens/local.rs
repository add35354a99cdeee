//! The local token: lets commands on the same machine in with nothing configured.
//!
//! Owns the file `local.token` of the data folder: made anew at each start of `serve`, readable by its owner only, gone
//! when the node ends. Whoever can read it can as well stop the process, so it opens everything. A file that anybody else
//! could have read or put there is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{Token, TokenError};
use crate::files::{Existing, Readers, write_whole};

/// The file's name in the data folder.
pub const LOCAL_TOKEN: &str = "local.token";

/// A token and its line's end; anything longer is none.
const LARGEST: u64 = 256;

/// The local token of this process; its file goes when this does.
#[derive(Debug)]
pub struct LocalToken {
    token: Token,
    path: PathBuf,
}

impl LocalToken {
    /// Makes a new one in `folder`; an old file is replaced, so what was read from it opens nothing any more. Blocks.
    pub fn create(folder: &Path) -> Result<Self, TokenError> {
        let (token, path) = (Token::new()?, folder.join(LOCAL_TOKEN));
        write_whole(&path, Existing::Replace, Readers::Owner, |file| writeln!(file, "{}", token.reveal()))
            .map_err(|source| TokenError::Io { path: path.clone(), source })?;
        Ok(Self { token, path })
    }

    /// The token.
    pub fn token(&self) -> &Token {
        &self.token
    }
}

impl Drop for LocalToken {
    fn drop(&mut self) {
        // Another process may have begun in the meantime: its file stays.
        let ours = fs::read(&self.path).is_ok_and(|text| text.trim_ascii() == self.token.reveal().as_bytes());
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads the local token of the node that runs in `folder`; none where no node runs there. Blocks.
pub fn read_local_token(folder: &Path) -> Result<Option<Token>, TokenError> {
    let path = folder.join(LOCAL_TOKEN);
    let failed = |source| TokenError::Io { path: path.clone(), source };
    let mut file = match open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Of the open file, not of the path: it cannot be exchanged between the look and the reading.
    only_ours(&file, &path)?;
    let mut text = String::new();
    (&mut file).take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    let problem = "it does not hold a token; a new start of the node writes it anew".to_owned();
    Token::parse(text.trim()).map(Some).ok_or(TokenError::Exposed { path, problem })
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // No link, so that nobody points us at another file; no waiting, should it be a pipe.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(unix)]
fn only_ours(file: &File, path: &Path) -> Result<(), TokenError> {
    use std::os::unix::fs::MetadataExt;
    let about = file.metadata().map_err(|source| TokenError::Io { path: path.to_owned(), source })?;
    let exposed = |problem| Err(TokenError::Exposed { path: path.to_owned(), problem });
    if !about.is_file() {
        return exposed("it is not a plain file".to_owned());
    }
    let (owner, we) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner != we {
        return exposed(format!(
            "it belongs to user {owner}, and this process runs as {we}: run the command as that user, or give it a \
             token of its own (`vortex-node token new`)"
        ));
    }
    if about.mode() & 0o077 != 0 {
        let mode = about.mode() & 0o777;
        return exposed(format!(
            "others than its owner may use it (mode {mode:03o}); a new start of the node writes it anew, for its owner only"
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn only_ours(_: &File, _: &Path) -> Result<(), TokenError> {
    Ok(())
}
