//! A network's tensors among the names that files give them.
//!
//! Pure: names and shapes in, names out. Three things differ between files that hold the same network, and any of them
//! together: words of a training wrapper anywhere in a name (`module.`, `_orig_mod.`), a prefix in front of all of them
//! (an all-in-one checkpoint's `model.diffusion_model.`, `vae.`), and another program's words for a tensor. Wrappers'
//! words are dropped on both sides, the prefix is the one under which most of the network is found, and a network says
//! which other words it knows. Whatever cannot be found so is missing, for whoever verifies and whoever loads.

use std::collections::{BTreeMap, HashMap};

use super::spec::TensorSpec;

/// Other names of a tensor, besides the one that the network asks for.
pub(crate) type Aliases = fn(&str) -> Vec<String>;

/// What data-parallel training, compilation and checkpointing put into names.
const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// PyTorch's newer words for what weight and spectral normalisation store, and the older ones.
const PARAMETRISED: [(&str, &str); 5] = [
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
    (".parametrizations.weight.original", ".weight_orig"),
    (".parametrizations.weight.0._u", ".weight_u"),
    (".parametrizations.weight.0._v", ".weight_v"),
];

/// No other names.
pub(crate) fn no_aliases(_: &str) -> Vec<String> {
    Vec::new()
}

/// `name` without what a wrapper put into it. Two names of one tensor have the same plain form.
pub(crate) fn plain(name: &str) -> String {
    let parts = name.split('.').filter(|part| !WRAPPERS.contains(part));
    // Some give a whole network's wrapper a name of its own: `retarget_eye_module.mlp`.
    let parts: Vec<&str> = parts.map(|part| part.strip_suffix("_module").unwrap_or(part)).collect();
    let name = parts.join(".");
    let newer = PARAMETRISED.iter().find_map(|(new, old)| Some((name.strip_suffix(new)?, old)));
    newer.map_or(name.clone(), |(layer, old)| format!("{layer}{old}"))
}

/// What comes before `wanted` in `name`, both plain: nothing, or whole words with their dot.
pub(crate) fn before<'a>(name: &'a str, wanted: &str) -> Option<&'a str> {
    name.strip_suffix(wanted).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// A file's tensors as they are stored.
pub struct Stored<'a> {
    by_plain: BTreeMap<String, Vec<(&'a str, &'a [usize])>>,
}

impl<'a> Stored<'a> {
    /// From names and shapes.
    pub fn new(tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> Self {
        let mut by_plain = BTreeMap::<String, Vec<_>>::new();
        for (name, shape) in tensors {
            by_plain.entry(plain(name)).or_default().push((name, shape));
        }
        Self { by_plain }
    }

    /// Plain names and shapes of everything below the shortest prefix that one of `signs` stands under; everything
    /// where none is found.
    pub fn below(&self, signs: &[&str]) -> Vec<(&str, &'a [usize])> {
        let prefixes =
            signs.iter().flat_map(|sign| self.by_plain.keys().filter_map(|name| before(name, sign)));
        let prefix = prefixes.min_by_key(|prefix| prefix.len()).unwrap_or_default();
        let found = self
            .by_plain
            .iter()
            .filter_map(|(name, stored)| Some((name.strip_prefix(prefix)?, stored.first()?.1)));
        found.collect()
    }

    /// Whether a tensor is called as one of `signs`, with or without a prefix.
    pub fn has_below(&self, signs: &[&str]) -> bool {
        self.by_plain.keys().any(|name| signs.iter().any(|sign| before(name, sign).is_some()))
    }

    /// New names for the stored ones: those of `asked` for what the network asks for, their own for what else lies
    /// below the same prefix. What lies elsewhere is left out.
    pub fn named_for(&self, asked: &[TensorSpec], aliases: Aliases) -> BTreeMap<String, String> {
        let wanted: Vec<Wanted<'_>> = asked.iter().map(|spec| Wanted::new(spec, aliases)).collect();
        let prefix = self.prefix(&wanted);
        let mut names = BTreeMap::new();
        // A layer's other tensors (packed magnitudes, scales) follow its matrix.
        let mut parents = HashMap::new();
        for wanted in &wanted {
            for stored in self.find(wanted, &prefix) {
                names.insert(stored.to_owned(), wanted.name.to_owned());
                parents.insert(stored, wanted.name);
                if let (Some((stored, _)), Some((name, _))) =
                    (stored.rsplit_once('.'), wanted.name.rsplit_once('.'))
                {
                    parents.insert(stored, name);
                }
            }
        }
        for (plain, stored) in &self.by_plain {
            let Some(short) = plain.strip_prefix(&prefix) else { continue };
            for (stored, _) in stored {
                if names.contains_key(*stored) {
                    continue;
                }
                let own = if prefix.is_empty() { (*stored).to_owned() } else { short.to_owned() };
                let followed = stored.match_indices('.').rev().find_map(|(at, _)| {
                    parents.get(&stored[..at]).map(|parent| format!("{parent}{}", &stored[at..]))
                });
                names.insert((*stored).to_owned(), followed.unwrap_or(own));
            }
        }
        names
    }

    /// Where `wanted` is stored: under every name of the same plain form (two of them are a mistake, which whoever
    /// renames finds), else under an alias.
    fn find(&self, wanted: &Wanted<'_>, prefix: &str) -> Vec<&'a str> {
        for name in &wanted.names {
            if let Some(found) = self.by_plain.get(&format!("{prefix}{name}")) {
                return found.iter().map(|(stored, _)| *stored).collect();
            }
        }
        Vec::new()
    }

    /// The prefix under which most of `wanted` is found in its shape, then in any; the shortest of several.
    fn prefix(&self, wanted: &[Wanted<'_>]) -> String {
        let candidates = |wanted: &Wanted<'_>| -> Vec<&str> {
            let found = wanted
                .names
                .iter()
                .flat_map(|name| self.by_plain.keys().filter_map(|stored| before(stored, name)));
            found.collect()
        };
        let found = wanted.iter().map(candidates).find(|found| !found.is_empty()).unwrap_or_default();
        let score = |prefix: &&str| {
            let (mut fitting, mut there) = (0usize, 0usize);
            for wanted in wanted {
                let mut names = wanted.names.iter();
                let Some(found) = names.find_map(|name| self.by_plain.get(&format!("{prefix}{name}"))) else {
                    continue;
                };
                there += 1;
                fitting += usize::from(found.iter().any(|(_, shape)| *shape == wanted.shape));
            }
            (fitting, there, std::cmp::Reverse(prefix.len()))
        };
        found.into_iter().max_by_key(score).unwrap_or_default().to_owned()
    }
}

struct Wanted<'a> {
    name: &'a str,
    shape: &'a [usize],
    /// Plain, in the order in which they are looked for.
    names: Vec<String>,
}

impl<'a> Wanted<'a> {
    fn new(spec: &'a TensorSpec, aliases: Aliases) -> Self {
        let names = std::iter::once(plain(&spec.name))
            .chain(aliases(&spec.name).into_iter().map(|name| plain(&name)));
        Self { name: &spec.name, shape: spec.shape.dims(), names: names.collect() }
    }
}

#[cfg(test)]
mod tests {
    use candle_nn::Init;

    use super::*;

    fn spec(name: &str, shape: &[usize]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), shape: shape.into(), init: Init::Const(0.0) }
    }

    fn named(stored: &[(&str, &[usize])], asked: &[TensorSpec], aliases: Aliases) -> Vec<(String, String)> {
        Stored::new(stored.iter().copied()).named_for(asked, aliases).into_iter().collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_wrappers_words_do_not_count_on_either_side() {
        for (one, other) in [
            ("a.b.weight", "module.a.b.weight"),
            ("bert.module.a.weight", "bert.a.weight"),
            ("retarget_eye.module.mlp.0.bias", "retarget_eye_module.mlp.0.bias"),
            ("_orig_mod.a.weight_g", "a.parametrizations.weight.original0"),
        ] {
            assert_eq!(plain(one), plain(other));
        }
        assert_ne!(plain("a.0.weight"), plain("a.1.weight"));
    }

    #[test]
    fn the_prefix_is_where_most_of_the_network_is() {
        let asked = [spec("conv.weight", &[2, 2]), spec("norm.weight", &[2])];
        let stored: [(&str, &[usize]); 5] = [
            ("other.conv.weight", &[9, 2]),
            ("other.norm.weight", &[9]),
            ("vae.conv.weight", &[2, 2]),
            ("vae.norm.weight", &[2]),
            ("vae.encoder.weight", &[1]),
        ];
        let expected = pairs(&[
            ("vae.conv.weight", "conv.weight"),
            ("vae.encoder.weight", "encoder.weight"),
            ("vae.norm.weight", "norm.weight"),
        ]);
        assert_eq!(named(&stored, &asked, no_aliases), expected);
        // No part of a word is a prefix.
        let glued: [(&str, &[usize]); 1] = [("preconv.weight", &[2, 2])];
        assert_eq!(named(&glued, &asked, no_aliases), pairs(&[("preconv.weight", "preconv.weight")]));
    }

    #[test]
    fn other_words_are_known_and_a_layers_other_tensors_follow() {
        let other = |name: &str| {
            if name == "shared.weight" { vec!["token_embd.weight".to_owned()] } else { Vec::new() }
        };
        let asked = [spec("shared.weight", &[4]), spec("q.weight", &[4])];
        let stored: [(&str, &[usize]); 4] = [
            ("x.token_embd.weight", &[4]),
            ("x.module.q.weight", &[4]),
            ("x.module.q.weight.absmax", &[1]),
            ("x.module.q.scale_weight", &[1]),
        ];
        let expected = pairs(&[
            ("x.module.q.scale_weight", "q.scale_weight"),
            ("x.module.q.weight", "q.weight"),
            ("x.module.q.weight.absmax", "q.weight.absmax"),
            ("x.token_embd.weight", "shared.weight"),
        ]);
        assert_eq!(named(&stored, &asked, other), expected);
    }

    #[test]
    fn what_is_stored_twice_is_not_chosen_from() {
        let asked = [spec("a.weight", &[1])];
        let both: [(&str, &[usize]); 2] = [("a.weight", &[1]), ("module.a.weight", &[1])];
        let names = named(&both, &asked, no_aliases);
        assert!(names.iter().all(|(_, name)| name == "a.weight"), "{names:?}");
    }
}
