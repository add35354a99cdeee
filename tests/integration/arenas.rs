//! How many arenas glibc makes for a node, seen from outside.

use crate::support::served::{Place, scenario};

/// Arenas beside the first one that the process `pid` has: each begins on a multiple of 64 MiB, which glibc reserves for it
/// and makes accessible as it grows.
fn arenas(pid: u32) -> usize {
    const RESERVED: u64 = 64 << 20;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let begins_one = |line: &&str| {
        let mut words = line.split_whitespace();
        let start = words.next().and_then(|range| range.split('-').next()).unwrap();
        let (rights, file) = (words.next(), words.nth(3));
        rights == Some("rw-p")
            && file.is_none()
            && u64::from_str_radix(start, 16).unwrap().is_multiple_of(RESERVED)
    };
    maps.lines().filter(begins_one).count()
}

#[tokio::test]
async fn a_node_has_as_many_arenas_as_cores_unless_told_otherwise() {
    if cfg!(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))) {
        return;
    }
    let cores = std::thread::available_parallelism().unwrap().get().max(2);
    let place = Place::new(&scenario("1ms", ""));
    let count = async |variables: &[(&str, &str)]| {
        let served = place.serve_where(variables);
        served.ready().await;
        let found = arenas(served.pid());
        assert_eq!(served.stop().0, Some(0));
        found
    };
    let limited = count(&[]).await;
    assert!(limited < cores, "{limited} arenas beside the first one, {cores} cores");
    // A node has some dozen threads, and each that finds no arena of its own would make one.
    let told = (cores + 4).to_string();
    let free = count(&[("MALLOC_ARENA_MAX", told.as_str())]).await;
    assert!(
        cores > 4 || free > limited,
        "{free} arenas where {told} are allowed, {limited} where the program chooses"
    );
}
