//! A watched job: its replica, those who view it, and the task that follows its log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::outage::Outage;
use super::replica::{Replica, Took};
use super::{Hub, HubOptions};
use crate::clock;
use crate::event::{Entry, Position, Resume};
use crate::job::JobId;
use crate::metrics;

/// Requests for a re-read that may wait; they are answered together, and who comes later waits for room.
const REREADS_MAX: usize = 64;

/// A job that is watched on this node.
#[derive(Debug)]
pub(super) struct Watched {
    replica: Mutex<Replica>,
    viewers: Mutex<Viewers>,
    /// Somebody has come or gone, of a job that does not go on without viewers.
    moved: Notify,
    unviewed: bool,
    rereads: mpsc::Sender<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct Viewers {
    next: u64,
    wakes: BTreeMap<u64, Arc<Notify>>,
    closed: bool,
    /// How many had come when the engine was last told whether there are any.
    told: u64,
}

/// A viewer's place among those who are woken; leaving is dropping it.
#[derive(Debug)]
pub(super) struct Ticket {
    watched: Arc<Watched>,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.watched.viewers().wakes.remove(&self.number);
        self.watched.moved();
        metrics::all().viewers.down();
    }
}

impl Watched {
    pub(super) fn new(replica: Replica, options: HubOptions) -> (Arc<Self>, Follow) {
        let (rereads, asked) = mpsc::channel(REREADS_MAX);
        let job = replica.job();
        let unviewed = replica.facts().unviewed_ms.is_some();
        let watched = Arc::new(Self {
            replica: Mutex::new(replica),
            viewers: Mutex::new(Viewers::default()),
            moved: Notify::new(),
            unviewed,
            rereads,
        });
        let follow = Follow {
            watched: Arc::clone(&watched),
            job,
            asked,
            poll: options.poll,
            degraded: options.degraded,
            outage: Outage::default(),
            idle: false,
        };
        (watched, follow)
    }

    pub(super) fn replica(&self) -> MutexGuard<'_, Replica> {
        self.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn viewers(&self) -> MutexGuard<'_, Viewers> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; `None` once the job was let go.
    pub(super) fn enter(self: &Arc<Self>, wake: &Arc<Notify>) -> Option<Ticket> {
        let mut viewers = self.viewers();
        if viewers.closed {
            return None;
        }
        let number = viewers.next;
        viewers.next += 1;
        viewers.wakes.insert(number, Arc::clone(wake));
        drop(viewers);
        self.moved();
        metrics::all().viewers.up();
        Some(Ticket {
            watched: Arc::clone(self),
            number,
        })
    }

    /// The task that follows the log tells the engine.
    fn moved(&self) {
        if self.unviewed {
            self.moved.notify_one();
        }
    }

    /// Whether somebody has come since this was asked last, and whether anybody is here.
    fn presence(&self) -> (bool, bool) {
        let mut viewers = self.viewers();
        let came = viewers.told < viewers.next;
        viewers.told = viewers.next;
        (came, !viewers.wakes.is_empty())
    }

    pub(super) fn close_if_empty(&self) -> bool {
        let mut viewers = self.viewers();
        viewers.closed = viewers.wakes.is_empty();
        viewers.closed
    }

    /// The held position, if the viewer may go on from it by tail (rule E8). A node that is behind the viewer reads
    /// once before it says no.
    pub(super) async fn place(&self, held: Position) -> Option<Position> {
        if self.replica().resume(held) == Resume::Tail {
            return Some(held);
        }
        if self.replica().may_be_behind(held) {
            self.catch_up().await;
        }
        (self.replica().resume(held) == Resume::Tail).then_some(held)
    }

    /// Reads what the copy misses, now. Nothing is waited for where the job was let go.
    pub(super) async fn catch_up(&self) {
        let (done, answered) = oneshot::channel();
        if self.rereads.send(done).await.is_ok() {
            // An error means that the task has ended: nobody views the job.
            let _ = answered.await;
        }
    }

    fn wake_all(&self) {
        for wake in self.viewers().wakes.values() {
            wake.notify_one();
        }
    }
}

/// The task that follows a job's log: the only one that changes its replica.
#[derive(Debug)]
pub(super) struct Follow {
    watched: Arc<Watched>,
    job: JobId,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    poll: Duration,
    /// How long an outage lasts before viewers are told.
    degraded: Duration,
    outage: Outage,
    /// Whether nobody viewed the job at the poll before.
    idle: bool,
}

impl Follow {
    pub(super) async fn run(mut self, hub: Arc<Hub>, mut live: mpsc::Receiver<Arc<Entry>>) {
        let mut due = self.due();
        loop {
            tokio::select! {
                entry = live.recv() => match entry {
                    Some(entry) => self.take(&hub, entry, &mut live).await,
                    None => if let Some(again) = self.subscribe(&hub).await {
                        live = again;
                        self.reread(&hub).await;
                    },
                },
                Some(done) = self.asked.recv() => {
                    self.reread(&hub).await;
                    // The one who asked may have gone.
                    let _ = done.send(());
                }
                () = self.watched.moved.notified() => self.tell_presence(&hub).await,
                // However much comes meanwhile.
                () = clock::sleep_until(due) => {
                    if self.poll(&hub).await {
                        self.tell_outage(false);
                        return;
                    }
                    due = self.due();
                }
            }
        }
    }

    /// When the next poll is; at once when it is time to tell of an outage.
    fn due(&self) -> Instant {
        let poll = clock::now() + self.poll / 2 + clock::jitter(self.poll / 2);
        let lasts = self.outage.lasts(self.degraded);
        lasts
            .filter(|at| *at > clock::now())
            .map_or(poll, |at| at.min(poll))
    }

    /// Subscribes again; `None`, a while later, where that fails.
    async fn subscribe(&mut self, hub: &Hub) -> Option<mpsc::Receiver<Arc<Entry>>> {
        let began = clock::now();
        let granted = hub.backend.subscribe(self.job).await;
        self.outage.heard(began, granted.is_ok());
        self.judge_outage();
        if granted.is_err() {
            clock::sleep(clock::jitter(self.poll)).await;
        }
        granted.ok()
    }

    /// Tells viewers of an outage that has lasted too long, and that it is over.
    fn judge_outage(&self) {
        let lasts = self.outage.lasts(self.degraded);
        self.tell_outage(lasts.is_some_and(|at| at <= clock::now()));
    }

    fn tell_outage(&self, active: bool) {
        if !self.watched.replica().degrade(active) {
            return;
        }
        let level = &metrics::all().degraded_jobs;
        if active {
            tracing::warn!(job = %self.job, "viewers are told that what they see may be late");
            level.up();
        } else {
            level.down();
        }
        self.watched.wake_all();
    }

    /// Takes an entry and all that wait behind it, then wakes the viewers once.
    async fn take(&self, hub: &Hub, first: Arc<Entry>, live: &mut mpsc::Receiver<Arc<Entry>>) {
        let mut gap = false;
        {
            let mut replica = self.watched.replica();
            let mut next = Some(first);
            while let Some(entry) = next {
                gap |= replica.take(&entry) == Took::Gap;
                next = live.try_recv().ok();
            }
        }
        if gap {
            metrics::all().gaps.one();
            self.reread(hub).await;
        } else {
            self.watched.wake_all();
        }
    }

    /// Reads what the replica misses. On an error it stays as it is; the next poll tries again.
    async fn reread(&self, hub: &Hub) {
        let held = self.watched.replica().held();
        match hub.backend.read(self.job, held).await {
            Ok(Some(reading)) => {
                if self.watched.replica().repair(&reading).is_err() {
                    tracing::error!(job = %self.job, "a log cannot be folded");
                }
                self.watched.wake_all();
            }
            Ok(None) => self.gone(),
            Err(error) => tracing::warn!(job = %self.job, %error, "a log cannot be read"),
        }
    }

    /// Tells the engine whether anybody views the job here: one who has come and gone was here. What could not be told
    /// is told by the next poll.
    async fn tell_presence(&self, hub: &Hub) {
        if !self.watched.unviewed {
            return;
        }
        let (came, is_here) = self.watched.presence();
        for by_any in [true, false] {
            if if by_any { came || is_here } else { !is_here } {
                let told = hub.backend.viewed(self.job, hub.name, by_any).await;
                if let Err(error) = told {
                    tracing::warn!(job = %self.job, %error, "the engine cannot be told who views a job");
                }
            }
        }
    }

    /// The job is past its retention: whoever still waits for something is told so.
    fn gone(&self) {
        self.watched.replica().gone();
        self.watched.wake_all();
    }

    /// Compares positions (rule E2: epoch and seq), and lets the job go when nobody has viewed it for a while.
    /// True when it was let go.
    async fn poll(&mut self, hub: &Arc<Hub>) -> bool {
        self.tell_presence(hub).await;
        let empty = self.watched.viewers().wakes.is_empty();
        if empty && self.idle && hub.let_go(&self.watched, self.job) {
            return true;
        }
        self.idle = empty;
        let began = clock::now();
        let positions = hub.backend.positions(&[self.job]).await;
        self.outage.asked(began, positions.is_ok());
        if let Ok(positions) = positions {
            match positions.first() {
                Some(Some(last)) if *last != self.watched.replica().last() => self.reread(hub).await,
                Some(None) => self.gone(),
                _ => {}
            }
        }
        self.judge_outage();
        false
    }
}

impl HubOptions {
    /// Whether a ring of this size is over its bounds.
    pub(super) const fn over(&self, frames: usize, bytes: usize) -> bool {
        frames > self.backlog_frames_max || bytes > self.backlog_bytes_max
    }
}
