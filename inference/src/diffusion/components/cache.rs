//! A cache of what text encoders made: bounded in entries and in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

/// Prompts remembered. One takes 240 kB for Stable Diffusion 1.5 and 8 MB for Flux's T5.
const ENTRIES: usize = 32;
const BYTES: usize = 64 << 20;

/// Values by key, the most recently used first.
pub(super) struct Cache<K, V> {
    entries: VecDeque<(K, Arc<V>, usize)>,
    bytes: usize,
}

impl<K: PartialEq, V> Cache<K, V> {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::with_capacity(ENTRIES), bytes: 0 }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<Arc<V>> {
        let at = self.entries.iter().position(|(known, ..)| known == key)?;
        let entry = self.entries.remove(at)?;
        let value = Arc::clone(&entry.1);
        self.entries.push_front(entry);
        Some(value)
    }

    /// Keeps `value`, which takes `bytes`, unless it alone is beyond the bound.
    pub(super) fn put(&mut self, key: K, value: V, bytes: usize) -> Arc<V> {
        let value = Arc::new(value);
        if bytes > BYTES {
            return value;
        }
        while self.entries.len() >= ENTRIES || self.bytes + bytes > BYTES {
            let Some((.., freed)) = self.entries.pop_back() else { break };
            self.bytes -= freed;
        }
        self.bytes += bytes;
        self.entries.push_front((key, Arc::clone(&value), bytes));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = Cache::new();
        for key in 0..ENTRIES {
            cache.put(key, key, 1);
        }
        assert_eq!(cache.get(&0).as_deref(), Some(&0));
        cache.put(ENTRIES, 7, 1);
        assert_eq!(cache.get(&0).as_deref(), Some(&0));
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.bytes, ENTRIES);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut cache = Cache::new();
        cache.put(1, (), BYTES / 2);
        cache.put(2, (), BYTES / 2 + 1);
        assert!(cache.get(&1).is_none() && cache.get(&2).is_some());
        cache.put(3, (), BYTES + 1);
        assert!(cache.get(&3).is_none() && cache.get(&2).is_some());
    }
}
