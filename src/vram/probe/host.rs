//! This process's anonymous memory, the honest stand-in where there is no card: `RssAnon` of `/proc/self/status`
//! (proc(5)). Reads into a fixed buffer and allocates nothing. Its floor is vague: allocators keep freed memory, and
//! the kernel counts in per-CPU batches.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::types::Bytes;
use crate::vram::sample::{Sample, Standing};

use super::{Probe, ProbeError, ProbeErrorKind};

const NAME: &str = "host";

/// Large enough for every `/proc/self/status` seen: 1.5 kB, more with many CPUs in its masks.
const BUFFER: usize = 16 << 10;

/// Where the host probe looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostProbeSetup {
    /// The share of this machine's memory that the process may use; `None` for all of it (`MemTotal`).
    pub total: Option<Bytes>,
    /// A file in the format of `/proc/self/status`.
    pub status: PathBuf,
    /// A file in the format of `/proc/meminfo`.
    pub meminfo: PathBuf,
}

impl Default for HostProbeSetup {
    fn default() -> Self {
        Self { total: None, status: "/proc/self/status".into(), meminfo: "/proc/meminfo".into() }
    }
}

/// Looks at this process's memory.
pub struct HostProbe {
    setup: HostProbeSetup,
    buffer: Box<[u8; BUFFER]>,
}

impl HostProbe {
    /// Looks where `setup` says; nothing is read before the first sample.
    pub fn new(setup: HostProbeSetup) -> Self {
        Self { setup, buffer: Box::new([0; BUFFER]) }
    }

    fn total(&mut self) -> Result<Bytes, ProbeError> {
        match self.setup.total {
            Some(total) => Ok(total),
            // Asked at every sample: machines grow and shrink under virtualisation.
            None => field(&mut self.buffer[..], &self.setup.meminfo, b"MemTotal:"),
        }
    }
}

impl Probe for HostProbe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sample(&mut self, now: Instant) -> Result<Sample, ProbeError> {
        let total = self.total()?;
        let used = field(&mut self.buffer[..], &self.setup.status, b"RssAnon:")?;
        Ok(Sample {
            source: NAME,
            standing: Standing::Unchecked,
            taken_at: now,
            total,
            used,
            free: total.saturating_sub(used),
            own: Some(used),
            others: None,
            pool: None,
        })
    }
}

/// The value of the line that begins with `key`, such as `RssAnon:     1234 kB` (the kernel's kB are 1,024 B).
fn field(buffer: &mut [u8], path: &Path, key: &'static [u8]) -> Result<Bytes, ProbeError> {
    let length = read(buffer, path)?;
    let line = buffer[..length].split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(key));
    let value = line.and_then(|line| {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let kibibytes = decimal(words.next()?)?;
        (words.next() == Some(b"kB")).then(|| kibibytes.checked_mul(1024)).flatten()
    });
    value.map(Bytes::new).ok_or_else(|| {
        let wanted = String::from_utf8_lossy(key);
        let what = if line.is_some() { "is no number of kB in" } else { "is missing in" };
        ProbeError::new(NAME, ProbeErrorKind::Failed, format!("{wanted:?} {what} {}", path.display()))
    })
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn read(buffer: &mut [u8], path: &Path) -> Result<usize, ProbeError> {
    let failed = |error: std::io::Error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let kind = if missing { ProbeErrorKind::Missing } else { ProbeErrorKind::Failed };
        ProbeError::new(NAME, kind, format!("cannot read {}: {error}", path.display()))
    };
    let file = File::open(path).map_err(failed)?;
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], length as u64).map_err(failed)? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(folder: &Path, status: &str, total: Option<Bytes>) -> HostProbe {
        std::fs::write(folder.join("status"), status).unwrap();
        std::fs::write(folder.join("meminfo"), "MemTotal:       16000000 kB\nMemFree: 1 kB\n").unwrap();
        HostProbe::new(HostProbeSetup {
            total,
            status: folder.join("status"),
            meminfo: folder.join("meminfo"),
        })
    }

    #[test]
    fn anonymous_memory_is_what_counts() {
        let folder = tempfile::tempdir().unwrap();
        let status = "Name:\tnode\nVmRSS:\t  900000 kB\nRssAnon:\t  250000 kB\nRssFile:\t 650000 kB\n";
        let now = crate::clock::now();
        let sample = probe(folder.path(), status, None).sample(now).unwrap();
        assert_eq!((sample.used, sample.own), (Bytes::new(256_000_000), Some(Bytes::new(256_000_000))));
        assert_eq!(sample.total, Bytes::new(16_384_000_000));
        assert_eq!(sample.free, Bytes::new(16_384_000_000 - 256_000_000));
        assert_eq!((sample.taken_at, sample.source), (now, "host"));
        let mut budgeted = probe(folder.path(), status, Some(Bytes::gb(4)));
        assert_eq!(budgeted.sample(now).unwrap().total, Bytes::gb(4));
    }

    #[test]
    fn files_that_make_no_sense_are_errors_that_name_them() {
        let folder = tempfile::tempdir().unwrap();
        let huge = format!("RssAnon: {} kB", u64::MAX);
        let overflow = "RssAnon: 99999999999999999999 kB";
        for status in ["", "VmRSS: 1 kB", "RssAnon: x kB", "RssAnon: 12", "RssAnon: 12 MB", &huge, overflow] {
            let error = probe(folder.path(), status, None).sample(crate::clock::now()).unwrap_err();
            assert_eq!(error.kind, ProbeErrorKind::Failed, "{status}");
            assert!(error.to_string().contains("RssAnon") && error.to_string().contains("status"), "{error}");
        }
        let setup = HostProbeSetup { status: folder.path().join("none"), ..HostProbeSetup::default() };
        let error = HostProbe::new(setup).sample(crate::clock::now()).unwrap_err();
        assert_eq!(error.kind, ProbeErrorKind::Missing);
    }

    #[test]
    fn lines_beyond_the_first_block_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let status = format!("Padding: {}\nRssAnon: 4 kB\n", "f,".repeat(6000));
        let sample = probe(folder.path(), &status, None).sample(crate::clock::now()).unwrap();
        assert_eq!(sample.used, Bytes::new(4096));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_taken_by_this_process_shows() {
        let mut probe = HostProbe::new(HostProbeSetup::default());
        let mut used = || probe.sample(crate::clock::now()).unwrap().used;
        // Other tests of the binary take and give back memory meanwhile; not every time in our way.
        let shows = (0..50).any(|_| {
            let before = used();
            let taken = vec![1u8; 64 << 20];
            let during = used();
            assert!(taken.iter().all(|byte| *byte == 1));
            during > before.saturating_add(Bytes::mib(48)) && during < before.saturating_add(Bytes::mib(80))
        });
        assert!(shows, "64 MiB taken, and the probe saw nothing of it");
    }
}
