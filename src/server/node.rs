//! What every connection of this server shares: its parts, how many connections there are, whether it drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

use super::{Parts, ServerOptions};
use crate::clock;

/// The server as its connections see it.
pub(super) struct Node {
    pub(super) options: ServerOptions,
    pub(super) parts: Parts,
    drain: watch::Sender<bool>,
    open: AtomicUsize,
    left: Notify,
}

impl Node {
    pub(super) fn new(options: ServerOptions, parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            options,
            parts,
            drain: watch::Sender::new(false),
            open: AtomicUsize::new(0),
            left: Notify::new(),
        })
    }

    /// Takes a place for a long connection; `None` when there are as many as may be.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        // The place is given back when it is dropped, also where it was one too many.
        let place = Place(Arc::clone(self));
        (before < self.options.connections_max).then_some(place)
    }

    pub(super) fn begin_drain(&self) {
        self.drain.send_replace(true);
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.drain.borrow()
    }

    /// Tells when the drain begins.
    pub(super) fn drained(&self) -> watch::Receiver<bool> {
        self.drain.subscribe()
    }

    /// When a client that is sent away shall come back, ms: spread, so that they do not come all at once.
    pub(super) fn reconnect_after_ms(&self) -> u64 {
        let spread = std::time::Duration::from_millis(self.options.drain_spread_ms);
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
pub(super) struct Place(Arc<Node>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.left.notify_waiters();
    }
}

/// Waits until the drain begins; for ever where it never does.
pub(super) async fn draining(signal: &mut watch::Receiver<bool>) {
    if signal.wait_for(|begun| *begun).await.is_err() {
        // The node is gone with all its connections: nobody is left to be told.
        std::future::pending::<()>().await;
    }
}
