//! Builds the simulated NVML library of `tests/simulated_nvml/nvml.rs` and steers it.
//!
//! Each test has a library file of its own (a copy in a folder of its own, with its control file beside it), so tests
//! in parallel play different cards through the same real loader path.

use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use vortex_node::types::Bytes;

// The control file's layout, as `tests/simulated_nvml/nvml.rs` reads it.
const HEADER: usize = 2;
const PROCESSES: usize = 16;
const BOARD: usize = 9 + 2 * PROCESSES;
const BOARDS: usize = 8;
const WORDS: usize = HEADER + BOARDS * BOARD;

/// Codes of `nvmlReturn_t` that tests play.
pub mod codes {
    /// `NVML_ERROR_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: u64 = 3;
    /// `NVML_ERROR_NO_PERMISSION`.
    pub const NO_PERMISSION: u64 = 4;
    /// `NVML_ERROR_DRIVER_NOT_LOADED`.
    pub const DRIVER_NOT_LOADED: u64 = 9;
    /// `NVML_ERROR_GPU_IS_LOST`.
    pub const GPU_IS_LOST: u64 = 15;
    /// `NVML_ERROR_RESET_REQUIRED`.
    pub const RESET_REQUIRED: u64 = 16;
    /// `NVML_ERROR_LIB_RM_VERSION_MISMATCH`.
    pub const VERSION_MISMATCH: u64 = 18;
    /// `NVML_ERROR_UNKNOWN`.
    pub const UNKNOWN: u64 = 999;
}

/// A simulated machine with boards; gone when dropped.
pub struct SimulatedNvml {
    folder: TempDir,
    control: File,
}

impl SimulatedNvml {
    /// One empty board of `total` on which the driver keeps `reserved`; `None` where this machine cannot compile it.
    pub fn start(total: Bytes, reserved: Bytes) -> Option<Self> {
        let built = built()?;
        let folder = TempDir::new_in(built.parent().unwrap()).unwrap();
        let control = OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .open(folder.path().join("control"))
            .unwrap();
        control.set_len(WORDS as u64 * 8).unwrap();
        let simulated = Self { folder, control };
        simulated.plug_in();
        simulated.put(0, 1);
        simulated.put_board(0, 0, total.get());
        simulated.put_board(0, 1, reserved.get());
        Some(simulated)
    }

    /// What to give to whoever opens it.
    pub fn library(&self) -> PathBuf {
        self.folder.path().join("libnvidia-ml.so.1")
    }

    /// `count` boards like the first.
    pub fn boards(&self, count: usize) {
        for board in 1..count {
            (0..BOARD).for_each(|field| self.put_board(board, field, self.word(HEADER + field)));
        }
        self.put(0, count as u64);
    }

    /// The UUID of a board.
    pub fn uuid(board: usize) -> String {
        format!("GPU-00000000-0000-0000-0000-{board:012}")
    }

    /// The processes on a board and what each uses. The board's use is their sum and what the driver attributes to
    /// nobody.
    pub fn processes(&self, board: usize, processes: &[(u32, Bytes)], nobody: Bytes) {
        assert!(processes.len() <= PROCESSES, "the simulation has room for {PROCESSES} processes");
        for (place, (pid, used)) in processes.iter().enumerate() {
            self.put_board(board, 9 + 2 * place, u64::from(*pid));
            self.put_board(board, 10 + 2 * place, used.get());
        }
        self.put_board(board, 5, processes.len() as u64);
        self.used(board, processes.iter().map(|(_, used)| *used).sum::<Bytes>().saturating_add(nobody));
    }

    /// What a board says is used, whatever its processes do.
    pub fn used(&self, board: usize, used: Bytes) {
        self.put_board(board, 2, used.get());
    }

    /// What a board says its size is.
    pub fn total(&self, board: usize, total: Bytes) {
        self.put_board(board, 0, total.get());
    }

    /// What initialising answers; 0 for success.
    pub fn initialising_answers(&self, code: u64) {
        self.put(1, code);
    }

    /// What asking for a board's memory answers; 0 for success.
    pub fn memory_answers(&self, board: usize, code: u64) {
        self.put_board(board, 3, code);
    }

    /// What asking for a board's processes answers; 0 for success.
    pub fn processes_answer(&self, board: usize, code: u64) {
        self.put_board(board, 4, code);
    }

    /// What asking for a board by its place answers; 0 for success. Where it is lost, asking for any board by its
    /// identifier says so, too.
    pub fn handle_answers(&self, board: usize, code: u64) {
        self.put_board(board, 6, code);
    }

    /// What asking for a board's name answers; 0 for success.
    pub fn name_answers(&self, board: usize, code: u64) {
        self.put_board(board, 7, code);
    }

    /// A board is split into this many equal instances (MIG).
    pub fn split(&self, board: usize, instances: u64) {
        self.put_board(board, 8, instances + 1);
    }

    /// The UUID of a board's instance.
    pub fn instance_uuid(board: usize, instance: usize) -> String {
        format!("MIG-00000000-0000-0000-{:04}-{board:012}", instance + 1)
    }

    /// The driver is unloaded under whoever holds the library: its calls fail, and it cannot be opened again.
    pub fn vanish(&self) {
        std::fs::remove_file(self.library()).unwrap();
        std::fs::rename(self.folder.path().join("control"), self.folder.path().join("hidden")).unwrap();
    }

    /// Whether it has been unloaded.
    pub fn is_gone(&self) -> bool {
        !self.library().exists()
    }

    /// The driver is back as it was.
    pub fn come_back(&self) {
        std::fs::rename(self.folder.path().join("hidden"), self.folder.path().join("control")).unwrap();
        self.plug_in();
    }

    fn plug_in(&self) {
        std::fs::copy(built().unwrap(), self.library()).unwrap();
    }

    fn put_board(&self, board: usize, field: usize, value: u64) {
        assert!(board < BOARDS, "the simulation has room for {BOARDS} boards");
        self.put(HEADER + board * BOARD + field, value);
    }

    fn put(&self, word: usize, value: u64) {
        self.control.write_all_at(&value.to_le_bytes(), word as u64 * 8).unwrap();
    }

    fn word(&self, word: usize) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, word as u64 * 8).unwrap();
        u64::from_le_bytes(bytes)
    }
}

/// The compiled library, compiled at most once per state of its source.
fn built() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulated_nvml/nvml.rs");
    let mut hasher = DefaultHasher::new();
    std::fs::read(&source).unwrap().hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(folder).unwrap();
    let library = folder.join(format!("libsimulated_nvml-{:016x}.so", hasher.finish()));
    if library.exists() {
        return Some(library);
    }
    // Beside and then renamed: test binaries may build it at the same time.
    let beside = library.with_extension(format!("{}.so", std::process::id()));
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "cdylib",
            "--crate-name",
            "nvml",
            "-O",
            "-C",
            "panic=abort",
            "-o",
        ])
        .arg(&beside)
        .arg(&source)
        .output()
        .ok()?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    std::fs::rename(&beside, &library).unwrap();
    Some(library)
}
