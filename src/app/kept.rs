//! Small files of the data folder that one process keeps for the next: read whole, written whole, set aside where they
//! cannot be read. Knows nothing of what is in them.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{Existing, Readers, write_whole};

/// Such a file is a few kilobytes; what is larger is none.
const LARGEST: u64 = 64 * 1024;

/// What `file` holds; the default where it is not there.
pub(super) fn read<T: DeserializeOwned + Default>(file: &Path) -> io::Result<T> {
    let mut text = Vec::new();
    match File::open(file) {
        Ok(open) => open.take(LARGEST + 1).read_to_end(&mut text)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(error),
    };
    if text.len() as u64 > LARGEST {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("it is larger than {LARGEST} bytes")));
    }
    Ok(serde_json::from_slice(&text)?)
}

/// Puts `value` into `file`, whole or not at all; its folder is made where it is missing.
pub(super) fn write(file: &Path, value: &impl Serialize) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_vec(value)?;
    write_whole(file, Existing::Replace, Readers::Umask, |file| file.write_all(&text))
}

/// Puts a file that cannot be read, and that says `what`, out of the way, and says so.
pub(super) fn set_aside(file: &Path, what: &str, error: &io::Error) -> String {
    let aside = aside(file);
    let became = match std::fs::rename(file, &aside) {
        Ok(()) => format!("it is set aside as {}", aside.display()),
        Err(error) => format!("and it cannot be set aside: {error}"),
    };
    format!("{} says {what}, and cannot be read: {error}; {became}", file.display())
}

/// What a file is called that could not be read.
pub(super) fn aside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".unreadable");
    file.with_file_name(name)
}
