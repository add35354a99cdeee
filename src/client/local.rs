//! What a node that runs on this machine says of itself in its data folder: its address and its process.
//!
//! `serve.json` is written by the node once it listens and removed at its end. Holds no secret: the token of commands on the
//! same machine lies beside it, in a file that the node's access layer owns.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{Existing, Readers, write_whole};

/// Where a node that serves says so, in its data folder.
pub const SERVE_FILE: &str = "serve.json";
/// It is far smaller; a larger one is something else.
const LARGEST: u64 = 64 * 1024;

/// A node that serves from a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Its address, such as `http://127.0.0.1:9100`.
    pub url: String,
    /// Its process.
    pub pid: u32,
}

/// Why a file that a node leaves for commands cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{} holds {found}; accepted: {accepted}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What stands there, without any secret.
        found: String,
        /// What would be accepted.
        accepted: &'static str,
    },
}

impl Serving {
    /// Says in `data_dir` that this node serves; replaces what an earlier one said.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        write_whole(&data_dir.join(SERVE_FILE), Existing::Replace, Readers::Umask, |file| {
            file.write_all(&text)
        })
    }

    /// What a node says in `data_dir`; none where none has said anything.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, LocalError> {
        let path = data_dir.join(SERVE_FILE);
        let text = match read(&path) {
            Ok(text) => text,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LocalError::Unreadable { path, source }),
        };
        match serde_json::from_str(&text) {
            Ok(serving) => Ok(Some(serving)),
            Err(error) => Err(LocalError::Wrong {
                path,
                found: format!("something else ({error})"),
                accepted: "{\"url\": …, \"pid\": …}, as `vortex-node serve` writes it",
            }),
        }
    }

    /// Takes back in `data_dir` what this node said; what another one said stays.
    pub fn remove(&self, data_dir: &Path) -> io::Result<()> {
        match Self::read(data_dir) {
            Ok(Some(said)) if said == *self => fs::remove_file(data_dir.join(SERVE_FILE)),
            _ => Ok(()),
        }
    }

    /// Whether its process is there still, as far as this machine tells: after a crash, its port may be anybody's.
    pub fn is_running(&self) -> bool {
        let processes = Path::new("/proc");
        // Where no /proc is, nobody tells, and the address is tried.
        !processes.join("self").exists() || processes.join(self.pid.to_string()).exists()
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_where_it_is_and_takes_only_its_own_word_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Serving::read(folder.path()).unwrap(), None);
        let serving = Serving { url: "http://127.0.0.1:9100".to_owned(), pid: std::process::id() };
        serving.write(folder.path()).unwrap();
        assert_eq!(Serving::read(folder.path()).unwrap(), Some(serving.clone()));
        assert!(serving.is_running());
        let later = Serving { pid: serving.pid + 1, ..serving.clone() };
        later.write(folder.path()).unwrap();
        serving.remove(folder.path()).unwrap();
        assert_eq!(Serving::read(folder.path()).unwrap(), Some(later.clone()));
        later.remove(folder.path()).unwrap();
        assert_eq!(Serving::read(folder.path()).unwrap(), None);
    }

    #[test]
    fn what_is_no_serve_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(SERVE_FILE), "[]").unwrap();
        let told = Serving::read(folder.path()).unwrap_err().to_string();
        assert!(
            told.contains("serve.json holds something else") && told.contains("vortex-node serve"),
            "{told}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_is_gone_serves_nothing() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(!Serving { url: String::new(), pid }.is_running());
    }
}
