//! The MP4 file: both tracks interleaved as they are made, the index in front of them.
//!
//! Writes to anything that can seek; never knows the file's name. Holds a few numbers a frame and no frame.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::num::NonZeroU32;
use std::sync::Arc;

use shiguredo_mp4::boxes::{MoovBox, SampleEntry};
use shiguredo_mp4::mux::{Mp4FileMuxer, Mp4FileMuxerOptions, Sample, estimate_maximum_moov_box_size};
use shiguredo_mp4::{Encode, Mp4FileTime, TrackKind};

use super::h264::H264;
use super::sound::{BLOCK, Sound};
use super::{VideoError, VideoSpec, Yuv};

/// Ticks of the video track's clock in one frame: a multiple of what players count in.
const TICKS: u32 = 1000;

/// How the tracks take turns: this many times a second, so that a player never reads far ahead for the other one.
const TURNS: u32 = 2;

/// Enough that the disk is asked some times a second only.
const BUFFER: usize = 1 << 18;

/// Why writing ended early.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The medium failed.
    Write(io::Error),
    /// Anything else.
    Video(VideoError),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<VideoError> for Stopped {
    fn from(error: VideoError) -> Self {
        Self::Video(error)
    }
}

/// What was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Size of the whole file.
    pub bytes: u64,
    /// As RFC 6381 names the video's codec.
    pub codec: String,
}

/// The number of sound samples that last as long as `frames` frames, to the nearest.
pub(super) fn samples_of(frames: u32, fps: u32, sample_rate: u32) -> u64 {
    let fps = u64::from(fps.max(1));
    (u64::from(frames) * u64::from(sample_rate) + fps / 2) / fps
}

/// Writes the whole video; `next` fills in one picture after the other.
pub(super) fn write<W: Write + Seek>(
    out: W,
    spec: &VideoSpec,
    mut next: impl FnMut(&mut Yuv) -> Result<(), VideoError>,
) -> Result<Written, Stopped> {
    let samples = samples_of(spec.frames, spec.fps, spec.sound.sample_rate) as usize;
    let mut video = H264::new(spec.resolution, spec.fps)?;
    let mut sound = Sound::new(Arc::clone(&spec.sound), samples)?;
    let mut file = Tracks::new(out, spec, samples)?;

    let mut picture = Yuv::new(spec.resolution);
    let turn = spec.fps.div_ceil(TURNS).max(1);
    for done in 1..=spec.frames {
        next(&mut picture)?;
        let frame = video.encode(&picture)?;
        let (key, length) = (frame.key, file.put(frame.data)?);
        let description = if done == 1 { Some(video.description()?) } else { None };
        file.video(length, key, description)?;

        let last = done == spec.frames;
        if last || done % turn == 0 {
            let until =
                if last { samples } else { samples_of(done, spec.fps, spec.sound.sample_rate) as usize };
            while sound.done() < until {
                let description = if sound.done() == 0 { Some(sound.description()?) } else { None };
                let Some((frame, samples)) = sound.next()? else { break };
                let length = file.put(frame)?;
                file.sound(length, samples, description)?;
            }
        }
    }
    let sound = if sound.done() > 0 { Some(sound.description()?) } else { None };
    Ok(Written { bytes: file.finish(&video.description()?, sound.as_ref())?, codec: video.codec() })
}

/// The file while it grows.
struct Tracks<W: Write + Seek> {
    out: BufWriter<W>,
    muxer: Mp4FileMuxer,
    position: u64,
    video_clock: NonZeroU32,
    sound_clock: NonZeroU32,
}

impl<W: Write + Seek> Tracks<W> {
    fn new(out: W, spec: &VideoSpec, samples: usize) -> Result<Self, Stopped> {
        let frames = [spec.frames as usize, samples.div_ceil(BLOCK)];
        let muxer = Mp4FileMuxer::with_options(Mp4FileMuxerOptions {
            reserved_moov_box_size: estimate_maximum_moov_box_size(&frames),
            ..Mp4FileMuxerOptions::default()
        })
        .map_err(failed)?;
        let mut out = BufWriter::with_capacity(BUFFER, out);
        out.write_all(muxer.initial_boxes_bytes())?;
        let position = muxer.initial_boxes_bytes().len() as u64;
        let clock = |rate: u32| NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        let (video_clock, sound_clock) = (clock(spec.fps * TICKS), clock(spec.sound.sample_rate));
        Ok(Self { out, muxer, position, video_clock, sound_clock })
    }

    /// Writes a sample's bytes; how many there were.
    fn put(&mut self, data: &[u8]) -> io::Result<usize> {
        self.out.write_all(data)?;
        Ok(data.len())
    }

    fn video(
        &mut self,
        length: usize,
        key: bool,
        description: Option<SampleEntry>,
    ) -> Result<(), VideoError> {
        self.list(TrackKind::Video, (self.video_clock, TICKS), length, key, description)
    }

    fn sound(
        &mut self,
        length: usize,
        samples: u32,
        description: Option<SampleEntry>,
    ) -> Result<(), VideoError> {
        self.list(TrackKind::Audio, (self.sound_clock, samples), length, true, description)
    }

    /// Enters the sample just written into the index.
    fn list(
        &mut self,
        track_kind: TrackKind,
        (timescale, duration): (NonZeroU32, u32),
        data_size: usize,
        keyframe: bool,
        sample_entry: Option<SampleEntry>,
    ) -> Result<(), VideoError> {
        let data_offset = self.position;
        self.position += data_size as u64;
        let composition_time_offset = None;
        self.muxer
            .append_sample(&Sample {
                track_kind,
                sample_entry,
                keyframe,
                timescale,
                duration,
                composition_time_offset,
                data_offset,
                data_size,
            })
            .map_err(failed)
    }

    /// Writes the index into the room kept for it; the file's size. Both descriptions are those of the whole tracks, and
    /// take the places of those that came with the first samples.
    fn finish(mut self, video: &SampleEntry, sound: Option<&SampleEntry>) -> Result<u64, Stopped> {
        let boxes = self.muxer.finalize().map_err(failed)?;
        if !boxes.is_faststart_enabled() {
            return Err(failed("the index outgrew the room kept for it").into());
        }
        let mut index_at = 0;
        for (offset, bytes) in boxes.offset_and_bytes_pairs() {
            self.out.seek(SeekFrom::Start(offset))?;
            self.out.write_all(bytes)?;
            // The index comes right after the first box of the file, which begins with its own length.
            if let Some(length) = bytes.first_chunk().filter(|_| offset == 0) {
                index_at = u32::from_be_bytes(*length).into();
            }
        }
        self.out.seek(SeekFrom::Start(index_at))?;
        let index = described(timeless(boxes.moov_box().clone()), video, sound);
        let whole = index.encode_to_vec().map_err(failed)?;
        if whole.len() != boxes.moov_box().encode_to_vec().map_err(failed)?.len() {
            return Err(failed("a description changed its length").into());
        }
        self.out.write_all(&whole)?;
        let bytes = self.out.seek(SeekFrom::End(0))?;
        self.out.flush()?;
        Ok(bytes)
    }
}

/// The index as of no time at all, in as many bytes: the muxer knows no earlier one than 1970.
fn timeless(mut index: MoovBox) -> MoovBox {
    let never = Mp4FileTime::default();
    (index.mvhd_box.creation_time, index.mvhd_box.modification_time) = (never, never);
    for track in &mut index.trak_boxes {
        (track.tkhd_box.creation_time, track.tkhd_box.modification_time) = (never, never);
        let media = &mut track.mdia_box.mdhd_box;
        (media.creation_time, media.modification_time) = (never, never);
    }
    index
}

/// The index with these descriptions of its tracks.
fn described(mut index: MoovBox, video: &SampleEntry, sound: Option<&SampleEntry>) -> MoovBox {
    for track in &mut index.trak_boxes {
        for entry in &mut track.mdia_box.minf_box.stbl_box.stsd_box.entries {
            match (&entry, sound) {
                (SampleEntry::Avc1(_), _) => *entry = video.clone(),
                (SampleEntry::Flac(_), Some(sound)) => *entry = sound.clone(),
                _ => {}
            }
        }
    }
    index
}

fn failed(error: impl std::fmt::Display) -> VideoError {
    VideoError::Encoder(format!("MP4: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::types::{Pcm, SAMPLE_RATE};

    fn spec(frames: u32, fps: u32) -> VideoSpec {
        let sound = Arc::new(Pcm { sample_rate: SAMPLE_RATE, samples: vec![0.25; 9000] });
        VideoSpec { resolution: "16x16".parse().unwrap(), fps, frames, sound }
    }

    fn grey(level: u8) -> impl FnMut(&mut Yuv) -> Result<(), VideoError> {
        move |picture| {
            picture.convert(&[level; 16 * 16 * 3]);
            Ok(())
        }
    }

    /// A medium with room for this many bytes.
    struct Disk {
        room: u64,
        file: Cursor<Vec<u8>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.file.position() + bytes.len() as u64 > self.room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.file.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
            self.file.seek(place)
        }
    }

    #[test]
    fn a_disk_that_is_full_at_any_byte_is_an_error() {
        let mut file = Cursor::new(Vec::new());
        let whole = write(&mut file, &spec(50, 25), grey(90)).unwrap().bytes;
        assert_eq!(whole, file.get_ref().len() as u64);
        for room in (0..whole).step_by(97).chain([whole - 1]) {
            let disk = Disk { room, file: Cursor::default() };
            match write(disk, &spec(50, 25), grey(90)) {
                Err(Stopped::Write(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
                other => panic!("{room} of {whole} bytes: {other:?}"),
            }
        }
    }

    #[test]
    fn the_reason_of_whoever_brings_the_pictures_comes_through() {
        let reason = VideoError::Incomplete { received: 0, expected: 5 };
        let stopped = write(Cursor::new(Vec::new()), &spec(5, 25), |_| Err(reason.clone())).unwrap_err();
        assert!(matches!(stopped, Stopped::Video(error) if error == reason));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_index_always_fits_in_front(frames in 1u32..200, fps in 1u32..=60) {
            let mut file = Cursor::new(Vec::new());
            write(&mut file, &spec(frames, fps), grey(7)).unwrap();
            let file = file.into_inner();
            let first = u32::from_be_bytes(file[..4].try_into().unwrap()) as usize;
            prop_assert_eq!((&file[4..8], &file[first + 4..first + 8]), (&b"ftyp"[..], &b"moov"[..]));
        }

        #[test]
        fn sound_and_picture_differ_by_half_a_sample_at_most(frames in 0u32..100_000, fps in 1u32..=60) {
            let sound = samples_of(frames, fps, SAMPLE_RATE) as f64 / f64::from(SAMPLE_RATE);
            prop_assert!((sound - f64::from(frames) / f64::from(fps)).abs() <= 0.5001 / f64::from(SAMPLE_RATE));
        }
    }
}
