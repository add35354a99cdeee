//! Shards of one checkpoint: several files that are one, by their names, since nothing inside says it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::contents::Source;
use super::scan::LeftOver;

/// `NAME-00001-of-00003.safetensors`: what comes before, which of them, and how many there are.
fn shard(path: &Path) -> Option<(PathBuf, usize, usize)> {
    let stem = path.file_stem()?.to_str()?;
    let (rest, all) = stem.rsplit_once("-of-")?;
    let (name, one) = rest.rsplit_once('-')?;
    let number = |text: &str| (text.len() >= 2).then(|| text.parse::<usize>().ok()).flatten();
    Some((path.with_file_name(name), number(one)?, number(all)?))
}

/// Shards put together, everything else as it is; and those whose others are not all there, with why.
pub(super) fn shards(sources: Vec<Source>) -> (Vec<Source>, Vec<LeftOver>) {
    let (mut whole, mut broken) = (Vec::new(), Vec::new());
    let mut groups: BTreeMap<(PathBuf, usize), BTreeMap<usize, Source>> = BTreeMap::new();
    for source in sources {
        match shard(source.path()) {
            Some((name, one, all)) => drop(groups.entry((name, all)).or_default().insert(one, source)),
            None => whole.push(source),
        }
    }
    for ((_, all), parts) in groups {
        let missing: Vec<String> =
            (1..=all).filter(|one| !parts.contains_key(one)).take(4).map(|one| one.to_string()).collect();
        let is_of_one_kind =
            parts.values().all(|part| Some(part.format) == parts.values().next().map(|it| it.format));
        if !missing.is_empty() || !is_of_one_kind {
            let why = format!("one of {all} shards, of which number {} is not beside it", missing.join(", "));
            broken.extend(parts.into_values().flat_map(|part| part.files).map(|file| (file, why.clone())));
            continue;
        }
        let mut parts = parts.into_values();
        let Some(mut first) = parts.next() else { continue };
        for part in parts {
            first.files.extend(part.files);
            first.tensors.extend(part.tensors);
            first.size += part.size;
        }
        whole.push(first);
    }
    (whole, broken)
}

#[cfg(test)]
mod tests {
    use super::super::contents::{Format, Tensor};
    use super::*;

    fn source(path: &str) -> Source {
        let tensors = vec![Tensor { name: path.to_owned(), shape: vec![1] }];
        Source { files: vec![path.into()], format: Format::Safetensors, tensors, size: 4 }
    }

    #[test]
    fn shards_come_together_in_order_and_only_whole() {
        let all = ["a/m-00002-of-00002.st", "a/x.st", "a/m-00001-of-00002.st", "b/m-00002-of-00003.st"];
        let (whole, broken) = shards(all.map(source).into());
        let files: Vec<Vec<PathBuf>> = whole.into_iter().map(|source| source.files).collect();
        let expected: [&[&str]; 2] = [&["a/x.st"], &["a/m-00001-of-00002.st", "a/m-00002-of-00002.st"]];
        assert_eq!(files, expected.map(|files| files.iter().map(PathBuf::from).collect::<Vec<_>>()));
        let [(file, why)] = &broken[..] else { panic!("{broken:?}") };
        assert!(file.ends_with("m-00002-of-00003.st") && why.contains("number 1, 3 is not"), "{why}");
    }
}
