//! What a socket waits for all the time: a deadline, and the node's end. Both stand from one turn of the socket to the next:
//! thousands of sockets that are told a frame would otherwise enter and leave the lists of all who wait, twice for each.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;

use super::node::Phase;
use crate::clock::{self, Timer};

/// A timer for the earliest of deadlines that move.
#[derive(Debug)]
pub(super) struct Deadline {
    timer: Timer,
    /// When it goes off, ms; `None` once it has.
    set_ms: Option<u64>,
}

impl Deadline {
    /// One that goes off for the first time when it is asked for.
    pub(super) fn new() -> Self {
        Self {
            timer: Timer::at(clock::now()),
            set_ms: None,
        }
    }

    /// Waits until then, or less long: one that was put off is left as it stands, and goes off once in vain. May be dropped and
    /// called again.
    pub(super) async fn reached(&mut self, at_ms: u64, now_ms: u64) {
        if self.set_ms.is_none_or(|set| at_ms < set) {
            let wait = Duration::from_millis(at_ms.saturating_sub(now_ms));
            self.timer.set(clock::now() + wait);
            self.set_ms = Some(at_ms);
        }
        self.timer.gone_off().await;
        self.set_ms = None;
    }
}

type Changes = watch::Receiver<Phase>;

/// Where the node stands, as one of its connections has seen.
pub(super) struct Phases {
    seen: Phase,
    next: Pin<Box<dyn Future<Output = Changes> + Send>>,
}

impl Phases {
    pub(super) fn new(mut changes: Changes) -> Self {
        let seen = *changes.borrow_and_update();
        Self {
            seen,
            next: Box::pin(changed(changes)),
        }
    }

    /// Waits until the node has come to a phase; for ever where it never does. May be dropped and called again.
    pub(super) async fn reached(&mut self, phase: Phase) {
        while self.seen < phase {
            let changes = self.next.as_mut().await;
            *self = Self::new(changes);
        }
    }
}

async fn changed(mut changes: Changes) -> Changes {
    if changes.changed().await.is_err() {
        // The node is gone with all its connections: nobody is left to be told.
        std::future::pending::<()>().await;
    }
    changes
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_comes_nearer_is_kept() {
        let mut deadline = Deadline::new();
        let begin = clock::now_ms();
        assert_eq!(deadline.reached(begin + 1_000, begin).now_or_never(), None);
        deadline.reached(begin + 300, begin).await;
        assert_eq!(clock::now_ms(), begin + 300);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_put_off_goes_off_in_vain_and_then_is_kept() {
        let mut deadline = Deadline::new();
        let begin = clock::now_ms();
        assert_eq!(deadline.reached(begin + 300, begin).now_or_never(), None);
        deadline.reached(begin + 1_000, begin).await;
        assert_eq!(clock::now_ms(), begin + 300);
        deadline.reached(begin + 1_000, clock::now_ms()).await;
        assert_eq!(clock::now_ms(), begin + 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_has_passed_is_no_wait() {
        let mut deadline = Deadline::new();
        let now = clock::now_ms();
        deadline.reached(now.saturating_sub(5), now).await;
        assert_eq!(clock::now_ms(), now);
    }

    #[tokio::test]
    async fn phases_are_reached_once_they_came_also_by_a_later_one() {
        let phase = watch::Sender::new(Phase::Serving);
        let mut phases = Phases::new(phase.subscribe());
        assert_eq!(phases.reached(Phase::Serving).now_or_never(), Some(()));
        assert_eq!(phases.reached(Phase::Draining).now_or_never(), None);
        phase.send_replace(Phase::Draining);
        assert_eq!(phases.reached(Phase::Leaving).now_or_never(), None);
        assert_eq!(phases.reached(Phase::Draining).now_or_never(), Some(()));
        phase.send_replace(Phase::Leaving);
        assert_eq!(phases.reached(Phase::Draining).now_or_never(), Some(()));
        assert_eq!(phases.reached(Phase::Leaving).now_or_never(), Some(()));
        drop(phase);
        assert_eq!(phases.reached(Phase::Leaving).now_or_never(), Some(()));
    }
}
