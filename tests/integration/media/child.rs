//! What only a process of its own can show: the peak of its memory, and writing where no room is left.

use std::path::Path;
use std::process::Command;

use super::{filmed, spec};

const TASK: &str = "VORTEX_TEST_CHILD";

/// Runs [`film`] in a process of its own, under the shell's `limits`; what it printed.
fn in_a_child(limits: &str, path: &Path, seconds: u32) -> String {
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("{limits} exec \"$0\" \"$@\"")])
        .arg(binary)
        .args(["--exact", "media::child::film", "--ignored", "--nocapture"])
        .env(TASK, format!("{seconds} {}", path.display()))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

fn value<'a>(printed: &'a str, key: &str) -> Option<&'a str> {
    printed.lines().find_map(|line| line.strip_prefix(key))
}

#[test]
#[ignore = "the other tests of this file run it in a process of its own"]
fn film() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (seconds, path) = task.split_once(' ').unwrap();
    let seconds: u32 = seconds.parse().unwrap();
    match filmed(Path::new(path), &spec("320x320", 25, 25 * seconds, seconds.into())) {
        Ok(made) => println!("\nmade {}", made.bytes),
        Err(error) => println!("\nfailed {error}"),
    }
    println!("\n{}", std::fs::read_to_string("/proc/self/status").unwrap());
}

#[test]
fn a_long_video_needs_no_more_memory_than_a_short_one() {
    let folder = tempfile::tempdir().unwrap();
    let peak = |seconds| {
        let printed = in_a_child("", &folder.path().join("a.mp4"), seconds);
        assert!(value(&printed, "made ").is_some(), "{printed}");
        let peak = value(&printed, "VmHWM:").unwrap().trim().trim_end_matches(" kB");
        peak.parse::<f64>().unwrap() / 1024.0
    };
    let (short, long) = (peak(5), peak(45));
    eprintln!("peak of 5 s: {short:.1} MiB, of 45 s: {long:.1} MiB");
    assert!(long - short < 20.0, "5 s took {short:.1} MiB, 45 s {long:.1} MiB");
}

/// `ulimit -f` stops files from growing as a full disk does, but needs no disk and no rights.
#[test]
fn a_full_disk_leaves_nothing_under_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    let printed = in_a_child("trap '' XFSZ; ulimit -f 40;", &path, 5);
    let failed = value(&printed, "failed ").unwrap_or_else(|| panic!("{printed}"));
    assert!(failed.starts_with(&format!("writing {}: ", path.display())), "{failed}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
