//! LivePortrait out of what was found: five networks that one configuration describes.

use std::path::PathBuf;

use super::choose::{Chooser, fit};
use super::contents::Source;
use super::draft::{Draft, PUBLISHED, Sizes};
use super::kinds::{Kind, PORTRAIT};
use super::texts::What;
use crate::models::catalog::{self, Network};
use crate::models::liveportrait::config::Config;
use crate::models::synth;
use crate::types::ModelId;

const MODEL: ModelId = ModelId::LivePortrait;

/// The model, or what is missing of it.
pub(super) fn draft(chooser: &mut Chooser<'_>) -> Result<Draft, String> {
    let (sizes, networks) = described(chooser)?;
    let mut draft = Draft::new(synth::precision(MODEL));
    draft.sizes("config", sizes);
    let mut missing = Vec::new();
    for (place, (role, network)) in PORTRAIT.into_iter().zip(&networks).enumerate() {
        match chooser.best((MODEL, role), &[Kind::Portrait(place)], |source| fit(source, network)) {
            Some((source, ())) => draft.weights(role, source),
            None => missing.push(role),
        }
    }
    if missing.is_empty() { Ok(draft) } else { Err(format!("without {}", missing.join(", "))) }
}

/// The configuration that most of the networks fit: the first of those found, the nearest to any of the networks first,
/// else the published one.
fn described(chooser: &Chooser<'_>) -> Result<(Sizes, [Network; 5]), String> {
    let first: Option<&Source> =
        (0..PORTRAIT.len()).find_map(|place| chooser.of(&[Kind::Portrait(place)]).next());
    let place: PathBuf = first.map_or_else(PathBuf::new, |source| source.path().to_owned());
    let near = chooser.found.texts.near(&place, |text| match &text.what {
        What::Portrait(text) => Some(text.clone()),
        _ => None,
    });
    let published = synth::published(MODEL, "config").unwrap_or_default();
    let known = Sizes::Made { text: published.clone(), about: PUBLISHED };
    let all = near.into_iter().map(|(path, text)| (Sizes::Given(path.to_owned()), text));
    let mut best: Option<(usize, Sizes, [Network; 5])> = None;
    for (sizes, text) in all.chain([(known, published)]) {
        let networks = Config::parse(&text).and_then(|config| catalog::liveportrait(&config));
        let Ok(networks) = networks else { continue };
        let fits = |(place, network): (usize, &Network)| {
            chooser.of(&[Kind::Portrait(place)]).any(|source| fit(source, network).is_ok())
        };
        let count = networks.iter().enumerate().filter(|pair| fits(*pair)).count();
        if best.as_ref().is_none_or(|(most, ..)| count > *most) {
            best = Some((count, sizes, networks));
        }
    }
    best.map(|(_, sizes, networks)| (sizes, networks))
        .ok_or_else(|| "no configuration can be read".to_owned())
}
