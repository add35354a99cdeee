//! The sound track: PCM in, FLAC frames out, exactly as long as the video.
//!
//! Owns the cut or the silence at the end and the 16-bit samples; nothing is lost but what 16 bits cannot hold.

use std::sync::Arc;

use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, StreamInfo};
use flacenc::config;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Context, Fill, FrameBuf};
use shiguredo_mp4::boxes::{AudioSampleEntryFields, DflaBox, FlacBox, FlacMetadataBlock, SampleEntry};
use shiguredo_mp4::{FixedPointNumber, Uint};

use super::VideoError;
// Both files hold the same sound.
use super::wav::level;
use crate::types::Pcm;

const BITS: usize = 16;
/// Samples a frame: 0.17 s at 24 kHz, the length that FLAC's own encoder takes.
pub(super) const BLOCK: usize = 4096;

/// One stream of FLAC.
pub(super) struct Sound {
    pcm: Arc<Pcm>,
    samples: usize,
    done: usize,
    config: Verified<config::Encoder>,
    info: StreamInfo,
    block: Vec<i32>,
    buffer: FrameBuf,
    frame: ByteSink,
    /// Bytes of the smallest and of the largest frame so far; none before the first.
    sizes: Option<(usize, usize)>,
}

impl Sound {
    /// The first `samples` samples of `pcm`, and silence where it has fewer.
    pub(super) fn new(pcm: Arc<Pcm>, samples: usize) -> Result<Self, VideoError> {
        let rate = pcm.sample_rate as usize;
        let mut info = StreamInfo::new(rate, 1, BITS).map_err(failed)?;
        // Of all frames but the last, which may be shorter (RFC 9639, 8.2).
        info.set_block_sizes(BLOCK, BLOCK).map_err(failed)?;
        info.set_total_samples(samples);
        let config = config::Encoder::default().into_verified().map_err(|(_, error)| failed(error))?;
        let buffer = FrameBuf::with_size(1, BLOCK).map_err(failed)?;
        let (block, frame) = (Vec::with_capacity(BLOCK), ByteSink::new());
        let mut sound = Self { pcm, samples, done: 0, config, info, block, buffer, frame, sizes: None };

        // The checksum of all samples stands in front of them.
        let mut sum = Context::new(BITS, 1);
        while sound.take() > 0 {
            sum.fill_interleaved(&sound.block).map_err(failed)?;
        }
        sound.info.set_md5_digest(&sum.md5_digest());
        sound.done = 0;
        Ok(sound)
    }

    /// Samples in the frames so far.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// The next frame and the number of its samples; nothing after the last.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], u32)>, VideoError> {
        let number = self.done / BLOCK;
        let taken = self.take();
        if taken == 0 {
            return Ok(None);
        }
        self.buffer.fill_interleaved(&self.block).map_err(failed)?;
        let frame = flacenc::encode_fixed_size_frame(&self.config, &self.buffer, number, &self.info)
            .map_err(failed)?;
        self.frame.clear();
        frame.write(&mut self.frame).map_err(failed)?;
        let size = self.frame.as_slice().len();
        let (smallest, largest) = self.sizes.unwrap_or((size, size));
        self.sizes = Some((smallest.min(size), largest.max(size)));
        Ok(Some((self.frame.as_slice(), taken as u32)))
    }

    /// What a player must know before the first frame; final after the last one, when the sizes of all frames are known.
    /// Its length is always the same.
    pub(super) fn description(&self) -> Result<SampleEntry, VideoError> {
        let mut stream = self.info.clone();
        // Zero says "unknown"; the library's own figure for it says "16 MiB at least".
        let (smallest, largest) = self.sizes.unwrap_or_default();
        stream.set_frame_sizes(smallest, largest).map_err(failed)?;
        let mut info = ByteSink::new();
        stream.write(&mut info).map_err(failed)?;
        let rate = u16::try_from(self.pcm.sample_rate).map_err(failed)?;
        Ok(SampleEntry::Flac(FlacBox {
            audio: AudioSampleEntryFields {
                data_reference_index: AudioSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
                channelcount: 1,
                samplesize: AudioSampleEntryFields::DEFAULT_SAMPLESIZE,
                samplerate: FixedPointNumber::new(rate, 0),
            },
            dfla_box: DflaBox {
                metadata_blocks: vec![FlacMetadataBlock {
                    last_metadata_block_flag: Uint::new(1),
                    block_type: FlacMetadataBlock::BLOCK_TYPE_STREAMINFO,
                    block_data: info.as_slice().to_vec(),
                }],
            },
            unknown_boxes: Vec::new(),
        }))
    }

    /// Puts the next samples into `block`; how many there are.
    fn take(&mut self) -> usize {
        let end = self.samples.min(self.done + BLOCK);
        let there = self.pcm.samples.get(self.done..).unwrap_or_default();
        let wanted = end - self.done;
        self.block.clear();
        self.block.extend(there.iter().take(wanted).map(|sample| i32::from(level(*sample))));
        self.block.resize(wanted, 0);
        self.done = end;
        wanted
    }
}

fn failed(error: impl std::fmt::Display) -> VideoError {
    VideoError::Encoder(format!("FLAC: {error}"))
}

#[cfg(test)]
mod tests;
