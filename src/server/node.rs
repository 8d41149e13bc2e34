//! What every connection of this server shares: its parts, who may come in and how often, how many connections there
//! are, whether it drains.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};

use super::ask::{self, Refusal, refusal};
use super::standing::Phases;
use super::{Parts, ServerOptions};
use crate::access::{Access, Counts, Identity, KeyFault, Paces};
use crate::clock;
use crate::metrics;
use crate::wire::{Code, ErrorMessage};

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
    pub(super) access: Arc<Access>,
    phase: watch::Sender<Phase>,
    open: AtomicUsize,
    /// Long connections of each address.
    open_by: Mutex<Counts<IpAddr>>,
    /// What each address has begun, or tried to.
    arrivals: Mutex<Paces<IpAddr>>,
    /// What each tenant has submitted.
    submits: Mutex<Paces<Arc<str>>>,
    /// Turns to read a long text.
    pub(super) readings: Arc<Semaphore>,
    /// Turns to make a list.
    pub(super) lists: Arc<Semaphore>,
    left: Notify,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

/// A panic while a count was changed cannot leave it worse than off by one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    pub(super) fn new(options: ServerOptions, parts: Parts) -> Result<Arc<Self>, KeyFault> {
        let access = Access::new(&options.keys, &options.tenant)?;
        let tracked = options.addresses_max;
        Ok(Arc::new(Self {
            access: Arc::new(access),
            parts,
            phase: watch::Sender::new(Phase::Starting),
            open: AtomicUsize::new(0),
            open_by: Mutex::default(),
            arrivals: Mutex::new(Paces::new(options.upgrades_per_second_per_address, tracked)),
            submits: Mutex::new(Paces::new(options.submits_per_second_per_tenant, tracked)),
            readings: Arc::new(Semaphore::new(options.readings_max.max(1))),
            lists: Arc::new(Semaphore::new(options.lists_max.max(1))),
            left: Notify::new(),
            options,
        }))
    }

    /// Takes a place for a long connection of a kind, and of an address where addresses count.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        kind: &'static str,
    ) -> Result<Place, Refusal> {
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        metrics::all().connections.up([kind]);
        // The place is given back when it is dropped, also where it was one too many.
        let mut place = Place {
            node: Arc::clone(self),
            kind,
            address: None,
        };
        let no_room = |code, message: String| {
            Box::new(ErrorMessage {
                retry_after_ms: Some(self.options.retry_after_ms),
                ..*refusal(code, message)
            })
        };
        if before >= self.options.connections_max {
            let message = "as many connections as may be are open".to_owned();
            return Err(no_room(Code::Unavailable, message));
        }
        if let Some(address) = address {
            let most = self.options.connections_per_address_max;
            if !lock(&self.open_by).enter(address, most) {
                let message =
                    format!("{most} connections of this address are open, as many as may be: close one");
                return Err(no_room(Code::TooManyConnections, message));
            }
            place.address = Some(address);
        }
        metrics::all().connections_opened.one([kind]);
        Ok(place)
    }

    /// Whether an address may open a connection now, or try a key.
    pub(super) fn may_arrive(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        let Some(address) = address else { return Ok(()) };
        let taken = lock(&self.arrivals).take(address, clock::now_ms());
        let most = self.options.upgrades_per_second_per_address;
        taken.map_err(|wait| ask::too_fast("connections a second from one address", most, wait))
    }

    /// Whether a tenant may submit now.
    pub(super) fn may_submit(&self, who: &Identity) -> Result<(), Refusal> {
        let taken = lock(&self.submits).take(Arc::clone(who.tenant()), clock::now_ms());
        let most = self.options.submits_per_second_per_tenant;
        taken.map_err(|wait| ask::too_fast("submits a second of one tenant", most, wait))
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
    pub(super) fn phases(&self) -> Phases {
        Phases::new(self.phase.subscribe())
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
    /// The address it counts for.
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            lock(&self.node.open_by).leave(address);
        }
        self.node.open.fetch_sub(1, Ordering::AcqRel);
        metrics::all().connections.down([self.kind]);
        self.node.left.notify_waiters();
    }
}
