//! Which of GGUF's types are understood, and which tensor of a file has another one.
//!
//! candle's reader gives up at the first type that it does not know, by number and without a name; this one reads the
//! header again as far as is needed to tell people which tensor it is and what would be accepted. ggml's `ggml.h` and
//! `docs/gguf.md` have the numbers and the layout.

use candle_core::quantized::GgmlDType;

/// What can be unpacked, by the names that files are published under.
pub(super) const UNDERSTOOD: &str =
    "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K or Q6_K";

/// ggml's numbers of its types; gaps are types that ggml gave up.
const NAMES: [(u32, &str); 37] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (6, "Q5_0"),
    (7, "Q5_1"),
    (8, "Q8_0"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (30, "BF16"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// Whether values of this type can be unpacked.
pub(super) fn is_understood(dtype: GgmlDType) -> bool {
    // Both are what activations become inside a product; no weights are published so.
    !matches!(dtype, GgmlDType::Q8_1 | GgmlDType::Q8K)
}

/// The first tensor in `bytes`, a whole file, that has a type which is not understood, as part of a sentence.
pub(super) fn strange(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader { bytes, version: 0 };
    if reader.take(4)? != b"GGUF" {
        return None;
    }
    reader.version = reader.u32()?;
    let (tensors, entries) = (reader.count()?, reader.count()?);
    for _ in 0..entries {
        reader.text()?;
        let kind = reader.u32()?;
        reader.skip(kind)?;
    }
    for _ in 0..tensors {
        let name = reader.text()?;
        let dimensions = u64::from(reader.u32()?);
        reader.take(dimensions.checked_mul(if reader.version == 1 { 4 } else { 8 })?)?;
        let kind = reader.u32()?;
        reader.take(8)?;
        let found = NAMES.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name);
        if !found.is_some_and(|name| UNDERSTOOD.split([',', ' ']).any(|known| known == name)) {
            let named = found.map_or_else(|| format!("type {kind}"), str::to_owned);
            let name = String::from_utf8_lossy(name).into_owned();
            return Some(format!("tensor {name:?} is stored as {named}; accepted: {UNDERSTOOD}"));
        }
    }
    None
}

/// What is left of a header; everything ends it that is not there.
struct Reader<'a> {
    bytes: &'a [u8],
    version: u32,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(usize::try_from(count).ok()?)?;
        self.bytes = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn count(&mut self) -> Option<u64> {
        if self.version == 1 {
            return self.u32().map(u64::from);
        }
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        self.take(count)
    }

    /// Over one value of the header's table.
    fn skip(&mut self, kind: u32) -> Option<()> {
        const TEXT: u32 = 8;
        const LIST: u32 = 9;
        let size = |kind: u32| match kind {
            0 | 1 | 7 => Some(1),
            2 | 3 => Some(2),
            4..=6 => Some(4),
            10..=12 => Some(8),
            _ => None,
        };
        match kind {
            TEXT => drop(self.text()?),
            LIST => {
                let (kind, count) = (self.u32()?, self.count()?);
                if kind == TEXT {
                    for _ in 0..count {
                        self.text()?;
                    }
                } else {
                    self.take(count.checked_mul(size(kind)?)?)?;
                }
            }
            other => drop(self.take(size(other)?)?),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with one table entry of each shape and one tensor of type `kind`.
    fn header(kind: u32) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(3u64.to_le_bytes());
        text(&mut bytes, "general.architecture");
        bytes.extend(8u32.to_le_bytes());
        text(&mut bytes, "flux");
        text(&mut bytes, "tokens");
        bytes.extend([9u32, 8].map(u32::to_le_bytes).concat());
        bytes.extend(2u64.to_le_bytes());
        text(&mut bytes, "a");
        text(&mut bytes, "b");
        text(&mut bytes, "general.file_type");
        bytes.extend([4u32, 7].map(u32::to_le_bytes).concat());
        text(&mut bytes, "img_in.weight");
        bytes.extend(2u32.to_le_bytes());
        bytes.extend([64u64, 32].map(u64::to_le_bytes).concat());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes
    }

    #[test]
    fn a_type_that_is_not_understood_is_named_with_its_tensor_and_what_is_accepted() {
        for (kind, name) in
            [(20, "IQ4_NL"), (23, "IQ4_XS"), (39, "MXFP4"), (28, "F64"), (9, "Q8_1"), (77, "type 77")]
        {
            let told = strange(&header(kind)).unwrap();
            assert!(
                told.starts_with(&format!("tensor \"img_in.weight\" is stored as {name}; accepted: F32")),
                "{told}"
            );
        }
        for kind in [0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 30] {
            assert_eq!(strange(&header(kind)), None, "{kind}");
        }
    }

    #[test]
    fn no_cut_or_wild_header_is_read_beyond_its_end() {
        let whole = header(20);
        for end in 0..whole.len() - 12 {
            assert_eq!(strange(&whole[..end]), None, "{end}");
        }
        for at in 0..whole.len() {
            let mut wild = whole.clone();
            wild[at] = 0xff;
            let _ = strange(&wild);
        }
    }
}
