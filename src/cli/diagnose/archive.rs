//! The archive in the making: files by name with what they are, scrubbed and bounded, and what could not be had.
//!
//! Owns the order and the limits; in the end it writes itself as `tar` inside of gzip, the description first. Holds
//! everything in memory until then, which its limits allow.

use std::io::{self, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::Value;

use super::scrub::Scrub;

/// One file is cut off behind this.
pub(super) const MOST_OF_ONE: usize = 8 << 20;
/// All of them together; what comes then is left out. Compressed this is a few megabytes, which issue trackers take.
const MOST: usize = 48 << 20;
/// What a text ends with that was cut off.
const CUT: &str = "\n… cut off here\n";

/// One file of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// Its name below the archive's folder.
    pub(super) name: String,
    /// Its size.
    pub(super) bytes: usize,
    /// What it is; nothing where the file of its folder says so.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) about: &'static str,
    /// Only its beginning is there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) cut: bool,
}

/// Something that is not in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Missing {
    /// What it was to be.
    pub(super) part: String,
    /// Why it is not there.
    pub(super) why: String,
}

/// The archive.
pub(super) struct Archive {
    folder: String,
    at: Duration,
    scrub: Scrub,
    files: Vec<(Entry, Vec<u8>)>,
    missing: Vec<Missing>,
    total: usize,
    most: usize,
}

impl Archive {
    /// An empty one, whose files lie in `folder` and are of the moment `at`, since the Unix epoch.
    pub(super) fn new(folder: String, at: Duration, scrub: Scrub) -> Self {
        Self { folder, at, scrub, files: Vec::new(), missing: Vec::new(), total: 0, most: MOST }
    }

    /// Puts a JSON document in.
    pub(super) fn json(&mut self, name: impl Into<String>, about: &'static str, value: Value) {
        self.put(name.into(), about, format!("{:#}\n", self.scrub.json(value)));
    }

    /// Puts JSON documents in, one a line, as many as there is room for; the first are the most important.
    pub(super) fn lines(
        &mut self,
        name: impl Into<String>,
        about: &'static str,
        values: impl IntoIterator<Item = Value>,
    ) {
        let mut text = String::new();
        for value in values {
            text.push_str(&format!("{}\n", self.scrub.json(value)));
            if text.len() > MOST_OF_ONE {
                break;
            }
        }
        self.put(name.into(), about, text);
    }

    /// Puts a text in.
    pub(super) fn text(&mut self, name: impl Into<String>, about: &'static str, text: &str) {
        self.put(name.into(), about, self.scrub.text(text));
    }

    /// Puts a text in that may be JSON, in which case secrets are found by their names as well.
    pub(super) fn document(&mut self, name: impl Into<String>, about: &'static str, text: &str) {
        match serde_json::from_str(text) {
            Ok(value) => self.json(name, about, value),
            Err(_) => self.text(name, about, text),
        }
    }

    /// Says that something is not there.
    pub(super) fn miss(&mut self, part: impl Into<String>, why: impl AsRef<str>) {
        let (part, why) = (part.into(), self.scrub.text(why.as_ref()));
        self.missing.push(Missing { part, why });
    }

    /// What is not there.
    pub(super) fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// What is there.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.files.iter().map(|(entry, _)| entry)
    }

    fn put(&mut self, name: String, about: &'static str, mut text: String) {
        let cut = text.len() > MOST_OF_ONE;
        if cut {
            let end = (0..=MOST_OF_ONE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push_str(CUT);
        }
        if self.total.saturating_add(text.len()) > self.most {
            let why = format!("the archive holds {} bytes already, its limit is {}", self.total, self.most);
            return self.miss(name, why);
        }
        self.total += text.len();
        let entry = Entry { name, bytes: text.len(), about, cut };
        self.files.push((entry, text.into_bytes()));
    }

    /// Writes it to `out`: `readme` first, and `index` (the same for machines), then all files in their order.
    pub(super) fn write(&self, readme: &str, index: &Value, out: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        let mut append = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            // For their owner: who unpacks them decides who else may read them.
            header.set_mode(0o600);
            header.set_mtime(self.at.as_secs());
            tar.append_data(&mut header, format!("{}/{name}", self.folder), bytes)
        };
        append("README.txt", self.scrub.text(readme).as_bytes())?;
        append("index.json", format!("{:#}\n", self.scrub.json(index.clone())).as_bytes())?;
        for (entry, bytes) in &self.files {
            append(&entry.name, bytes)?;
        }
        tar.into_inner()?.finish()?.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use serde_json::json;

    use super::*;

    fn archive() -> Archive {
        let mut scrub = Scrub::default();
        scrub.know("a secret of ours");
        Archive::new("d".to_owned(), Duration::from_secs(9), scrub)
    }

    #[test]
    fn everything_that_goes_in_is_scrubbed_and_comes_out_under_its_name() {
        let mut archive = archive();
        archive.json("a.json", "a", json!({ "x": "a secret of ours" }));
        archive.lines("b.jsonl", "", [json!("a secret of ours"), json!(2)]);
        archive.text("c.txt", "c", "a secret of ours");
        archive.document("d.json", "", "{\"password\": \"xyz\"}");
        archive.document("e.txt", "", "no JSON: a secret of ours");
        archive.miss("f", "a secret of ours");
        let mut bytes = Vec::new();
        archive.write("a secret of ours", &json!(["a secret of ours"]), &mut bytes).unwrap();
        let mut files = Vec::new();
        let mut tar = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert!(!text.contains("of ours") && !text.contains("xyz"), "{name}: {text}");
            assert_eq!(entry.header().mtime().unwrap(), 9);
            files.push(name);
        }
        let expected =
            ["d/README.txt", "d/index.json", "d/a.json", "d/b.jsonl", "d/c.txt", "d/d.json", "d/e.txt"];
        assert_eq!(files, expected);
        assert_eq!(archive.missing(), [Missing { part: "f".to_owned(), why: "[taken out]".to_owned() }]);
    }

    #[test]
    fn a_large_file_is_cut_off_and_one_beyond_the_limit_of_all_left_out() {
        let mut archive = archive();
        archive.text("large", "", &"ü".repeat(MOST_OF_ONE));
        let entry = archive.entries().next().unwrap();
        assert!(entry.cut && entry.bytes <= MOST_OF_ONE + CUT.len(), "{entry:?}");
        archive.most = archive.total + 10;
        archive.text("fits", "", "0123456789");
        archive.text("more", "", "0");
        assert_eq!(archive.entries().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["large", "fits"]);
        assert!(archive.missing()[0].part == "more" && archive.missing()[0].why.contains("limit"));
    }
}
