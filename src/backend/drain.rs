//! How fast jobs leave the line, and what follows from it for those who come.

/// Jobs that leave are counted in windows of this length, ms; the last whole one and the running one are known.
pub(super) const WINDOW_MS: u64 = 10_000;
/// So many must have left before their number says how fast they do.
pub(super) const LEFT_MIN: u64 = 5;
/// When to come again at the earliest, and where nothing is known; and at the latest, ms.
const RETRY_MS: (u64, u64) = (1_000, 60_000);

/// Jobs that left the line lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drain {
    window: u64,
    left: u64,
    left_before: u64,
}

/// So many jobs left the line in so many ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) jobs: u64,
    pub(super) ms: u64,
}

impl Drain {
    /// A job leaves.
    pub(super) fn one(&mut self, now: u64) {
        *self = self.at(now);
        self.left += 1;
    }

    /// How fast they have left lately.
    pub(super) fn pace(self, now: u64) -> Pace {
        let Self {
            window,
            left,
            left_before,
        } = self.at(now);
        let before_ms = if left_before > 0 { WINDOW_MS } else { 0 };
        Pace {
            jobs: left + left_before,
            ms: before_ms + now.saturating_sub(window * WINDOW_MS),
        }
    }

    /// What is known in the window of this time.
    const fn at(self, now: u64) -> Self {
        let window = now / WINDOW_MS;
        if window <= self.window {
            return Self {
                window: self.window,
                ..self
            };
        }
        let next_to = window == self.window + 1;
        Self {
            window,
            left: 0,
            left_before: if next_to { self.left } else { 0 },
        }
    }
}

impl Pace {
    /// About how long until so many more have left, ms; `None` where too few have to tell.
    pub(super) fn ms_of(self, jobs: u64) -> Option<u64> {
        (self.jobs >= LEFT_MIN).then(|| jobs.saturating_mul(self.ms.max(1)) / self.jobs)
    }

    /// When to come again where so many wait, ms.
    pub(super) fn retry_after_ms(self, waiting: u64) -> u64 {
        let (least, most) = RETRY_MS;
        self.ms_of(waiting).unwrap_or(least).clamp(least, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_lately_says_how_long_the_rest_takes() {
        let mut drain = Drain::default();
        let begin = 1_000 * WINDOW_MS;
        assert_eq!(drain.pace(begin).ms_of(10), None, "nothing is known");
        for at in 0..10 {
            drain.one(begin + at * 1_000);
        }
        // Ten in nine seconds.
        assert_eq!(drain.pace(begin + 9_000).ms_of(10), Some(9_000));
        assert_eq!(drain.pace(begin + 9_000).retry_after_ms(1_000_000), 60_000);
        assert_eq!(drain.pace(begin + 9_000).retry_after_ms(0), 1_000);
        // The window before counts.
        assert_eq!(drain.pace(begin + 15_000).ms_of(10), Some(15_000));
        // What is long ago does not.
        assert_eq!(drain.pace(begin + 25_000).ms_of(10), None);
        assert_eq!(drain.pace(begin + 25_000).retry_after_ms(10), 1_000);
    }

    #[test]
    fn a_clock_that_goes_back_counts_on() {
        let mut drain = Drain::default();
        drain.one(50 * WINDOW_MS);
        drain.one(49 * WINDOW_MS);
        assert_eq!(drain.pace(50 * WINDOW_MS).jobs, 2);
    }
}
