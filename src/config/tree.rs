//! Walking a tree of raw values by dotted keys, and what keys there are.

use figment::value::{Dict, Value};

use crate::types::nearest;

/// The value under a dotted key.
pub(super) fn get<'a>(tree: &'a Dict, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => tree.get(key),
        Some((head, rest)) => get(tree.get(head)?.as_dict()?, rest),
    }
}

/// Puts `value` under a dotted key, over whatever stands on the way; without a value, takes away what is there.
pub(super) fn set(tree: &mut Dict, key: &str, value: Option<Value>) {
    let Some((head, rest)) = key.split_once('.') else {
        match value {
            Some(value) => tree.insert(key.to_owned(), value),
            None => tree.remove(key),
        };
        return;
    };
    match tree.get_mut(head) {
        Some(Value::Dict(_, inner)) => set(inner, rest, value),
        _ if value.is_none() => {}
        _ => {
            let mut inner = Dict::new();
            set(&mut inner, rest, value);
            tree.insert(head.to_owned(), inner.into());
        }
    }
}

/// Takes away every table with nothing in it.
pub(super) fn prune(tree: &mut Dict) {
    tree.retain(|_, value| match value {
        Value::Dict(_, inner) => {
            prune(inner);
            !inner.is_empty()
        }
        _ => true,
    });
}

/// Every leaf with its dotted key, in order of keys.
pub(super) fn leaves(tree: &Dict) -> Vec<(String, &Value)> {
    fn walk<'a>(prefix: &str, tree: &'a Dict, found: &mut Vec<(String, &'a Value)>) {
        for (name, value) in tree {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Dict(_, inner) if !inner.is_empty() => walk(&key, inner, found),
                _ => found.push((key, value)),
            }
        }
    }
    let mut found = Vec::new();
    walk("", tree, &mut found);
    found
}

/// The known key that an unknown one most likely meant: a sibling first, then the same name elsewhere, then anything.
pub(super) fn nearest_key<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let parts = |known: &'a String| known.rsplit_once('.').unwrap_or(("", known));
    let siblings: Vec<&str> =
        known.iter().map(parts).filter(|(of, _)| *of == section).map(|(_, n)| n).collect();
    let sibling = nearest(name, siblings.iter().copied())
        .and_then(|name| known.iter().find(|known| parts(known) == (section, name)));
    sibling
        .or_else(|| known.iter().find(|known| parts(known).1 == name))
        .map(String::as_str)
        .or_else(|| siblings.is_empty().then(|| nearest(key, known.iter().map(String::as_str))).flatten())
}

/// A raw value as it would be written.
pub(super) fn written(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| format!("{value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["data_dir", "memory.hard_limit", "memory.soft_limit", "stages.audio.retries", "stages.audio.timeout"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn a_slip_in_any_part_of_a_key_finds_it() {
        let known = known();
        assert_eq!(nearest_key("memory.sft_limit", &known), Some("memory.soft_limit"));
        assert_eq!(nearest_key("memry.soft_limt", &known), Some("memory.soft_limit"));
        assert_eq!(nearest_key("slots.retries", &known), Some("stages.audio.retries"));
        assert_eq!(nearest_key("datadir", &known), Some("data_dir"));
        assert_eq!(nearest_key("memory.qqqq", &known), None);
    }

    #[test]
    fn what_is_set_is_found_and_what_is_unset_is_gone() {
        let mut tree = Dict::new();
        set(&mut tree, "a.b.c", Some(Value::from(1)));
        set(&mut tree, "a.d", Some(Value::from(2)));
        assert_eq!(leaves(&tree).iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["a.b.c", "a.d"]);
        set(&mut tree, "a.b", Some(Value::from(3)));
        set(&mut tree, "a.d", None);
        set(&mut tree, "x.y", None);
        assert_eq!(get(&tree, "a.b"), Some(&Value::from(3)));
        assert_eq!(leaves(&tree).len(), 1);
    }
}
