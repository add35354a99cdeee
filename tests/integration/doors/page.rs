//! The page of a real service on the demo weights, in a real browser: `tests/page/run.py` does what a person would.

use std::path::PathBuf;
use std::process::Command;

use crate::support::served::Place;
use crate::support::skip;

/// Milliseconds until the first paint on a machine that runs other tests beside; `run.py` by hand asks for 300.
const PAINT: &str = "3000";
/// Seconds for a slot of two seconds, by code that is not optimised.
const SLOT: &str = "400";
/// What the script ends with where something that it needs is missing.
const MISSING: i32 = 2;

#[tokio::test]
async fn the_page_can_be_used_seen_and_heard_in_a_real_browser() {
    let python = std::env::var_os("VORTEX_PAGE_PYTHON").filter(|path| !path.is_empty());
    let python = python.unwrap_or_else(|| "python3".into());
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/page/run.py");
    let asked = Command::new(&python).arg(&script).arg("--help").output();
    if !asked.is_ok_and(|output| output.status.success()) {
        return skip("python3 with playwright");
    }
    let place = Place::demo();
    let mut settings =
        ["audio", "image", "video", "verify"].map(|stage| format!("stages.{stage}.timeout=10min")).to_vec();
    settings.push(format!("store.url=file://{}", place.data().with_file_name("store").display()));
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let service = place.serve_with(&arguments);
    service.ready().await;
    let login = place.told(&["token", "login"]);
    let login = login.lines().find(|line| line.contains("http://")).unwrap().trim().to_owned();
    // Screenshots are for people: name a folder to have them.
    let kept = std::env::var_os("VORTEX_PAGE_SCREENSHOTS").map(PathBuf::from);
    let out = kept.unwrap_or_else(|| place.data().with_file_name("seen"));
    let mut command = Command::new(python);
    command.arg(script).arg(format!("{}/", service.url)).arg(out);
    command.args(["--login", &login, "--store", "--timeout", SLOT, "--paint", PAINT]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(MISSING) {
        return skip(said.trim());
    }
    println!("{said}");
    assert!(output.status.success(), "{said}");
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
}
