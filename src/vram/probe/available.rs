//! What a process may still take of this machine's memory: what the kernel has left for it, and what the control groups
//! that it runs in leave it. A container's limit is far below the machine's memory, and `/proc/meminfo` does not show it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{ProbeError, ProbeErrorKind};
use crate::types::Bytes;

const NAME: &str = "host";

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// A file in the format of `/proc/meminfo`.
    pub meminfo: PathBuf,
    /// A file in the format of `/proc/self/cgroup` (cgroups(7)).
    pub cgroup: PathBuf,
    /// Where control groups are mounted.
    pub mount: PathBuf,
}

impl Default for HostMemory {
    fn default() -> Self {
        Self {
            meminfo: "/proc/meminfo".into(),
            cgroup: "/proc/self/cgroup".into(),
            mount: "/sys/fs/cgroup".into(),
        }
    }
}

/// One version's names: the hierarchy's folder, the limits, the use, and the parts of it that are given up under
/// pressure.
struct Names {
    below: &'static str,
    limits: &'static [&'static str],
    used: &'static str,
    cache: [&'static str; 2],
}

const V2: Names = Names {
    below: "",
    // Beyond the first the group is killed in, beyond the second it is slowed down until nothing moves.
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    cache: ["inactive_file", "active_file"],
};
const V1: Names = Names {
    below: "memory",
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    cache: ["total_inactive_file", "total_active_file"],
};

impl HostMemory {
    /// The least of what the machine and every control group around this process leave.
    pub fn available(&self) -> Result<Bytes, ProbeError> {
        let failed = |what: String| ProbeError::new(NAME, ProbeErrorKind::Failed, what);
        let text = fs::read_to_string(&self.meminfo)
            .map_err(|error| failed(format!("cannot read {}: {error}", self.meminfo.display())))?;
        let free = text.lines().find_map(|line| {
            let kibibytes = line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?;
            kibibytes.trim().parse::<u64>().ok()?.checked_mul(1024)
        });
        let free = free
            .ok_or_else(|| failed(format!("no MemAvailable in kB in {}", self.meminfo.display())))
            .map(Bytes::new)?;
        // Where there are no control groups there is no limit of theirs.
        let groups = fs::read_to_string(&self.cgroup).unwrap_or_default();
        let left = groups.lines().filter_map(|line| self.left_by(line)).min();
        Ok(left.map_or(free, |left| left.min(free)))
    }

    /// What the group of a line of `/proc/self/cgroup`, and those around it, leave; `None` where none has a limit.
    fn left_by(&self, line: &str) -> Option<Bytes> {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let names = match controllers {
            "" => V2,
            list if list.split(',').any(|controller| controller == "memory") => V1,
            _ => return None,
        };
        // Ancestors down to the mount itself: inside a container the path may be the host's and lead nowhere.
        let root = self.mount.join(names.below);
        let own = root.join(path.trim_start_matches('/'));
        own.ancestors()
            .take_while(|group| group.starts_with(&root))
            .filter_map(|group| left_in(group, &names))
            .min()
    }
}

fn left_in(group: &Path, names: &Names) -> Option<Bytes> {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    // "max" is no number: no limit.
    let limit = names.limits.iter().filter_map(|limit| number(limit)).min()?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    // What was read from files can be read again: after a build in the same container it may be most of what is used.
    let cache = stat.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        names.cache.contains(&name).then(|| value.trim().parse::<u64>().ok()).flatten()
    });
    let used = number(names.used)?.saturating_sub(cache.fold(0, u64::saturating_add));
    Some(Bytes::new(limit.saturating_sub(used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(cgroup: &str) -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            machine.file("meminfo", "MemTotal: 16000000 kB\nMemAvailable:    8000000 kB\n");
            machine.file("cgroup", cgroup);
            machine
        }

        fn file(&self, name: &str, text: &str) -> &Self {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn available(&self) -> Result<Bytes, ProbeError> {
            let at = |name: &str| self.0.path().join(name);
            HostMemory { meminfo: at("meminfo"), cgroup: at("cgroup"), mount: at("mount") }.available()
        }
    }

    #[test]
    fn without_limits_the_machine_says_what_is_left() {
        assert_eq!(Machine::new("").available().unwrap(), Bytes::new(8_192_000_000));
        let unlimited = Machine::new("0::/a");
        unlimited.file("mount/a/memory.max", "max\n").file("mount/a/memory.current", "5\n");
        assert_eq!(unlimited.available().unwrap(), Bytes::new(8_192_000_000));
    }

    #[test]
    fn the_tightest_group_counts_and_its_cache_is_no_use() {
        let machine = Machine::new("0::/pod/container\n");
        machine
            .file("mount/pod/memory.max", "4000000000\n")
            .file("mount/pod/memory.current", "1000000000\n")
            .file("mount/pod/container/memory.max", "3000000000\n")
            .file("mount/pod/container/memory.current", "1500000000\n")
            .file("mount/pod/container/memory.stat", "anon 5\ninactive_file 700000000\n");
        assert_eq!(machine.available().unwrap(), Bytes::mb(2200));
    }

    #[test]
    fn what_slows_a_group_down_limits_it_like_what_ends_it() {
        let machine = Machine::new("0::/pod/container\n");
        machine
            .file("mount/pod/container/memory.max", "max\n")
            .file("mount/pod/container/memory.high", "3000000000\n")
            .file("mount/pod/container/memory.current", "1000000000\n");
        assert_eq!(machine.available().unwrap(), Bytes::mb(2000), "no other limit");
        machine.file("mount/pod/container/memory.max", "4000000000\n");
        assert_eq!(machine.available().unwrap(), Bytes::mb(2000), "below the other limit");
        machine.file("mount/pod/container/memory.high", "max\n");
        assert_eq!(machine.available().unwrap(), Bytes::mb(3000), "none of its own");
        machine
            .file("mount/pod/memory.high", "2500000000\n")
            .file("mount/pod/memory.current", "2400000000\n");
        assert_eq!(machine.available().unwrap(), Bytes::mb(100), "of a group around it");
    }

    #[test]
    fn what_was_read_from_files_in_use_or_not_can_be_given_up() {
        let machine = Machine::new("4:memory:/x\n");
        machine
            .file("mount/memory/x/memory.limit_in_bytes", "4000000000\n")
            .file("mount/memory/x/memory.usage_in_bytes", "3500000000\n")
            .file(
                "mount/memory/x/memory.stat",
                "active_file 1\ntotal_inactive_file 2000000000\ntotal_active_file 1000000000\n",
            );
        assert_eq!(machine.available().unwrap(), Bytes::mb(3500));
    }

    #[test]
    fn a_container_that_is_told_the_hosts_path_finds_its_own_limit() {
        let machine = Machine::new("4:memory:/kubepods/x\n3:cpuset:/\n0::/\n");
        machine
            .file("mount/memory/memory.limit_in_bytes", "2000000000\n")
            .file("mount/memory/memory.usage_in_bytes", "500000000\n");
        assert_eq!(machine.available().unwrap(), Bytes::mb(1500));
    }

    #[test]
    fn a_machine_that_does_not_say_is_an_error() {
        let machine = Machine::new("");
        machine.file("meminfo", "MemTotal: 5 kB\n");
        assert!(machine.available().unwrap_err().to_string().contains("no MemAvailable"));
    }
}
