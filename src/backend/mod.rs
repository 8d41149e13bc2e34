//! Where jobs and their logs live: two traits, their contracts in prose, and the engines behind them.
//!
//! What every engine promises, and the contract suite (`tests/backend_contract.rs`) checks:
//!
//! - Each method is one atomic step. A step that writes an event writes it together with what it changes, and
//!   publishes it only from inside that step.
//! - **Fencing.** `append`, `extend`, `defer`, `fail` and `finish` carry the lease token and are refused with `Lost`
//!   when it is not the one of the running delivery.
//! - **Epochs** (rules E1–E8). `submit`, `claim`, `cancel`, `reap`, `promote` and every rolled-back append open a
//!   new epoch; its name comes as an argument, new for every send. The engine writes the parent itself.
//! - **Repeats.** A step that is sent again byte for byte, because its answer was lost, changes nothing and answers
//!   as it did (`Dup` for writes of events).
//! - **Time** is the engine's: `now` is an argument of no method.
//! - **Live messages** are only a wire: they may be lost, and a reader compares positions to notice.

mod drain;
pub mod embedded;
pub mod fault;
mod own;
mod redis;
mod share;
mod step;
mod witness;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::clock;
use crate::event::{Entry, Epoch, Position, StatusChange};
use crate::job::{JobId, Lease, LeaseToken, Ruling};

pub use self::redis::{BadRedisUrl, Redis, RedisKind, RedisOptions, RedisStartError, RedisUrl};
pub use share::{Paused, Share, Shares, TenantOptions, TenantsOptions};
pub use step::{
    Append, Appended, BadDeadCursor, Cancelled, Checkpoint, Claim, DeadCursor, DeadLetter, DeadPage,
    Deferral, Extended, Failure, Fenced, Full, Idempotency, JobFacts, Reading, Reaped, Request, Ruled, Start,
    Stats, Submission, Submitted, Write,
};

/// Why a step could not be taken. What is written is as it was before, or as if the step had been taken and only
/// its answer lost: the caller sends it again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BackendError {
    /// The engine cannot be reached now.
    #[error("the engine cannot be reached: {0}")]
    Unavailable(String),
    /// The engine cannot keep it, and has not: what was asked for has not happened.
    #[error("nothing can be kept now: {0}")]
    NoRoom(String),
    /// The engine holds something this version cannot read.
    #[error("the engine holds something unreadable: {0}")]
    Corrupt(String),
}

/// Jobs, and who works on them.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Draws the id of a job that is to be submitted. One with an idempotency key must get its id here: an engine that is
    /// divided finds both in one part.
    fn draw(&self, _tenant: &str, _idempotency: Option<&Idempotency>) -> JobId {
        JobId::new(clock::job_uuid())
    }

    /// Keeps a job and puts it in line, writing the event `status: queued` as seq 1 of its first epoch. An
    /// idempotency key that is known names the job it was used for, or a conflict when the request differs.
    /// Answered once durable.
    async fn submit(&self, submission: Submission) -> Result<Submitted, BackendError>;

    /// Draws the id of a job that is to be made of a dead letter.
    fn draw_beside(&self, _letter: JobId) -> JobId {
        JobId::new(clock::job_uuid())
    }

    /// Makes a new job of a dead letter, which is none any more by that; `None` where there is no such letter. One that a
    /// job was made of before names that job. Answered once durable.
    async fn redrive(&self, letter: JobId, submission: Submission)
    -> Result<Option<Submitted>, BackendError>;

    /// The job that was made of a dead letter, where one was: as [`redrive`](Self::redrive) answers it.
    async fn redriven(&self, letter: JobId) -> Result<Option<Submitted>, BackendError>;

    /// A page of dead letters, the newest first, or those behind a cursor: jobs that lost worker after worker, or whose
    /// deliveries failed again and again. They are kept with what they ask for, longer than others that have ended. So many
    /// are looked at, [`DeadPage::LETTERS_MAX`] at most; one whose end is not told yet, or that cannot be read, is passed
    /// over, so a page may have fewer, or none, and still a next. Whoever goes from page to page meets each letter once
    /// that is there all the time, whatever others come and go.
    async fn dead_letters(&self, behind: Option<DeadCursor>, limit: usize) -> Result<DeadPage, BackendError>;

    /// A dead letter, and what it asks for. `None` for any other job.
    async fn dead_letter(&self, job: JobId) -> Result<Option<(DeadLetter, Request)>, BackendError>;

    /// Says what tenants may have from now on, in place of what was said before.
    async fn govern(&self, shares: &Shares) -> Result<(), BackendError>;

    /// Pauses a tenant, or the whole queue where none is named, or lets it go on: what runs goes on, submissions are kept,
    /// and what is in line waits, jobs that lost their worker included. Answered once durable; false where as many
    /// tenants are paused as may ([`Paused::TENANTS_MAX`]), and nothing was changed.
    async fn pause(&self, tenant: Option<&str>, paused: bool) -> Result<bool, BackendError>;

    /// Who is paused.
    async fn paused(&self) -> Result<Paused, BackendError>;

    /// Gives the next job to a worker under a lease, writing `status: running`. `None` when nothing is ready. Of tenants
    /// with jobs in line the one is served that was served least, by what its jobs cost and by its weight; a tenant has never
    /// more running than it may. Within a tenant jobs go by priority, then by when they came into line. Jobs that lost
    /// their worker come before all others, as soon as their tenant may have another. Sent again by the same nonce while
    /// the delivery runs, because its answer was lost, it gives the same delivery, whose lease is good from then on, and
    /// the epoch, which is another with every send, is not opened: behind the end of that delivery, it is.
    async fn claim(&self, nonce: u64, epoch: Epoch) -> Result<Option<Claim>, BackendError>;

    /// Returns when there may be something to claim; a hint, so it also returns now and then without reason.
    async fn ready(&self);

    /// Extends leases; the answers come in the order of the leases. A cancel that was asked for is told here too,
    /// so it works when its hint is lost. Where leases are kept in several places, one that does not answer leaves those of
    /// the others as good as they are; it is an error where none answers.
    async fn extend(&self, leases: &[(JobId, LeaseToken)]) -> Result<Vec<Extended>, BackendError>;

    /// Puts a running job back without fault: the delivery does not count. A job whose record says that its value waits
    /// for a verdict from outside is not put in line again when its time has come: it ends as completed ([`promote`]).
    ///
    /// [`promote`]: Self::promote
    async fn defer(&self, job: JobId, token: LeaseToken, deferral: Deferral) -> Result<Fenced, BackendError>;

    /// Ends a delivery that failed by a fault worth another one: the job waits for `retry_ms` and is put in line again,
    /// whatever its record says of its value, or ends with `give_up` when its deliveries are used up.
    async fn fail(&self, job: JobId, token: LeaseToken, failure: Failure) -> Result<Fenced, BackendError>;

    /// Ends a job: `write` is its end.
    async fn finish(&self, job: JobId, token: LeaseToken, write: Write) -> Result<Fenced, BackendError>;

    /// Asks for a job's end, from any node. A job that nobody works on ends at once in the new `epoch`; a running
    /// one is flagged, its worker is hinted and ends it, or the reaper does after a grace.
    async fn cancel(&self, job: JobId, epoch: Epoch) -> Result<Option<Cancelled>, BackendError>;

    /// Gives the verdict on a valid value that waits for one, from any node; on that of this `attempt`, where it is named.
    /// Accepted, the job ends as completed in the new `epoch`, at once. To be asked for again, it is put in line in that
    /// epoch with the errors in its record, or ends as failed with them where its re-asks are used up. `None` for an
    /// unknown job. The same verdict again answers the same and changes nothing. Answered once durable.
    async fn rule(
        &self,
        job: JobId,
        epoch: Epoch,
        attempt: Option<u32>,
        ruling: Ruling,
    ) -> Result<Option<Ruled>, BackendError>;

    /// A node says whether it has viewers of a job that does not go on without any ([`JobFacts::unviewed_ms`]); of any
    /// other, and of one that is unknown or has ended, nothing is noted. The node says so whenever it changes, and now
    /// and then without that. From when the last node has none, [`reap`](Self::reap) cancels the job after its time; so
    /// it does with one that was viewed before the engine was restarted. One that was never viewed goes on.
    async fn viewed(&self, job: JobId, node: u64, by_any: bool) -> Result<(), BackendError>;

    /// Takes back leases that ran out, at most `limit`: the job becomes `recovering`, or ends when it was cancelled
    /// or has lost too many without progress. Cancels jobs that nobody views any more, at most as many; their end says so.
    /// Every worker does this; it is idempotent.
    async fn reap(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<Reaped, BackendError>;

    /// Puts waiting jobs whose time has come in line again, at most `limit`, ends those as completed whose value has waited
    /// for a verdict, and forgets what is past its retention. Returns how many it was the time of.
    async fn promote(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<usize, BackendError>;

    /// Jobs whose cancel was asked for, as hints to workers.
    fn cancels(&self) -> mpsc::Receiver<JobId>;

    /// What is fixed with a job: whose it is, its shape. `None` for an unknown one.
    async fn facts(&self, job: JobId) -> Result<Option<Arc<JobFacts>>, BackendError>;

    /// Where jobs stand, in the order of the ids, as far as readers are told: an end that is promised to nobody yet has
    /// not come. Of one that waits, also why and until when, as its last entry says; of one that an older binary has put
    /// to wait, the engine may not know. `None` for an unknown one. One call whatever their number; the caller bounds it.
    async fn states(&self, jobs: &[JobId]) -> Result<Vec<Option<StatusChange>>, BackendError>;

    /// Whether anything can be asked of it at the moment: of an engine in several parts, of one of them.
    ///
    /// # Errors
    /// No part answers.
    async fn answers(&self) -> Result<(), BackendError>;

    /// How much there is of what.
    async fn stats(&self) -> Result<Stats, BackendError>;
}

/// The logs of jobs.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Writes an entry, and with it the checkpoint: the raw text it came from, the attempt record where it changed,
    /// a snapshot where the tail has outgrown its bound (older entries are then trimmed). Nothing is written unless
    /// the token is the running delivery's and (epoch, seq) is the next.
    async fn append(&self, job: JobId, token: LeaseToken, append: &Append) -> Result<Appended, BackendError>;

    /// Reads a log: the tail behind `held` where rule E8 allows it and the entries are still there, else the stored
    /// snapshot and the tail behind it. `None` for an unknown job.
    async fn read(&self, job: JobId, held: Option<Position>) -> Result<Option<Reading>, BackendError>;

    /// The last positions, for readers that poll against silent loss (rule E2).
    async fn positions(&self, jobs: &[JobId]) -> Result<Vec<Option<Position>>, BackendError>;

    /// Entries from now on, as they are published. Lossy and bounded: a reader that is too slow misses some. What was written a
    /// moment before may come, too, where one server passes it on to another.
    async fn subscribe(&self, job: JobId) -> Result<mpsc::Receiver<Arc<Entry>>, BackendError>;
}

/// An engine: queue and log over one store.
pub trait Backend: JobQueue + EventLog {}

impl<T: JobQueue + EventLog> Backend for T {}

impl Claim {
    /// The token that every write of this delivery carries.
    pub const fn token(&self) -> LeaseToken {
        let Lease { token, .. } = self.lease;
        token
    }
}
