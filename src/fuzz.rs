//! Entries for fuzzers: each takes any bytes, and panics where something that always has to hold does not.
//!
//! Compiled into tests, which run each for a moment with damaged copies of sound inputs, and with `--cfg fuzzing`, for
//! libFuzzer to run them for hours (`tests/soak/run fuzz`).
// Panicking is how a target says that something does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

pub use crate::api::fuzz::request;
pub use crate::recipe::fuzz::recipe;

thread_local! {
    static SCRATCH: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
}

fn in_scratch(entry: impl FnOnce(&Path)) {
    SCRATCH.with(|folder| entry(folder.path()));
}

/// A file of the journal's log.
pub fn journal_log(bytes: &[u8]) {
    in_scratch(|scratch| crate::journal::index::fuzz::log_file(bytes, scratch));
    crate::journal::index::fuzz::records(bytes);
}

/// A record of a slot's folder.
pub fn folder_record(bytes: &[u8]) {
    in_scratch(|scratch| crate::journal::folder::fuzz::folder_record(bytes, scratch));
}

/// Sound inputs of the entry called `name`, to begin with.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let recipe = || crate::recipe::example::with_id(uuid::Uuid::from_u128(1)).into_bytes();
    match name {
        "request" => crate::api::fuzz::corpus(),
        "recipe" => vec![recipe(), b"{\"a\": [1.5e300, \"\\ud83d\\ude0a\"], // why\n \"b\": null}".to_vec()],
        "journal_log" => crate::journal::index::fuzz::corpus(),
        "folder_record" => crate::journal::folder::fuzz::corpus(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::{RngCore, SeedableRng};

    use super::*;

    /// Parts that inputs are made of: what a random byte would hit too seldom.
    const PIECES: [&[u8]; 16] = [
        b"\0",
        b"\xff\xff\xff\xff",
        b"\xf5\xfa\xc1\xff",
        b"{",
        b"}",
        b"[[[[[[[[",
        b"\"",
        b"\\ud800",
        b"%2e%2e/",
        b"../",
        b"-1",
        b"18446744073709551616",
        b"1e999",
        b",",
        b"\n\n",
        b"\xef\xbb\xbf",
    ];

    /// `input` with some damage: bits, pieces, cuts, repetitions, and parts of `other`.
    fn damaged(input: &[u8], other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
        let mut bytes = input.to_vec();
        let mut below = |most: usize| rng.next_u64() as usize % most.max(1);
        for _ in 0..=below(4) {
            let at = below(bytes.len());
            match below(7) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << below(8),
                1 if !bytes.is_empty() => bytes[at] = below(256) as u8,
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..bytes.len().min(at + below(40)))),
                4 => {
                    let piece = PIECES[below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                5 => {
                    let repeated = bytes[at..bytes.len().min(at + below(60))].repeat(1 + below(3));
                    bytes.splice(at..at, repeated);
                }
                _ => {
                    let from = below(other.len());
                    let part = other[from..other.len().min(from + below(200))].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        bytes
    }

    fn fuzz(name: &str, rounds: u64, entry: fn(&[u8])) {
        let corpus = corpus(name);
        assert!(!corpus.is_empty());
        corpus.iter().for_each(|input| entry(input));
        for seed in 0..rounds {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut one = || &corpus[rng.next_u64() as usize % corpus.len()];
            let (input, other) = (one(), one());
            let bytes = damaged(input, other, &mut rng);
            let run = std::panic::catch_unwind(|| entry(&bytes));
            assert!(run.is_ok(), "{name}, seed {seed}: {}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn any_recipe_is_read_or_refused() {
        fuzz("recipe", 4000, recipe);
    }

    #[test]
    fn any_request_is_answered() {
        fuzz("request", 3000, request);
    }

    #[test]
    fn any_log_is_read() {
        fuzz("journal_log", 4000, journal_log);
    }

    #[test]
    fn any_record_of_a_folder_is_read_or_told_to_be_damaged() {
        fuzz("folder_record", 1500, folder_record);
    }
}
