//! One job as the engine holds it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::log::{Fit, JobLog};
use super::saving::Stored;
use super::state::KeyName;
use crate::backend::own::{self, Times};
use crate::backend::{Checkpoint, Claim, Fenced, JobFacts, Write};
use crate::event::{End, EndError, Event};
use crate::job::{AttemptRecord, JobId, JobSpec, JobState, Lease, LeaseToken, Outcome};

/// A job.
#[derive(Clone, Debug)]
pub(super) struct JobRow {
    pub(super) facts: Arc<JobFacts>,
    /// What is asked for; `None` once the job has ended and is stored, unless it was given up.
    pub(super) spec: Option<Arc<JobSpec>>,
    /// The idempotency key that names it: known for as long as the job is; and the hash of the request it named.
    pub(super) key: Option<KeyName>,
    pub(super) request: [u8; 32],
    /// About how many bytes its request takes, until it has ended.
    pub(super) asked_bytes: usize,
    /// When it came into line last, ms since 1970; 0 where it never did.
    pub(super) in_line_ms: u64,
    /// What its tenant was charged for it, tokens; not kept over a restart, since tenants' virtual times are not.
    pub(super) charged: u64,
    pub(super) state: JobState,
    /// The token of the running delivery, or of the last one.
    pub(super) token: Option<LeaseToken>,
    pub(super) until_ms: u64,
    pub(super) claims: u32,
    pub(super) deliveries: u32,
    pub(super) losses: u32,
    /// Ends of the process in a row without progress.
    pub(super) restarts: u32,
    pub(super) cancelled_ms: Option<u64>,
    /// Whether it is cancelled because nobody views it.
    pub(super) given_up: bool,
    /// The nodes that view it, of a job that does not go on without any.
    pub(super) viewing: BTreeSet<u64>,
    /// Whether any ever did.
    pub(super) viewed: bool,
    /// Until when it goes on without any.
    pub(super) unviewed_until_ms: Option<u64>,
    /// Whether it has ended by being given up, and no job was made of it since.
    pub(super) dead: bool,
    /// The job that was made of it since.
    pub(super) redriven: Option<JobId>,
    /// The dead letter that it is made of, until it is stored.
    pub(super) redrives: Option<JobId>,
    pub(super) submitted_ms: u64,
    pub(super) claimed_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
    pub(super) log: JobLog,
    pub(super) raw: String,
    /// About how large the value in the log's stored snapshot is.
    pub(super) snapshot_bytes: usize,
    pub(super) record: AttemptRecord,
    /// What the store has of it.
    pub(super) stored: Stored,
}

impl JobRow {
    /// A job that was submitted at `now`.
    pub(super) fn new(
        facts: Arc<JobFacts>,
        spec: Arc<JobSpec>,
        key: Option<KeyName>,
        now: u64,
        log: JobLog,
    ) -> Self {
        Self {
            facts,
            spec: Some(spec),
            key,
            request: [0; 32],
            asked_bytes: 0,
            in_line_ms: 0,
            charged: 0,
            state: JobState::Queued,
            token: None,
            until_ms: 0,
            claims: 0,
            deliveries: 0,
            losses: 0,
            restarts: 0,
            cancelled_ms: None,
            given_up: false,
            viewing: BTreeSet::new(),
            viewed: false,
            unviewed_until_ms: None,
            dead: false,
            redriven: None,
            redrives: None,
            submitted_ms: now,
            claimed_ms: None,
            ended_ms: None,
            log,
            raw: String::new(),
            snapshot_bytes: 0,
            record: AttemptRecord::default(),
            stored: Stored::default(),
        }
    }

    /// What its worker is given; `None` of a job that has ended.
    pub(super) fn claim(&self, id: JobId) -> Option<Claim> {
        Some(Claim {
            id,
            lease: Lease {
                token: self.token.unwrap_or(LeaseToken {
                    delivery: 0,
                    nonce: 0,
                }),
                until_ms: self.until_ms,
            },
            spec: self.spec.clone()?,
            submitted_ms: self.submitted_ms,
            claimed_ms: self.claimed_ms.unwrap_or(self.submitted_ms),
            position: self.log.last(),
            checkpoint: Checkpoint {
                fold: self.log.fold(),
                raw: self.raw.clone(),
                record: self.record.clone(),
            },
        })
    }

    /// Lets go of what only a worker needs, and gives about how many bytes of it are kept.
    pub(super) fn put_to_rest(&mut self) -> usize {
        let last = std::mem::take(&mut self.raw).len();
        self.stored.raw_restarts = true;
        // A verdict that is sent again is still answered as it was.
        self.record = AttemptRecord {
            ruled: self.record.ruled,
            ..AttemptRecord::default()
        };
        last.max(self.snapshot_bytes) + self.log.tail_bytes()
    }

    /// About how many bytes of a job that has ended are kept.
    pub(super) fn bytes(&self) -> usize {
        let request = self.spec.as_ref().filter(|_| self.dead);
        self.snapshot_bytes + self.log.tail_bytes() + request.map_or(0, |spec| spec.bytes())
    }

    /// Whether the delivery of `token` has ended by this very write, whose answer was lost.
    pub(super) fn was_ended_by(&self, token: LeaseToken, write: &Write) -> bool {
        self.state != JobState::Running && self.token == Some(token) && self.log.last() == write.position
    }

    /// Whether its value waits for a verdict from outside.
    pub(super) fn waits_for_verdict(&self) -> bool {
        self.state == JobState::Waiting && self.record.waits_for_verdict()
    }

    /// Why a job that was to be cancelled has ended.
    pub(super) fn cancelled(&self) -> (Outcome, EndError) {
        own::cancelled(self.given_up.then(|| self.facts.unviewed_ms.unwrap_or(0)))
    }

    /// The end of a job that no worker holds.
    pub(super) fn end(&self, now_ms: u64, outcome: Outcome, error: Option<EndError>) -> End {
        let times = Times {
            submitted_ms: self.submitted_ms,
            claimed_ms: self.claimed_ms,
            now_ms,
        };
        own::end(&self.record, times, outcome, error)
    }
}

/// Why a step that ends a running delivery is not taken; `None` where it is.
pub(super) fn refuse(row: &JobRow, write: &Write) -> Option<Fenced> {
    match row.log.fit(write) {
        // The delivery runs, so what stands there is another event: an append whose answer its writer never had.
        Fit::Dup => Some(Fenced::RolledBack(row.log.last())),
        Fit::RolledBack(last) => Some(Fenced::RolledBack(last)),
        Fit::Next => {
            let cancels = matches!(&write.event, Event::End(end) if end.outcome == Outcome::Cancelled);
            (row.cancelled_ms.is_some() && !cancels).then_some(Fenced::Cancel)
        }
    }
}
