//! How often a client may err, and whether it is still there.

use std::collections::VecDeque;

/// Messages that cannot be taken within the window before the socket is closed: `proto/PROTOCOL.md` §12 says so, as it
/// does of the two below.
const BAD_MAX: usize = 10;
/// The window, ms.
const BAD_WINDOW_MS: u64 = 10_000;
/// Binary frames before the socket is closed.
const BINARY_MAX: u32 = 3;

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
