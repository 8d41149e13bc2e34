//! When an attempt reads from its provider, and when it tells what it has read.
//!
//! The first change is told at once and opens a window; what comes within it is told at its end. The ends of all jobs'
//! windows fall on a common beat, so that their writes leave together. A provider that is slow is not read all the time:
//! its tokens gather in the kernel, and a few reads take them all, one beat long, at last shortly before the window ends.
//! It is never left unread for long, however long a window is, for its answer may end, break or be doomed meanwhile.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// For how long a provider is not read, at most: that it has ended, or what is wrong with it, is known that late.
const REST_MAX: Duration = Duration::from_millis(50);
/// Pieces in that time from which on a provider is quick: it is read without rest, or what it says would pile up.
const QUICK: usize = 64;

/// The times of one attempt.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    beat: Duration,
    /// When the next flush may be.
    flush_at: Instant,
    /// When the last rest ends, or ended.
    reads_at: Instant,
    /// Pieces that were read since the provider was judged last, and when that was.
    pieces: usize,
    counted_from: Instant,
    /// Whether the provider was slow lately, so that it may be rested; unknown before a window has ended, for a short answer
    /// is over by then.
    is_slow: Option<bool>,
}

impl Pace {
    /// Changes gather in a `window` (none: each is told at once), whose end is on a beat of `beat` (none: its own).
    pub(super) fn new(window: Duration, beat: Duration) -> Self {
        Self {
            window,
            // What takes a beat to read must leave something of the window to rest in.
            beat: beat.min(window / 4),
            flush_at: clock::now(),
            reads_at: clock::now(),
            pieces: 0,
            counted_from: clock::now(),
            is_slow: None,
        }
    }

    /// When the next flush may be.
    pub(super) const fn flush_at(&self) -> Instant {
        self.flush_at
    }

    /// Until when the provider is not read; `None`: it is.
    pub(super) fn rests_until(&mut self) -> Option<Instant> {
        let now = clock::now();
        let last = self.flush_at.checked_sub(self.beat)?;
        if self.is_slow != Some(true) || now >= last {
            return None;
        }
        if now >= self.reads_at + self.beat {
            self.judge(now);
        }
        (now < self.reads_at).then_some(self.reads_at)
    }

    /// A piece was read.
    pub(super) const fn read(&mut self) {
        self.pieces += 1;
    }

    /// What had been read was told: a window opens.
    pub(super) fn told(&mut self) {
        let now = clock::now();
        self.flush_at = clock::on_beat(now + self.window, self.beat);
        if self.is_slow.is_none() || self.beat.is_zero() {
            (self.is_slow, self.pieces, self.counted_from) = (Some(false), 0, now);
        } else {
            self.judge(now);
        }
    }

    /// Lets a provider that was slow since it was judged last rest for a while.
    fn judge(&mut self, now: Instant) {
        let times = (now - self.counted_from).as_millis() / REST_MAX.as_millis();
        let quick = QUICK.saturating_mul(usize::try_from(times.max(1)).unwrap_or(usize::MAX));
        let is_slow = self.pieces < quick;
        (self.is_slow, self.pieces, self.counted_from) = (Some(is_slow), 0, now);
        let last = self.flush_at.checked_sub(self.beat).unwrap_or(now);
        self.reads_at = if is_slow { last.min(now + REST_MAX) } else { now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(32);
    const BEAT: Duration = Duration::from_millis(4);

    fn after_windows(pieces: [usize; 2]) -> Pace {
        let mut pace = Pace::new(WINDOW, BEAT);
        for pieces in pieces {
            (0..pieces).for_each(|_| pace.read());
            pace.told();
        }
        pace
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_provider_is_read_shortly_before_the_window_ends() {
        let mut pace = after_windows([1, QUICK - 1]);
        let until = pace.rests_until();
        assert_eq!(until, Some(pace.flush_at() - BEAT));
        clock::sleep_until(pace.flush_at() - BEAT).await;
        assert_eq!(pace.rests_until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_one_and_a_new_one_are_read_all_the_time() {
        assert_eq!(after_windows([1, QUICK]).rests_until(), None);
        let mut pace = Pace::new(WINDOW, BEAT);
        assert_eq!(pace.rests_until(), None);
        pace.read();
        pace.told();
        assert_eq!(pace.rests_until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_never_left_unread_for_long_and_read_for_a_beat_each_time() {
        let mut pace = Pace::new(Duration::from_secs(10), BEAT);
        (0..2).for_each(|_| pace.told());
        let (mut rests, mut read) = (0, Duration::ZERO);
        while clock::now() < pace.flush_at() {
            match pace.rests_until() {
                Some(until) => {
                    assert!(until <= clock::now() + REST_MAX);
                    rests += 1;
                    clock::sleep_until(until).await;
                }
                None => {
                    pace.read();
                    read += Duration::from_millis(1);
                    clock::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        assert!((180..=190).contains(&rests), "{rests}");
        assert!(read <= (rests + 1) * BEAT, "{read:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_turns_out_to_be_quick_is_read_until_the_window_ends() {
        let mut pace = Pace::new(Duration::from_secs(10), BEAT);
        (0..2).for_each(|_| pace.told());
        clock::sleep_until(pace.rests_until().unwrap()).await;
        (0..QUICK).for_each(|_| pace.read());
        clock::sleep(BEAT).await;
        assert_eq!(pace.rests_until(), None);
        clock::sleep(10 * REST_MAX).await;
        assert_eq!(pace.rests_until(), None);
        // By what came in all that time it is slow again in the next.
        pace.told();
        assert_ne!(pace.rests_until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_windows_of_all_end_on_one_beat_and_are_never_shorter() {
        let (mut one, mut other) = (Pace::new(WINDOW, BEAT), Pace::new(WINDOW, BEAT));
        one.told();
        clock::sleep(Duration::from_millis(1)).await;
        other.told();
        let apart = other.flush_at() - one.flush_at();
        assert!(apart.is_zero() || apart == BEAT, "{apart:?}");
        assert!(other.flush_at() >= clock::now() + WINDOW);
        assert!(other.flush_at() < clock::now() + WINDOW + BEAT);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_window_all_is_told_at_once() {
        let mut pace = Pace::new(Duration::ZERO, BEAT);
        for _ in 0..3 {
            pace.read();
            pace.told();
            assert_eq!((pace.flush_at(), pace.rests_until()), (clock::now(), None));
        }
    }
}
