//! Our WAV and PNG files, read by a program that nobody here wrote.

use std::path::Path;
use std::process::{Command, Stdio};

use vortex_node::media::{png, wav};
use vortex_node::types::{Pcm, Resolution, RgbImage, SAMPLE_RATE};

use crate::support::skip;

/// What ffmpeg makes of `file`, raw; `None` where there is no ffmpeg.
fn raw(file: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(file).args(arguments).arg("-").stdin(Stdio::null());
    match ffmpeg.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(output.stdout)
        }
        Err(_) => {
            skip("ffmpeg");
            None
        }
    }
}

#[test]
fn others_hear_in_our_sound_files_what_was_put_in() {
    let samples = (0..4800).map(|place| (place as f32 * 0.05).sin()).collect();
    let pcm = Pcm { sample_rate: SAMPLE_RATE, samples };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.wav");
    std::fs::write(&file, wav::encode(&pcm)).unwrap();
    let Some(bytes) = raw(&file, &["-f", "f32le", "-ar", "24000", "-ac", "1"]) else { return };
    let heard: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(heard, wav::quantised(&pcm).samples);
}

#[test]
fn others_see_in_our_pictures_what_was_put_in() {
    let size = Resolution::new(48, 32).unwrap();
    let data: Vec<u8> = (0..size.rgb_bytes().get()).map(|place| (place * place / 7) as u8).collect();
    let image = RgbImage::new(size, data.clone()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.png");
    std::fs::write(&file, png::encode(&image).unwrap()).unwrap();
    let Some(seen) = raw(&file, &["-f", "rawvideo", "-pix_fmt", "rgb24"]) else { return };
    assert_eq!(seen, data);
}
