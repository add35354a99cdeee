//! Builds the library of `tests/preload/faults.c`, loads it before a service, and steers it: a full disk, a clock that jumps.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// What the disk below the data folder has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Everything.
    Plenty = 0,
    /// Nothing at all, as on a file system that never writes in place.
    Nothing = 1,
    /// What lies within files that are there already.
    InPlace = 2,
}

/// The faults of one service.
pub struct Faults {
    library: &'static Path,
    folder: TempDir,
    control: File,
}

impl Faults {
    /// None yet; `None` where there is no C compiler, which has been said.
    pub fn new() -> Option<Self> {
        let Some(library) = built() else {
            super::skip("a C compiler (cc)");
            return None;
        };
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let control = File::create_new(folder.path().join("control")).unwrap();
        control.set_len(16).unwrap();
        Some(Self { library, folder, control })
    }

    /// `command` with these faults, for what lies below `data`.
    pub fn of(&self, mut command: Command, data: &Path) -> Command {
        std::fs::create_dir_all(data).unwrap();
        command.env("LD_PRELOAD", self.library);
        command.env("FAULTS_CONTROL", self.folder.path().join("control"));
        // As the system writes it: links in the path are followed.
        command.env("FAULTS_FOLDER", data.canonicalize().unwrap());
        command
    }

    /// How much room there is from now on.
    pub fn room(&self, room: Room) {
        self.put(0, room as i64);
    }

    /// The wall clock is so many seconds ahead from now on; behind where negative.
    pub fn clock(&self, ahead: i64) {
        self.put(1, ahead);
    }

    fn put(&self, word: u64, value: i64) {
        self.control.write_all_at(&value.to_le_bytes(), word * 8).unwrap();
    }
}

fn built() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/preload/faults.c");
    let mut hasher = DefaultHasher::new();
    std::fs::read(&source).unwrap().hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(folder).unwrap();
    let library = folder.join(format!("libfaults-{:016x}.so", hasher.finish()));
    if library.exists() {
        return Some(library);
    }
    // Beside and then renamed: test binaries may build it at the same time.
    let beside = library.with_extension(format!("{}.so", std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&beside).arg(&source);
    let output = compiler.arg("-ldl").output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&beside, &library).unwrap();
    Some(library)
}
