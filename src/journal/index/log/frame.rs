//! The bytes of the log: a header per file, a frame per group commit. Pure: bytes in, frames out.
//!
//! ```text
//! file   magic 8 | generation 8 | first group 8 | made at 8 (µs) | crc32 4
//! frame  magic 4 | length 4 | group 8 | at 8 (µs) | crc32 4 | payload (length bytes)
//! ```
//!
//! Numbers are little-endian. A frame's checksum covers the generation, its header and its payload, so that a frame of
//! another journal is none of this one.

use crate::journal::index::generation::Generation;

/// Of a file.
const FILE_MAGIC: [u8; 8] = *b"VXNLOG1\n";
/// Of a frame. No byte of it is UTF-8 text, so that it is rare in payloads when a damaged file is searched.
const FRAME_MAGIC: [u8; 4] = [0xf5, 0xfa, 0xc1, 0xff];
/// Before the first frame.
pub(in crate::journal::index) const FILE_HEADER: usize = 36;
/// Before a payload.
const FRAME_HEADER: usize = 28;
/// No group is larger: a length above it is damage.
pub(in crate::journal::index) const MAX_PAYLOAD: usize = 128 << 20;

/// The start of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal::index) struct FileHeader {
    pub generation: Generation,
    /// The first frame's number, if there is one.
    pub first_group: u64,
    /// µs since the Unix epoch.
    pub made_at: u64,
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER] {
        let mut bytes = [0; FILE_HEADER];
        bytes[..8].copy_from_slice(&FILE_MAGIC);
        bytes[8..16].copy_from_slice(&self.generation.bits().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_group.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.made_at.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// None where the bytes are no header.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FILE_HEADER] = bytes.first_chunk()?;
        let sound = bytes[..8] == FILE_MAGIC && crc32fast::hash(&bytes[..32]) == u32_at(bytes, 32)?;
        sound.then_some(())?;
        Some(Self {
            generation: Generation::from_bits(u64_at(bytes, 8)?),
            first_group: u64_at(bytes, 16)?,
            made_at: u64_at(bytes, 24)?,
        })
    }
}

/// A group commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal::index) struct Frame<'a> {
    pub group: u64,
    /// µs since the Unix epoch.
    pub at: u64,
    pub payload: &'a [u8],
    /// Where it ends.
    pub end: usize,
}

/// What stands at a place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal::index) enum Decoded<'a> {
    Frame(Frame<'a>),
    /// Nothing: the file ends here.
    End,
    /// Something else.
    Damaged(&'static str),
}

/// A frame as it is written; `None` for a payload that is too large.
pub(in crate::journal::index) fn encode(
    generation: Generation,
    group: u64,
    at: u64,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_PAYLOAD)?;
    let mut bytes = Vec::with_capacity(FRAME_HEADER + payload.len());
    bytes.extend(FRAME_MAGIC);
    bytes.extend(length.to_le_bytes());
    bytes.extend(group.to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend(checksum(generation, &bytes, payload).to_le_bytes());
    bytes.extend(payload);
    Some(bytes)
}

/// The frame at `offset`.
pub(in crate::journal::index) fn decode(bytes: &[u8], offset: usize, generation: Generation) -> Decoded<'_> {
    let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) else { return Decoded::End };
    let Some((header, rest)) = rest.split_at_checked(FRAME_HEADER) else {
        return Decoded::Damaged("a record's header is cut off");
    };
    if header[..4] != FRAME_MAGIC {
        return Decoded::Damaged("no record begins where one should");
    }
    let (Some(length), Some(group), Some(at), Some(crc)) =
        (u32_at(header, 4), u64_at(header, 8), u64_at(header, 16), u32_at(header, 24))
    else {
        return Decoded::Damaged("a record's header is cut off");
    };
    let length = length as usize;
    let Some(payload) = rest.get(..length).filter(|_| length <= MAX_PAYLOAD) else {
        return Decoded::Damaged("a record is cut off");
    };
    if checksum(generation, &header[..24], payload) != crc {
        return Decoded::Damaged("a record's checksum is another");
    }
    Decoded::Frame(Frame { group, at, payload, end: offset + FRAME_HEADER + length })
}

/// The next sound frame at or after `offset`, for files with a damaged place.
pub(in crate::journal::index) fn search(
    bytes: &[u8],
    offset: usize,
    generation: Generation,
) -> Option<(usize, Frame<'_>)> {
    // A payload that is full of magics would have each tried with a long checksum: this many are, then it is given up.
    const TRIES: usize = 10_000;
    let places = (offset..bytes.len().saturating_sub(FRAME_HEADER - 1))
        .filter(|at| bytes.get(*at..at + 4).is_some_and(|found| found == FRAME_MAGIC));
    places.take(TRIES).find_map(|at| match decode(bytes, at, generation) {
        Decoded::Frame(frame) => Some((at, frame)),
        _ => None,
    })
}

fn checksum(generation: Generation, header: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&generation.bits().to_le_bytes());
    crc.update(header);
    crc.update(payload);
    crc.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GENERATION: Generation = Generation::from_bits(7);

    fn file(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for (number, payload) in payloads.iter().enumerate() {
            bytes.extend(encode(GENERATION, number as u64 + 1, 5, payload).unwrap());
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    /// Every frame from the start up to the first place that holds none.
    fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut found, mut offset) = (Vec::new(), 0);
        while let Decoded::Frame(frame) = decode(bytes, offset, GENERATION) {
            assert_eq!(frame.group, found.len() as u64 + 1);
            found.push(frame.payload.to_vec());
            offset = frame.end;
        }
        found
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8)) {
            prop_assert_eq!(frames(&file(&payloads).0), payloads);
        }

        #[test]
        fn a_cut_file_gives_exactly_its_whole_frames(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let (bytes, ends) = file(&payloads);
            let cut = cut.index(bytes.len());
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            prop_assert_eq!(frames(&bytes[..cut]), &payloads[..whole]);
        }

        #[test]
        fn a_flipped_bit_hides_its_frame_and_the_next_is_found(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 2..8),
            place in any::<prop::sample::Index>(),
            bit in 0..8u32,
        ) {
            let (mut bytes, ends) = file(&payloads);
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let hit = ends.iter().filter(|end| **end <= place).count() - 1;
            prop_assert_eq!(frames(&bytes), &payloads[..hit]);
            let next = search(&bytes, ends[hit], GENERATION);
            match payloads.get(hit + 1) {
                Some(payload) => {
                    let (at, frame) = next.unwrap();
                    prop_assert_eq!((at, frame.payload, frame.group), (ends[hit + 1], &payload[..], hit as u64 + 2));
                }
                None => prop_assert_eq!(next, None),
            }
        }

        #[test]
        fn any_bytes_are_looked_at_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..500) {
            FileHeader::decode(&bytes);
            search(&bytes, at, GENERATION);
            if let Decoded::Frame(frame) = decode(&bytes, at, GENERATION) {
                // Only what `encode` would write again is a frame.
                let again = encode(GENERATION, frame.group, frame.at, frame.payload).unwrap();
                prop_assert_eq!(&bytes[at..frame.end], &again[..]);
            }
        }

        #[test]
        fn bytes_that_look_like_frames_are_none(
            mut bytes in prop::collection::vec(any::<u8>(), 28..400), length in any::<u32>(),
        ) {
            bytes[..4].copy_from_slice(&FRAME_MAGIC);
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            let crc = crc32fast::hash(&bytes[28..]);
            bytes[24..28].copy_from_slice(&crc.to_le_bytes());
            prop_assert!(!matches!(decode(&bytes, 0, GENERATION), Decoded::Frame(_)));
        }
    }

    #[test]
    fn frames_of_another_journal_are_none() {
        let bytes = encode(Generation::from_bits(8), 1, 5, b"payload").unwrap();
        assert_eq!(decode(&bytes, 0, GENERATION), Decoded::Damaged("a record's checksum is another"));
        assert!(encode(GENERATION, 1, 5, &vec![0; MAX_PAYLOAD + 1]).is_none());
    }

    #[test]
    fn a_header_reads_back_unless_a_bit_is_another() {
        let header = FileHeader { generation: GENERATION, first_group: 3, made_at: 9 };
        let mut bytes = header.encode();
        assert_eq!(FileHeader::decode(&bytes), Some(header));
        for place in 0..FILE_HEADER * 8 {
            bytes[place / 8] ^= 1 << (place % 8);
            assert_eq!(FileHeader::decode(&bytes), None, "bit {place}");
            bytes[place / 8] ^= 1 << (place % 8);
        }
        assert_eq!(FileHeader::decode(&bytes[..35]), None);
    }
}
