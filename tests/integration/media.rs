//! Videos as others see them: FFmpeg reads back what was pushed, and a browser plays it to the end.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use vortex_node::contract::{FrameSink, RgbFrame};
use vortex_node::media::{VideoEnd, VideoError, VideoFile, VideoSink, VideoSpec, video};
use vortex_node::types::{Pcm, Resolution, SAMPLE_RATE};

use crate::support::skip;

mod browser;
mod child;
mod declared;

/// A spec with a sound of `seconds`, whatever the video's own length.
fn spec(size: &str, fps: u32, frames: u32, seconds: f64) -> VideoSpec {
    VideoSpec { resolution: size.parse().unwrap(), fps, frames, sound: Arc::new(hum(seconds)) }
}

/// A tone that rises, with a rustle; and beyond full scale where it is loudest.
fn hum(seconds: f64) -> Pcm {
    let count = (seconds * f64::from(SAMPLE_RATE)) as u64;
    let samples = (0..count).map(|at| {
        let time = at as f64 / f64::from(SAMPLE_RATE);
        let tone = (time * (600.0 + 150.0 * time)).sin() * (0.6 + 0.5 * (3.0 * time).sin());
        (tone + 0.02 * f64::from(scatter(at)) / 255.0) as f32
    });
    Pcm { sample_rate: SAMPLE_RATE, samples: samples.collect() }
}

fn scatter(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
}

/// A shaded face-coloured oval that nods and turns before a gradient, with a little grain as cameras have.
fn portrait(resolution: Resolution, index: u32) -> Vec<u8> {
    let (width, height) = (resolution.width.get(), resolution.height.get());
    let time = f64::from(index) / 25.0;
    let (middle, top) = (0.5 + 0.05 * (2.0 * time).sin(), 0.48 + 0.03 * (3.0 * time).cos());
    let mut data = Vec::with_capacity((3 * width * height) as usize);
    for row in 0..height {
        for column in 0..width {
            let (x, y) = (f64::from(column) / f64::from(width), f64::from(row) / f64::from(height));
            let (dx, dy) = ((x - middle) / 0.25, (y - top) / 0.35);
            let inside = (1.0 - (dx * dx + dy * dy)) * 8.0;
            let skin = 1.0 / (1.0 + (-inside).exp());
            let light = 1.0 - 0.35 * (dx + 0.4 * dy).clamp(-1.5, 1.5) / 1.5;
            let grain = f64::from(scatter(u64::from(row) << 20 | u64::from(column))) / 255.0 * 4.0 - 2.0;
            for (face, wall) in
                [(214.0, 40.0 + 60.0 * x), (164.0, 70.0 + 50.0 * y), (140.0, 110.0 - 30.0 * x)]
            {
                data.push((skin * face * light + (1.0 - skin) * wall + grain).clamp(0.0, 255.0) as u8);
            }
        }
    }
    data
}

fn push(sink: &mut VideoSink, resolution: Resolution, index: u32) -> Result<(), String> {
    let data = portrait(resolution, index);
    sink.push(RgbFrame { index, resolution, data: &data }).map_err(|closed| closed.reason)
}

fn filmed(path: &Path, spec: &VideoSpec) -> Result<VideoFile, VideoError> {
    let (mut sink, end): (VideoSink, VideoEnd) = video(path.to_owned(), spec.clone());
    for index in 0..spec.frames {
        if push(&mut sink, spec.resolution, index).is_err() {
            break;
        }
    }
    drop(sink);
    end.wait()
}

/// What a tool printed, or nothing where it is missing.
fn run(tool: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let Ok(Output { status, stdout, stderr }) = Command::new(tool).args(arguments).output() else {
        skip(tool);
        return None;
    };
    assert!(status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&stderr));
    assert!(stderr.is_empty(), "{tool} complains: {}", String::from_utf8_lossy(&stderr));
    Some(stdout)
}

fn probe(path: &Path) -> Option<serde_json::Value> {
    let path = path.to_str().unwrap();
    let arguments = ["-v", "warning", "-count_frames", "-show_streams", "-show_format", "-of", "json", path];
    run("ffprobe", &arguments).map(|text| serde_json::from_slice(&text).unwrap())
}

fn number(value: &serde_json::Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).parse().unwrap()
}

/// The names of the boxes at the top of an MP4 file, in order.
fn boxes(file: &[u8]) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), file);
    while let Some((head, _)) = rest.split_first_chunk::<8>() {
        let short = u64::from(u32::from_be_bytes(head[..4].try_into().unwrap()));
        let size = if short == 1 { u64::from_be_bytes(rest[8..16].try_into().unwrap()) } else { short };
        names.push(String::from_utf8_lossy(&head[4..]).into_owned());
        rest = &rest[size as usize..];
    }
    assert!(rest.is_empty(), "{} bytes stand outside of any box", rest.len());
    names
}

#[test]
fn others_see_the_length_the_rate_and_both_streams() {
    let folder = tempfile::tempdir().unwrap();
    // The sound too short, too long and exact; lengths that are no whole number of samples or of sound frames.
    for (size, fps, frames, seconds) in [
        ("64x64", 25, 50, 1.1),
        ("512x288", 30, 31, 9.0),
        ("80x208", 24, 1, 0.0),
        ("18x34", 7, 10, 2.0),
        ("16x16", 60, 125, 2.0),
        ("64x48", 1, 3, 3.0),
        ("2048x2048", 5, 2, 1.0),
    ] {
        let path = folder.path().join(format!("{size}.mp4"));
        let spec = spec(size, fps, frames, seconds);
        let made = filmed(&path, &spec).unwrap();
        let file = std::fs::read(&path).unwrap();
        assert_eq!(made.bytes.get(), file.len() as u64);
        assert_eq!(boxes(&file), ["ftyp", "moov", "free", "mdat"], "the index stands in front");

        let Some(probe) = probe(&path) else { return };
        let [picture, sound] = &probe["streams"].as_array().unwrap()[..] else { panic!("{probe}") };
        assert_eq!((&picture["codec_name"], &sound["codec_name"]), (&"h264".into(), &"flac".into()));
        assert_eq!(picture["nb_read_frames"], frames.to_string());
        assert_eq!(picture["r_frame_rate"], format!("{fps}/1"));
        assert_eq!(picture["avg_frame_rate"], format!("{fps}/1"));
        let resolution = spec.resolution;
        assert_eq!(picture["width"], resolution.width.get());
        assert_eq!(picture["height"], resolution.height.get());
        for (key, value) in [("pix_fmt", "yuv420p"), ("color_range", "tv"), ("color_space", "bt709")] {
            assert_eq!(picture[key], value);
        }
        assert_eq!((picture["has_b_frames"].as_i64(), sound["channels"].as_i64()), (Some(0), Some(1)));
        assert_eq!(sound["sample_rate"], SAMPLE_RATE.to_string());

        let exact = f64::from(frames) / f64::from(fps);
        let sample = 1.0 / f64::from(SAMPLE_RATE);
        assert!((number(&picture["duration"]) - exact).abs() < 1e-5, "{picture}");
        assert!((number(&sound["duration"]) - exact).abs() <= sample, "{sound}");
        assert!((number(&probe["format"]["duration"]) - exact).abs() < 2e-3, "{}", probe["format"]);
        for told in [made.duration, made.sound] {
            assert!((told.as_secs_f64() - exact).abs() <= sample, "{told:?}");
        }
        assert!(probe["format"]["tags"].get("creation_time").is_none(), "{}", probe["format"]);
    }
}

#[test]
fn the_picture_comes_back_as_it_was_pushed() {
    let folder = tempfile::tempdir().unwrap();
    for size in ["256x256", "162x90"] {
        let path = folder.path().join(size);
        let spec = spec(size, 25, 60, 2.4);
        let made = filmed(&path, &spec).unwrap();
        let name = path.to_str().unwrap();
        let flags = "accurate_rnd+full_chroma_int+full_chroma_inp";
        let arguments =
            ["-v", "warning", "-i", name, "-sws_flags", flags, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
        let Some(decoded) = run("ffmpeg", &arguments) else { return };
        let frames: Vec<&[u8]> = decoded.chunks(spec.resolution.rgb_bytes().get() as usize).collect();
        assert_eq!(frames.len(), 60);
        let mut worst = f64::INFINITY;
        for (index, decoded) in frames.into_iter().enumerate() {
            let pushed = portrait(spec.resolution, index as u32);
            let squares = pushed.iter().zip(decoded).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
            let error = squares.sum::<f64>() / pushed.len() as f64;
            worst = worst.min(10.0 * (255.0f64.powi(2) / error).log10());
        }
        eprintln!("{size}: {worst:.1} dB at worst, {}", made.bytes);
        assert!(worst > 35.0, "{size}: {worst:.1} dB");
    }
}

#[test]
fn the_sound_comes_back_to_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    // 36 frames at 24 a second are 1.5 s: the sound is cut once and filled up once.
    for seconds in [1.0, 1.5, 4.0] {
        let spec = spec("32x32", 24, 36, seconds);
        filmed(&path, &spec).unwrap();
        let name = path.to_str().unwrap();
        let Some(decoded) = run("ffmpeg", &["-v", "warning", "-i", name, "-f", "s16le", "-"]) else { return };
        let decoded: Vec<i16> = decoded.chunks(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
        let mut pushed: Vec<i16> = spec.sound.samples.iter().map(|s| (s * 32_768.0).round() as i16).collect();
        pushed.resize(36_000, 0);
        assert!(decoded == pushed, "{seconds} s of sound");
    }
}

#[test]
fn the_same_frames_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec("128x96", 30, 75, 2.0);
    let bytes = ["one", "two"].map(|name| {
        let path = folder.path().join(name);
        filmed(&path, &spec).unwrap();
        std::fs::read(path).unwrap()
    });
    assert!(bytes[0] == bytes[1]);
}

#[test]
fn a_sink_dropped_half_way_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    std::fs::write(&path, "the one before").unwrap();
    for received in [0, 1, 20] {
        let spec = spec("64x64", 25, 40, 1.0);
        let (mut sink, end) = video(path.clone(), spec.clone());
        (0..received).for_each(|index| push(&mut sink, spec.resolution, index).unwrap());
        drop(sink);
        let error = end.wait().unwrap_err();
        assert_eq!(error, VideoError::Incomplete { received, expected: 40 });
        assert!(error.to_string().contains(&format!("{received} of 40 frames")), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), b"the one before");
    }
}

#[test]
fn what_cannot_be_filmed_is_refused_at_the_first_frame() {
    let folder = tempfile::tempdir().unwrap();
    for (size, fps, frames, told) in [
        ("63x64", 25, 9, "63x64; both sides must be even and at least 16"),
        ("64x14", 25, 9, "at least 16"),
        ("4096x64", 25, 9, "the longer at most 3840"),
        ("2162x2162", 25, 9, "the shorter at most 2160"),
        ("64x64", 0, 9, "0 frames a second; 1 to 60"),
        ("64x64", 61, 9, "61 frames a second; 1 to 60"),
        ("64x64", 25, 0, "no frames; it needs one"),
    ] {
        let spec = spec(size, fps, frames, 1.0);
        let (mut sink, end) = video(folder.path().join("a.mp4"), spec.clone());
        let reason = push(&mut sink, spec.resolution, 0).unwrap_err();
        assert!(reason.contains(told), "{size} {fps} {frames}: {reason}");
        assert_eq!(end_of(sink, end).unwrap_err().to_string(), reason);
    }
    let mut silent = spec("64x64", 25, 9, 1.0);
    silent.sound = Arc::new(Pcm { sample_rate: 0, samples: Vec::new() });
    let (sink, end) = video(folder.path().join("a.mp4"), silent);
    let error = end_of(sink, end).unwrap_err().to_string();
    assert!(error.contains("0 samples a second; 1 to 65535"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn end_of(sink: VideoSink, end: VideoEnd) -> Result<VideoFile, VideoError> {
    drop(sink);
    end.wait()
}

#[test]
fn a_frame_that_was_not_due_ends_the_video() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec("64x64", 25, 3, 1.0);
    let other = Resolution::new(32, 32).unwrap();
    let wrong = [
        (2, spec.resolution, 64 * 64 * 3, "frame 1 was due, and what came was frame 2"),
        (1, other, 32 * 32 * 3, "one of 32x32 in a video of 64x64"),
        (1, spec.resolution, 64 * 64, "one of 4096 bytes where 64x64 has 12288"),
    ];
    // Often, and with the sink alive to the end: the thread may be anywhere, waiting for the next frame above all.
    for (index, resolution, length, told) in wrong.into_iter().cycle().take(120) {
        let (mut sink, end) = video(folder.path().join("a.mp4"), spec.clone());
        push(&mut sink, spec.resolution, 0).unwrap();
        let data = vec![0; length];
        let closed = sink.push(RgbFrame { index, resolution, data: &data }).unwrap_err();
        assert!(closed.reason.contains(told), "{}", closed.reason);
        assert!(push(&mut sink, spec.resolution, 1).is_err(), "it stays ended");
        assert_eq!(end.wait().unwrap_err().to_string(), closed.reason);
    }
    let (mut sink, end) = video(folder.path().join("a.mp4"), spec.clone());
    (0..3).for_each(|index| push(&mut sink, spec.resolution, index).unwrap());
    assert!(push(&mut sink, spec.resolution, 3).unwrap_err().contains("frame 3 of a video of 3"));
    assert!(end.wait().is_ok(), "one too many spoils nothing");
}

#[test]
fn a_folder_that_is_not_there_is_told_to_both_ends() {
    let path = PathBuf::from("/nowhere/at/all/a.mp4");
    let spec = spec("64x64", 25, 1000, 1.0);
    let (mut sink, end) = video(path, spec.clone());
    let reason = (0..1000).find_map(|index| push(&mut sink, spec.resolution, index).err()).unwrap();
    assert!(reason.starts_with("writing /nowhere/at/all/a.mp4: "), "{reason}");
    assert_eq!(end.wait().unwrap_err().to_string(), reason);
}

#[tokio::test]
async fn the_end_can_be_awaited() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec("64x64", 25, 30, 1.2);
    let (mut sink, end) = video(folder.path().join("a.mp4"), spec.clone());
    let pushing = std::thread::spawn(move || {
        (0..30).for_each(|index| push(&mut sink, spec.resolution, index).unwrap());
    });
    let made = end.closed().await.unwrap();
    pushing.join().unwrap();
    assert!(made.path.exists() && made.encoding > Duration::ZERO);
    assert_eq!((made.frames, made.audio_codec), (30, "fLaC"));
    assert!(made.video_codec.starts_with("avc1.42"), "{}", made.video_codec);
}
