//! A node's fan-out: one replica per watched job, one cursor per viewer.
//!
//! A watched job has one subscription, one task that folds its entries into the replica (`watched`), and a bounded
//! ring of recent frames (`replica`). A viewer is a position in that ring (`viewer`): it takes frames when its
//! socket can send. One that falls behind the ring is given a snapshot; nobody waits for it, nothing is queued for
//! it, and an encoding is made once and shared.

mod form;
mod outage;
mod replica;
mod viewer;
mod watched;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

pub use self::form::Told;
pub use self::replica::{Replica, Took};
pub use self::viewer::Viewer;
use self::watched::Watched;
use crate::backend::{Backend, BackendError, JobFacts, Reading};
use crate::clock;
use crate::event::{Entry, Position};
use crate::job::JobId;
use crate::metrics;
use crate::wire::Deliver;

/// Bounds of the fan-out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HubOptions {
    /// Bytes of recent frames kept per watched job; a viewer further behind gets a snapshot.
    pub backlog_bytes_max: usize,
    /// Frames kept per watched job.
    pub backlog_frames_max: usize,
    /// How often positions are compared with the log, against silent loss, at the most (half of it at the least).
    pub poll: Duration,
    /// How long asking the engine for a job, or hearing of it, may fail before its viewers are told.
    pub degraded: Duration,
    /// Jobs watched on this node at a time.
    pub watched_max: usize,
    /// Bytes of a snapshot's text in one message.
    pub snapshot_part_bytes: usize,
    /// Bytes up to which an end carries the value to patch viewers too.
    pub end_value_bytes: usize,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            backlog_bytes_max: 256 * 1024,
            backlog_frames_max: 4_096,
            poll: Duration::from_secs(2),
            degraded: Duration::from_secs(5),
            watched_max: 100_000,
            snapshot_part_bytes: 128 * 1024,
            end_value_bytes: 1_024,
        }
    }
}

/// Why a job could not be watched.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WatchError {
    /// The engine could not be asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// This node watches as many jobs as it may.
    #[error("this node watches {0} jobs, as many as it may")]
    Full(usize),
}

/// The fan-out of a node.
pub struct Hub {
    backend: Arc<dyn Backend>,
    options: HubOptions,
    watched: Mutex<HashMap<JobId, Arc<Watched>>>,
    /// What the engine knows this node's viewers by.
    name: u64,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub over an engine.
    pub fn new(backend: Arc<dyn Backend>, options: HubOptions) -> Arc<Self> {
        Arc::new(Self {
            backend,
            options,
            watched: Mutex::new(HashMap::new()),
            name: clock::nonce(),
        })
    }

    /// What is fixed with a job; `None` for an unknown one.
    pub async fn facts(&self, job: JobId) -> Result<Option<Arc<JobFacts>>, BackendError> {
        self.backend.facts(job).await
    }

    /// Makes a viewer of a job, from the position it holds. `wake` is notified whenever there may be something to
    /// take. `None` for an unknown job. Call it on the runtime that shall follow the job.
    pub async fn watch(
        self: &Arc<Self>,
        job: JobId,
        held: Option<Position>,
        deliver: Deliver,
        wake: &Arc<Notify>,
    ) -> Result<Option<Viewer>, WatchError> {
        loop {
            let Some(watched) = self.watched(job).await? else {
                return Ok(None);
            };
            // It may have been let go between the two steps; then a new one is made.
            if let Some(viewer) = enter(watched, held, deliver, wake).await {
                return Ok(Some(viewer));
            }
        }
    }

    /// The same of a job that is viewed here already, for a tenant whose it is: the engine is asked nothing. `None` for
    /// any other.
    pub async fn join(
        &self,
        job: JobId,
        tenant: &str,
        held: Option<Position>,
        deliver: Deliver,
        wake: &Arc<Notify>,
    ) -> Option<Viewer> {
        let watched = self.lock().get(&job).cloned()?;
        let is_own = watched.replica().facts().tenant.as_ref() == tenant;
        if !is_own {
            return None;
        }
        enter(watched, held, deliver, wake).await
    }

    /// Makes a viewer of a job whose log is elsewhere, from a [copy](Self::copy) of it. Viewers of one job share one.
    ///
    /// # Errors
    /// The engine cannot be asked, or this node watches as many jobs as it may.
    pub async fn watch_copy(
        self: &Arc<Self>,
        copy: Replica,
        held: Option<Position>,
        deliver: Deliver,
        wake: &Arc<Notify>,
    ) -> Result<Option<Viewer>, WatchError> {
        let live = self.backend.subscribe(copy.job()).await?;
        let mut all = self.lock();
        let watched = self.keep(&mut all, copy, live)?;
        // Entered under the lock: until then nobody lets it go.
        let ticket = watched.enter(wake);
        drop(all);
        Ok(ticket.map(|ticket| Viewer::new(watched, ticket, held, deliver)))
    }

    /// A copy of a job whose log is elsewhere.
    ///
    /// # Errors
    /// The reading does not fold.
    pub fn copy(&self, facts: Arc<JobFacts>, reading: &Reading) -> Result<Replica, BackendError> {
        Replica::new(facts, self.options, reading).map_err(|error| unreadable(&error))
    }

    /// What there is to see of a job now: in the replica where it is not behind, else in the log. `None` for an unknown
    /// job.
    ///
    /// # Errors
    /// The engine cannot be asked.
    pub async fn look<T>(&self, job: JobId, see: impl Fn(&Replica) -> T) -> Result<Option<T>, BackendError> {
        let known = self.lock().get(&job).cloned();
        if let Some(watched) = known {
            let positions = self.backend.positions(&[job]).await?;
            let last = positions.first().copied().flatten();
            let replica = watched.replica();
            if last == replica.held() && last.is_some() {
                return Ok(Some(see(&replica)));
            }
        }
        let Some(facts) = self.backend.facts(job).await? else {
            return Ok(None);
        };
        let Some(reading) = self.backend.read(job, None).await? else {
            return Ok(None);
        };
        Ok(Some(see(&self.copy(facts, &reading)?)))
    }

    /// Brings every copy up to where its log stands, so that viewers can be told all that was written.
    ///
    /// # Errors
    /// The engine cannot be asked; the copies stay as they are, and their own polls go on.
    pub async fn catch_up(&self) -> Result<(), BackendError> {
        let watched: Vec<(JobId, Arc<Watched>)> = {
            let all = self.lock();
            all.iter()
                .map(|(job, watched)| (*job, Arc::clone(watched)))
                .collect()
        };
        let jobs: Vec<JobId> = watched.iter().map(|(job, _)| *job).collect();
        let positions = self.backend.positions(&jobs).await?;
        for ((_, watched), last) in watched.iter().zip(positions) {
            let behind = last.is_some_and(|last| last != watched.replica().last());
            if behind {
                watched.catch_up().await;
            }
        }
        Ok(())
    }

    /// The watched job, made if it is not there.
    async fn watched(self: &Arc<Self>, job: JobId) -> Result<Option<Arc<Watched>>, WatchError> {
        if let Some(watched) = self.lock().get(&job) {
            return Ok(Some(Arc::clone(watched)));
        }
        let Some(facts) = self.backend.facts(job).await? else {
            return Ok(None);
        };
        // Subscribed before it is read: nothing falls between the two.
        let live = self.backend.subscribe(job).await?;
        let Some(reading) = self.backend.read(job, None).await? else {
            return Ok(None);
        };
        let replica = self.copy(facts, &reading)?;
        self.keep(&mut self.lock(), replica, live).map(Some)
    }

    /// The watched job of this replica, if it is not there already.
    fn keep(
        self: &Arc<Self>,
        all: &mut HashMap<JobId, Arc<Watched>>,
        replica: Replica,
        live: mpsc::Receiver<Arc<Entry>>,
    ) -> Result<Arc<Watched>, WatchError> {
        let job = replica.job();
        if let Some(watched) = all.get(&job) {
            return Ok(Arc::clone(watched));
        }
        if all.len() >= self.options.watched_max {
            return Err(WatchError::Full(self.options.watched_max));
        }
        let (watched, follow) = Watched::new(replica, self.options);
        all.insert(job, Arc::clone(&watched));
        metrics::all().watched_jobs.up();
        tokio::spawn(follow.run(Arc::clone(self), live));
        Ok(watched)
    }

    /// Lets a job go that nobody views; false if somebody has come.
    fn let_go(&self, watched: &Arc<Watched>, job: JobId) -> bool {
        let mut all = self.lock();
        if !watched.close_if_empty() {
            return false;
        }
        all.remove(&job);
        metrics::all().watched_jobs.down();
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Arc<Watched>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A viewer of a watched job; `None` where that has just been let go.
async fn enter(
    watched: Arc<Watched>,
    held: Option<Position>,
    deliver: Deliver,
    wake: &Arc<Notify>,
) -> Option<Viewer> {
    let ticket = watched.enter(wake)?;
    let held = match held {
        Some(held) => watched.place(held).await,
        None => None,
    };
    Some(Viewer::new(watched, ticket, held, deliver))
}

fn unreadable(error: &crate::event::Unfoldable) -> BackendError {
    BackendError::Corrupt(error.to_string())
}
