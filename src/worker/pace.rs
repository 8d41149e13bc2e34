//! When an attempt reads from its provider, and when it tells what it has read.
//!
//! The first change is told at once and opens a window; what comes within it is told at its end. The ends of all jobs'
//! windows fall on a common beat, so that their writes leave together. A provider that is slow is not read in
//! between: its tokens gather in the kernel, and a few reads take them all shortly before the window ends.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// Pieces in a window from which on a provider is quick: it is read without rest, or what it says would pile up.
const QUICK: usize = 64;

/// The times of one attempt.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    beat: Duration,
    /// When the next flush may be.
    flush_at: Instant,
    /// Pieces that were read in this window.
    pieces: usize,
    /// Whether the window that ended was slow, so that this one is rested in; unknown before one has ended, for a short
    /// answer is over by then.
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
            pieces: 0,
            is_slow: None,
        }
    }

    /// When the next flush may be.
    pub(super) const fn flush_at(&self) -> Instant {
        self.flush_at
    }

    /// Until when the provider is not read; `None`: it is.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        let read_at = self.flush_at.checked_sub(self.beat)?;
        (self.is_slow == Some(true) && self.pieces == 0 && clock::now() < read_at).then_some(read_at)
    }

    /// A piece was read.
    pub(super) const fn read(&mut self) {
        self.pieces += 1;
    }

    /// What had been read was told: a window opens.
    pub(super) fn told(&mut self) {
        let pieces = std::mem::replace(&mut self.pieces, 0);
        self.is_slow = match self.is_slow {
            None => Some(false),
            Some(_) => Some(pieces < QUICK && !self.beat.is_zero()),
        };
        self.flush_at = clock::on_beat(clock::now() + self.window, self.beat);
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
        let pace = after_windows([1, QUICK - 1]);
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
