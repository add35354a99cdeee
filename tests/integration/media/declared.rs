//! What a file declares of itself: the level of its picture and the header of its sound, held against what is in it.

use std::path::Path;

use vortex_node::contract::{FrameSink, RgbFrame};
use vortex_node::media::{VideoFile, VideoSpec, video};

use super::{filmed, probe, scatter, spec};

/// What the first box called `name` among `boxes` holds.
fn first<'a>(boxes: &'a [u8], name: &str) -> &'a [u8] {
    children(boxes).into_iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}")).1
}

/// Names and contents of boxes that follow each other.
fn children(mut boxes: &[u8]) -> Vec<(String, &[u8])> {
    let mut found = Vec::new();
    while let Some((head, _)) = boxes.split_first_chunk::<8>() {
        let size = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        let (body, start) = if size == 1 {
            let long = u64::from_be_bytes(boxes[8..16].try_into().unwrap()) as usize;
            (&boxes[..long], 16)
        } else {
            (&boxes[..size], 8)
        };
        found.push((String::from_utf8_lossy(&head[4..]).into_owned(), &body[start..]));
        boxes = &boxes[body.len()..];
    }
    found
}

/// The sample table of the track whose samples are described by an entry called `kind`.
fn table<'a>(file: &'a [u8], kind: &str) -> &'a [u8] {
    let tracks = children(first(file, "moov")).into_iter().filter(|(name, _)| name == "trak");
    let tables = tracks.map(|(_, track)| first(first(first(track, "mdia"), "minf"), "stbl"));
    let mut right = tables.filter(|table| &first(table, "stsd")[12..16] == kind.as_bytes());
    right.next().unwrap_or_else(|| panic!("no track of {kind}"))
}

/// The content of the box `name` in the one sample description of `table`, whose own fields take `fields` bytes.
fn described<'a>(table: &'a [u8], fields: usize, name: &str) -> &'a [u8] {
    first(&first(table, "stsd")[16 + fields..], name)
}

/// The level that every place in the file names: `avcC`, the parameter set in it, what the encoder told, and FFmpeg.
fn level(path: &Path, made: &VideoFile) -> u8 {
    let file = std::fs::read(path).unwrap();
    let configuration = described(table(&file, "avc1"), 78, "avcC");
    let &[1, profile, compatibility, level, 0xff, 0xe1, _, _, 0x67, ref parameters @ ..] = configuration
    else {
        panic!("{configuration:x?}")
    };
    assert_eq!(parameters[..3], [profile, compatibility, level]);
    assert_eq!(made.video_codec, format!("avc1.{profile:02x}{compatibility:02x}{level:02x}"));
    if let Some(probe) = probe(path) {
        let picture = &probe["streams"][0];
        assert_eq!((picture["level"].as_u64(), picture["refs"].as_u64()), (Some(level.into()), Some(1)));
    }
    level
}

#[test]
fn the_level_is_what_size_and_rate_need() {
    let folder = tempfile::tempdir().unwrap();
    for (size, fps, expected) in [
        ("512x512", 24, 30),
        ("512x512", 15, 22),
        ("1280x720", 30, 31),
        ("720x1280", 60, 32),
        ("1920x1072", 30, 40),
        ("1920x1072", 60, 42),
        ("3840x64", 2, 40),
        ("352x288", 30, 13),
    ] {
        let path = folder.path().join(format!("{size}-{fps}.mp4"));
        let made = filmed(&path, &spec(size, fps, 3, 0.1)).unwrap();
        assert_eq!(level(&path, &made), expected, "{size} at {fps}");
    }
}

/// Grains as large as a pixel, new in every frame: nothing that an encoder could leave out.
fn snowed(path: &Path, spec: &VideoSpec) -> VideoFile {
    let (mut sink, end) = video(path.to_owned(), spec.clone());
    let bytes = spec.resolution.rgb_bytes().get();
    for index in 0..spec.frames {
        let data: Vec<u8> = (0..bytes).map(|at| scatter(u64::from(index) * bytes + at)).collect();
        sink.push(RgbFrame { index, resolution: spec.resolution, data: &data }).unwrap();
    }
    drop(sink);
    end.wait().unwrap()
}

#[test]
fn the_level_rises_with_the_bits_that_the_pictures_really_took() {
    let folder = tempfile::tempdir().unwrap();
    let (quiet, loud) = (folder.path().join("quiet.mp4"), folder.path().join("loud.mp4"));
    let spec = spec("160x160", 30, 90, 1.0);
    let few = filmed(&quiet, &spec).unwrap();
    let many = snowed(&loud, &spec);
    let (low, high) = (level(&quiet, &few), level(&loud, &many));
    // 100 macroblocks 30 times a second are level 1.1, whose decoder gets 192 kbit/s.
    assert!((11..=20).contains(&low), "{low}: {} of video", few.bytes);
    // The noise takes megabits.
    assert!((21..=40).contains(&high), "{high}: {} of video", many.bytes);
}

#[test]
fn the_sounds_header_tells_its_smallest_and_its_largest_frame() {
    let folder = tempfile::tempdir().unwrap();
    // A last frame of a few samples, a whole one, and sound that ends before the picture.
    for (fps, frames, seconds) in [(24, 24, 1.0), (25, 1, 1.0), (30, 128, 5.0), (24, 120, 0.5)] {
        let path = folder.path().join("a.mp4");
        filmed(&path, &spec("16x16", fps, frames, seconds)).unwrap();
        let file = std::fs::read(&path).unwrap();
        let sound = table(&file, "fLaC");
        let sizes =
            first(sound, "stsz")[12..].as_chunks::<4>().0.iter().map(|size| u32::from_be_bytes(*size));
        let header = described(sound, 28, "dfLa");
        // Version and flags, then STREAMINFO (0) as the last block of metadata (0x80), 34 bytes long.
        assert_eq!(header[..8], [0, 0, 0, 0, 0x80, 0, 0, 34]);
        let info = &header[8..];
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        assert_eq!([number(&info[..2]), number(&info[2..4])], [4096, 4096]);
        assert_eq!(number(&info[4..7]), sizes.clone().min().unwrap(), "the smallest frame");
        assert_eq!(number(&info[7..10]), sizes.max().unwrap(), "the largest frame");
    }
}
