//! The program and the machine that it runs on: versions, processors, memory, driver, environment.
//!
//! Reads only what the system tells everybody; opens no device, since a context on a card takes memory from a node there.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::archive::Archive;
use super::step::within;
use crate::clock;
use crate::journal::index::inspect::sqlite_version;
use crate::simd;
use crate::types::Sha256;
use crate::vram::Boards;

/// A driver that is stuck answers nobody.
const DRIVER: Duration = Duration::from_secs(10);
/// To hash an executable of some hundred megabytes from a slow disk.
const EXECUTABLE: Duration = Duration::from_secs(30);
/// What the system says in one of its files is far shorter.
const LONGEST: u64 = 256 << 10;

/// The exact versions of everything that this program was built from.
const LOCK: &[u8] = include_bytes!("../../../Cargo.lock");

/// What the system says of itself, by the file that it says it in.
const SYSTEM: [&str; 18] = [
    "/etc/os-release",
    "/proc/version",
    "/proc/sys/kernel/hostname",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/memory",
    "/proc/driver/nvidia/version",
    "/proc/self/limits",
    "/proc/self/cgroup",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory.current",
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// Variables that change what a node does, by the beginning of their names: that they are set is told.
const CONCERNED: [&str; 18] = [
    "VORTEX_",
    "OTEL_",
    "CUDA_",
    "NVIDIA_",
    "AWS_",
    "HF_",
    "RUST_",
    "RAYON_",
    "TOKIO_",
    "KUBERNETES_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "LD_",
    "MALLOC_",
    "SSL_",
    "TERM",
];
/// Of these the value is told as well. Of settings, the settings in force tell it.
const TOLD: [&str; 18] = [
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "OTEL_SERVICE_NAME",
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_SAMPLER",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "LD_LIBRARY_PATH",
    "TERM",
];

/// Puts all of it into the archive.
pub(super) fn gather(environment: &BTreeMap<String, String>, archive: &mut Archive) {
    archive.json("program.json", "version, features and hashes of this program", program());
    archive.json("machine.json", "system, processors, memory, limits, pressure", machine());
    match within(DRIVER, || Boards::look(None)) {
        Ok(Ok(boards)) => {
            archive.json("driver.json", "NVIDIA's driver and its boards, by NVML", told(&boards))
        }
        Ok(Err(error)) => archive.miss("driver.json", error.to_string()),
        Err(why) => archive.miss("driver.json", why),
    }
    archive.json(
        "environment.json",
        "variables that concern a node; most of them by name only",
        variables(environment),
    );
}

fn program() -> Value {
    let executable = std::env::current_exe();
    let hashed = executable.as_ref().map_err(ToString::to_string).and_then(|path| {
        let path = path.clone();
        let hash = move || std::fs::File::open(path).and_then(Sha256::of_reader).map(|(hash, _)| hash);
        within(EXECUTABLE, hash)?.map_err(|error| error.to_string())
    });
    let (sha256, unhashed) = match hashed {
        Ok(hash) => (Some(hash.to_string()), None),
        Err(why) => (None, Some(why)),
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "features": if cfg!(feature = "cuda") { vec!["cuda"] } else { Vec::new() },
        "optimised": !cfg!(debug_assertions),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "vectors": simd::widest().name(),
        "sqlite": sqlite_version(),
        "lock_sha256": Sha256::of(LOCK).to_string(),
        "executable": executable.ok().map(|path| path.to_string_lossy().into_owned()),
        "executable_sha256": sha256,
        "executable_unread": unhashed,
    })
}

fn machine() -> Value {
    // Which of them there are depends on the kernel and on what runs it.
    let there = SYSTEM.into_iter().filter(|name| Path::new(name).exists());
    let said =
        |name: &str| beginning_of(Path::new(name), LONGEST).unwrap_or_else(|error| format!("({error})"));
    let files: BTreeMap<&str, String> = there.map(|name| (name, said(name))).collect();
    json!({
        "now": clock::unix_time().as_secs_f64(),
        "since_boot": clock::since_boot().as_secs_f64(),
        "processors_usable": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "processor": processor(),
        "files": files,
    })
}

/// The first processor, as the system describes it: the others are its like.
fn processor() -> BTreeMap<String, String> {
    let text = beginning_of(Path::new("/proc/cpuinfo"), LONGEST).unwrap_or_default();
    let first = text.split("\n\n").next().unwrap_or_default();
    let field = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
    };
    first.lines().filter_map(field).collect()
}

fn told(boards: &Boards) -> Value {
    let board = |board: &crate::vram::Board| {
        json!({
            "index": board.index, "name": board.name, "total": board.total.get(), "free": board.free.get(),
            "without": board.fallbacks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    json!({
        "driver": boards.driver,
        "boards": boards.boards.iter().map(board).collect::<Vec<_>>(),
        "troubled": boards.troubled.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn variables(environment: &BTreeMap<String, String>) -> Value {
    let is_concerned =
        |name: &str| CONCERNED.iter().any(|prefix| name.to_ascii_uppercase().starts_with(prefix));
    let set: Vec<&String> = environment.keys().filter(|name| is_concerned(name)).collect();
    let told: BTreeMap<_, _> = environment.iter().filter(|(name, _)| TOLD.contains(&name.as_str())).collect();
    json!({ "set": set, "told": told })
}

/// A text file's first `most` bytes; what is no UTF-8 in it is replaced.
pub(super) fn beginning_of(path: &Path, most: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_most_variables_only_the_name_is_told() {
        let set = [
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=x"),
            ("AWS_SECRET_ACCESS_KEY", "y"),
            ("CUDA_VISIBLE_DEVICES", "0,1"),
            ("https_proxy", "http://u:p@proxy"),
            ("HOME", "/home/somebody"),
        ];
        let set = set.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let expected = json!({
            "set": ["AWS_SECRET_ACCESS_KEY", "CUDA_VISIBLE_DEVICES", "OTEL_EXPORTER_OTLP_HEADERS", "https_proxy"],
            "told": { "CUDA_VISIBLE_DEVICES": "0,1" },
        });
        assert_eq!(variables(&set), expected);
    }
}
