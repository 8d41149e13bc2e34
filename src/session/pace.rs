//! How fast a client may talk, how often it may err, and whether it is still there.

use std::collections::VecDeque;

/// Messages that cannot be taken within the window before the socket is closed.
const BAD_MAX: usize = 10;
/// The window, ms.
const BAD_WINDOW_MS: u64 = 10_000;
/// Binary frames before the socket is closed.
const BINARY_MAX: u32 = 3;

/// A token bucket: a mean rate, and a burst of twice a second's worth.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u64,
    /// Thousandths of a message that may still be sent.
    milli: u64,
    filled_ms: u64,
}

impl Pace {
    pub(super) fn new(per_second: u32, now_ms: u64) -> Self {
        let per_second = u64::from(per_second.max(1));
        Self {
            per_second,
            milli: per_second * 2_000,
            filled_ms: now_ms,
        }
    }

    /// Takes one message, or says how long to wait, ms.
    pub(super) fn take(&mut self, now_ms: u64) -> Result<(), u64> {
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

/// Messages that could not be taken.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    bad: VecDeque<u64>,
    binary: u32,
}

impl Strikes {
    /// Counts a bad message; true when there were too many in the window.
    pub(super) fn bad(&mut self, now_ms: u64) -> bool {
        while self.bad.front().is_some_and(|at| at + BAD_WINDOW_MS <= now_ms) {
            self.bad.pop_front();
        }
        self.bad.push_back(now_ms);
        self.bad.len() >= BAD_MAX
    }

    /// Counts a binary frame; true when there were too many.
    pub(super) fn binary(&mut self) -> bool {
        self.binary += 1;
        self.binary >= BINARY_MAX
    }
}

/// Whether the client is still there.
#[derive(Debug)]
pub(super) struct Heartbeat {
    every_ms: u64,
    heard_ms: u64,
    pinged: bool,
}

/// What a tick asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Nothing,
    Ping,
    Dead,
}

impl Heartbeat {
    pub(super) const fn new(every_ms: u64, now_ms: u64) -> Self {
        Self {
            every_ms,
            heard_ms: now_ms,
            pinged: false,
        }
    }

    pub(super) const fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.pinged = false;
    }

    pub(super) const fn deadline_ms(&self) -> u64 {
        let beats = if self.pinged { 2 } else { 1 };
        self.heard_ms + beats * self.every_ms
    }

    pub(super) const fn tick(&mut self, now_ms: u64) -> Beat {
        if now_ms < self.deadline_ms() {
            return Beat::Nothing;
        }
        if self.pinged {
            return Beat::Dead;
        }
        self.pinged = true;
        Beat::Ping
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
    fn strikes_count_within_their_window() {
        let mut strikes = Strikes::default();
        assert!((0..9).all(|_| !strikes.bad(0)));
        assert!(!strikes.bad(10_000), "the first nine are past");
        assert!((0..8).all(|_| !strikes.bad(10_001)));
        assert!(strikes.bad(10_001));
    }

    #[test]
    fn a_silent_client_is_pinged_and_then_given_up() {
        let mut heartbeat = Heartbeat::new(25_000, 0);
        assert_eq!(heartbeat.tick(24_999), Beat::Nothing);
        assert_eq!(heartbeat.tick(25_000), Beat::Ping);
        assert_eq!(heartbeat.tick(49_999), Beat::Nothing);
        heartbeat.heard(49_999);
        assert_eq!(heartbeat.tick(50_000), Beat::Nothing);
        assert_eq!(heartbeat.tick(74_999), Beat::Ping);
        assert_eq!(heartbeat.tick(99_999), Beat::Dead);
    }
}
