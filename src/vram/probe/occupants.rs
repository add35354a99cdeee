//! Who holds a device's memory: processes by number, name and amount. Owns the choice of the largest; asks only `/proc`.

use std::cmp::Reverse;

use serde::Serialize;

use crate::types::Bytes;

/// Told at most: who keeps a limit crossed is among the largest.
const LARGEST: usize = 5;

/// A process that holds memory of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Occupant {
    /// Its number.
    pub pid: u32,
    /// Its name, where the system tells.
    pub name: Option<String>,
    /// What it holds.
    pub bytes: Bytes,
}

/// The largest of `processes` but `own`, the largest first, each once, with its name.
pub(super) fn largest(processes: impl Iterator<Item = (u32, Bytes)>, own: u32) -> Vec<Occupant> {
    let mut all: Vec<(u32, Bytes)> = processes.filter(|(pid, _)| *pid != own).collect();
    all.sort_by_key(|(pid, bytes)| (*pid, Reverse(*bytes)));
    // Whoever has two kinds of context is listed twice, with the same amount.
    all.dedup_by_key(|(pid, _)| *pid);
    all.sort_by_key(|(_, bytes)| Reverse(*bytes));
    all.into_iter().take(LARGEST).map(|(pid, bytes)| Occupant { pid, name: name_of(pid), bytes }).collect()
}

/// As the kernel has it: at most 15 bytes; none where it is gone or hidden.
fn name_of(pid: u32) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name).trim_end().to_owned();
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_each_once_and_never_this_process() {
        let processes = [(9, 50), (7, 300), (3, 200), (7, 300), (1000, 900), (4, 1), (5, 2), (6, 200)];
        let found = largest(processes.into_iter().map(|(pid, mb)| (pid, Bytes::mb(mb))), 1000);
        let found: Vec<(u32, u64)> = found.iter().map(|it| (it.pid, it.bytes.get() / 1_000_000)).collect();
        assert_eq!(found, [(7, 300), (3, 200), (6, 200), (9, 50), (5, 2)]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_has_its_name_and_one_that_is_gone_has_none() {
        let own = std::process::id();
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        let found = largest([(own, Bytes::mb(2)), (u32::MAX, Bytes::mb(1))].into_iter(), 0);
        assert_eq!(found[0].name.as_deref(), Some(comm.trim_end()));
        assert_eq!((found[1].pid, found[1].name.as_deref()), (u32::MAX, None));
    }
}
