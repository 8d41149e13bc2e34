//! What every connection of this server shares: its parts, how many connections there are, whether it drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::{Parts, ServerOptions};
use crate::clock;
use crate::metrics;

/// Where the node stands between its start and its end; it only goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    /// Not everything behind the server runs yet.
    Starting,
    /// All is well.
    Serving,
    /// Nothing new is taken; what runs may end, and its viewers see it.
    Draining,
    /// Everybody is sent away.
    Leaving,
}

/// The server as its connections see it.
pub(super) struct Node {
    pub(super) options: ServerOptions,
    pub(super) parts: Parts,
    phase: watch::Sender<Phase>,
    open: AtomicUsize,
    left: Notify,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

impl Node {
    pub(super) fn new(options: ServerOptions, parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            options,
            parts,
            phase: watch::Sender::new(Phase::Starting),
            open: AtomicUsize::new(0),
            left: Notify::new(),
        })
    }

    /// Takes a place for a long connection; `None` when there are as many as may be.
    pub(super) fn enter(self: &Arc<Self>, kind: &'static str) -> Option<Place> {
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        metrics::all().connections.up([kind]);
        // The place is given back when it is dropped, also where it was one too many.
        let place = Place {
            node: Arc::clone(self),
            kind,
        };
        let free = before < self.options.connections_max;
        if free {
            metrics::all().connections_opened.one([kind]);
        }
        free.then_some(place)
    }

    /// Goes on to a phase; one that is behind the node changes nothing.
    pub(super) fn go_on(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether nothing new is taken any more.
    pub(super) fn is_draining(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    /// Tells when the node goes on.
    pub(super) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// When a client that is sent away shall come back, ms: spread, so that they do not come all at once.
    pub(super) fn reconnect_after_ms(&self) -> u64 {
        let spread = Duration::from_millis(self.options.drain_spread_ms);
        u64::try_from(clock::jitter(spread).as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns once no long connection is left.
    pub(super) async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            left.await;
        }
    }
}

/// A long connection's place among those that may be open.
pub(super) struct Place {
    node: Arc<Node>,
    kind: &'static str,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.node.open.fetch_sub(1, Ordering::AcqRel);
        metrics::all().connections.down([self.kind]);
        self.node.left.notify_waiters();
    }
}

/// Waits until the node has come to a phase; for ever where it never does.
pub(super) async fn reached(phases: &mut watch::Receiver<Phase>, phase: Phase) {
    if phases.wait_for(|now| *now >= phase).await.is_err() {
        // The node is gone with all its connections: nobody is left to be told.
        std::future::pending::<()>().await;
    }
}
