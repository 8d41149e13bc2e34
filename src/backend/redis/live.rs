//! The live wires: one connection to each server that live messages come from, for all subscriptions of this node.
//!
//! They are only wires. When a connection is lost the channel of every reader on it ends: the reader subscribes again and
//! reads what it missed, and so it does where an entry was too long to be published. Where keys are divided and the servers
//! can, a job's messages come from the server that holds the job; else all come from one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use super::error::unavailable;
use super::keys::Keys;
use super::link::{Link, MOVING, TURNS_MAX};
use super::node::Node;
use super::wire::{Granted, Wire, Wish};
use crate::backend::BackendError;
use crate::clock;
use crate::event::Entry;
use crate::job::JobId;

/// Entries a slow reader may be behind before it misses some, and repairs by reading.
const LIVE_ENTRIES_MAX: usize = 256;
/// Cancel hints a worker may be behind before it misses some, and hears of them by its heartbeat.
const CANCEL_HINTS_MAX: usize = 256;
/// Subscriptions that may wait to be sent, and are sent in one go; who comes later waits for room.
pub(super) const WISHES_MAX: usize = 1_024;

/// How messages are published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// To all servers: any of them tells them.
    All,
    /// By the server that holds the job.
    Shard,
}

/// The wires.
#[derive(Debug)]
pub(super) struct Live {
    link: Arc<Link>,
    keys: Arc<Keys>,
    reach: Reach,
    wires: Arc<Wires>,
    hints: Arc<Hints>,
    /// Ends with the engine.
    _task: JoinSet<()>,
}

/// The way to each wire, by its server's name; the only one has none.
#[derive(Debug, Default)]
struct Wires {
    ways: Mutex<HashMap<String, mpsc::Sender<Wish>>>,
    /// There may be one that was not there before.
    made: Notify,
}

impl Wires {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Wish>>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to a wire, once there is one.
    async fn to(&self, name: &str) -> mpsc::Sender<Wish> {
        loop {
            let made = self.made.notified();
            let way = self.lock().get(name).cloned();
            match way {
                Some(way) => return way,
                None => made.await,
            }
        }
    }
}

/// What comes for all nodes.
#[derive(Debug, Default)]
pub(super) struct Hints {
    workers: Mutex<Vec<mpsc::Sender<JobId>>>,
    /// There may be words for all nodes that were not there before.
    noticed: Notify,
}

impl Hints {
    fn workers(&self) -> MutexGuard<'_, Vec<mpsc::Sender<JobId>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job's cancel was asked for.
    pub(super) fn cancel(&self, job: JobId) {
        let mut workers = self.workers();
        workers.retain(|worker| !worker.is_closed());
        for worker in workers.iter() {
            // A full channel loses the hint; the heartbeat carries it too.
            let _ = worker.try_send(job);
        }
    }

    pub(super) fn notice(&self) {
        self.noticed.notify_one();
    }
}

impl Live {
    /// Connects and keeps connected, on the runtime it is called on.
    pub(super) fn start(link: Arc<Link>, keys: Arc<Keys>, reach: Reach, probe: Duration) -> Self {
        let (wires, hints) = (Arc::new(Wires::default()), Arc::new(Hints::default()));
        let make = Make {
            link: Arc::clone(&link),
            keys: Arc::clone(&keys),
            reach,
            probe,
            hints: Arc::clone(&hints),
        };
        let mut task = JoinSet::new();
        match reach {
            Reach::All => {
                let (wishes, asked) = mpsc::channel(WISHES_MAX);
                wires.lock().insert(String::new(), wishes);
                task.spawn(make.wire(None).run(asked));
            }
            Reach::Shard => {
                task.spawn(make.tend(Arc::clone(&wires)));
            }
        }
        Self {
            link,
            keys,
            reach,
            wires,
            hints,
            _task: task,
        }
    }

    /// Entries of a job from now on: answered once Redis has said that they come. A job that another server has by now is
    /// asked for there.
    pub(super) async fn subscribe(&self, job: JobId) -> Result<mpsc::Receiver<Arc<Entry>>, BackendError> {
        for _ in 0..TURNS_MAX {
            let (reader, receiver) = mpsc::channel(LIVE_ENTRIES_MAX);
            match self.wish(job, reader).await? {
                Granted::Here => return Ok(receiver),
                Granted::Elsewhere => clock::sleep(clock::jitter(MOVING)).await,
            }
        }
        Err(down())
    }

    async fn wish(&self, job: JobId, reader: mpsc::Sender<Arc<Entry>>) -> Result<Granted, BackendError> {
        let name = match self.reach {
            Reach::All => String::new(),
            Reach::Shard => {
                let slot = self.keys.slot(self.keys.shard_of(job));
                let master = self.link.master(slot).await;
                master.map_err(|error| unavailable(&error))?.name().to_owned()
            }
        };
        let (done, answered) = oneshot::channel();
        let wish = Wish { job, reader, done };
        let sends = async { self.wires.to(&name).await.send(wish).await };
        tokio::select! {
            sent = sends => sent.map_err(|_| down())?,
            () = clock::sleep(self.link.limit()) => return Err(down()),
        }
        // Whoever is dropped meanwhile was told of by the end of its channel.
        answered.await.map_err(|_| down())
    }

    /// Once there may be words for all nodes that were not there before.
    pub(super) async fn noticed(&self) {
        self.hints.noticed.notified().await;
    }

    pub(super) fn cancels(&self) -> mpsc::Receiver<JobId> {
        let (sender, receiver) = mpsc::channel(CANCEL_HINTS_MAX);
        self.hints.workers().push(sender);
        receiver
    }
}

fn down() -> BackendError {
    BackendError::Unavailable("the wire of live messages is down".to_owned())
}

/// What wires are made of.
struct Make {
    link: Arc<Link>,
    keys: Arc<Keys>,
    reach: Reach,
    probe: Duration,
    hints: Arc<Hints>,
}

impl Make {
    fn wire(&self, node: Option<Arc<Node>>) -> Wire {
        Wire::new(
            Arc::clone(&self.link),
            Arc::clone(&self.keys),
            node,
            self.reach,
            self.probe,
            Arc::clone(&self.hints),
        )
    }

    /// Keeps a wire to each master: one that is no master any more loses its.
    async fn tend(self, wires: Arc<Wires>) {
        let mut tasks: HashMap<String, JoinSet<()>> = HashMap::new();
        let mut changes = self.link.changes();
        loop {
            changes.mark_unchanged();
            if let Ok(masters) = self.link.masters().await {
                let names: HashSet<&str> = masters.all().iter().map(|node| node.name()).collect();
                wires.lock().retain(|name, _| names.contains(name.as_str()));
                // With its task the channels of its readers end.
                tasks.retain(|name, _| names.contains(name.as_str()));
                for node in masters.all() {
                    if !tasks.contains_key(node.name()) {
                        let (wishes, asked) = mpsc::channel(WISHES_MAX);
                        let task = tasks.entry(node.name().to_owned()).or_default();
                        task.spawn(self.wire(Some(Arc::clone(node))).run(asked));
                        wires.lock().insert(node.name().to_owned(), wishes);
                    }
                }
                wires.made.notify_waiters();
            }
            tokio::select! {
                // An error means that the engine is gone, and this task with it.
                _ = changes.changed() => {}
                () = clock::sleep(self.probe) => {}
            }
        }
    }
}
