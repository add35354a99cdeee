//! One process per data folder, and none on a network file system.
//!
//! Owns the lock file. The lock is the system's (`flock`): it goes with the process, however that ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The lock's name in the data folder.
const LOCK: &str = "lock";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("{} is in use by {}; stop it first, or give another data folder", dir.display(), holder(*pid))]
    Busy {
        /// The folder.
        dir: PathBuf,
        /// The other process, where it can be told.
        pid: Option<u32>,
    },
    /// It lies on a network file system.
    #[error("{} lies on a network file system ({kind}): neither locks nor syncs are to be relied on there, and accepted slots could be lost; give a data folder on a local disk, or one of a block device over the network (iSCSI, NBD, a cloud volume)", dir.display())]
    Network {
        /// The folder.
        dir: PathBuf,
        /// The file system's name.
        kind: String,
    },
    /// Something about it failed.
    #[error("{} cannot be {doing}: {source}; the data folder has to be a folder that this user may write", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) if pid == std::process::id() => format!("this process ({pid}) already"),
        Some(pid) => format!("another process ({pid})"),
        None => "another process".to_owned(),
    }
}

/// A data folder that this process alone has, until this is dropped.
#[derive(Debug)]
pub struct DataFolder {
    dir: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Takes the folder, which is made where there is none (for its owner only). Blocks for a moment, never for the lock.
    pub fn lock(dir: &Path) -> Result<Self, FolderError> {
        let failed = |path: &Path, doing| {
            let path = path.to_owned();
            move |source| FolderError::Io { path, doing, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir, "made"))?;
        if let Some(kind) = network_file_system(dir).map_err(failed(dir, "read"))? {
            return Err(FolderError::Network { dir: dir.to_owned(), kind });
        }
        let path = dir.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed(&path, "written"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = (&file).take(16).read_to_string(&mut text);
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(FolderError::Busy { dir: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path, "locked")(error)),
        }
        let mut own = || {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())
        };
        own().map_err(failed(&path, "written"))?;
        Ok(Self { dir: dir.to_owned(), _lock: file })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The name of the network file system that `dir` lies on; none where it is local, or where that cannot be told.
fn network_file_system(dir: &Path) -> io::Result<Option<String>> {
    let magic = rustix::fs::statfs(dir)?.f_type as u64 & 0xffff_ffff;
    if magic == FUSE {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let dir = dir.canonicalize()?;
        return Ok(fuse_kind(&mounts, &dir).filter(|kind| is_remote_fuse(kind)).map(str::to_owned));
    }
    Ok(NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned()))
}

/// Numbers of network file systems, from Linux's `include/uapi/linux/magic.h` and the file systems' own sources.
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0xaad7_aaea, "PanFS"),
    (0x786f_4256, "a folder shared by VirtualBox"),
    (0xbacb_acbc, "a folder shared by VMware"),
];

/// FUSE: local and remote file systems alike.
const FUSE: u64 = 0x6573_5546;

/// What FUSE file systems over the network call themselves, after `fuse.`.
const REMOTE_FUSE: &[&str] = &[
    "sshfs",
    "s3fs",
    "gcsfuse",
    "goofys",
    "glusterfs",
    "ceph",
    "cephfs",
    "davfs",
    "davfs2",
    "curlftpfs",
    "rclone",
    "juicefs",
    "JuiceFS",
    "blobfuse",
    "blobfuse2",
    "mount-s3",
    "mountpoint-s3",
    "geesefs",
    "seaweedfs",
    "moosefs",
    "mfs",
    "lizardfs",
    "smbnetfs",
    "afuse",
    "vmhgfs-fuse",
    "beegfs",
    "cvmfs",
    "cvmfs2",
    "lustre",
    "orangefs",
];

fn is_remote_fuse(kind: &str) -> bool {
    kind.strip_prefix("fuse.").is_some_and(|name| REMOTE_FUSE.contains(&name))
}

/// The type of the file system that is mounted last at or above `dir`, by the lines of `/proc/self/mountinfo`.
fn fuse_kind<'a>(mounts: &'a str, dir: &Path) -> Option<&'a str> {
    let mounted = |line: &'a str| {
        // ID, parent, device, root, mount point, options, …, `-`, type, source, options.
        let (before, after) = line.split_once(" - ")?;
        let point = unescape(before.split(' ').nth(4)?);
        Some((point, after.split(' ').next()?))
    };
    mounts
        .lines()
        .filter_map(mounted)
        .filter(|(point, _)| dir.starts_with(point))
        // Of two at the same place the later one is on top.
        .max_by_key(|(point, _)| point.as_os_str().len())
        .map(|(_, kind)| kind)
}

/// Spaces and the like are written as `\040` there.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_the_other_is_named() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        let first = DataFolder::lock(&dir).unwrap();
        let own = std::process::id();
        match DataFolder::lock(&dir) {
            Err(FolderError::Busy { pid, .. }) => assert_eq!(pid, Some(own)),
            other => panic!("{other:?}"),
        }
        drop(first);
        let again = DataFolder::lock(&dir).unwrap();
        assert_eq!(again.dir(), dir);
        drop(again);
        // What stands in the file is not what locks.
        std::fs::write(dir.join(LOCK), "not a number").unwrap();
        DataFolder::lock(&dir).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_told() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        std::fs::write(&path, "").unwrap();
        let error = DataFolder::lock(&path).unwrap_err().to_string();
        assert!(error.contains("file cannot be made"), "{error}");
    }

    #[test]
    fn the_mount_on_top_counts() {
        let mounts = "21 1 8:1 / / rw - ext4 /dev/a rw\n\
                      30 21 0:5 / /srv rw shared:1 - fuse.sshfs host:/ rw\n\
                      31 30 0:6 / /srv/my\\040disk rw - fuse.fuse-overlayfs overlay rw\n\
                      32 21 0:7 / /twice rw - fuse.ntfs-3g /dev/b rw\n\
                      33 32 0:8 / /twice rw - fuse.rclone remote: rw\n";
        let kind = |dir: &str| fuse_kind(mounts, Path::new(dir));
        assert_eq!(kind("/home"), Some("ext4"));
        assert_eq!(kind("/srv/data"), Some("fuse.sshfs"));
        assert_eq!(kind("/srvdata"), Some("ext4"));
        assert_eq!(kind("/srv/my disk/data"), Some("fuse.fuse-overlayfs"));
        assert_eq!(kind("/twice/x"), Some("fuse.rclone"));
        assert!(is_remote_fuse("fuse.sshfs") && is_remote_fuse("fuse.rclone"));
        assert!(!is_remote_fuse("fuse.fuse-overlayfs") && !is_remote_fuse("fuseblk"));
        assert_eq!(fuse_kind("nonsense\n - x", Path::new("/")), None);
    }

    #[test]
    fn numbers_of_network_file_systems_are_known_and_local_ones_are_not_among_them() {
        // ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS.
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1] {
            assert!(NETWORK.iter().all(|(number, _)| *number != local), "{local:x}");
        }
        let root = tempfile::tempdir().unwrap();
        assert_eq!(network_file_system(root.path()).unwrap(), None);
    }
}
