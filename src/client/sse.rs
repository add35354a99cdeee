//! Bytes of an event stream to frames, as HTML's section on server-sent events has it. Pure: no connection, no clock.

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its id; none where it has none.
    pub id: Option<String>,
    /// Its kind; `message` where it names none.
    pub event: String,
    /// What it carries.
    pub data: String,
}

/// A frame that is larger than any event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {LARGEST} bytes")]
pub struct TooLong;

/// Events are some hundred bytes, snapshots of memory some thousand.
const LARGEST: usize = 1 << 20;

/// Takes bytes as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    /// The last byte ended a line by a carriage return: a line feed after it belongs to it.
    after_return: bool,
    past_first_line: bool,
    id: Option<String>,
    event: String,
    data: String,
    has_data: bool,
}

impl Decoder {
    /// The frames that end within `bytes`.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, TooLong> {
        let mut frames = Vec::new();
        for byte in bytes {
            let after_return = std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    frames.extend(self.end_of_line(&line));
                }
                byte => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > LARGEST {
                return Err(TooLong);
            }
        }
        Ok(frames)
    }

    fn end_of_line(&mut self, line: &[u8]) -> Option<Frame> {
        let text = String::from_utf8_lossy(line);
        // Only the stream's first line may begin with a byte order mark.
        let text = if std::mem::replace(&mut self.past_first_line, true) {
            &text
        } else {
            text.strip_prefix('\u{feff}').unwrap_or(&text)
        };
        if text.is_empty() {
            return self.end_of_frame();
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // A comment (an empty name), or a field that is none of ours.
            _ => {}
        }
        None
    }

    fn end_of_frame(&mut self) -> Option<Frame> {
        let (id, event, data) =
            (self.id.take(), std::mem::take(&mut self.event), std::mem::take(&mut self.data));
        let has_data = std::mem::take(&mut self.has_data);
        let event = if event.is_empty() { "message".to_owned() } else { event };
        has_data.then_some(Frame { id, event, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(id: Option<&str>, event: &str, data: &str) -> Frame {
        Frame { id: id.map(str::to_owned), event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn frames_are_read_as_the_standard_says() {
        let text = "\u{feff}: hello\n\nid: g-1\nevent: accepted\ndata: {\"a\":1}\n\nretry: 10\ndata:one\ndata: two\n\n\
                    event: nothing\n\ndata\n\nid\ndata: x\n\n";
        let expected = [
            frame(Some("g-1"), "accepted", "{\"a\":1}"),
            frame(None, "message", "one\ntwo"),
            frame(None, "message", ""),
            frame(Some(""), "message", "x"),
        ];
        assert_eq!(Decoder::default().feed(text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut decoder = Decoder::default();
        decoder.feed(b"data: ").unwrap();
        assert_eq!(decoder.feed(&vec![b'x'; LARGEST + 1]), Err(TooLong));
        let mut decoder = Decoder::default();
        let lines = b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(LARGEST / 20);
        assert_eq!(decoder.feed(&lines), Err(TooLong));
    }

    proptest! {
        /// Where a network cuts, and which line ends a server has, makes no difference.
        #[test]
        fn pieces_make_no_difference(
            fields in prop::collection::vec("(id|event|data|:|retry)?:? ?[ -~é]{0,9}|", 0..30),
            cut in 1..7usize,
        ) {
            let whole = |end: &str| fields.iter().map(|field| format!("{field}{end}")).collect::<String>() + end + end;
            let expected = Decoder::default().feed(whole("\n").as_bytes()).unwrap();
            for end in ["\n", "\r\n", "\r"] {
                let mut decoder = Decoder::default();
                let frames: Vec<Frame> =
                    whole(end).as_bytes().chunks(cut).flat_map(|piece| decoder.feed(piece).unwrap()).collect();
                prop_assert_eq!(&frames, &expected);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Decoder::default().feed(&bytes);
        }
    }
}
