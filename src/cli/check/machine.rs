//! What a node needs of the machine besides memory: a folder with room, a clock, a port, its key, threads.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use super::finding::Finding;
use crate::app::CrashLoop;
use crate::clock;
use crate::signing::{KeyError, read_key};
use crate::simd;
use crate::types::Bytes;

/// Slots that the data folder must have room for: as many as may wait by default.
const SLOTS: u64 = 32;
/// What a slot leaves: 45 s of video at 8 Mbit/s are 45 MB; sound, picture, keyframes and records stay below 15 MB.
const PER_SLOT: Bytes = Bytes::mb(60);

/// Whether `folder` can be written, and has room for slots.
pub(super) fn data_folder(folder: &Path) -> Vec<Finding> {
    let name = folder.display();
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::Builder::new().prefix(".check-").tempfile_in(folder)?;
        file.write_all(b"check")?;
        file.as_file().sync_all()
    });
    if let Err(error) = written {
        let advice = "give this user a folder to write to, or name another one by data_dir or --data-dir";
        return vec![Finding::wrong("data folder", format!("{name} cannot be written: {error}"), advice)];
    }
    vec![Finding::ok("data folder", format!("{name} can be written")), room(folder, PER_SLOT.times(SLOTS))]
}

/// The same as far as the system tells without a file being written.
pub(super) fn data_folder_as_it_is(folder: &Path) -> Vec<Finding> {
    let name = folder.display();
    match rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        Ok(()) => {
            let found = format!("{name} may be written; nothing was");
            vec![Finding::ok("data folder", found), room(folder, PER_SLOT.times(SLOTS))]
        }
        Err(error) => {
            let advice = "give this user a folder to write to, or name another one by data_dir or --data-dir";
            vec![Finding::wrong("data folder", format!("{name} may not be written: {error}"), advice)]
        }
    }
}

/// How earlier processes ended, where they ended with 71.
pub(super) fn earlier_processes(left: &CrashLoop) -> Finding {
    if !left.alert {
        return Finding::ok("earlier processes", left.to_string());
    }
    let advice = "look into the cause: starting again has not helped; a run that ends otherwise begins anew";
    Finding::doubtful("earlier processes", left.to_string(), advice)
}

fn room(folder: &Path, needed: Bytes) -> Finding {
    let free = match rustix::fs::statvfs(folder) {
        Ok(system) => Bytes::new(system.f_bavail.saturating_mul(system.f_frsize)),
        Err(error) => {
            let found = format!("the room in {} cannot be told: {error}", folder.display());
            return Finding::doubtful(
                "disk",
                found,
                format!("see that {needed} are free: what {SLOTS} slots leave"),
            );
        }
    };
    let found = format!("{free} free; {SLOTS} slots of 45 s leave up to {needed}");
    if free < needed {
        return Finding::wrong(
            "disk",
            found,
            format!("make room for {}, or name another data_dir", needed.saturating_sub(free)),
        );
    }
    Finding::ok("disk", found)
}

/// When this version was made, in Unix seconds (2026-11-22); raised with the version. No clock that is right stands
/// before it.
const MADE: Duration = Duration::from_secs(1_795_305_600);
/// Software is run for years after it was made, but hardly for so many.
const LONG: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// Whether wall clock and monotonic clock can be relied on.
pub(super) fn clock() -> Finding {
    let first = clock::now();
    let steps = (0..1000).map(|_| clock::now()).try_fold(first, |last, now| (now >= last).then_some(now));
    judged(clock::unix_time(), steps.is_some())
}

fn judged(wall: Duration, is_monotonic: bool) -> Finding {
    const SET: &str =
        "set the clock, and keep it by NTP (chrony, systemd-timesyncd): deadlines and signatures rest on it";
    let found = format!("{} s since 1970", wall.as_secs());
    if !is_monotonic {
        return Finding::wrong("clock", "the monotonic clock went back", "look at the kernel's clock source");
    }
    if wall < MADE {
        let found = format!("{found}: before this version was made ({} s)", MADE.as_secs());
        return Finding::wrong("clock", found, SET);
    }
    if wall > MADE.saturating_add(LONG) {
        return Finding::doubtful("clock", format!("{found}: decades after this version was made"), SET);
    }
    Finding::ok("clock", format!("{found}, and it does not go back"))
}

/// Whether the API could listen where it is to.
pub(super) fn port(listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok("port", format!("{listen} is free")),
        Err(error) => {
            let advice = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "stop what listens there (another node?), or name another http.listen"
                }
                std::io::ErrorKind::PermissionDenied => "name an http.listen with a port from 1024",
                _ => "name an http.listen with an address of this machine, such as 127.0.0.1:9100",
            };
            Finding::wrong("port", format!("http.listen = {listen}: {error}"), advice)
        }
    }
}

/// Whether the node's key, where there is one already, can be read by its owner only.
pub(super) fn node_key(path: &Path) -> Finding {
    match read_key(path) {
        Ok(key) => {
            let public = crate::signing::to_hex(key.verifying_key().as_bytes());
            Finding::ok("node key", format!("{}, public key {public}", path.display()))
        }
        Err(KeyError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Finding::ok("node key", format!("none yet; made on first use: {}", path.display()))
        }
        Err(error) => {
            let advice = match &error {
                KeyError::Exposed { .. } => {
                    format!(
                        "`chmod 600 {}`; whoever may have read it can sign in this node's name",
                        path.display()
                    )
                }
                _ => "put the right key there, or move the file away: a new one is made on first use"
                    .to_owned(),
            };
            Finding::wrong("node key", error.to_string(), advice)
        }
    }
}

/// Whether the compute threads suit the machine.
pub(super) fn threads() -> Finding {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if let Some(named) = simd::unknown_limit() {
        let advice =
            "name one of baseline, avx2 and avx512, or unset it: kernels use all that the processor has";
        let found = format!("{} is {named:?}, which is no kind of vectors", simd::LIMIT);
        return Finding::doubtful("threads", found, advice);
    }
    of_processors(rayon::current_num_threads(), processors)
}

fn of_processors(threads: usize, processors: usize) -> Finding {
    let vectors = simd::widest().name();
    let found = format!("{threads} compute threads on {processors} processors, vectors {vectors}");
    if threads > processors {
        let advice = format!("set RAYON_NUM_THREADS to {processors} or less: more only wait for each other");
        return Finding::doubtful("threads", found, advice);
    }
    if processors < 2 {
        return Finding::doubtful(
            "threads",
            found,
            "two processors or more: sound and picture are made side by side",
        );
    }
    Finding::ok("threads", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::finding::Verdict;

    #[test]
    fn a_full_disk_says_how_much_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(room(folder.path(), Bytes::ZERO).verdict, Verdict::Ok);
        let full = room(folder.path(), Bytes::MAX);
        assert_eq!(full.verdict, Verdict::Wrong);
        assert!(full.advice.unwrap().contains("make room for"), "{}", full.found);
    }

    #[test]
    fn earlier_processes_are_told_and_doubtful_from_the_alert_on() {
        let (within, cause) = (Duration::from_secs(3600), "cuda:0: it hangs".to_owned());
        let left = CrashLoop { count: 2, within, cause, delay: Duration::from_secs(10), alert: false };
        let told = earlier_processes(&left);
        assert_eq!((told.verdict, &told.found), (Verdict::Ok, &left.to_string()));
        let alert = earlier_processes(&CrashLoop { count: 3, alert: true, ..left });
        assert!(alert.verdict == Verdict::Doubtful && alert.found.contains("cuda:0: it hangs"), "{alert:?}");
    }

    #[test]
    fn clocks_that_cannot_be_right_are_told() {
        let hour = Duration::from_secs(3600);
        assert_eq!(judged(MADE.saturating_add(hour), true).verdict, Verdict::Ok);
        assert_eq!(judged(Duration::ZERO, true).verdict, Verdict::Wrong);
        assert_eq!(judged(MADE.saturating_sub(hour), true).verdict, Verdict::Wrong);
        assert_eq!(judged(MADE.saturating_add(hour), false).verdict, Verdict::Wrong);
        assert_eq!(judged(MADE.saturating_add(LONG).saturating_add(hour), true).verdict, Verdict::Doubtful);
    }

    #[test]
    fn threads_are_held_against_processors() {
        assert_eq!(of_processors(2, 2).verdict, Verdict::Ok);
        assert_eq!(of_processors(1, 1).verdict, Verdict::Doubtful);
        assert!(of_processors(8, 2).advice.unwrap().contains("RAYON_NUM_THREADS to 2"));
    }
}
