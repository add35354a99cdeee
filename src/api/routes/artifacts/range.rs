//! The `Range` header (RFC 9110, section 14): which part of a file is wanted. Pure.

use axum::http::HeaderValue;

/// What is sent of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: no range, one that is not understood, or several.
    Whole,
    /// From the first to the last byte, both included, counted from 0.
    Of { first: u64, last: u64 },
    /// Nothing: the range lies outside.
    Outside,
}

/// Digits as a number; one that is too large is beyond any file.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// What `range` asks for of a file of `size` bytes.
pub(super) fn wanted(range: &HeaderValue, size: u64) -> Part {
    let text = range.to_str().unwrap_or_default();
    let Some((unit, set)) = text.split_once('=') else { return Part::Whole };
    let Some((first, last)) = set.trim().split_once('-') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    match (first, last, number(first), number(last)) {
        // The last so many bytes.
        ("", _, _, Some(count)) => match (count.min(size), size) {
            (0, _) => Part::Outside,
            (count, size) => Part::Of { first: size - count, last: size - 1 },
        },
        (_, "", Some(first), _) if first < size => Part::Of { first, last: size - 1 },
        (_, _, Some(first), Some(last)) if first <= last && first < size => {
            Part::Of { first, last: last.min(size - 1) }
        }
        (_, "", Some(_), _) => Part::Outside,
        (_, _, Some(first), Some(last)) if first <= last => Part::Outside,
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(range: &str, size: u64) -> Part {
        wanted(&HeaderValue::from_str(range).unwrap(), size)
    }

    #[test]
    fn the_standards_examples_are_read() {
        // RFC 9110, 14.1.2, for a representation of 10,000 bytes.
        assert_eq!(of("bytes=0-499", 10_000), Part::Of { first: 0, last: 499 });
        assert_eq!(of("bytes=500-999", 10_000), Part::Of { first: 500, last: 999 });
        assert_eq!(of("bytes=-500", 10_000), Part::Of { first: 9500, last: 9999 });
        assert_eq!(of("bytes=9500-", 10_000), Part::Of { first: 9500, last: 9999 });
        assert_eq!(of("bytes=0-0,-1", 10_000), Part::Whole);
    }

    #[test]
    fn edges_are_cut_outside_is_told_and_nonsense_is_ignored() {
        assert_eq!(of("bytes=9-99", 10), Part::Of { first: 9, last: 9 });
        assert_eq!(of("BYTES = 3-4", 10), Part::Of { first: 3, last: 4 });
        assert_eq!(of("bytes=-99", 10), Part::Of { first: 0, last: 9 });
        assert_eq!(of("bytes=0-99999999999999999999999", 10), Part::Of { first: 0, last: 9 });
        for outside in ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(of(outside, 10), Part::Outside, "{outside}");
        }
        for outside in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(of(outside, 0), Part::Outside, "{outside} of nothing");
        }
        for nonsense in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=4-3",
            "bytes=1-2-3",
            "bytes=+1-2",
            "lines=1-2",
            "bytes=0x1-2",
        ] {
            assert_eq!(of(nonsense, 10), Part::Whole, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_its_file(text in "(bytes=)?[0-9,\\- ]{0,24}", size in 0u64..200) {
            if let Part::Of { first, last } = of(&text, size) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
