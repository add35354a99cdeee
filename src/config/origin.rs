//! Where a value comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::types::PathField;

/// The layer that a value comes from, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum Origin {
    /// Built into the binary.
    Default,
    /// A file that is no profile.
    File {
        /// As it was opened.
        #[serde(flatten, serialize_with = "as_path")]
        path: PathBuf,
    },
    /// A profile.
    Profile {
        /// Its name.
        name: String,
        /// As it was opened; none where the copy in the binary was taken.
        #[serde(flatten, serialize_with = "as_optional_path")]
        path: Option<PathBuf>,
    },
    /// An environment variable.
    Environment {
        /// Its full name.
        variable: String,
    },
    /// A command-line flag.
    Flag {
        /// As a user would write it, such as `--device`.
        flag: String,
    },
}

fn as_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    PathField::new("path", path).serialize(serializer)
}

fn as_optional_path<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    PathField::optional("path", path.as_deref()).serialize(serializer)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path } => write!(f, "file {}", path.display()),
            Self::Profile { name, path: Some(path) } => write!(f, "profile {name}, file {}", path.display()),
            Self::Profile { name, path: None } => write!(f, "profile {name}, built in"),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::Flag { flag } => write!(f, "flag {flag}"),
        }
    }
}
