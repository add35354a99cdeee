//! Embeddings of recent prompts: a slot that is rendered again, or another seed of it, skips both text encoders.

use candle_core::Tensor;

use crate::contract::Warning;
use crate::types::Bytes;

/// What the text encoders made of a prompt.
#[derive(Clone, Debug)]
pub(super) struct Embedded {
    /// CLIP's, [1, pooled].
    pub pooled: Tensor,
    /// T5's, [tokens, context].
    pub text: Tensor,
    /// What the prompt's author should know.
    pub warnings: Vec<Warning>,
}

impl Embedded {
    fn size(&self) -> Bytes {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        Bytes::of::<u8>(of(&self.pooled) + of(&self.text))
    }
}

/// The latest prompts, most recently used last.
#[derive(Debug)]
pub(super) struct PromptCache {
    capacity: usize,
    kept: Vec<(String, Embedded)>,
}

impl PromptCache {
    /// For `capacity` prompts.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, kept: Vec::new() }
    }

    /// The embeddings of `prompt`, if they are kept.
    pub(super) fn find(&mut self, prompt: &str) -> Option<Embedded> {
        let place = self.kept.iter().position(|(kept, _)| kept == prompt)?;
        let entry = self.kept.remove(place);
        let found = entry.1.clone();
        self.kept.push(entry);
        Some(found)
    }

    /// Keeps them; the prompt used longest ago makes room.
    pub(super) fn keep(&mut self, prompt: &str, embedded: &Embedded) {
        if self.capacity == 0 {
            return;
        }
        if self.kept.len() >= self.capacity {
            self.kept.remove(0);
        }
        self.kept.push((prompt.to_owned(), embedded.clone()));
    }

    /// Forgets all; returns what they took.
    pub(super) fn clear(&mut self) -> Bytes {
        std::mem::take(&mut self.kept).iter().map(|(_, embedded)| embedded.size()).sum()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn embedded(value: f32) -> Embedded {
        let tensor = Tensor::new(&[value], &Device::Cpu).unwrap();
        Embedded { pooled: tensor.clone(), text: tensor, warnings: Vec::new() }
    }

    #[test]
    fn the_prompt_used_longest_ago_makes_room() {
        let mut cache = PromptCache::new(2);
        cache.keep("a", &embedded(1.0));
        cache.keep("b", &embedded(2.0));
        assert!(cache.find("a").is_some());
        cache.keep("c", &embedded(3.0));
        assert!(cache.find("b").is_none() && cache.find("a").is_some() && cache.find("c").is_some());
        assert_eq!(cache.clear(), Bytes::new(16));
        assert!(cache.find("a").is_none());
    }

    #[test]
    fn a_cache_for_nothing_keeps_nothing() {
        let mut cache = PromptCache::new(0);
        cache.keep("a", &embedded(1.0));
        assert!(cache.find("a").is_none());
    }
}
