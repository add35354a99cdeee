use std::process::Command;

use super::*;

/// A tone with silence behind it.
fn pcm(samples: usize) -> Arc<Pcm> {
    Arc::new(Pcm { sample_rate: 24_000, samples: (0..samples).map(|at| (at as f32).sin()).collect() })
}

/// Every frame of a sound, the number of its samples, and the STREAMINFO of the whole.
fn encoded(pcm: &Arc<Pcm>, samples: usize) -> (Vec<(Vec<u8>, usize)>, Vec<u8>) {
    let mut sound = Sound::new(Arc::clone(pcm), samples).unwrap();
    let mut frames = Vec::new();
    while let Some((frame, length)) = sound.next().unwrap() {
        frames.push((frame.to_vec(), length as usize));
    }
    assert_eq!(sound.done(), samples);
    (frames, stream_info(&sound))
}

fn stream_info(sound: &Sound) -> Vec<u8> {
    let SampleEntry::Flac(entry) = sound.description().unwrap() else { panic!("no FLAC") };
    let [block] = &entry.dfla_box.metadata_blocks[..] else { panic!("STREAMINFO and nothing else") };
    assert_eq!(block.block_data.len(), 34);
    block.block_data.clone()
}

/// The first fields of STREAMINFO (RFC 9639, 8.2): block sizes in samples, frame sizes in bytes.
fn sizes(info: &[u8]) -> [u32; 4] {
    let two = |at: usize| u32::from_be_bytes([0, 0, info[at], info[at + 1]]);
    let three = |at: usize| u32::from_be_bytes([0, info[at], info[at + 1], info[at + 2]]);
    [two(0), two(2), three(4), three(7)]
}

/// Every length of a last frame that FLAC treats apart, and none at all.
const LENGTHS: [usize; 13] = [0, 1, 15, 16, 31, 33, 63, 65, BLOCK - 1, BLOCK, BLOCK + 1, 9000, 20_000];

/// FFmpeg reads them back in the integration tests.
#[test]
fn frames_of_any_length_follow_each_other_without_a_gap() {
    let pcm = pcm(9000);
    for samples in LENGTHS {
        let (frames, _) = encoded(&pcm, samples);
        // The sync code of a stream whose frames are all of one length but the last (RFC 9639, 9.1).
        assert!(frames.iter().all(|(frame, _)| frame[..2] == [0xff, 0xf8]));
        let lengths: Vec<usize> = frames.iter().map(|(_, length)| *length).collect();
        assert_eq!(lengths.iter().sum::<usize>(), samples);
        assert!(lengths.iter().rev().skip(1).all(|length| *length == BLOCK), "{lengths:?}");
    }
}

#[test]
fn the_header_has_the_sizes_of_the_smallest_and_the_largest_frame() {
    let pcm = pcm(9000);
    for samples in LENGTHS {
        let (frames, info) = encoded(&pcm, samples);
        let bytes = frames.iter().map(|(frame, _)| frame.len() as u32);
        let (smallest, largest) = (bytes.clone().min().unwrap_or(0), bytes.max().unwrap_or(0));
        // The last frame counts for the bytes and not for the samples.
        assert_eq!(sizes(&info), [BLOCK as u32, BLOCK as u32, smallest, largest], "{samples} samples");
    }
}

#[test]
fn sizes_are_unknown_before_the_first_frame() {
    let sound = Sound::new(pcm(9000), 9000).unwrap();
    assert_eq!(sizes(&stream_info(&sound)), [BLOCK as u32, BLOCK as u32, 0, 0]);
}

/// As a file of its own the stream passes the check of FLAC's own tool, its checksum included.
#[test]
fn the_reference_decoder_finds_nothing_wrong() {
    let (pcm, folder) = (pcm(9000), tempfile::tempdir().unwrap());
    for samples in LENGTHS.into_iter().filter(|samples| *samples > 0) {
        let (frames, info) = encoded(&pcm, samples);
        // A native stream: its mark, STREAMINFO as the last block of metadata (0x80) with its length, the frames.
        let header = [b"fLaC".as_slice(), &[0x80, 0, 0, 34], &info].concat();
        let frames = frames.into_iter().map(|(frame, _)| frame);
        let file = folder.path().join(format!("{samples}.flac"));
        std::fs::write(&file, std::iter::once(header).chain(frames).collect::<Vec<_>>().concat()).unwrap();
        let Ok(tested) = Command::new("flac").args(["--test", "--warnings-as-errors"]).arg(&file).output()
        else {
            let required = std::env::var_os("VORTEX_REQUIRE_TOOLS").is_some_and(|value| value == "1");
            assert!(!required, "flac is missing, and VORTEX_REQUIRE_TOOLS=1 forbids skipping");
            eprintln!("skipped: flac is missing");
            return;
        };
        let said = String::from_utf8_lossy(&tested.stderr);
        assert!(tested.status.success() && said.contains("ok"), "{samples} samples: {said}");
    }
}
