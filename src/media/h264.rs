//! H.264 by OpenH264: planes in, one MP4 sample out.
//!
//! Owns the encoder's settings and the parameter sets. Fixed quality, one thread, no dropped frames, no B-frames:
//! decoding order is display order, and the same pictures give the same bytes. The level in the parameter sets is ours:
//! OpenH264 chooses one by a target rate that a stream of fixed quality does not have.

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange,
    RateControlMode, VuiConfig,
};
use shiguredo_mp4::boxes::{Avc1Box, AvccBox, SampleEntry, UnknownBox, VisualSampleEntryFields};
use shiguredo_mp4::{BoxSize, BoxType, Uint};

use super::level::LevelMeter;
use super::{VideoError, Yuv};
use crate::types::Resolution;

/// The quantiser of every block: visually lossless for faces (43 dB in the tests' portrait). Six more would double the
/// error.
const QUANTISER: u8 = 22;

/// A picture that needs no other one every two seconds: seeking is never further away.
const KEY_FRAME_SECONDS: u32 = 2;

/// What noise needs at this quantiser, at most. OpenH264 wants a target rate, and heeds none while the quantiser is fixed.
const BITS_PER_PIXEL: u64 = 2;

/// Every picture is predicted from the one before it.
const REFERENCES: u32 = 1;

/// What one frame became.
pub(super) struct EncodedFrame<'a> {
    /// NAL units, each after its length in four bytes.
    pub data: &'a [u8],
    /// Whether it needs no other one.
    pub key: bool,
}

/// One stream of H.264.
pub(super) struct H264 {
    encoder: Encoder,
    resolution: Resolution,
    level: LevelMeter,
    sample: Vec<u8>,
    sps: Vec<u8>,
    pps: Vec<u8>,
}

impl H264 {
    /// For pictures of this size, `fps` of them a second.
    pub(super) fn new(resolution: Resolution, fps: u32) -> Result<Self, VideoError> {
        let pixels = resolution.rgb_bytes().get() / 3;
        let bits = u32::try_from(pixels * u64::from(fps) * BITS_PER_PIXEL).unwrap_or(u32::MAX).min(MOST_BITS);
        let config = EncoderConfig::new()
            // With both ends of its range alike, the one mode whose quantiser is constant without the library's own 26.
            .rate_control_mode(RateControlMode::Bufferbased)
            .qp(QpRange::new(QUANTISER, QUANTISER))
            .bitrate(BitRate::from_bps(bits))
            .skip_frames(false)
            .max_frame_rate(FrameRate::from_hz(fps as f32))
            .intra_frame_period(IntraFramePeriod::from_num_frames(fps * KEY_FRAME_SECONDS))
            .num_threads(1)
            .complexity(Complexity::Medium)
            .scene_change_detect(false)
            .adaptive_quantization(false)
            .background_detection(false)
            .vui(VuiConfig::bt709());
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(failed)?;
        let (width, height) = (resolution.width.get(), resolution.height.get());
        let level = LevelMeter::new(width, height, fps, REFERENCES);
        Ok(Self { encoder, resolution, level, sample: Vec::new(), sps: Vec::new(), pps: Vec::new() })
    }

    /// The next picture.
    pub(super) fn encode(&mut self, picture: &Yuv) -> Result<EncodedFrame<'_>, VideoError> {
        let stream = self.encoder.encode(picture).map_err(failed)?;
        let kind = stream.frame_type();
        if !matches!(kind, FrameType::IDR | FrameType::I | FrameType::P) {
            return Err(VideoError::Encoder(format!(
                "OpenH264 made a frame of kind {kind:?} where it had a picture"
            )));
        }
        self.sample.clear();
        let mut bytes = 0;
        for layer in (0..stream.num_layers()).filter_map(|at| stream.layer(at)) {
            for unit in (0..layer.nal_count()).filter_map(|at| layer.nal_unit(at)) {
                let unit = without_start_code(unit);
                match unit.first().map(|header| header & 0x1f) {
                    None => {}
                    Some(SPS) => settle(&mut self.sps, unit)?,
                    Some(PPS) => settle(&mut self.pps, unit)?,
                    Some(_) => {
                        let length = u32::try_from(unit.len())
                            .map_err(|_| VideoError::Encoder("a frame of more than 4 GiB".to_owned()))?;
                        self.sample.extend(length.to_be_bytes());
                        self.sample.extend(unit);
                        bytes += unit.len();
                    }
                }
            }
        }
        self.level.picture(bytes);
        Ok(EncodedFrame { data: &self.sample, key: kind == FrameType::IDR })
    }

    /// What a player must know before the first sample; there once a frame is encoded, and final after the last one:
    /// its level is that of the frames so far. Its length is always the same.
    pub(super) fn description(&self) -> Result<SampleEntry, VideoError> {
        let sps = declaring(&self.sps, self.level.idc());
        let [_, profile, compatibility, level, ..] = sps[..] else {
            return Err(VideoError::Encoder(
                "OpenH264 gave no parameter set with its first frame".to_owned(),
            ));
        };
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
        Ok(SampleEntry::Avc1(Avc1Box {
            visual: VisualSampleEntryFields {
                data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
                width: side(self.resolution.width.get()),
                height: side(self.resolution.height.get()),
                horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
                vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
                frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
                compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
                depth: VisualSampleEntryFields::DEFAULT_DEPTH,
            },
            avcc_box: AvccBox {
                avc_profile_indication: profile,
                profile_compatibility: compatibility,
                avc_level_indication: level,
                length_size_minus_one: Uint::new(3),
                sps_list: vec![sps],
                pps_list: vec![self.pps.clone()],
                chroma_format: None,
                bit_depth_luma_minus8: None,
                bit_depth_chroma_minus8: None,
                sps_ext_list: Vec::new(),
            },
            unknown_boxes: vec![colours()],
        }))
    }

    /// As RFC 6381 names it, such as `avc1.42c01e`; final after the last frame.
    pub(super) fn codec(&self) -> String {
        match declaring(&self.sps, self.level.idc())[..] {
            [_, profile, compatibility, level, ..] => {
                format!("avc1.{profile:02x}{compatibility:02x}{level:02x}")
            }
            _ => "avc1".to_owned(),
        }
    }
}

/// The sequence parameter set `sps` with this `level_idc` (7.3.2.1.1: header, profile, constraints, level). With it goes
/// `constraint_set3_flag`, which would make level 1.1 into 1b.
fn declaring(sps: &[u8], level_idc: u8) -> Vec<u8> {
    const CONSTRAINT_SET3: u8 = 0x10;
    let mut sps = sps.to_vec();
    if let [_, _, constraints, level, ..] = &mut sps[..] {
        *constraints &= !CONSTRAINT_SET3;
        *level = level_idc;
    }
    sps
}

/// The highest target rate that OpenH264 takes: level 5.2's.
const MOST_BITS: u32 = 240_000_000;

/// NAL unit types of ITU-T H.264, table 7-1.
const SPS: u8 = 7;
const PPS: u8 = 8;

/// The `colr` box of ISO/IEC 14496-12, 12.1.5: primaries, transfer and matrix of BT.709 (1, 1, 1), limited range (0).
fn colours() -> UnknownBox {
    let payload = [b"nclx".as_slice(), &[0, 1, 0, 1, 0, 1, 0]].concat();
    let size = 8 + payload.len() as u32;
    UnknownBox { box_type: BoxType::Normal(*b"colr"), box_size: BoxSize::U32(size), payload }
}

/// OpenH264 repeats its parameter sets before every key frame; a file has them once, in front.
fn settle(set: &mut Vec<u8>, unit: &[u8]) -> Result<(), VideoError> {
    if set.is_empty() {
        set.extend(unit);
    }
    if set != unit {
        return Err(VideoError::Encoder("OpenH264 changed its parameter sets in mid-stream".to_owned()));
    }
    Ok(())
}

/// Units come after 00 00 01 or 00 00 00 01.
fn without_start_code(unit: &[u8]) -> &[u8] {
    let unit = unit.strip_prefix(&[0]).filter(|rest| rest.starts_with(&[0, 0, 1])).unwrap_or(unit);
    unit.strip_prefix(&[0, 0, 1]).unwrap_or(unit)
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn failed(error: openh264::Error) -> VideoError {
    VideoError::Encoder(format!("OpenH264: {error}"))
}
