//! How fast, and how many: token buckets, and counts by key, both bounded.

use std::collections::HashMap;
use std::hash::Hash;

use crate::recent::Recent;

/// A token bucket: a mean rate, and a burst of twice a second's worth.
#[derive(Debug)]
pub struct Pace {
    per_second: u64,
    /// Thousandths of a token that are there.
    milli: u64,
    filled_ms: u64,
}

impl Pace {
    /// A full bucket; a rate of 0 is one of 1.
    pub fn new(per_second: u32, now_ms: u64) -> Self {
        let per_second = u64::from(per_second.max(1));
        Self {
            per_second,
            milli: per_second * 2_000,
            filled_ms: now_ms,
        }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// There is none; how long to wait for one, ms.
    pub fn take(&mut self, now_ms: u64) -> Result<(), u64> {
        let passed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = now_ms;
        self.milli = (self.milli + passed.saturating_mul(self.per_second)).min(self.per_second * 2_000);
        if self.milli >= 1_000 {
            self.milli -= 1_000;
            return Ok(());
        }
        Err((1_000 - self.milli).div_ceil(self.per_second))
    }
}

/// A bucket for each of many. One who was forgotten because very many others came has a full bucket again.
#[derive(Debug)]
pub struct Paces<K> {
    per_second: u32,
    buckets: Recent<K, Pace>,
}

impl<K: Eq + Hash> Paces<K> {
    /// Buckets of one rate for at most `count_max`.
    pub fn new(per_second: u32, count_max: usize) -> Self {
        Self {
            per_second,
            buckets: Recent::new(count_max, usize::MAX),
        }
    }

    /// Takes one token of `key`.
    ///
    /// # Errors
    /// There is none; how long to wait for one, ms.
    pub fn take(&mut self, key: K, now_ms: u64) -> Result<(), u64> {
        if let Some(pace) = self.buckets.get(&key) {
            return pace.take(now_ms);
        }
        let mut pace = Pace::new(self.per_second, now_ms);
        let taken = pace.take(now_ms);
        self.buckets.insert(key, pace, 0);
        taken
    }
}

/// How many of something each has open; who has none takes no room.
#[derive(Debug)]
pub struct Counts<K>(HashMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Counts<K> {
    /// One more for `key`; false where it has `max` already.
    pub fn enter(&mut self, key: K, max: usize) -> bool {
        let count = self.0.entry(key).or_default();
        let room = *count < max;
        *count += usize::from(room);
        room
    }

    /// One less.
    pub fn leave(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }

    /// How many have any.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none has any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_two_seconds_worth_and_refills() {
        let mut pace = Pace::new(10, 0);
        assert!((0..20).all(|_| pace.take(0).is_ok()));
        assert_eq!(pace.take(0), Err(100));
        assert_eq!(pace.take(100), Ok(()));
        assert!(pace.take(100).is_err());
    }

    #[test]
    fn each_has_a_bucket_and_the_table_is_bounded() {
        let mut paces = Paces::new(1, 16);
        assert!(paces.take(0, 0).is_ok() && paces.take(0, 0).is_ok());
        assert_eq!(paces.take(0, 0), Err(1_000));
        for other in 1..1_000 {
            assert!(paces.take(other, 0).is_ok());
            assert!(paces.take(0, 0).is_err(), "one who comes again is not forgotten");
        }
        assert!(paces.buckets.len() <= 16);
        assert_eq!(paces.take(0, 1_000), Ok(()));
    }

    #[test]
    fn who_leaves_takes_no_room() {
        let mut counts = Counts::default();
        assert!(counts.enter('a', 2) && counts.enter('a', 2) && counts.enter('b', 2));
        assert!(!counts.enter('a', 2));
        counts.leave(&'a');
        assert!(counts.enter('a', 2));
        for who in ['a', 'a', 'b'] {
            counts.leave(&who);
        }
        assert!(counts.is_empty());
        assert!(!counts.enter('c', 0), "none is allowed");
    }
}
