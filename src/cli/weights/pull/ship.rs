//! Bundles that ship with the program, put into a folder: the description, the model card, and small files, which need no
//! hub.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Pull;
use super::plan::Item;
use crate::cli::{Context, Failed};
use crate::files::{Existing, Readers, write_whole};
use crate::models::bundle::shipped::{SHIPPED, Shipped};
use crate::models::bundle::{Bundle, FILE_NAME, Lock};
use crate::types::{ModelId, nearest};

/// The name of a model card in a bundle's folder.
const CARD: &str = "README.md";

impl Pull {
    /// The bundle, and which of its models are wanted.
    pub(super) fn bundle(&self) -> Result<(Bundle, Vec<ModelId>), Failed> {
        let asked = &self.chosen.bundle;
        let name = asked.to_str().and_then(Shipped::find).map(|shipped| shipped.name);
        match &self.into {
            Some(_) if asked.as_os_str() == "." => {
                Err(Failed::bad_input(format!("--into wants the name of a bundle before it: {}", names())))
            }
            Some(folder) => {
                let bundle = into(&asked.to_string_lossy(), folder, self.dry_run)?;
                self.chosen.models_of(bundle)
            }
            None => self.chosen.open().map_err(|failed| match name.filter(|_| !asked.exists()) {
                Some(name) => Failed::bad_input(format!(
                    "there is no folder {name}; the bundle that ships under that name is fetched by `weights pull \
                     {name} --into DIR`"
                )),
                None => failed,
            }),
        }
    }

    /// Where the lock lies.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.into.as_ref().map_or_else(|| self.chosen.lock(), |folder| Lock::beside(&folder.join(FILE_NAME)))
    }
}

/// The bundle `name` in `folder`: what is there already, else what ships, written there unless it is only told of.
fn into(name: &str, folder: &Path, dry_run: bool) -> Result<Bundle, Failed> {
    let shipped = find(name)?;
    let description = folder.join(FILE_NAME);
    if !description.exists() {
        if dry_run {
            return Ok(shipped.bundle(folder)?);
        }
        write(&folder.join(CARD), shipped.card.as_bytes())?;
        // Last: a folder with a description is a bundle.
        write(&description, shipped.description.as_bytes())?;
    }
    let there = Bundle::open(&description)?;
    if there.name == name {
        return Ok(there);
    }
    Err(Failed::bad_input(format!(
        "{} describes another bundle, {:?}; name an empty folder by --into, or fetch that one by `weights pull {}`",
        description.display(),
        there.name,
        folder.display()
    )))
}

/// Says so where the description in `folder` is not the one that ships.
pub(super) fn tell_of_changes(name: &str, folder: &Path, context: &mut Context<'_>) -> Result<(), Failed> {
    let (shipped, description) = (find(name)?, folder.join(FILE_NAME));
    let is_another = std::fs::read(&description).is_ok_and(|text| text != shipped.description.as_bytes());
    if is_another {
        writeln!(
            context.console.err(),
            "{} is not the {name} that ships with this version; it is kept and fetched as it is",
            description.display()
        )?;
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Shipped, Failed> {
    Shipped::find(name).ok_or_else(|| Failed::bad_input(unknown(name)))
}

/// What is said of a name that nothing ships under.
fn unknown(name: &str) -> String {
    let meant = nearest(name, SHIPPED.iter().map(|shipped| shipped.name));
    let meant = meant.map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
    format!("no bundle called {name:?} ships with the program{meant}; those that do: {}", names())
}

/// All names, separated by commas.
fn names() -> String {
    SHIPPED.iter().map(|shipped| shipped.name).collect::<Vec<_>>().join(", ")
}

impl Item {
    /// Its content, where the program has it.
    pub(super) fn shipped(&self) -> Option<&'static [u8]> {
        Shipped::content(self.here?)
    }

    /// Writes what [`shipped`](Self::shipped) has.
    pub(super) fn supply(&self, content: &[u8]) -> Result<(), String> {
        write(&self.path, content).map_err(|failed| failed.message().to_owned())
    }
}

/// Writes a file whole, with its folder; what is there already stays.
fn write(path: &Path, content: &[u8]) -> Result<(), Failed> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| write_whole(path, Existing::Keep, Readers::Umask, |file| file.write_all(content)));
    match written {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Failed::failure(format!("{} cannot be written: {error}", path.display())))
        }
        _ => Ok(()),
    }
}
