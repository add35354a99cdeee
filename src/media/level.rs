//! The level that a stream of H.264 declares: the lowest one whose limits it keeps.
//!
//! Picture size and macroblock rate are known before the first frame, the bit rate only after the last: a stream of
//! constant quality takes what it needs. So a [`LevelMeter`] watches the encoded pictures, and the level is written
//! into the parameter sets when the file is closed. Hardware decoders refuse a stream that declares more than they
//! have, whatever is in it.

/// Limits of one level for the profiles without 8×8 transforms (ITU-T H.264, table A-1; for Baseline and Main one unit
/// of MaxBR and MaxCPB is 1000 bits).
struct Limits {
    /// `level_idc`: ten times the level's number.
    idc: u8,
    /// MaxMBPS, macroblocks a second.
    macroblock_rate: u64,
    /// MaxFS, macroblocks a picture.
    frame_size: u64,
    /// MaxDpbMbs, macroblocks of all reference pictures.
    references: u64,
    /// MaxBR, 1000 bits a second.
    bit_rate: u64,
    /// MaxCPB, 1000 bits.
    buffer: u64,
    /// MinCR: how much smaller than its samples a picture must be.
    compression: u64,
}

const fn limits([idc, rate, size, references, bit_rate, buffer, compression]: [u64; 7]) -> Limits {
    Limits {
        idc: idc as u8,
        macroblock_rate: rate,
        frame_size: size,
        references,
        bit_rate,
        buffer,
        compression,
    }
}

/// Level 1b is left out: the profiles write it in different ways, and 1.1 allows all that it does.
const LEVELS: [Limits; 19] = [
    limits([10, 1_485, 99, 396, 64, 175, 2]),
    limits([11, 3_000, 396, 900, 192, 500, 2]),
    limits([12, 6_000, 396, 2_376, 384, 1_000, 2]),
    limits([13, 11_880, 396, 2_376, 768, 2_000, 2]),
    limits([20, 11_880, 396, 2_376, 2_000, 2_000, 2]),
    limits([21, 19_800, 792, 4_752, 4_000, 4_000, 2]),
    limits([22, 20_250, 1_620, 8_100, 4_000, 4_000, 2]),
    limits([30, 40_500, 1_620, 8_100, 10_000, 10_000, 2]),
    limits([31, 108_000, 3_600, 18_000, 14_000, 14_000, 4]),
    limits([32, 216_000, 5_120, 20_480, 20_000, 20_000, 4]),
    limits([40, 245_760, 8_192, 32_768, 20_000, 25_000, 4]),
    limits([41, 245_760, 8_192, 32_768, 50_000, 62_500, 2]),
    limits([42, 522_240, 8_704, 34_816, 50_000, 62_500, 2]),
    limits([50, 589_824, 22_080, 110_400, 135_000, 135_000, 2]),
    limits([51, 983_040, 36_864, 184_320, 240_000, 240_000, 2]),
    limits([52, 2_073_600, 36_864, 184_320, 240_000, 240_000, 2]),
    limits([60, 4_177_920, 139_264, 696_320, 240_000, 240_000, 2]),
    limits([61, 8_355_840, 139_264, 696_320, 480_000, 480_000, 2]),
    limits([62, 16_711_680, 139_264, 696_320, 800_000, 800_000, 2]),
];

/// Side of a macroblock in pixels.
const SIDE: u32 = 16;
/// Bytes of a macroblock's samples in 4:2:0 with 8 bits.
const SAMPLES: u64 = 384;
/// No level allows more pictures than this in one second; the first picture may count on as much time (A.3.1).
const MOST_PICTURES: u64 = 172;
/// OpenH264's motion vectors reach 64.75 rows up or down at most, and no farther than the picture's edge, whatever the
/// level; level 1 allows 63.75 (MaxVmvR), all others at least 127. So only pictures this low may declare level 1.
const ROWS_WITHIN_LEVEL_1: u64 = 64 / SIDE as u64;

/// Which levels a stream has kept to so far.
pub(super) struct LevelMeter {
    /// Macroblocks of one picture.
    picture: u64,
    fps: u64,
    frames: u64,
    /// For each level how full its decoder's buffer is, in bits times `fps`; none where the stream broke the level.
    buffers: [Option<u64>; LEVELS.len()],
}

impl LevelMeter {
    /// For pictures of `width`×`height` pixels, `fps` of them a second, predicted from at most `references` others.
    pub(super) fn new(width: u32, height: u32, fps: u32, references: u32) -> Self {
        let (columns, rows) = (u64::from(width.div_ceil(SIDE)), u64::from(height.div_ceil(SIDE)));
        let (picture, fps) = (columns * rows, u64::from(fps.max(1)));
        let buffers = LEVELS.each_ref().map(|level| {
            let holds = picture <= level.frame_size
                && columns.max(rows).pow(2) <= 8 * level.frame_size
                && picture * fps <= level.macroblock_rate
                && picture * u64::from(references) <= level.references
                && (level.idc > 10 || rows <= ROWS_WITHIN_LEVEL_1);
            // Decoding begins with a full buffer: nothing says that it may not.
            holds.then_some(level.buffer * 1000 * fps)
        });
        Self { picture, fps, frames: 0, buffers }
    }

    /// The next picture in decoding order has this many bytes of NAL units.
    ///
    /// A level holds as long as its decoder, which receives at MaxBR into a buffer of MaxCPB bits and takes one picture
    /// out every 1/`fps` s, always has the whole of the next one (annex C), and as long as no picture is larger than
    /// MinCR allows (A.3.1).
    pub(super) fn picture(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        for (level, buffer) in LEVELS.iter().zip(&mut self.buffers) {
            let Some(full) = *buffer else { continue };
            let (rate, smallest) = (level.macroblock_rate, bytes * level.compression);
            let fits = if self.frames == 0 {
                smallest <= SAMPLES * self.picture.max(rate / MOST_PICTURES)
            } else {
                smallest * self.fps <= SAMPLES * rate
            };
            let left = full.checked_sub(bytes * 8 * self.fps).filter(|_| fits);
            *buffer = left.map(|left| (left + level.bit_rate * 1000).min(level.buffer * 1000 * self.fps));
        }
        self.frames += 1;
    }

    /// The `level_idc` to declare; the highest there is for a stream that keeps to none.
    pub(super) fn idc(&self) -> u8 {
        let lowest = LEVELS.iter().zip(&self.buffers).find(|(_, buffer)| buffer.is_some());
        lowest.map_or(LEVELS[LEVELS.len() - 1].idc, |(level, _)| level.idc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The level of a stream whose pictures have this many bytes each.
    fn level(size: (u32, u32), fps: u32, bytes: usize, frames: u32) -> u8 {
        let mut meter = LevelMeter::new(size.0, size.1, fps, 1);
        (0..frames).for_each(|_| meter.picture(bytes));
        meter.idc()
    }

    /// Sizes and rates that the levels are named after, by the table's own examples (A.3.4, table A-6).
    #[test]
    fn size_and_rate_choose_the_level_of_a_stream_of_few_bits() {
        for (size, fps, expected) in [
            ((1280, 720), 30, 31),
            ((1280, 720), 60, 32),
            ((1280, 720), 31, 32),
            ((1920, 1072), 30, 40),
            ((1920, 1080), 30, 40),
            ((1920, 1080), 31, 42),
            ((1920, 1072), 60, 42),
            ((1080, 1920), 24, 40),
            ((512, 512), 24, 30),
            ((512, 512), 20, 30),
            ((512, 512), 19, 22),
            ((640, 480), 30, 30),
            ((720, 576), 25, 30),
            ((352, 288), 30, 13),
            // Level 1 by its numbers, but not by the reach of its vectors.
            ((176, 144), 15, 11),
            ((64, 64), 24, 10),
            ((16, 16), 60, 10),
            ((1024, 1024), 25, 32),
            ((960, 960), 30, 31),
            ((2048, 2048), 24, 50),
            ((3840, 2160), 30, 51),
            ((3840, 2160), 31, 52),
            ((3840, 2160), 60, 52),
        ] {
            assert_eq!(level(size, fps, 20, 120), expected, "{size:?} at {fps}");
        }
    }

    /// A side may be √(8 · MaxFS) macroblocks long, however few there are altogether.
    #[test]
    fn a_long_narrow_picture_needs_the_level_of_its_longer_side() {
        assert_eq!(level((448, 16), 1, 20, 9), 10);
        assert_eq!(level((464, 16), 1, 20, 9), 11);
        assert_eq!(level((3840, 16), 1, 20, 9), 40);
        assert_eq!(level((16, 3840), 1, 20, 9), 40);
    }

    #[test]
    fn the_bit_rate_raises_the_level_once_the_buffer_is_empty() {
        // 720p at 30: level 3.1 takes 14 Mbit/s for ever, and a second's worth more at once.
        let per_frame = |bits: usize| bits / 8 / 30;
        assert_eq!(level((1280, 720), 30, per_frame(14_000_000), 3000), 31);
        assert_eq!(level((1280, 720), 30, per_frame(15_000_000), 300), 31);
        assert_eq!(level((1280, 720), 30, per_frame(15_000_000), 3000), 32);
        assert_eq!(level((1280, 720), 30, per_frame(30_000_000), 3000), 41);
        assert_eq!(level((1280, 720), 30, per_frame(100_000_000), 3000), 50);
        assert_eq!(level((1280, 720), 30, per_frame(200_000_000), 3000), 51);
    }

    #[test]
    fn one_large_picture_among_small_ones_is_what_the_buffer_is_for() {
        let mut meter = LevelMeter::new(512, 512, 24, 1);
        for frame in 0..240 {
            meter.picture(if frame % 48 == 0 { 120_000 } else { 4000 });
        }
        assert_eq!(meter.idc(), 30);
        // 1.3 MB are more than level 3's 10 Mbit.
        meter.picture(1_300_000);
        assert!(meter.idc() > 30);
    }

    /// 720p pictures of level 3.1 have a quarter of their samples' bytes at most: 3600 · 384 / 4 = 345 600.
    #[test]
    fn a_picture_may_not_be_larger_than_the_least_compression_allows() {
        assert_eq!(level((1280, 720), 30, 345_600, 1), 31);
        // 3.2 and 4 ask for as much, 4.1 only for a half.
        assert_eq!(level((1280, 720), 30, 345_601, 1), 41);
    }

    #[test]
    fn reference_pictures_must_fit_into_the_decoder() {
        let idc = |references| LevelMeter::new(1920, 1080, 30, references).idc();
        assert_eq!([1, 4, 5, 16].map(idc), [40, 40, 50, 51]);
    }

    #[test]
    fn what_no_level_holds_declares_the_highest() {
        assert_eq!(level((3840, 2160), 60, 30_000_000, 60), 62);
    }
}
