//! Sifting one layer: what no setting is called, and what no setting's type accepts, is reported and taken out.
//!
//! Each layer by itself, so that a bad value is reported even where a stronger layer hides it, and so that what is left
//! of all layers parses when it is merged.

use figment::value::{Dict, Value};

use super::environment::suggestion;
use super::layers::Layer;
use super::problem::Problem;
use super::settings::Settings;
use super::tree;

/// The settings there are, as the defaults list them.
pub(super) struct Known {
    defaults: Dict,
    /// Every dotted key, in order.
    pub(super) keys: Vec<String>,
}

impl Known {
    pub(super) fn new(defaults: &Layer) -> Self {
        let keys = tree::leaves(&defaults.data).into_iter().map(|(key, _)| key).collect();
        Self { defaults: defaults.data.clone(), keys }
    }

    /// The setting that `key` is, or lies within.
    fn setting<'a>(&self, key: &'a str) -> Option<&'a str> {
        let mut key = key;
        loop {
            match tree::get(&self.defaults, key) {
                Some(Value::Dict(..)) => return None,
                Some(_) => return Some(key),
                None => key = key.rsplit_once('.')?.0,
            }
        }
    }

    /// The names in the innermost known table on the way to `key`.
    fn names_beside(&self, key: &str) -> String {
        let mut table = &self.defaults;
        for part in key.split('.') {
            match table.get(part).and_then(Value::as_dict) {
                Some(inner) => table = inner,
                None => break,
            }
        }
        table.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Takes out of `layer` whatever is wrong in it and reports each.
    pub(super) fn sift(&self, layer: &mut Layer, problems: &mut Vec<Problem>) {
        self.sift_names(layer, problems);
        self.sift_values(layer, problems);
    }

    fn sift_names(&self, layer: &mut Layer, problems: &mut Vec<Problem>) {
        let found = tree::leaves(&layer.data).into_iter();
        let found: Vec<(String, Value)> = found.map(|(key, value)| (key, value.clone())).collect();
        for (key, value) in found {
            let of = |what: &str| Problem::of_value(&key, tree::written(&value), layer.origin.clone(), what);
            if matches!(tree::get(&self.defaults, &key), Some(Value::Dict(..))) {
                // An empty table says nothing and harms nothing.
                if value.as_dict().is_none() {
                    let accepted = format!("a table with any of {}", self.names_beside(&key));
                    problems.push(of("wrong type").accepting(accepted));
                }
            } else if self.setting(&key).is_none() {
                let nearest = suggestion(&key, &layer.origin, &self.keys);
                problems.push(of("unknown setting").accepting(self.names_beside(&key)).nearest(nearest));
            } else {
                continue;
            }
            tree::set(&mut layer.data, &key, None);
        }
        tree::prune(&mut layer.data);
    }

    /// Each round parses the layer over the defaults and takes out the value that its type refuses.
    fn sift_values(&self, layer: &mut Layer, problems: &mut Vec<Problem>) {
        for _ in 0..=2 * self.keys.len() {
            let Err(error) = self.over_defaults(&layer.data).deserialize::<Settings>() else { return };
            let path = error.path.join(".");
            let Some(key) = self.setting(&path) else {
                // Not of this layer's making: the defaults themselves do not parse.
                return problems.push(Problem::of_source(layer.origin.clone(), error.to_string()));
            };
            let Some(value) = tree::get(&layer.data, key).cloned() else {
                return problems.push(Problem::of_source(layer.origin.clone(), error.to_string()));
            };
            // TOML took a text without quotes for a number or a truth value; perhaps it was meant as the text it is.
            if let Some(text) = layer.text.take()
                && matches!(value, Value::Num(..) | Value::Bool(..))
            {
                let mut as_text = layer.data.clone();
                tree::set(&mut as_text, key, Some(Value::from(text)));
                if self.over_defaults(&as_text).deserialize::<Settings>().is_ok() {
                    layer.data = as_text;
                    return;
                }
            }
            let origin = layer.origin.clone();
            problems.push(Problem::refused(key, tree::written(&value), origin, &error.kind));
            tree::set(&mut layer.data, key, None);
            tree::prune(&mut layer.data);
        }
    }

    fn over_defaults(&self, data: &Dict) -> Value {
        let mut whole = self.defaults.clone();
        for (key, value) in tree::leaves(data) {
            // An empty table sets nothing.
            if self.keys.contains(&key) || !matches!(value, Value::Dict(_, inner) if inner.is_empty()) {
                let key = self.setting(&key).map(str::to_owned).unwrap_or(key);
                tree::set(&mut whole, &key, tree::get(data, &key).cloned());
            }
        }
        Value::from(whole)
    }
}
