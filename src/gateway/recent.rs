//! A memory of what was seen lately, of bounded size.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// The newest so many keys; the oldest is forgotten first.
#[derive(Debug)]
pub struct Recent<K> {
    keys: HashSet<K>,
    order: VecDeque<K>,
    keys_max: usize,
}

impl<K: Copy + Eq + Hash> Recent<K> {
    pub fn new(keys_max: usize) -> Recent<K> {
        Recent { keys: HashSet::with_capacity(keys_max), order: VecDeque::with_capacity(keys_max), keys_max }
    }

    pub fn contains(&self, key: K) -> bool {
        self.keys.contains(&key)
    }

    /// Remembers a key; `false` if it was known.
    pub fn insert(&mut self, key: K) -> bool {
        if !self.keys.insert(key) {
            return false;
        }
        if self.order.len() == self.keys_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.order.push_back(key);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::new(2);
        assert!(recent.insert(1) && recent.insert(2));
        assert!(!recent.insert(1), "known");
        assert!(recent.insert(3), "1 goes, though it was seen again");
        assert!(!recent.insert(2) && recent.insert(1));
        assert_eq!((recent.keys.len(), recent.order.len()), (2, 2));
    }
}
