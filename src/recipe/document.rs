//! JSON texts to documents: comments out, duplicate names refused, canonical bytes (RFC 8785).

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{FILE_SIZE, Problem, Problems};

/// Parses a JSON text that may hold `//` comments.
///
/// A name that stands twice in an object is an error: readers differ in which one counts, and a signature must not
/// depend on the reader.
pub fn parse(text: &[u8]) -> Result<Value, Problems> {
    let whole = |found: String, accepted: &str| Problems::from(Problem::new("", found, accepted));
    if text.len() > FILE_SIZE {
        return Err(whole(format!("a file of {} bytes", text.len()), "a JSON document of at most 1 MiB"));
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        whole(format!("byte {} is not UTF-8", error.valid_up_to()), "a JSON document in UTF-8")
    })?;
    // Editors of some systems put a byte order mark before UTF-8.
    let text = without_comments(text.strip_prefix('\u{feff}').unwrap_or(text));
    exact(&text).map_err(|error| match lone_surrogate(&text) {
        Some(found) => {
            whole(found, "both halves of the character, such as \\ud83d\\ude0a, or the character itself")
        }
        None => whole(error.to_string(), "one JSON object; // comments are allowed"),
    })
}

/// What there is to tell of the first escape that is half a character: UTF-16 writes those beyond U+FFFF in two halves.
fn lone_surrogate(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let code = |at: usize| {
        let escape = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    };
    let (mut at, mut line, mut begin) = (0, 1, 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, code(at)) {
            (b'\n', _) => (line, begin) = (line + 1, at + 1),
            (b'\\', Some(0xd800..=0xdbff)) if matches!(code(at + 6), Some(0xdc00..=0xdfff)) => at += 11,
            (b'\\', Some(0xd800..=0xdfff)) => {
                let escape = text.get(at..at + 6)?;
                let column = text.get(begin..at)?.chars().count() + 1;
                return Some(format!("{escape} at line {line} column {column} is half a character"));
            }
            // The escaped character may be a backslash.
            (b'\\', _) => at += 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Parses a JSON text, every number to the last bit, every name once; comments are none of JSON.
pub fn exact(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text).map(|Strict(value)| value)
}

/// The canonical bytes of a document: what is hashed and signed.
pub fn canonical(document: &Value) -> Vec<u8> {
    // Documents come from `parse`: every key is a string and every number finite, so nothing can fail to be written.
    serde_json_canonicalizer::to_vec(document).unwrap_or_default()
}

/// Comments become spaces, so that lines and columns in errors stay true.
fn without_comments(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let (mut in_string, mut in_comment, mut escaped) = (false, false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if in_comment {
            in_comment = c != '\n';
            clean.push(if in_comment { ' ' } else { '\n' });
            continue;
        }
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
        } else if c == '/' && chars.peek() == Some(&'/') {
            in_comment = true;
            clean.push(' ');
            continue;
        }
        clean.push(c);
    }
    clean
}

/// A JSON value whose objects name nothing twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Strict(value)) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Value::Array(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut map = Map::new();
                while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
                    if map.contains_key(&name) {
                        return Err(de::Error::custom(format_args!("{name:?} stands twice in one object")));
                    }
                    map.insert(name, value);
                }
                Ok(Value::Object(map))
            }
        }

        deserializer.deserialize_any(Reader).map(Strict)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// serde_json's `float_roundtrip`: without it some numbers of 17 digits are off by a bit, and signatures fail.
        #[test]
        fn every_number_reads_back_to_the_last_bit(bits in prop::collection::vec(any::<u64>(), 1..40), whole: i64) {
            let numbers: Vec<f64> =
                bits.into_iter().map(f64::from_bits).filter(|number| number.is_finite()).collect();
            let value = serde_json::json!({ "a": whole, "b": [{ "c": numbers }], "d": whole.unsigned_abs(), "e": -0.0 });
            for written in [value.to_string(), format!("{value:#}")] {
                let read = exact(&written).unwrap();
                prop_assert_eq!(read.to_string(), value.to_string());
                prop_assert_eq!(read, value.clone());
            }
        }
    }

    #[test]
    fn comments_are_left_out_and_slashes_in_strings_are_not() {
        let text = "{ // why\n \"a\": \"http://x\\\"//y\" // end\n}";
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::json!({"a": "http://x\"//y"}));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth() {
        let error = parse(br#"{"a": [{"b": 1, "b": 2}]}"#).unwrap_err().to_string();
        assert!(error.contains("\"b\" stands twice"), "{error}");
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for text in [&b"{"[..], b"", b"{} {}", b"\xff{}", b"[1,", b"nul", b"{\"a\": 1e999}"] {
            assert!(parse(text).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
        let error = parse(b"{\n // c\n \"a\": }").unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
        assert!(parse(&vec![b' '; FILE_SIZE + 1]).unwrap_err().to_string().contains("1 MiB"));
    }

    #[test]
    fn a_byte_order_mark_before_the_document_is_no_part_of_it() {
        assert_eq!(parse("\u{feff}{\"a\": 1}".as_bytes()).unwrap(), serde_json::json!({"a": 1}));
        assert!(parse("{\u{feff}\"a\": 1}".as_bytes()).is_err(), "it stands at the beginning only");
        assert!(parse("\u{feff}\u{feff}{}".as_bytes()).is_err(), "and once");
    }

    #[test]
    fn half_a_character_is_refused_with_its_place_and_what_to_write() {
        for (text, found) in [
            (r#"{"a": "Hello \ud83d"}"#, "\\ud83d at line 1 column 14 is half a character"),
            ("{\n \"é\": \"\\ude0a\"}", "\\ude0a at line 2 column 8 is half a character"),
            (r#"{"a": "\ud83d\ud83d"}"#, "\\ud83d at line 1 column 8"),
            (r#"{"a": "\uD83D x"}"#, "\\uD83D at line 1"),
            (r#"{"a": "\\\ud83d"}"#, "\\ud83d at line 1 column 10"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains("both halves"), "{text}: {error}");
        }
        // Both halves are a character; an escaped backslash begins no escape.
        assert_eq!(parse(br#"["\ud83d\ude0a"]"#).unwrap(), serde_json::json!(["\u{1f60a}"]));
        assert_eq!(parse(br#"["\\ud83d"]"#).unwrap(), serde_json::json!(["\\ud83d"]));
        assert!(!parse(br#"["\\ud83d""#).unwrap_err().to_string().contains("half"));
    }

    #[test]
    fn canonical_bytes_are_those_of_the_rfc() {
        // The sample of RFC 8785, section 3.2.2 and 3.2.3.
        let text = r#"{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }"#;
        let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
        assert_eq!(String::from_utf8(canonical(&parse(text.as_bytes()).unwrap())).unwrap(), expected);
    }
}
