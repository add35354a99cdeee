//! WAV files: 16-bit PCM, mono, the canonical 44-byte header, and nothing that depends on when they were written.
//!
//! Written by hand: forty lines of a format that has not changed since 1991. Reads what it writes, and what others write
//! of the same kind (further chunks are passed over).

use crate::types::Pcm;

/// What a sample of 1.0 would be; a power of two, so that reading back is exact.
const FULL: f32 = 32_768.0;
/// Uncompressed samples (`WAVE_FORMAT_PCM`).
const PCM: u16 = 1;
const BITS: u16 = 16;
const BYTES: u32 = 2;

/// Why bytes are no sound of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a WAV file of 16-bit mono PCM: {0}")]
pub struct WavError(String);

/// The file's bytes. Samples beyond [−1, 1] are cut; what is no number is silence.
pub fn encode(pcm: &Pcm) -> Vec<u8> {
    // A file holds 4 GiB: a day of speech, where a recipe has at most 45 seconds.
    let size = u32::try_from(pcm.samples.len() * BYTES as usize).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(44 + pcm.samples.len() * BYTES as usize);
    file.extend(b"RIFF");
    file.extend(size.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    file.extend(PCM.to_le_bytes());
    file.extend(1u16.to_le_bytes());
    file.extend(pcm.sample_rate.to_le_bytes());
    file.extend(pcm.sample_rate.saturating_mul(BYTES).to_le_bytes());
    file.extend((BYTES as u16).to_le_bytes());
    file.extend(BITS.to_le_bytes());
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend(pcm.samples.iter().flat_map(|sample| level(*sample).to_le_bytes()));
    file
}

/// The sound in a file's bytes.
pub fn decode(file: &[u8]) -> Result<Pcm, WavError> {
    let wrong = |what: &str| WavError(what.to_owned());
    let mut chunks = file
        .strip_prefix(b"RIFF")
        .and_then(|rest| rest.get(4..))
        .and_then(|rest| rest.strip_prefix(b"WAVE"))
        .ok_or_else(|| wrong("it does not begin with RIFF and WAVE"))?;
    let mut sample_rate = None;
    loop {
        let (head, rest) =
            chunks.split_first_chunk::<8>().ok_or_else(|| wrong("it ends before its samples"))?;
        let [a, b, c, d, size @ ..] = *head;
        let size = u32::from_le_bytes(size) as usize;
        let body = rest.get(..size).ok_or_else(|| wrong("it is cut short"))?;
        match &[a, b, c, d] {
            b"fmt " => sample_rate = Some(rate(body)?),
            b"data" => {
                let sample_rate = sample_rate.ok_or_else(|| wrong("its samples come before their format"))?;
                let (pairs, odd) = body.as_chunks::<2>();
                if !odd.is_empty() {
                    return Err(wrong("its last sample is half a sample"));
                }
                let samples = pairs.iter().map(|pair| f32::from(i16::from_le_bytes(*pair)) / FULL).collect();
                return Ok(Pcm { sample_rate, samples });
            }
            _ => {}
        }
        // Chunks begin at even places.
        chunks = rest.get(size + size % 2..).unwrap_or_default();
    }
}

/// What a reader of the file gets: the same samples, each at the level that the file can hold.
pub fn quantised(pcm: &Pcm) -> Pcm {
    let samples = pcm.samples.iter().map(|sample| f32::from(level(*sample)) / FULL).collect();
    Pcm { sample_rate: pcm.sample_rate, samples }
}

/// Rounded to the nearest level; the conversion saturates, and makes 0 of what is no number.
pub(super) fn level(sample: f32) -> i16 {
    (sample * FULL).round() as i16
}

fn rate(format: &[u8]) -> Result<u32, WavError> {
    let wrong = || WavError("its format chunk is cut short".to_owned());
    let [kind, channels, rate @ .., bits] = format
        .get(..16)
        .map(|format| format.as_chunks::<2>().0)
        .and_then(|words| <&[[u8; 2]; 8]>::try_from(words).ok())
        .ok_or_else(wrong)?;
    let [low, high, ..] = rate;
    let (kind, channels, bits) =
        (u16::from_le_bytes(*kind), u16::from_le_bytes(*channels), u16::from_le_bytes(*bits));
    if (kind, channels, bits) != (PCM, 1, BITS) {
        return Err(WavError(format!("format {kind} with {channels} channels of {bits} bits")));
    }
    Ok(u32::from(u16::from_le_bytes(*high)) << 16 | u32::from(u16::from_le_bytes(*low)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::SAMPLE_RATE;

    fn pcm(samples: Vec<f32>) -> Pcm {
        Pcm { sample_rate: SAMPLE_RATE, samples }
    }

    fn bits(pcm: &Pcm) -> Vec<u32> {
        pcm.samples.iter().map(|sample| sample.to_bits()).collect()
    }

    #[test]
    fn the_header_is_the_canonical_one() {
        let file = encode(&pcm(vec![0.0, 1.0, -1.0, 0.5, f32::NAN]));
        let header =
            b"RIFF\x2e\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\xc0\x5d\0\0\x80\xbb\0\0\x02\0\x10\0data\x0a\0\0\0";
        assert_eq!(&file[..44], header);
        assert_eq!(&file[44..], [0, 0, 255, 127, 0, 128, 0, 64, 0, 0]);
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        let good = encode(&pcm(vec![0.25; 3]));
        let with = |place: usize, byte: u8| {
            let mut bad = good.clone();
            bad[place] = byte;
            decode(&bad).unwrap_err().to_string()
        };
        assert!(with(0, b'X').contains("RIFF"));
        assert!(with(22, 2).contains("2 channels"));
        assert!(with(34, 24).contains("24 bits"));
        assert!(with(12, b'X').contains("before their format"));
        assert!(with(36, b'X').contains("before its samples"));
        assert!(with(40, 5).contains("half a sample"));
        for length in 0..good.len() {
            assert!(decode(&good[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn chunks_of_others_are_passed_over() {
        let good = encode(&pcm(vec![0.25; 3]));
        let mut file = good[..36].to_vec();
        file.extend(b"LIST\x03\0\0\0abc\0");
        file.extend(&good[36..]);
        assert_eq!(decode(&file).unwrap(), pcm(vec![0.25; 3]));
    }

    proptest! {
        #[test]
        fn a_file_holds_what_quantising_gives_and_quantising_twice_changes_nothing(
            samples in prop::collection::vec(prop_oneof![-1.5f32..1.5, any::<f32>()], 0..64),
        ) {
            let once = quantised(&pcm(samples.clone()));
            prop_assert_eq!(bits(&quantised(&once)), bits(&once));
            prop_assert_eq!(bits(&decode(&encode(&pcm(samples.clone()))).unwrap()), bits(&once));
            prop_assert_eq!(encode(&once), encode(&pcm(samples.clone())));
            for (sample, level) in samples.iter().zip(&once.samples).filter(|(sample, _)| sample.abs() <= 1.0) {
                prop_assert!((sample - level).abs() <= 1.0 / FULL);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0usize..60) {
            let mut file = encode(&pcm(vec![0.5; 4]));
            file.truncate(cut);
            file.extend(bytes);
            let _ = decode(&file);
        }
    }
}
