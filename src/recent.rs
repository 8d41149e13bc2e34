//! A bounded map that forgets what was not asked for lately.
//!
//! Two generations: what is put in or asked for is young; when the young have half the room, they become the old, and
//! the old before them are forgotten. So it keeps to its bounds at all times, at a constant cost a step, without a list
//! of who was used when.

use std::collections::HashMap;
use std::hash::Hash;

/// A map bounded by the number of its entries and by their bytes together.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: Generation<K, V>,
    old: Generation<K, V>,
    /// Half the entries.
    count_max: usize,
    /// Half the bytes.
    bytes_max: usize,
}

#[derive(Debug)]
struct Generation<K, V> {
    entries: HashMap<K, (V, usize)>,
    bytes: usize,
}

impl<K, V> Default for Generation<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// A map of at most `count_max` entries (at least two), whose bytes together are at most `bytes_max`.
    pub fn new(count_max: usize, bytes_max: usize) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            count_max: (count_max / 2).max(1),
            bytes_max: bytes_max / 2,
        }
    }

    /// The value of `key`, which is young again by this.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.entries.contains_key(key) {
            let (key, (value, bytes)) = self.old.entries.remove_entry(key)?;
            self.old.bytes -= bytes;
            return Some(self.make_young(key, value, bytes));
        }
        self.young.entries.get_mut(key).map(|(value, _)| value)
    }

    /// Puts a value of `bytes` in place of what the key had. One that alone has more than half of all the bytes is not
    /// kept.
    pub fn insert(&mut self, key: K, value: V, bytes: usize) {
        for generation in [&mut self.young, &mut self.old] {
            if let Some((_, bytes)) = generation.entries.remove(&key) {
                generation.bytes -= bytes;
            }
        }
        if bytes <= self.bytes_max {
            self.make_young(key, value, bytes);
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.young.entries.len() + self.old.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all entries.
    pub const fn bytes(&self) -> usize {
        self.young.bytes + self.old.bytes
    }

    fn make_young(&mut self, key: K, value: V, bytes: usize) -> &mut V {
        let full = self.young.entries.len() >= self.count_max || self.young.bytes + bytes > self.bytes_max;
        if full {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += bytes;
        &mut self
            .young
            .entries
            .entry(key)
            .insert_entry((value, bytes))
            .into_mut()
            .0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_to_its_bounds_and_to_what_is_asked_for() {
        let mut recent = Recent::new(8, 800);
        recent.insert("kept".to_owned(), 0, 10);
        for number in 1..1_000 {
            recent.insert(number.to_string(), number, number % 150);
            assert_eq!(recent.get(&"kept".to_owned()).copied(), Some(0), "{number}");
            assert!(recent.len() <= 8 && recent.bytes() <= 800, "{number}");
        }
        assert_eq!(recent.get(&"1".to_owned()), None);
    }

    #[test]
    fn a_value_that_is_too_large_is_not_kept_and_one_of_the_same_key_is_replaced() {
        let mut recent = Recent::new(8, 100);
        recent.insert(1, 'a', 51);
        assert_eq!(recent.get(&1), None);
        recent.insert(1, 'b', 50);
        recent.insert(1, 'c', 20);
        assert_eq!((recent.len(), recent.bytes()), (1, 20));
        assert_eq!(recent.get(&1), Some(&mut 'c'));
        recent.insert(1, 'd', 51);
        assert!(recent.get(&1).is_none() && recent.is_empty());
    }
}
