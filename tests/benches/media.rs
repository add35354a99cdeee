//! What a video costs. Targets: encoding ≥ 150 frames/s at 512×512 on one core with an assembler, of which conversion
//! takes 0.3 ms a frame at most.
//!
//! `nasm` on the path while `openh264-sys2` is built gives the assembler, `OPENH264_NO_ASM=1` leaves it out; after a
//! change of either, `cargo clean -p openh264-sys2`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use vortex_node::contract::{FrameSink, RgbFrame};
use vortex_node::media::{VideoSpec, Yuv, video};
use vortex_node::types::{Pcm, Resolution, SAMPLE_RATE};

const FRAMES: u32 = 250;
const FPS: u32 = 25;

fn main() {
    divan::main();
}

/// A shaded oval that moves before a gradient, with the grain of a camera: about what a portrait costs.
fn portrait(resolution: Resolution, index: u32) -> Vec<u8> {
    let (width, height) = (resolution.width.get(), resolution.height.get());
    let time = f32::from(index as u16) / FPS as f32;
    let (middle, top) = (0.5 + 0.05 * (2.0 * time).sin(), 0.48 + 0.03 * (3.0 * time).cos());
    let mut data = Vec::with_capacity((3 * width * height) as usize);
    for at in 0..width * height {
        let (x, y) = ((at % width) as f32 / width as f32, (at / width) as f32 / height as f32);
        let (dx, dy) = ((x - middle) / 0.25, (y - top) / 0.35);
        let skin = 1.0 / (1.0 + (-8.0 * (1.0 - (dx * dx + dy * dy))).exp());
        let light = 1.0 - 0.35 * (dx + 0.4 * dy).clamp(-1.5, 1.5) / 1.5;
        let scattered = (u64::from(at) << 8 | u64::from(index)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        let grain = scattered as f32 / 255.0 * 4.0 - 2.0;
        for (face, wall) in [(214.0, 40.0 + 60.0 * x), (164.0, 70.0 + 50.0 * y), (140.0, 110.0 - 30.0 * x)] {
            data.push((skin * face * light + (1.0 - skin) * wall + grain) as u8);
        }
    }
    data
}

/// From the first frame pushed to the file's end; items are frames.
#[divan::bench(args = ["256x256", "512x512", "1024x1024"], sample_count = 5)]
fn encode(bencher: Bencher<'_, '_>, size: &str) {
    let resolution: Resolution = size.parse().unwrap();
    let count = FRAMES / (resolution.width.get() / 256).max(1);
    let frames: Vec<Vec<u8>> = (0..count).map(|index| portrait(resolution, index)).collect();
    let samples = vec![0.1; (SAMPLE_RATE * count / FPS) as usize];
    let sound = Arc::new(Pcm { sample_rate: SAMPLE_RATE, samples });
    let folder = tempfile::tempdir().unwrap();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let spec = VideoSpec { resolution, fps: FPS, frames: count, sound: Arc::clone(&sound) };
        let (mut sink, end) = video(folder.path().join("a.mp4"), spec);
        for (index, data) in (0..).zip(&frames) {
            sink.push(RgbFrame { index, resolution, data }).unwrap();
        }
        end.wait().unwrap()
    });
}

/// RGB to planes; items are frames.
#[divan::bench(args = ["512x512", "2048x2048"])]
fn convert(bencher: Bencher<'_, '_>, size: &str) {
    let resolution: Resolution = size.parse().unwrap();
    let (frame, mut planes) = (portrait(resolution, 0), Yuv::new(resolution));
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| black_box(&mut planes).convert(black_box(&frame)));
}
