//! Where the configuration folder is: named by somebody, in the current folder, or shipped with the binary.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::layers::Inputs;
use super::origin::Origin;

/// Where the configuration folder is looked for in the current folder.
const IN_CURRENT_FOLDER: &str = "config";
/// The variable that names it.
const VARIABLE: &str = "VORTEX_CONFIG_DIR";
/// What folders of shared data are called after.
const NAME: &str = "vortex-node";
/// What a configuration folder has; any of it tells ours from a folder of somebody else's with the same name.
const CONTENTS: [&str; 4] = ["node.toml", "voices.toml", "profiles", "bundles"];

/// How the configuration folder was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DirSource {
    /// By `--config-dir`.
    Flag,
    /// By `VORTEX_CONFIG_DIR`.
    Environment,
    /// `config` in the current folder.
    CurrentFolder,
    /// Beside the executable, or where packages put shared data.
    Shipped,
    /// There is none: everything is as built in.
    Nowhere,
}

impl fmt::Display for DirSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Flag => "flag --config-dir",
            Self::Environment => "environment variable VORTEX_CONFIG_DIR",
            Self::CurrentFolder => "in the current folder",
            Self::Shipped => "shipped with the executable",
            Self::Nowhere => "not there: everything is as built in",
        })
    }
}

/// The configuration folder and what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) source: DirSource,
}

impl Place {
    /// The folder that `inputs` lead to: the named one, whatever is in it, else the first that is one of ours.
    pub(super) fn find(inputs: &Inputs) -> Self {
        let named = inputs.environment.iter().find(|(name, _)| name == VARIABLE);
        if let Some(dir) = &inputs.config_dir {
            return Self { dir: dir.clone(), source: DirSource::Flag };
        }
        if let Some((_, dir)) = named {
            return Self { dir: PathBuf::from(dir), source: DirSource::Environment };
        }
        let dir = PathBuf::from(IN_CURRENT_FOLDER);
        if is_ours(&dir) {
            return Self { dir, source: DirSource::CurrentFolder };
        }
        match inputs.shipped.iter().find(|dir| is_ours(dir)) {
            Some(shipped) => Self { dir: shipped.clone(), source: DirSource::Shipped },
            None => Self { dir, source: DirSource::Nowhere },
        }
    }

    /// Who named the folder, so that one that is not there is their mistake.
    pub(super) fn named_by(&self) -> Option<Origin> {
        match self.source {
            DirSource::Flag => Some(Origin::Flag { flag: "--config-dir".to_owned() }),
            DirSource::Environment => Some(Origin::Environment { variable: VARIABLE.to_owned() }),
            DirSource::CurrentFolder | DirSource::Shipped | DirSource::Nowhere => None,
        }
    }
}

fn is_ours(dir: &Path) -> bool {
    CONTENTS.iter().any(|name| dir.join(name).exists())
}

/// Where a configuration folder may be shipped, the nearest first: beside `executable`, where its installation has
/// shared data, in the user's data folder, in the system's. `variable` reads the environment.
pub fn shipped(executable: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(beside) = executable.and_then(Path::parent) {
        found.push(beside.join(IN_CURRENT_FOLDER));
        // `bin/vortex-node` and `share/vortex-node` of one installation.
        if let Some(prefix) = beside.parent() {
            found.extend(shared(&prefix.join("share")));
        }
        // A binary that cargo built belongs to the checkout that it was built in.
        let target =
            beside.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "target"));
        let checkout = target.and_then(Path::parent).filter(|folder| folder.join("Cargo.toml").is_file());
        found.extend(checkout.map(|folder| folder.join(IN_CURRENT_FOLDER)));
    }
    // The base directory specification ignores relative ones.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    found.extend(own.iter().flat_map(|folder| shared(folder)));
    for folder in ["/usr/local/share", "/usr/share"] {
        found.extend(shared(Path::new(folder)));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|dir| seen.insert(dir.clone()));
    found
}

/// Our part of a folder of shared data: the configuration folder itself, or with one in it.
fn shared(folder: &Path) -> [PathBuf; 2] {
    let own = folder.join(NAME);
    let inside = own.join(IN_CURRENT_FOLDER);
    [own, inside]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn none(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn shipped_folders_are_looked_for_beside_the_executable_first_and_in_the_system_last() {
        let variable = |name: &str| match name {
            "XDG_DATA_HOME" => Some("/home/a/data".into()),
            "HOME" => Some("/home/a".into()),
            _ => None,
        };
        let paths = |list: Vec<PathBuf>| -> Vec<String> {
            list.iter().map(|path| path.display().to_string()).collect()
        };
        let system = [
            "/usr/local/share/vortex-node",
            "/usr/local/share/vortex-node/config",
            "/usr/share/vortex-node",
            "/usr/share/vortex-node/config",
        ];
        let expected = [
            &["/opt/v/bin/config", "/opt/v/share/vortex-node", "/opt/v/share/vortex-node/config"][..],
            &["/home/a/data/vortex-node", "/home/a/data/vortex-node/config"],
            &system,
        ];
        let found = shipped(Some(Path::new("/opt/v/bin/vortex-node")), variable);
        assert_eq!(paths(found), expected.concat());
        let at_home = |name: &str| (name != "XDG_DATA_HOME").then(|| variable(name)).flatten();
        assert_eq!(paths(shipped(None, at_home))[0], "/home/a/.local/share/vortex-node");
        let relative = |name: &str| (name == "XDG_DATA_HOME").then(|| "data".into());
        assert_eq!(paths(shipped(None, relative)), system, "a relative one is ignored");
        // An executable of the system finds the system's, once.
        let of_system = shipped(Some(Path::new("/usr/bin/vortex-node")), none);
        assert_eq!(of_system.iter().filter(|path| **path == Path::new("/usr/share/vortex-node")).count(), 1);
    }

    #[test]
    fn what_cargo_built_finds_its_checkout() {
        let checkout = tempfile::tempdir().unwrap();
        fs::write(checkout.path().join("Cargo.toml"), "").unwrap();
        for place in ["target/release/vortex-node", "target/x86_64-unknown-linux-gnu/debug/vortex-node"] {
            let found = shipped(Some(&checkout.path().join(place)), none);
            assert!(found.contains(&checkout.path().join("config")), "{place}: {found:?}");
        }
    }

    #[test]
    fn a_named_folder_goes_first_and_then_the_first_that_is_one_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let [foreign, ours, other] = ["foreign", "ours", "other"].map(|name| folder.path().join(name));
        for (dir, file) in [(&foreign, "webpack.toml"), (&ours, "node.toml"), (&other, "voices.toml")] {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join(file), "").unwrap();
        }
        let mut inputs = Inputs { shipped: vec![foreign, ours.clone(), other.clone()], ..Inputs::default() };
        // The tests run in the checkout, whose own folder goes first.
        assert_eq!(Place::find(&inputs).source, DirSource::CurrentFolder);
        assert_eq!(inputs.shipped.iter().find(|dir| is_ours(dir)), Some(&ours));
        inputs.environment.push((VARIABLE.to_owned(), other.clone().into()));
        assert_eq!(Place::find(&inputs), Place { dir: other, source: DirSource::Environment });
        inputs.config_dir = Some(ours.clone());
        assert_eq!(Place::find(&inputs), Place { dir: ours, source: DirSource::Flag });
    }
}
