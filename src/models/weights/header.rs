//! The header of a safetensors file: read, and checked in every part before anything trusts it.
//!
//! The format (huggingface/safetensors, "Format"): eight bytes of little-endian header length, a JSON object from tensor
//! names to dtype, shape and byte range, then the data, covered by the ranges without holes or overlaps. Our own reader
//! and not the crate's, whose errors name neither file nor most tensors, and which lets a repeated name pass.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::WeightsError;

#[cfg(test)]
mod tests;

/// The format's own limit; the largest published checkpoints stay below a tenth of it.
const LARGEST_HEADER: u64 = 100_000_000;

/// Every tensor of one file.
#[derive(Debug)]
pub(super) struct Header {
    /// Name and place, in order of place.
    pub tensors: Vec<(String, Entry)>,
}

/// Where one tensor lies and how it is to be read; `start..end` are bytes of the file and inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub start: usize,
    pub end: usize,
}

/// Reads and checks the header of `bytes`, the whole of `file`.
pub(super) fn read(file: &Path, bytes: &[u8]) -> Result<Header, WeightsError> {
    let broken = |why: String| WeightsError::malformed(file, "header", why);
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(broken(format!(
            "the file has {} bytes, a safetensors file has at least 10",
            bytes.len()
        )));
    };
    let length = u64::from_le_bytes(*length);
    if let Some(kind) = other_format(bytes) {
        return Err(broken(format!("expected a safetensors file, found {kind}")));
    }
    if length > LARGEST_HEADER {
        return Err(broken(format!(
            "expected a length of at most {LARGEST_HEADER} bytes, found {length}: not a safetensors file, or damaged"
        )));
    }
    let text = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    let Some(text) = text else {
        let expected = length.saturating_add(8);
        return Err(WeightsError::Truncated { file: file.to_owned(), expected, found: bytes.len() as u64 });
    };
    let text = std::str::from_utf8(text)
        .map_err(|error| broken(format!("expected UTF-8, found another byte at {}", error.valid_up_to())))?;
    let Entries(listed) =
        serde_json::from_str(text).map_err(|error| broken(format!("not its JSON: {error}")))?;
    place(file, listed, 8 + text.len(), bytes.len())
}

/// Checks the ranges against shapes, dtypes, one another and the file; `data` is where the data begins.
fn place(
    file: &Path,
    listed: Vec<(String, Listed)>,
    data: usize,
    length: usize,
) -> Result<Header, WeightsError> {
    let mut seen = HashMap::with_capacity(listed.len());
    let mut tensors = Vec::with_capacity(listed.len());
    for (name, Listed { dtype, shape, data_offsets: (start, end) }) in listed {
        let broken = |why: String| WeightsError::malformed(file, format!("tensor {name:?}"), why);
        if seen.insert(name.clone(), ()).is_some() {
            return Err(broken("is listed twice".to_owned()));
        }
        let bits = shape.iter().try_fold(dtype.bitsize(), |bits, size| bits.checked_mul(*size));
        let size = bits.filter(|bits| bits % 8 == 0).map(|bits| bits / 8);
        let Some(size) = size else {
            return Err(broken(format!(
                "shape {shape:?} of {dtype} is no whole number of addressable bytes"
            )));
        };
        if end.checked_sub(start) != Some(size) {
            return Err(broken(format!(
                "shape {shape:?} of {dtype} takes {size} bytes, but its range is {start}..{end}"
            )));
        }
        tensors.push((name, Entry { dtype, shape, start, end }));
    }
    // By end as well: an empty tensor shares its start with the one that follows.
    tensors.sort_by_key(|(_, entry)| (entry.start, entry.end));
    let mut next = 0;
    for (name, entry) in &tensors {
        if entry.start != next {
            let what =
                if entry.start < next { "overlaps the tensor before it" } else { "leaves a hole before it" };
            let why = format!("its range {}..{} {what}, which ends at {next}", entry.start, entry.end);
            return Err(WeightsError::malformed(file, format!("tensor {name:?}"), why));
        }
        next = entry.end;
    }
    let expected = data.saturating_add(next);
    if expected > length {
        let (expected, found) = (expected as u64, length as u64);
        return Err(WeightsError::Truncated { file: file.to_owned(), expected, found });
    }
    if expected < length {
        let why = format!("its tensors end at byte {expected}, but the file has {length} bytes");
        return Err(WeightsError::malformed(file, "header", why));
    }
    for (_, entry) in &mut tensors {
        (entry.start, entry.end) = (entry.start + data, entry.end + data);
    }
    Ok(Header { tensors })
}

/// What a file that is no safetensors file most likely is, told by its first bytes.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 7] = [
        (b"GGUF", "a GGUF file"),
        (b"PK\x03\x04", "a PyTorch checkpoint or another zip archive (see `weights convert`)"),
        (b"\x80\x02", "a pickle of an old PyTorch version (see `weights convert`)"),
        (b"version https://git-lfs", "a Git LFS pointer instead of the file it stands for"),
        (b"<!", "a web page"),
        (b"<h", "a web page"),
        (b"{\"", "JSON without the length before it"),
    ];
    // A true header's length may begin with any byte, but then `{` or a space stands at its place.
    let header_follows = bytes.get(8).is_some_and(|byte| matches!(byte, b'{' | b' '));
    if header_follows {
        return None;
    }
    KINDS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind)
}

/// One tensor as the header lists it; the range counts from the first byte of data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// The header's JSON object with repeated names kept, so that they can be refused.
struct Entries(Vec<(String, Listed)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from tensor names to dtype, shape and data_offsets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        let listed = map
                            .next_value()
                            .map_err(|error| serde::de::Error::custom(format!("tensor {name:?}: {error}")))?;
                        entries.push((name, listed));
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Names)
    }
}
