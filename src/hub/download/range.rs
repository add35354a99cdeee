//! What an answer to a request for the rest of a file brings: servers ignore ranges, or give others than asked for.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue};

/// What the body of an answer is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Coming {
    /// The bytes from the place on that was asked for.
    Rest,
    /// All bytes: so many of them are there already.
    All {
        /// How many to leave out.
        skip: u64,
    },
    /// All bytes of a file that is another by now.
    Another,
    /// Nothing that can be used.
    Nothing(String),
}

/// Reads the answer to a request from `begin` on of a file of `size` bytes, if that is known; `tag` is what was sent as
/// `If-Range`.
pub(super) fn coming(
    status: StatusCode,
    headers: &HeaderMap,
    begin: u64,
    size: Option<u64>,
    tag: Option<&HeaderValue>,
) -> Coming {
    match status {
        StatusCode::PARTIAL_CONTENT => partial(headers, begin, size),
        StatusCode::OK if begin == 0 => Coming::Rest,
        StatusCode::OK => match (tag, headers.get(ETAG)) {
            (Some(before), Some(now)) if before != now => Coming::Another,
            _ => Coming::All { skip: begin },
        },
        other => Coming::Nothing(format!("asked for bytes from {begin}, the server answers HTTP {other}")),
    }
}

fn partial(headers: &HeaderMap, begin: u64, size: Option<u64>) -> Coming {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(range) = text(CONTENT_RANGE) else {
        // It has to say where its bytes belong; where it does not, their number tells.
        let length: Option<u64> = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        return match size.zip(length) {
            Some((size, length)) if length == size.saturating_sub(begin) => Coming::Rest,
            Some((size, length)) if length == size => Coming::All { skip: begin },
            _ => Coming::Nothing(format!("asked for bytes from {begin}, came bytes from nobody knows where")),
        };
    };
    let parsed = range.trim().strip_prefix("bytes ").and_then(|rest| {
        let (span, total) = rest.split_once('/')?;
        let (first, _) = span.split_once('-')?;
        Some((first.trim().parse::<u64>().ok()?, total.trim().parse::<u64>().ok()))
    });
    match parsed {
        Some((_, Some(total))) if size.is_some_and(|size| size != total) => Coming::Nothing(format!(
            "the file has {} bytes, came a range of {total}",
            size.unwrap_or_default()
        )),
        Some((first, _)) if first == begin => Coming::Rest,
        Some((0, _)) => Coming::All { skip: begin },
        _ => Coming::Nothing(format!("asked for bytes from {begin}, came range {range:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        status: u16,
        lines: &[(&'static str, &'static str)],
        begin: u64,
        tag: Option<&'static str>,
    ) -> Coming {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let tag = tag.map(HeaderValue::from_static);
        coming(StatusCode::from_u16(status).unwrap(), &headers, begin, Some(100), tag.as_ref())
    }

    #[test]
    fn a_server_that_keeps_to_the_range_is_gone_on_with() {
        assert_eq!(of(200, &[], 0, None), Coming::Rest);
        assert_eq!(of(206, &[("content-range", "bytes 40-99/100")], 40, None), Coming::Rest);
        assert_eq!(of(206, &[("content-range", "bytes 40-99/*")], 40, None), Coming::Rest);
        assert_eq!(of(206, &[("content-length", "60")], 40, None), Coming::Rest);
    }

    #[test]
    fn a_server_that_sends_everything_is_read_from_the_start() {
        assert_eq!(of(200, &[], 40, None), Coming::All { skip: 40 });
        assert_eq!(of(200, &[("etag", "\"a\"")], 40, Some("\"a\"")), Coming::All { skip: 40 });
        assert_eq!(of(206, &[("content-range", "bytes 0-99/100")], 40, None), Coming::All { skip: 40 });
        assert_eq!(of(206, &[("content-length", "100")], 40, None), Coming::All { skip: 40 });
    }

    #[test]
    fn a_file_that_changed_is_another() {
        assert_eq!(of(200, &[("etag", "\"b\"")], 40, Some("\"a\"")), Coming::Another);
    }

    #[test]
    fn bytes_that_belong_nowhere_are_no_use() {
        for (status, lines) in [
            (206, vec![("content-range", "bytes 39-99/100")]),
            (206, vec![("content-range", "bytes 40-98/99")]),
            (206, vec![("content-range", "lines 40-99/100")]),
            (206, vec![("content-length", "61")]),
            (206, vec![]),
            (416, vec![("content-range", "bytes */100")]),
            (204, vec![]),
        ] {
            assert!(matches!(of(status, &lines, 40, None), Coming::Nothing(_)), "{status} {lines:?}");
        }
    }
}
