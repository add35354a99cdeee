//! The bundle that would be used: whether its files are what they should be, and whether it has the voices asked for.

use std::path::Path;

use super::finding::Finding;
use crate::app::bundle::{Origin, choose, there, voices_of};
use crate::cli::weights::progress;
use crate::config::{Loaded, Voices};
use crate::models::bundle::Bundle;
use crate::models::bundle::verify::{self, CheckedFile, Standing};
use crate::models::vocabulary::Vocabulary;
use crate::types::{Bytes, ModelId, VoiceBlend};

/// How many of a long list are told; `weights verify` tells all.
const TOLD: usize = 3;

/// Which it is; the bundle itself where one can be used.
pub(super) fn bundle(
    loaded: &Loaded,
    flag: Option<&Path>,
    looks_only: bool,
) -> (Option<Bundle>, Vec<Finding>) {
    let chosen = match there(flag, loaded) {
        None if looks_only => {
            let found = "none is configured, and no demo weights are there; not looked at";
            let advice =
                "a node makes random ones up, whose pictures are noise; name a bundle by the setting bundle";
            return (None, vec![Finding::doubtful("bundle", found, advice)]);
        }
        None => choose(flag, loaded),
        Some(there) => there,
    };
    match chosen {
        Ok(chosen) => {
            let (name, folder) = (&chosen.bundle.name, chosen.bundle.folder.display());
            let lock = chosen.lock_sha256.map(|hash| format!(", its lock's {hash}")).unwrap_or_default();
            let found = format!("{name} ({}), {folder}, sha256 {}{lock}", chosen.origin, chosen.sha256);
            let finding = match chosen.origin {
                Origin::Given | Origin::Demo => Finding::ok("bundle", found),
                Origin::Synthetic => Finding::doubtful("bundle", found, chosen.notes.join("; ")),
            };
            (Some(chosen.bundle), vec![finding])
        }
        Err(failed) => {
            let advice = "name a bundle with all five models by --bundle or the setting bundle";
            (None, vec![Finding::wrong("bundle", failed.to_string(), advice)])
        }
    }
}

/// Whether every file is there and, unless that is skipped, hashes to what the bundle says.
pub(super) fn files(bundle: &Bundle, quick: bool) -> Finding {
    let paths = bundle.models.values().flat_map(|entry| entry.entries()).map(|(_, file)| &file.path);
    let paths: Vec<&String> = paths.chain(bundle.image.vocabulary.iter().map(|file| &file.path)).collect();
    let size =
        |path: &&String| std::fs::metadata(bundle.folder.join(path)).map(|found| Bytes::new(found.len()));
    let total: Bytes = paths.iter().filter_map(|path| size(path).ok()).sum();
    let count = paths.len();
    if quick {
        let errors = paths.iter().filter_map(|path| size(path).err().map(|error| format!("{path}: {error}")));
        let errors: Vec<String> = errors.collect();
        if errors.is_empty() {
            return Finding::ok("weights", format!("{count} files, {total}, there; not hashed (--quick)"));
        }
        return damaged(&errors, count, bundle);
    }
    let bar = progress::bytes(total, "hashing");
    let checked = verify::files(bundle, &ModelId::ALL, |piece| bar.inc(piece.get()));
    bar.finish_and_clear();
    let wrong: Vec<String> = checked.iter().filter_map(what_is_wrong).collect();
    if wrong.is_empty() {
        return Finding::ok("weights", format!("{count} files, {total}, every hash as described"));
    }
    damaged(&wrong, count, bundle)
}

fn what_is_wrong(file: &CheckedFile) -> Option<String> {
    let path = file.path.display();
    match &file.standing {
        Standing::Sound => None,
        Standing::WrongHash { expected, found } => {
            Some(format!("{path}: expected sha256 {expected}, found {found}"))
        }
        Standing::Unknown { found } => {
            Some(format!("{path}: neither the bundle nor a lock says its sha256; found {found}"))
        }
        Standing::Unreadable(error) => Some(format!("{path}: {error}")),
    }
}

fn damaged(wrong: &[String], count: usize, bundle: &Bundle) -> Finding {
    let folder = bundle.folder.display();
    let advice = format!(
        "move them away and fetch them again with `vortex-node weights pull {folder}`, or copy them anew"
    );
    Finding::wrong(
        "weights",
        format!("{} of {count} files are not as described: {}", wrong.len(), first(wrong)),
        advice,
    )
}

fn first(list: &[String]) -> String {
    let more = list.len().saturating_sub(TOLD);
    let told = list.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
    if more == 0 { told } else { format!("{told}; and {more} more") }
}

/// Whether the networks find every tensor that they ask for, in its shape, and what else a load reads can be read.
pub(super) fn tensors(bundle: &Bundle) -> Finding {
    let networks = verify::networks(bundle, &ModelId::ALL, false);
    let asked: usize = networks.iter().map(|network| network.asked).sum();
    let wrong: Vec<String> = networks
        .iter()
        .filter_map(|network| match &network.outcome {
            Ok(misfits) if misfits.is_usable() => None,
            Ok(misfits) => {
                let count = misfits.missing.len() + misfits.wrong.len();
                Some(format!(
                    "{} {}: {count} tensors are missing or of another shape",
                    network.model, network.role
                ))
            }
            Err(error) => Some(format!("{} {}: {}", network.model, network.role, error.chain())),
        })
        .collect();
    let parts = verify::parts(bundle, &ModelId::ALL);
    let unread = parts.iter().filter_map(|part| {
        let error = part.outcome.as_ref().err()?;
        // A file that is not there is told where the files are.
        let all_there = bundle.paths(part.model, part.role).iter().all(|path| path.exists());
        if !all_there {
            return None;
        }
        Some(format!("{} {}: {}", part.model, part.role, error.chain()))
    });
    let wrong: Vec<String> = wrong.into_iter().chain(unread).collect();
    if wrong.is_empty() {
        return Finding::ok(
            "tensors",
            format!("{asked} asked for by {} networks, all there", networks.len()),
        );
    }
    let advice = format!("`vortex-node weights verify {}` names each", bundle.folder.display());
    Finding::wrong("tensors", first(&wrong), advice)
}

/// Whether the list of words that the bundle names can be read; nothing where it names none.
pub(super) fn vocabulary(bundle: &Bundle) -> Option<Finding> {
    match Vocabulary::of_bundle(bundle) {
        Ok(None) => None,
        Ok(Some(_)) => {
            let about = bundle.image.vocabulary.as_ref().and_then(|file| file.about.clone());
            let about = about.unwrap_or_else(|| "its words are listed".to_owned());
            Some(Finding::ok("vocabulary", format!("the image model knows some words only: {about}")))
        }
        Err(error) => Some(Finding::wrong(
            "vocabulary",
            error.chain(),
            "copy the file anew, or take [vocabulary] out of bundle.toml",
        )),
    }
}

/// Whether the bundle has every voice that a character, or nobody in particular, speaks with.
pub(super) fn voices(voices: &Voices, bundle: &Bundle) -> Finding {
    let known = voices_of(bundle);
    let missing = |who: &str, blend: &VoiceBlend| {
        let lacks = blend
            .parts()
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !known.iter().any(|k| k == name));
        let lacks: Vec<&str> = lacks.collect();
        (!lacks.is_empty()).then(|| format!("{who} needs {}", lacks.join(" and ")))
    };
    let characters = voices.characters().filter_map(|name| missing(name, &voices.resolve(name).ok()?));
    let stand_ins =
        voices.stand_ins().filter_map(|(name, voice)| missing(&format!("the stand-in for {name}"), voice));
    let wrong: Vec<String> =
        missing("default", voices.fallback()).into_iter().chain(characters).chain(stand_ins).collect();
    if wrong.is_empty() {
        let count = voices.characters().count();
        return Finding::ok(
            "voices",
            format!("{count} characters and the default speak with the bundle's {}", known.len()),
        );
    }
    let advice = format!("map them in voices.toml to voices that the bundle has: {}", known.join(", "));
    Finding::wrong("voices", wrong.join("; "), advice)
}
