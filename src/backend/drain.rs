//! How fast jobs leave the line, and what follows from it for those who come.
//!
//! Of each job that leaves counts the time since the one before it left, or since it came itself where that was later: time in
//! which nobody waited says nothing. It is summed up in two periods, the running one and the one before, each of which goes on
//! until enough have left in it: so also a line is known out of which a job goes now and then, and an older pace gives way to
//! a new one within two periods.

/// A period goes on for so much of that time, ms, and until so many have left in it; as many must have left before their
/// number says how fast they do.
pub(super) const PERIOD_MS: u64 = 10_000;
pub(super) const LEFT_MIN: u64 = 5;
/// What is known is forgotten where none has left for so long, ms.
pub(super) const KNOWN_MS: u64 = 3_600_000;
/// When to come again at the earliest, and where nothing is known; and at the latest, ms.
const RETRY_MS: (u64, u64) = (1_000, 60_000);

/// Jobs that left the line lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drain {
    /// When the last one did, ms since 1970.
    last: Option<u64>,
    running: Pace,
    before: Pace,
}

/// So many jobs left the line in so many ms.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) jobs: u64,
    pub(super) ms: u64,
}

impl Drain {
    /// A job leaves that came into line at `came`.
    pub(super) fn one(&mut self, now: u64, came: u64) {
        let Some(last) = self.last.filter(|_| self.is_known(now)) else {
            // How long the one before took is not known.
            *self = Self {
                last: Some(now),
                ..Self::default()
            };
            return;
        };
        if self.running.jobs >= LEFT_MIN && self.running.ms >= PERIOD_MS {
            self.before = std::mem::take(&mut self.running);
        }
        self.running.jobs += 1;
        self.running.ms += now.saturating_sub(last.max(came));
        self.last = Some(last.max(now));
    }

    /// How fast they have left lately.
    pub(super) fn pace(self, now: u64) -> Pace {
        if !self.is_known(now) {
            return Pace::default();
        }
        Pace {
            jobs: self.running.jobs + self.before.jobs,
            ms: self.running.ms + self.before.ms,
        }
    }

    fn is_known(self, now: u64) -> bool {
        self.last.is_some_and(|last| now.saturating_sub(last) <= KNOWN_MS)
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

    const BEGIN: u64 = 1_000_000_000;

    /// So many that have waited from the begin on leave, one each time so many ms have passed; when the last one did.
    fn leave(drain: &mut Drain, from: u64, count: u64, each_ms: u64) -> u64 {
        for number in 1..=count {
            drain.one(from + number * each_ms, BEGIN);
        }
        from + count * each_ms
    }

    #[test]
    fn what_left_lately_says_how_long_the_rest_takes() {
        let mut drain = Drain::default();
        assert_eq!(drain.pace(BEGIN).ms_of(10), None, "nothing is known");
        let now = leave(&mut drain, BEGIN, 11, 1_000);
        // Ten in ten seconds.
        assert_eq!(drain.pace(now).ms_of(10), Some(10_000));
        assert_eq!(drain.pace(now).retry_after_ms(1_000_000), 60_000);
        assert_eq!(drain.pace(now).retry_after_ms(0), 1_000);
        // Also for a while in which none leaves, and not for ever.
        assert_eq!(drain.pace(now + KNOWN_MS).ms_of(10), Some(10_000));
        assert_eq!(drain.pace(now + KNOWN_MS + 1).ms_of(10), None);
        assert_eq!(drain.pace(now + KNOWN_MS + 1).retry_after_ms(10), 1_000);
    }

    #[test]
    fn a_line_that_hardly_moves_is_known_too() {
        let mut drain = Drain::default();
        let now = leave(&mut drain, BEGIN, 5, 100_000);
        assert_eq!(drain.pace(now).ms_of(1), None, "four, and their first");
        let now = leave(&mut drain, now, 1, 100_000);
        assert_eq!(drain.pace(now).ms_of(1), Some(100_000));
        assert_eq!(drain.pace(now).retry_after_ms(10), 60_000);
        // Once it moves again that is known, too, before long.
        let now = leave(&mut drain, now, 300, 100);
        assert_eq!(drain.pace(now).ms_of(10), Some(1_000));
    }

    #[test]
    fn time_in_which_nobody_waited_does_not_count() {
        let mut drain = Drain::default();
        for number in 1..=10 {
            let came = BEGIN + number * 1_000_000;
            drain.one(came + 20, came);
        }
        assert_eq!(drain.pace(BEGIN + 10_000_020).ms_of(100), Some(2_000));
    }

    #[test]
    fn a_clock_that_goes_back_counts_on() {
        let mut drain = Drain::default();
        for at in [50_000, 49_000, 48_000] {
            drain.one(BEGIN + at, BEGIN);
        }
        let pace = drain.pace(BEGIN);
        assert_eq!((pace.jobs, pace.ms), (2, 0));
    }
}
