//! `vortex-node render` through the real binary: one recipe in, a folder out, whatever happens on the way.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use serde_json::{Value, json};
use vortex_node::files::{Existing, Readers, write_whole};
use vortex_node::models::bundle::lock::Locked;
use vortex_node::models::bundle::{Bundle, Lock};
use vortex_node::types::{Bytes, ModelId, Sha256};

use crate::support::skip;

mod bench;

use bench::{Bench, hashes};

/// What is the same whenever recipe and bundle are.
const ARTIFACTS: [&str; 4] = ["recipe.json", "audio.wav", "actor.png", "video.mp4"];

fn ffprobe(file: &Path) -> Option<Value> {
    let arguments = ["-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json"];
    let Ok(output) = Command::new("ffprobe").args(arguments).arg(file).output() else {
        skip("ffprobe");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn seconds(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_recipe_becomes_a_video_that_others_can_read_and_a_result_that_verifies() {
    let bench = Bench::new();
    let folder = bench.folder("out");
    let run = bench.render(&bench.recipe(&[]), &folder);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for name in ARTIFACTS.iter().chain(&["result.json", "keyframes"]) {
        assert!(folder.join(name).exists(), "{name}");
    }
    assert_eq!(bench.verify(&folder).code, 0);
    let told = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let encoded: Vec<Value> = told.filter(|event| event["event"] == "video_encoded").collect();
    let size = std::fs::metadata(folder.join("video.mp4")).unwrap().len();
    assert_eq!(encoded.len(), 1, "told once: {}", run.stdout);
    assert_eq!((encoded[0]["frames"].as_u64(), encoded[0]["bytes"].as_u64()), (Some(18), Some(size)));
    let Some(probe) = ffprobe(&folder.join("video.mp4")) else { return };
    let streams = probe["streams"].as_array().unwrap();
    let of = |kind: &str| streams.iter().find(|stream| stream["codec_type"] == kind).unwrap();
    let (video, audio) = (of("video"), of("audio"));
    assert_eq!((video["width"].as_u64(), video["height"].as_u64()), (Some(128), Some(96)));
    assert_eq!(video["avg_frame_rate"], "12/1");
    assert_eq!(video["nb_read_frames"], "18");
    let frame = 1.0 / 12.0;
    for stream in [video, audio] {
        assert!((seconds(&stream["duration"]) - 1.5).abs() <= frame, "{stream}");
    }
}

#[test]
fn a_result_names_the_bundles_lock_and_what_is_not_as_locked_is_not_loaded() {
    let bench = Bench::new();
    let folder = bench.own_bundle();
    let file = Bundle::open(&folder).unwrap().models[&ModelId::Kokoro].files["voices"][0].clone();
    let voice = folder.join(&file.path);
    let mut content = std::fs::read(&voice).unwrap();
    let mut lock = Lock::default();
    lock.put(Locked {
        published: file.path.split_once('/').unwrap().1.to_owned(),
        path: file.path,
        repo: "owner/name".to_owned(),
        revision: None,
        commit: "0".repeat(40).parse().unwrap(),
        bytes: Bytes::new(content.len() as u64),
        sha256: file.sha256.unwrap(),
        git_blob: None,
        converted: None,
    });
    lock.write(&folder.join("bundle.lock.toml")).unwrap();
    // It contradicts a description that names no hub.
    let run = bench.render(&bench.recipe(&[]), &bench.folder("none"));
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("its place is at no hub in the description and voices/"), "{}", run.stderr);
    let mut bundle =
        toml::Table::from_str(&std::fs::read_to_string(folder.join("bundle.toml")).unwrap()).unwrap();
    let hub = toml::Table::from_str(&format!("repo = \"owner/name\"\nrevision = \"{}\"", "0".repeat(40)));
    bundle["models"]["kokoro"].as_table_mut().unwrap().insert("hub".to_owned(), hub.unwrap().into());
    std::fs::write(folder.join("bundle.toml"), bundle.to_string()).unwrap();

    let out = bench.folder("out");
    let run = bench.render(&bench.recipe(&[]), &out);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let result: Value = serde_json::from_slice(&std::fs::read(out.join("result.json")).unwrap()).unwrap();
    let hash = |name: &str| Sha256::of(&std::fs::read(folder.join(name)).unwrap()).to_string();
    assert_eq!(result["bundle"]["sha256"], hash("bundle.toml"));
    assert_eq!(result["bundle"]["lock_sha256"], hash("bundle.lock.toml"));
    assert_eq!(bench.verify(&out).code, 0);

    *content.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&voice).unwrap();
    std::fs::write(&voice, &content).unwrap();
    let run = bench.render(&bench.recipe(&[("/seed", json!(2))]), &bench.folder("changed"));
    assert_eq!(run.code, 2, "{}", run.stderr);
    let both = format!("has sha256 {}, the lock says {}", Sha256::of(&content), file.sha256.unwrap());
    assert!(run.stderr.contains(&both), "{both}\n{}", run.stderr);
}

#[test]
fn a_profile_tells_what_each_thread_did() {
    let bench = Bench::new();
    let (recipe, profile) = (bench.recipe(&[]), bench.folder("profile.json"));
    let flag = |path: &Path| format!("--profile-out={}", path.display());
    let run = bench.render_with(&recipe, &bench.folder("out"), &[&flag(&profile)]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stderr.contains("conv1d"), "spans of a profile are no log lines: {}", run.stderr);
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(&profile).unwrap()).unwrap();
    let named = |name: &str| events.iter().filter(|event| event["name"] == name).collect::<Vec<_>>();
    for name in ["kokoro", "flux", "liveportrait", "clip", "W: warping", "conv3", "conv1d", "linear"] {
        assert!(!named(name).is_empty(), "{name}");
    }
    assert_eq!(named("frame to planes").len(), 18);
    assert_ne!(
        named("liveportrait")[0]["tid"],
        named("frame to planes")[0]["tid"],
        "frames leave for a thread"
    );
    assert!(named("conv1d")[0]["args"]["samples"].is_string(), "{}", named("conv1d")[0]);

    let nowhere = flag(&bench.folder("missing").join("profile.json"));
    let refused = bench.render_with(&recipe, &bench.folder("other"), &[&nowhere]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("profile.json cannot be written"), "{}", refused.stderr);
    assert!(!bench.folder("other").exists(), "nothing is rendered");
}

#[test]
fn the_same_recipe_twice_gives_the_same_bytes() {
    let bench = Bench::new();
    let recipe = bench.recipe(&[]);
    let (first, second) = (bench.folder("first"), bench.folder("second"));
    assert_eq!(bench.render(&recipe, &first).code, 0);
    assert_eq!(bench.render(&recipe, &second).code, 0);
    assert_eq!(hashes(&first), hashes(&second));
    let other = bench.folder("other");
    assert_eq!(bench.render(&bench.recipe(&[("/seed", json!(2))]), &other).code, 0);
    let name = "actor.png".to_owned();
    assert_ne!(hashes(&first)[&name], hashes(&other)[&name], "another seed paints another picture");
}

#[test]
fn a_finished_rendering_is_not_done_again() {
    let bench = Bench::new();
    let (recipe, folder) = (bench.recipe(&[]), bench.folder("out"));
    assert_eq!(bench.render(&recipe, &folder).code, 0);
    let result = std::fs::read(folder.join("result.json")).unwrap();
    let again = bench.render(&recipe, &folder);
    assert_eq!((again.code, again.began()), (0, BTreeSet::new()), "{}", again.stderr);
    assert_eq!(std::fs::read(folder.join("result.json")).unwrap(), result);
}

/// Stops the command in `stage` by `signal`, runs it again, and compares with an undisturbed rendering.
fn stopped_and_resumed(signal: &str) {
    let bench = Bench::new();
    let recipe = bench.recipe(&[]);
    let whole = bench.folder("whole");
    assert_eq!(bench.render(&recipe, &whole).code, 0);
    for stage in ["audio", "image", "video", "verify", "package"] {
        let folder = bench.folder(stage);
        let stopped = bench.render_until(&recipe, &folder, stage, signal);
        if signal == "INT" {
            // A signal that comes after the last stage's end changes nothing any more.
            assert!([0, 130].contains(&stopped.code), "{stage}: {} {}", stopped.code, stopped.stderr);
        }
        let kept = bench::kept(&folder);
        let resumed = bench.render(&recipe, &folder);
        assert_eq!(resumed.code, 0, "{stage}: {}", resumed.stderr);
        let twice: Vec<&String> = resumed.began_list.iter().filter(|began| kept.contains(*began)).collect();
        assert!(twice.is_empty(), "{stage}: {twice:?} done twice, {kept:?} had been finished");
        assert_eq!(hashes(&whole), hashes(&folder), "{stage}");
        assert_eq!(bench.verify(&folder).code, 0, "{stage}");
        assert!(!folder.join("journal/partial").exists() || bench::is_empty(&folder.join("journal/partial")));
    }
}

#[test]
fn an_interrupt_in_any_stage_keeps_what_is_finished() {
    stopped_and_resumed("INT");
}

#[test]
fn a_kill_in_any_stage_keeps_what_is_finished() {
    stopped_and_resumed("KILL");
}

#[test]
fn sound_and_picture_are_made_side_by_side() {
    let bench = Bench::new();
    let folder = bench.folder("out");
    let run = bench.render_with(&bench.recipe(&[]), &folder, &["--log", "vortex_node::actors=debug"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let [speech, painting] = ["kokoro", "flux"].map(|model| run.span_of(model));
    assert!(
        speech.0 < painting.1 && painting.0 < speech.1,
        "the runs' spans do not overlap: {speech:?} and {painting:?}"
    );
}

#[test]
fn a_video_that_is_not_what_was_asked_for_is_kept_and_failed_with_reasons() {
    let bench = Bench::new();
    let folder = bench.folder("out");
    // Random networks agree on nothing so well.
    let recipe = bench.recipe(&[("/semantic_constraints/min_clip_score", json!(1.0))]);
    let run = bench.render(&recipe, &folder);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let result: Value = serde_json::from_slice(&std::fs::read(folder.join("result.json")).unwrap()).unwrap();
    assert!(result.to_string().contains("min_clip_score"), "{result}");
    assert!(folder.join("video.mp4").exists() && folder.join("keyframes").exists());
    assert_eq!(bench.verify(&folder).code, 0, "a failed slot's result is as true as any");
    let again = bench.render(&recipe, &folder);
    assert_eq!((again.code, again.began()), (1, BTreeSet::new()), "the same video would fail again");
}

#[test]
fn malformed_recipes_are_refused_with_place_value_and_what_is_accepted() {
    let bench = Bench::new();
    let cases: [(&str, Value, &[&str]); 12] = [
        ("/slot_params/duration_sec", json!(46), &["slot_params.duration_sec", "46", "45"]),
        ("/slot_params/duration_sec", json!(0), &["slot_params.duration_sec", "0"]),
        ("/slot_params/fps", json!(61), &["slot_params.fps", "61", "60"]),
        ("/slot_params/resolution", json!("511x512"), &["slot_params.resolution", "511x512"]),
        ("/audio_track/emotion", json!("hungry"), &["audio_track.emotion", "hungry", "calm"]),
        ("/audio_track/voice_id", json!("a b"), &["a b", "af_sarah"]),
        ("/audio_track/script", json!("\u{1f60a}"), &["audio_track.script", "can be spoken"]),
        ("/audio_track/voice_id", json!("AF_SARAH"), &["AF_SARAH", "did you mean \"af_sarah\"?"]),
        ("/audio_track/voice_id", json!("bf_lily"), &["bf_lily", "am_adam", "stand_ins"]),
        ("/audio_track/voice_id", json!("af_sarah+bf_lily"), &["no voice \"bf_lily\""]),
        ("/visual_track/camera_motion", json!("dolly"), &["visual_track.camera_motion", "dolly", "pan_left"]),
        ("/version", json!("1.0.0"), &["version", "1.0.0", "2.0.0"]),
    ];
    for (path, value, parts) in cases {
        let folder = bench.folder("refused");
        let run = bench.render(&bench.recipe(&[(path, value)]), &folder);
        assert_eq!(run.code, 2, "{path}: {}", run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{path}: {part:?} is missing in: {}", run.stderr);
        }
        assert!(!folder.exists(), "{path}: nothing was started");
    }
    let run = bench.render(Path::new("no-such-recipe.json"), &bench.folder("refused"));
    assert!(run.code == 2 && run.stderr.contains("no-such-recipe.json"), "{}", run.stderr);
}

#[test]
fn folders_of_others_are_left_alone() {
    let bench = Bench::new();
    let folder = bench.folder("photos");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("holiday.png"), b"mine").unwrap();
    let run = bench.render(&bench.recipe(&[]), &folder);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("photos"), "{}", run.stderr);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn an_edited_recipe_replaces_what_its_folder_held() {
    let bench = Bench::new();
    let folder = bench.folder("out");
    assert_eq!(bench.render(&bench.recipe(&[]), &folder).code, 0);
    let before = hashes(&folder);
    let run = bench.render(&bench.recipe(&[("/audio_track/script", json!("No."))]), &folder);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_ne!(before["audio.wav"], hashes(&folder)["audio.wav"]);
    assert!(run.stdout.contains("replaced"), "{}", run.stdout);
    assert_eq!(bench.verify(&folder).code, 0);
}

#[test]
fn a_deadline_that_cannot_be_kept_is_refused_at_once() {
    let bench = Bench::new();
    let folder = bench.folder("out");
    let run = bench.render(&bench.recipe(&[("/deadline", json!(1))]), &folder);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("deadline: 1 has passed"), "{}", run.stderr);
    assert_eq!((run.began(), run.stdout.as_str()), (BTreeSet::new(), ""), "nothing is loaded");
    assert!(!folder.exists(), "nothing was started");
}

#[test]
fn a_damaged_artifact_is_made_again_and_nothing_else() {
    let bench = Bench::new();
    let (recipe, folder) = (bench.recipe(&[]), bench.folder("out"));
    // Everything before the package is on the disk when it begins; whether its end is makes no difference.
    bench.render_until(&recipe, &folder, "package", "KILL");
    let picture = folder.join("actor.png");
    let mut bytes = std::fs::read(&picture).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    write_whole(&picture, Existing::Replace, Readers::Umask, |file| std::io::Write::write_all(file, &bytes))
        .unwrap();
    let run = bench.render(&recipe, &folder);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.began().contains("image") && !run.began().contains("audio"), "{:?}", run.began());
    assert_eq!(bench.verify(&folder).code, 0);
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_slot() {
    let bench = Bench::new();
    for (name, reader_of) in [("events", "stdout"), ("progress", "stderr")] {
        let folder = bench.folder(name);
        let run = bench.render_and_leave(&bench.recipe(&[]), &folder, reader_of);
        assert_eq!(run.code, 0, "{name}: {}", run.stderr);
        assert_eq!(bench.verify(&folder).code, 0, "{name}: the result is whole");
        if reader_of == "stdout" {
            let told = run.stderr.matches("nobody reads standard output any more").count();
            assert_eq!(told, 1, "{}", run.stderr);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_fails_the_command_and_not_the_slot() {
    let bench = Bench::new();
    let folder = bench.folder("out");
    let run = bench.render_into(&bench.recipe(&[]), &folder, Path::new("/dev/full"));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("standard output cannot be written"), "{}", run.stderr);
    assert!(run.stderr.contains("the answer could not be written"), "{}", run.stderr);
    assert_eq!(bench.verify(&folder).code, 0);
}

/// A small file system in memory; unmounted with the test.
#[cfg(target_os = "linux")]
struct Mounted(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_finds_no_inode_is_told_with_its_cause_and_written_by_the_next_run() {
    let bench = Bench::new();
    let place = bench.folder("small");
    std::fs::create_dir(&place).unwrap();
    let mount = |options: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&place).stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    };
    if !mount("nr_inodes=12") {
        eprintln!("SKIPPED: mounting a small file system needs root");
        return;
    }
    let mounted = Mounted(place.clone());
    let (recipe, folder) = (bench.recipe(&[]), place.join("out"));
    let run = bench.render(&recipe, &folder);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let told = run.stderr.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or_default();
    for part in ["out of inodes", "the same command takes them up again"] {
        assert!(told.contains(part), "{}", run.stderr);
    }
    assert!(!folder.join("result.json").exists());
    assert!(mount("remount,nr_inodes=100"));
    let run = bench.render(&recipe, &folder);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.began().contains("audio"), "what was finished is kept: {:?}", run.began());
    assert_eq!(bench.verify(&folder).code, 0);
    drop(mounted);
}
