//! What has to hold of any bytes that are found where the index has its log.
// Panicking is how a target says that something does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use super::change;
use super::generation::Generation;
use super::log::frame::{self, FILE_HEADER, FileHeader};
use super::log::scan::Scan;
use super::samples;

/// A generation that the corpus is written with.
const GENERATION: Generation = Generation::from_bits(0x5eed);

/// A file of the log: whatever it holds, reading it ends, and only what was written as a group is one.
pub(crate) fn log_file(bytes: &[u8], scratch: &Path) {
    std::fs::write(scratch.join("0000000001.log"), bytes).expect("the scratch folder can be written");
    let scan = Scan::read(scratch, None).expect("bytes are read, whatever they are");
    let _ = (scan.damage(), scan.torn(), scan.next_ordinal(), scan.closed(), scan.resumed());
    let last = scan.last().unwrap_or(0);
    assert!(scan.reach(0) <= last);
    let mut before = None;
    let each = |frame: frame::Frame<'_>| {
        assert!(before.is_none_or(|before| before < frame.group), "groups come in order");
        before = Some(frame.group);
        records(frame.payload);
        Ok::<_, super::IndexError>(())
    };
    scan.each_after(0, each).expect("what was read once is read again");
}

/// A group's payload: changes that can be written again as they were, or an error in words.
pub(crate) fn records(payload: &[u8]) {
    match change::decode(payload) {
        Ok(records) => {
            let mut again = Vec::new();
            for record in &records {
                change::encode(record, &mut again).expect("what was read can be written");
            }
            let twice = change::decode(&again).expect("what was written can be read");
            assert_eq!(format!("{twice:?}"), format!("{records:?}"));
        }
        Err(error) => assert!(!error.is_empty()),
    }
}

/// Files and payloads as the index writes them, for a fuzzer to begin with.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let mut file = FileHeader { generation: GENERATION, first_group: 1, made_at: 7 }.encode().to_vec();
    assert_eq!(file.len(), FILE_HEADER);
    for (group, records) in (1..).zip(samples::records().chunks(3)) {
        let mut payload = Vec::new();
        for record in records {
            change::encode(record, &mut payload).expect("a sample can be written");
        }
        file.extend(frame::encode(GENERATION, group, 5, &payload).expect("a small frame"));
    }
    vec![file]
}
