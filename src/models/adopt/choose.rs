//! Which of the files that were found serves for which role: those that fit, the best of several, and why.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Choice;
use super::contents::{Format, Source};
use super::draft::Sizes;
use super::kinds::{self, Kind};
use super::scan::LeftOver;
use super::sizes;
use super::texts::Texts;
use crate::models::catalog::Network;
use crate::types::ModelId;

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub sources: Vec<(Source, Vec<Kind>)>,
    pub texts: Texts,
}

/// Chooses, and remembers what was said about each file.
pub(super) struct Chooser<'a> {
    pub found: &'a Found,
    pub choices: Vec<Choice>,
    /// Why a source serves for nothing that it might have.
    verdicts: BTreeMap<PathBuf, Vec<String>>,
    /// What each source serves as.
    used: BTreeMap<PathBuf, Vec<(ModelId, &'static str)>>,
}

/// What decides between two that fit, the first difference first.
type Rank<'a> = (bool, bool, bool, bool, Reverse<u64>, usize, &'a Path);

impl<'a> Chooser<'a> {
    pub(super) fn new(found: &'a Found) -> Self {
        Self { found, choices: Vec::new(), verdicts: BTreeMap::new(), used: BTreeMap::new() }
    }

    /// Whether anything of these kinds was found at all.
    pub(super) fn has(&self, kinds: &[Kind]) -> bool {
        self.of(kinds).next().is_some()
    }

    /// The sources that have tensors of one of `kinds`.
    pub(super) fn of(&self, kinds: &[Kind]) -> impl Iterator<Item = &'a Source> {
        let kinds: Vec<Kind> = kinds.to_vec();
        self.found
            .sources
            .iter()
            .filter(move |(_, has)| has.iter().any(|kind| kinds.contains(kind)))
            .map(|(source, _)| source)
    }

    /// The best source for a role of those that have one of `kinds` and that `fits` lets through.
    pub(super) fn best<T>(
        &mut self,
        (model, role): (ModelId, &'static str),
        of: &[Kind],
        mut fits: impl FnMut(&'a Source) -> Result<T, String>,
    ) -> Option<(&'a Source, T)> {
        let mut candidates: Vec<&'a Source> = self.of(of).collect();
        candidates.sort_by(|a, b| self.rank(of, a).cmp(&self.rank(of, b)));
        let mut taken: Option<(&'a Source, T)> = None;
        for source in candidates {
            match (fits(source), &taken) {
                (Ok(fit), None) => {
                    self.uses(source, (model, role));
                    taken = Some((source, fit));
                }
                (Ok(_), Some((first, _))) => {
                    let why = self.difference(of, first, source);
                    let told =
                        format!("serves as {model}.{role} too; {} is taken: {why}", first.path().display());
                    self.say(source, told);
                    self.choices.push(Choice {
                        model,
                        role,
                        taken: first.path().to_owned(),
                        left: source.path().to_owned(),
                        why,
                    });
                }
                (Err(why), _) => {
                    let kind = of.first().map_or("", |kind| kinds::name(*kind));
                    self.say(source, format!("{kind}, and cannot serve as {model}.{role}: {why}"));
                }
            }
        }
        taken
    }

    pub(super) fn say(&mut self, source: &Source, what: String) {
        let said = self.verdicts.entry(source.path().to_owned()).or_default();
        if !said.contains(&what) {
            said.push(what);
        }
    }

    /// Notes that `source` serves as a role.
    pub(super) fn uses(&mut self, source: &Source, role: (ModelId, &'static str)) {
        self.used.entry(source.path().to_owned()).or_default().push(role);
    }

    /// Takes back what was noted for `model`, which is left out after all.
    pub(super) fn release(&mut self, model: ModelId) {
        for (path, roles) in &mut self.used {
            let said = self.verdicts.entry(path.clone()).or_default();
            for (_, role) in roles.extract_if(.., |(of, _)| *of == model) {
                let told = format!("would serve as {model}.{role}, but {model} is left out");
                if !said.contains(&told) {
                    said.push(told);
                }
            }
        }
        self.used.retain(|_, roles| !roles.is_empty());
    }

    /// Every source that serves for nothing, and why.
    pub(super) fn unused(&self) -> Vec<LeftOver> {
        let mut unused = Vec::new();
        for (source, has) in &self.found.sources {
            if self.used.contains_key(source.path()) {
                continue;
            }
            let why = match self.verdicts.get(source.path()) {
                Some(said) if !said.is_empty() => said.join("; "),
                _ if has.is_empty() => kinds::strange(source),
                _ => {
                    let names: Vec<&str> = has.iter().map(|kind| kinds::name(*kind)).collect();
                    format!("{}, and the rest of its model is not here", names.join(", "))
                }
            };
            unused.extend(source.files.iter().map(|file| (file.clone(), why.clone())));
        }
        unused
    }

    fn rank(&self, of: &[Kind], source: &'a Source) -> Rank<'a> {
        let kinds = self.found.sources.iter().find(|(other, _)| other.path() == source.path());
        let kinds = kinds.map_or(&[][..], |(_, kinds)| kinds);
        (
            // LivePortrait's weights for animals have the same tensors as those for people.
            source.path().to_string_lossy().to_lowercase().contains("animal"),
            sizes::is_guided(source),
            !source.is_direct(),
            of.contains(&Kind::ClipText) && kinds.contains(&Kind::Clip),
            // Tenths of a bit: headers and stray tensors are no difference.
            Reverse((source.bits() * 10.0).round() as u64),
            kinds.len(),
            source.path(),
        )
    }

    fn difference(&self, of: &[Kind], taken: &'a Source, left: &'a Source) -> String {
        let (one, other) = (self.rank(of, taken), self.rank(of, left));
        if one.0 != other.0 {
            "the other is for animals, by its path".to_owned()
        } else if one.1 != other.1 {
            "the other was distilled for guidance, as FLUX.1-dev was".to_owned()
        } else if one.2 != other.2 {
            "the other would have to be converted".to_owned()
        } else if one.3 != other.3 {
            "the other holds a vision tower as well".to_owned()
        } else if one.4 != other.4 {
            format!("{:.1} bits a number against {:.1}", taken.bits(), left.bits())
        } else if one.5 != other.5 {
            "the other holds other networks as well".to_owned()
        } else {
            "it comes first by name; name the file itself to have the other".to_owned()
        }
    }
}

/// Fails, with what is first, unless `network` can be built from `source`.
pub(super) fn fit(source: &Source, network: &Network) -> Result<(), String> {
    let told = |first: String, count: usize| match count {
        1 => first,
        more => format!("{first} (and {} more)", more - 1),
    };
    if source.format == Format::Pickle {
        return network.lacking(source.shapes()).map_or(Ok(()), |(first, count)| Err(told(first, count)));
    }
    let opened = network.open(&source.files).map_err(|error| error.chain())?;
    let misfits = network.misfits(&opened);
    let mut all = misfits.wrong.iter().chain(&misfits.missing);
    let Some(first) = all.next() else { return Ok(()) };
    Err(told(first.to_string(), 1 + all.count()))
}

/// The first sizes with which `fits` is content: those of a configuration that was found, the nearest first, else what
/// is `known`. The error is that of what is known, which says most where no configuration is there.
pub(super) fn sized<T>(
    texts: &Texts,
    place: &Path,
    fits: impl Fn(&serde_json::Value) -> Option<Result<T, String>>,
    known: impl FnOnce() -> Result<(Sizes, T), String>,
) -> Result<(Sizes, T), String> {
    let mut nearest = None;
    for (path, value) in texts.configs(place) {
        match fits(value) {
            Some(Ok(fit)) => return Ok((Sizes::Given(path.to_owned()), fit)),
            Some(Err(why)) if path.parent() == place.parent() => {
                nearest.get_or_insert_with(|| format!("{why}, by {}", path.display()));
            }
            Some(Err(_)) | None => {}
        }
    }
    known().map_err(|why| nearest.unwrap_or(why))
}
