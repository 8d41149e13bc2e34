//! What goes into the steps of an engine, and what comes out.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::event::{End, Entry, Epoch, Event, Fold, Lineage, Position};
use crate::job::{AttemptRecord, JobId, JobSpec, JobState, Lease};
use crate::partial::Shape;

/// A job to keep.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its id, drawn by the submitter: sent again, the same.
    pub id: JobId,
    /// The name of its first epoch.
    pub epoch: Epoch,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// What is asked for.
    pub spec: Arc<JobSpec>,
    /// What the schema declares, for viewers that want unseen members as `null`.
    pub shape: Arc<Shape>,
    /// The client's key, if it gave one.
    pub idempotency: Option<Idempotency>,
}

/// A key that names a job, and the hash of the request it was used for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Idempotency {
    /// The client's key; keys of different tenants differ.
    pub key: Arc<str>,
    /// SHA-256 of the canonical request.
    pub request: [u8; 32],
}

/// What became of a submission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// The job is kept.
    New {
        /// Where its log stands.
        position: Position,
        /// Jobs in line before it: of all tenants, but for those of its own that it goes before. Of those in line now no more
        /// are served before it; where tenants are served in turn, fewer.
        ahead: u64,
        /// Whether it is held as safely as is asked for.
        durable: bool,
    },
    /// The key names this job; nothing was changed.
    Existing {
        /// The job.
        job: JobId,
        /// Whether it is held as safely as is asked for.
        durable: bool,
    },
    /// The key was used with another request, for this job.
    Conflict(JobId),
    /// There is no room for it now.
    Full {
        /// When to come again, ms.
        retry_after_ms: u64,
        /// Where there is none.
        of: Full,
    },
}

impl Submitted {
    /// A job that is there already, and held as safely as is asked for.
    #[must_use]
    pub const fn existing(job: JobId) -> Self {
        Self::Existing { job, durable: true }
    }
}

/// What there is no more room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// As many jobs wait as may.
    Jobs,
    /// The requests of jobs that have not ended take as many bytes as they may.
    Bytes,
    /// As many jobs of this tenant wait as may.
    Tenant,
    /// Jobs leave the line so slowly that this one would wait longer than any may.
    Wait,
}

/// A job given to a worker.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The job.
    pub id: JobId,
    /// The right to write, and until when.
    pub lease: Lease,
    /// What is asked for.
    pub spec: Arc<JobSpec>,
    /// When it was submitted, ms since 1970.
    pub submitted_ms: u64,
    /// When it was first claimed, ms since 1970.
    pub claimed_ms: u64,
    /// Where the log stands: the claim's own event.
    pub position: Position,
    /// What the worker goes on from.
    pub checkpoint: Checkpoint,
}

/// What a running job could be continued from: fold(snapshot, tail) is what parsing `raw` onto `base` gives.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The folded state.
    pub fold: Fold,
    /// The raw text of the current attempt.
    pub raw: String,
    /// The attempts so far.
    pub record: AttemptRecord,
}

/// What became of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extended {
    /// It is good until then, ms since 1970.
    Until(u64),
    /// It is, and the job is to be cancelled.
    Cancel,
    /// It is gone: stop.
    Lost,
    /// Whoever keeps it does not answer now: it is good as long as was said last.
    Unknown,
}

/// An event that a lease holder writes. Nothing in it is made by the engine, so sending it again is equal bytes
/// (rule E3).
#[derive(Clone, PartialEq, Debug)]
pub struct Write {
    /// Where it shall stand: the next seq of the current epoch, or of the one it opens.
    pub position: Position,
    /// Whether it opens its epoch (after a rollback); never true for a patch (rule E5).
    pub opens: bool,
    /// What happened.
    pub event: Event,
}

/// A write with its checkpoint.
#[derive(Clone, PartialEq, Debug)]
pub struct Append {
    /// The event.
    pub write: Write,
    /// What the model has said since the append before. An attempt that resets the draft empties the raw text first.
    pub raw: String,
    /// Whether the raw text is emptied first for another reason: what was said was not the answer after all, or an
    /// attempt begins that keeps the draft.
    pub raw_anew: bool,
    /// The attempt record, where it changed.
    pub record: Option<AttemptRecord>,
    /// The folded state with this event in it, where the tail is to be trimmed.
    pub snapshot: Option<Arc<Fold>>,
}

/// What became of an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// It is written.
    Ok,
    /// It was written before.
    Dup,
    /// The log has lost writes and ends there: open a new epoch with a `state` entry (rule E7).
    RolledBack(Position),
    /// The lease is not this one: stop, write no more.
    Lost,
    /// It is not written: the job is to be cancelled, and only its end is still taken.
    Cancel,
}

impl Appended {
    /// What it is called where it is counted; `None` where the write was simply taken.
    pub const fn seldom(self) -> Option<&'static str> {
        match self {
            Self::Ok => None,
            Self::Dup => Some("dup"),
            Self::RolledBack(_) => Some("rolled_back"),
            Self::Lost => Some("lost"),
            Self::Cancel => Some("cancel"),
        }
    }
}

impl From<Fenced> for Appended {
    fn from(fenced: Fenced) -> Self {
        match fenced {
            Fenced::Ok => Self::Ok,
            Fenced::Dup => Self::Dup,
            Fenced::RolledBack(last) => Self::RolledBack(last),
            Fenced::Lost => Self::Lost,
            Fenced::Cancel => Self::Cancel,
        }
    }
}

/// What became of a step that ends a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fenced {
    /// It is done.
    Ok,
    /// It was done before.
    Dup,
    /// The log does not end where the write follows on (it has lost writes, or has one more than the writer knows)
    /// but there: send it again in a new epoch.
    RolledBack(Position),
    /// The lease is not this one.
    Lost,
    /// It is not done: the job is to be cancelled, and only a `cancelled` end is still taken.
    Cancel,
}

/// A job put back.
#[derive(Clone, PartialEq, Debug)]
pub struct Deferral {
    /// Its `status: waiting`.
    pub write: Write,
    /// The attempts so far: what was judged but not yet asked again is not lost. One whose value
    /// [waits for a verdict](AttemptRecord::waits_for_verdict) makes the job wait for that.
    pub record: AttemptRecord,
    /// When it goes on, ms since 1970; where a value waits, when it is accepted by silence.
    pub until_ms: u64,
}

/// What became of a verdict from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ruled {
    /// It stands, on the value of this attempt: taken now, or before by the same verdict.
    Taken(u32),
    /// No value of the job waits for one: it stands there.
    NotDue(JobState),
    /// The value of another attempt waits: of this one.
    Other(u32),
}

/// A delivery that failed.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure {
    /// The `status: waiting` that is written where the job gets another delivery.
    pub again: Write,
    /// How long it waits for it, ms.
    pub retry_ms: u64,
    /// The end that is written at the same position where it does not.
    pub give_up: Box<End>,
}

/// What became of a cancel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// The job has ended by it.
    Now,
    /// Its worker is told.
    Requested,
    /// It had ended before, so.
    Already(JobState),
}

/// What the reaper did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reaped {
    /// Jobs that will be claimed again.
    pub recovering: usize,
    /// Jobs that were ended in place of that.
    pub ended: usize,
    /// Beside these, jobs that were cancelled because nobody views them: ended, or their workers are told.
    pub unviewed: usize,
}

/// How a reading begins.
#[derive(Clone, Debug)]
pub enum Start {
    /// Right behind the position that was held.
    Tail,
    /// By this state.
    Snapshot(Arc<Fold>),
}

/// A log, read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The line of epochs.
    pub lineage: Lineage,
    /// Where the log stands.
    pub last: Position,
    /// How it begins.
    pub start: Start,
    /// The entries behind that, in order.
    pub tail: Vec<Arc<Entry>>,
}

/// A job that was given up.
#[derive(Clone, PartialEq, Debug)]
pub struct DeadLetter {
    /// The job.
    pub id: JobId,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// When it was submitted, ms since 1970.
    pub submitted_ms: u64,
    /// When it was given up, ms since 1970.
    pub died_ms: u64,
    /// How it ended.
    pub end: Box<End>,
}

/// Where a dead letter stands among all: by when it was given up, and within a millisecond by its id. It is written
/// `<ms>.<job>`, and is as good where its letter is none any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DeadCursor {
    /// When it was given up, ms since 1970 by the engine's clock, which stays as it was written: what our clock makes of
    /// it differs from answer to answer.
    pub died_ms: u64,
    /// The job.
    pub id: JobId,
}

impl fmt::Display for DeadCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.died_ms, self.id)
    }
}

/// A text that is no cursor of dead letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a cursor of dead letters is written <ms>.<job>")]
pub struct BadDeadCursor;

impl FromStr for DeadCursor {
    type Err = BadDeadCursor;

    fn from_str(text: &str) -> Result<Self, BadDeadCursor> {
        let (died, id) = text.split_once('.').ok_or(BadDeadCursor)?;
        // A number alone may have a sign.
        if !died.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadDeadCursor);
        }
        Ok(Self {
            died_ms: died.parse().map_err(|_| BadDeadCursor)?,
            id: id.parse().map_err(|_| BadDeadCursor)?,
        })
    }
}

/// A page of dead letters, the newest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DeadPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins, behind this; `None` where there is none.
    pub next: Option<DeadCursor>,
}

impl DeadPage {
    /// Letters of a page at most.
    pub const LETTERS_MAX: usize = 100;
}

/// What a dead letter asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The request.
    pub spec: Arc<JobSpec>,
    /// What its schema declares.
    pub shape: Arc<Shape>,
}

/// What is fixed with a job.
#[derive(Clone, PartialEq, Debug)]
pub struct JobFacts {
    /// The job.
    pub id: JobId,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// What the schema declares.
    pub shape: Arc<Shape>,
    /// How long the job goes on once nobody views it any more, ms; `None`: to its end.
    pub unviewed_ms: Option<u32>,
}

/// How much there is of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Jobs in line, those that lost their worker included.
    pub queued: usize,
    /// When the job was submitted that is in line for the longest time, ms since 1970.
    pub oldest_queued_ms: Option<u64>,
    /// Jobs that workers hold.
    pub running: usize,
    /// Jobs that wait for their time.
    pub waiting: usize,
    /// Jobs that have ended and are kept for their retention.
    pub ended: usize,
    /// Beside these, those that were given up and are kept with their requests.
    pub dead: usize,
    /// Whether the whole queue is paused.
    pub paused: bool,
    /// Tenants that are paused.
    pub paused_tenants: usize,
}
