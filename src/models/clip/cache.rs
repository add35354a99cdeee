//! Text embeddings that were asked for before.
//!
//! Owns which are kept: the most recently used. Concepts repeat from slot to slot, prompts with every retry.

use std::collections::HashMap;

use crate::contract::{UnitEmbedding, Warning};
use crate::types::Bytes;

/// What is known of a text.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub embedding: UnitEmbedding,
    /// What there was to say when it was encoded; said again each time.
    pub warning: Option<Warning>,
}

/// At most `capacity` texts.
#[derive(Debug)]
pub(super) struct TextCache {
    known: HashMap<String, (Known, u64)>,
    capacity: usize,
    uses: u64,
}

impl TextCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { known: HashMap::new(), capacity, uses: 0 }
    }

    /// What is known of `text`, which is now the last to be forgotten.
    pub(super) fn get(&mut self, text: &str) -> Option<&Known> {
        self.uses += 1;
        let (known, used) = self.known.get_mut(text)?;
        *used = self.uses;
        Some(known)
    }

    /// Keeps `known`, for the text whose last use is longest ago.
    pub(super) fn insert(&mut self, text: String, known: Known) {
        if self.known.len() >= self.capacity && !self.known.contains_key(&text) {
            let oldest = self.known.iter().min_by_key(|(_, (_, used))| *used).map(|(text, _)| text.clone());
            oldest.map(|text| self.known.remove(&text));
        }
        self.uses += 1;
        self.known.insert(text, (known, self.uses));
    }

    /// Forgets everything; returns the memory that it took.
    pub(super) fn clear(&mut self) -> Bytes {
        let texts = std::mem::take(&mut self.known);
        let size = |(text, (known, _)): (&String, &(Known, u64))| {
            Bytes::of::<u8>(text.len()).saturating_add(Bytes::of::<f32>(known.embedding.values().len()))
        };
        texts.iter().map(size).sum()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(value: f32) -> Known {
        Known { embedding: UnitEmbedding::normalise(vec![value, 1.0]).unwrap(), warning: None }
    }

    #[test]
    fn the_longest_unused_text_is_forgotten_first() {
        let mut cache = TextCache::new(2);
        cache.insert("a".into(), known(1.0));
        cache.insert("b".into(), known(2.0));
        assert!(cache.get("a").is_some());
        cache.insert("c".into(), known(3.0));
        assert!(cache.get("a").is_some() && cache.get("b").is_none() && cache.get("c").is_some());
    }

    #[test]
    fn clearing_gives_back_what_was_kept() {
        let mut cache = TextCache::new(2);
        cache.insert("ab".into(), known(1.0));
        assert_eq!(cache.clear(), Bytes::new(2 + 2 * 4));
        assert_eq!(cache.clear(), Bytes::ZERO);
        assert!(cache.get("ab").is_none());
    }
}
