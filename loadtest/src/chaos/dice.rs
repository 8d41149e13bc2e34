//! Numbers that a seed decides (SplitMix64, Steele, Lea and Flood 2014).

/// A line of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The line of a seed; `purpose` tells lines of the same seed apart.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `from` to `to`, both included.
    pub(crate) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.within(1, 100) <= percent
    }

    /// One of a list that has some.
    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.within(0, all.len() as u64 - 1) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn a_seed_decides_and_a_purpose_tells_apart() {
        let line = |seed, purpose| {
            let mut dice = Dice::new(seed, purpose);
            [0; 8].map(|_| dice.within(0, 1_000_000))
        };
        assert_eq!(line(7, 1), line(7, 1));
        assert_ne!(line(7, 1), line(8, 1));
        assert_ne!(line(7, 1), line(7, 2));
        let mut dice = Dice::new(1, 1);
        assert!((0..1_000).all(|_| (3..=5).contains(&dice.within(3, 5))));
    }
}
