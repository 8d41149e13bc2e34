//! What an engine must answer: jobs, leases and logs as plain rules, without an engine. Which job is given to a worker, and
//! how the engine calls its own epochs, is the engine's: it is told that, and says whether it may be.

use std::collections::{BTreeMap, BTreeSet};

use livedraft::backend::{Appended, Cancelled, Extended, Fenced, Full, Ruled, Submitted};
use livedraft::event::{Epoch, Position};
use livedraft::job::{AttemptRecord, JobId, JobState, LeaseToken, Outcome, RuledOn};

use super::fair::Ledger;
use super::{DEAD_MS, DELIVERIES_MAX, GRACE_MS, LEASE_MS, LOSSES_MAX, QUEUED_MAX, REASKS_MAX, RETENTION_MS};

/// What an entry of the log says.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Said {
    Status(JobState),
    /// The draft grows by this.
    Text(String),
    /// An attempt that starts over.
    Begin,
    /// The whole draft (rule E7).
    State(Option<String>),
    End(Outcome),
}

/// What the holder of a lease writes.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Write {
    pub(super) position: Position,
    pub(super) opens: bool,
    pub(super) said: Said,
    pub(super) record: Option<AttemptRecord>,
    /// Whether the log is trimmed to a snapshot with this entry.
    pub(super) trims: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) tenant: u8,
    /// An idempotency key, and the request's number.
    pub(super) key: Option<(u8, u8)>,
    /// What the job is thought to cost, tokens.
    pub(super) cost: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) asked: Asked,
    pub(super) state: JobState,
    pub(super) token: Option<LeaseToken>,
    claims: u32,
    deliveries: u32,
    /// Deliveries that failed, and leases that were lost in a row without progress.
    pub(super) failed: u32,
    pub(super) losses: u32,
    lease_until: u64,
    wait_until: u64,
    pub(super) cancelled: Option<u64>,
    pub(super) record: AttemptRecord,
    pub(super) log: Vec<(Position, Said)>,
    /// The last seq that is in the stored snapshot.
    pub(super) snapshot: u64,
    pub(super) raw: String,
    pub(super) draft: Option<String>,
    ended: Option<u64>,
    pub(super) dead: bool,
    redriven: Option<JobId>,
    /// It has ended and cost less than its tenant was charged.
    refund: bool,
}

/// All jobs.
#[derive(Clone, Default, Debug)]
pub(super) struct Store {
    pub(super) jobs: BTreeMap<JobId, Job>,
    keys: BTreeMap<(u8, u8), (JobId, u8)>,
    /// The running deliveries by the nonces of their claims.
    pub(super) given: BTreeMap<u64, JobId>,
    /// How many of its jobs a tenant may have running; 0: any number.
    running_max: u32,
    /// That of the first tenant; the others' is 1.
    weight: u32,
    /// Tenants that are paused; `None` stands for all.
    pub(super) paused: BTreeSet<Option<u8>>,
    /// What they were charged.
    ledger: Ledger,
}

enum Fit {
    Next,
    Dup,
    Back(Position),
}

impl Job {
    fn submitted(asked: Asked, position: Position) -> Self {
        Self {
            asked,
            state: JobState::Queued,
            token: None,
            claims: 0,
            deliveries: 0,
            failed: 0,
            losses: 0,
            lease_until: 0,
            wait_until: 0,
            cancelled: None,
            record: AttemptRecord::default(),
            log: vec![(position, Said::Status(JobState::Queued))],
            snapshot: 0,
            raw: String::new(),
            draft: None,
            ended: None,
            dead: false,
            redriven: None,
            refund: false,
        }
    }

    pub(super) fn last(&self) -> Position {
        self.log.last().expect("a log begins with its submission").0
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, JobState::Queued | JobState::Recovering)
    }

    fn awaits(&self) -> bool {
        self.state == JobState::Waiting && self.record.waits_for_verdict()
    }

    fn fit(&self, write: &Write) -> Fit {
        let (last, at) = (self.last(), write.position);
        let current = at.epoch == last.epoch;
        if current && at.seq <= last.seq {
            return Fit::Dup;
        }
        let known = self.log.iter().any(|(position, _)| position.epoch == at.epoch);
        if at.seq == last.seq + 1 && (current || write.opens && !known) {
            Fit::Next
        } else {
            Fit::Back(last)
        }
    }

    fn put(&mut self, position: Position, said: Said) {
        match &said {
            Said::Status(state) => self.state = *state,
            Said::Text(text) => {
                let opened = if self.draft.is_none() { "\"" } else { "" };
                self.raw = format!("{}{opened}{text}", self.raw);
                self.draft.get_or_insert_default().push_str(text);
            }
            Said::Begin => (self.raw, self.draft) = (String::new(), None),
            Said::State(draft) => {
                self.raw = draft
                    .as_ref()
                    .map(|draft| format!("\"{draft}"))
                    .unwrap_or_default();
                self.draft.clone_from(draft);
            }
            Said::End(outcome) => self.state = (*outcome).into(),
        }
        self.log.push((position, said));
    }

    /// An entry of the engine's own.
    fn open(&mut self, epoch: Epoch, said: Said) {
        let seq = self.last().seq + 1;
        self.put(Position { epoch, seq }, said);
    }

    fn end(&mut self, now: u64, dead: bool) {
        self.record = AttemptRecord {
            ruled: self.record.ruled,
            ..AttemptRecord::default()
        };
        (self.ended, self.dead) = (Some(now), dead);
        self.refund = self.claims > 0;
        self.raw.clear();
    }

    fn is_forgotten(&self, now: u64) -> bool {
        let kept = if self.dead { DEAD_MS } else { RETENTION_MS };
        self.ended.is_some_and(|at| at + kept <= now)
    }

    fn overdue(&self, now: u64) -> bool {
        let cancelled = self.cancelled.is_some_and(|at| at + GRACE_MS <= now);
        self.state == JobState::Running && (cancelled || self.lease_until <= now)
    }
}

impl Store {
    fn count(&self, of: impl Fn(&Job) -> bool) -> usize {
        self.jobs.values().filter(|job| of(job)).count()
    }

    /// In line, running, waiting, ended, dead letters.
    pub(super) fn counts(&self) -> [usize; 5] {
        [
            self.count(Job::is_ready),
            self.count(|job| job.state == JobState::Running),
            self.count(|job| job.state == JobState::Waiting),
            self.count(|job| job.state.is_end() && !job.dead),
            self.count(|job| job.dead),
        ]
    }

    /// The answer but for the jobs ahead, which are told as none.
    pub(super) fn submit(&mut self, id: JobId, position: Position, asked: Asked) -> Submitted {
        let Asked { tenant, key, .. } = asked;
        let new = Submitted::New {
            position,
            ahead: 0,
            durable: true,
        };
        if self.jobs.contains_key(&id) {
            return new;
        }
        let known = key.and_then(|(key, request)| Some((*self.keys.get(&(tenant, key))?, request)));
        if let Some(((job, named), request)) = known {
            let same = named == request;
            return if same {
                Submitted::existing(job)
            } else {
                Submitted::Conflict(job)
            };
        }
        let [ready, _, waiting, ..] = self.counts();
        if ready + waiting >= QUEUED_MAX {
            return Submitted::Full {
                retry_after_ms: 0,
                of: Full::Jobs,
            };
        }
        if let Some((key, request)) = key {
            self.keys.insert((tenant, key), (id, request));
        }
        self.jobs.insert(id, Job::submitted(asked, position));
        new
    }

    pub(super) fn redrive(
        &mut self,
        now: u64,
        letter: JobId,
        id: JobId,
        position: Position,
        asked: Asked,
    ) -> Option<Submitted> {
        let job = self.jobs.get(&letter)?;
        let before = job.redriven;
        match before {
            Some(before) if before == id => return Some(self.submit(id, position, asked)),
            Some(before) => return Some(Submitted::existing(before)),
            None if !job.dead => return None,
            None => {}
        }
        let told = self.submit(id, position, asked);
        if let (Submitted::New { .. }, Some(job)) = (&told, self.jobs.get_mut(&letter)) {
            (job.dead, job.redriven, job.ended) = (false, Some(id), Some(now));
        }
        Some(told)
    }

    /// Whether a tenant may be given a worker: it is not paused, and has fewer running than it may (I6).
    fn may(&self, tenant: u8) -> bool {
        let runs = |job: &&Job| job.asked.tenant == tenant && job.state == JobState::Running;
        let running = self.jobs.values().filter(runs).count();
        let has_slot = self.running_max == 0 || running < self.running_max as usize;
        has_slot && !self.paused.contains(&Some(tenant))
    }

    /// The tenants that have jobs in line and may be given a worker.
    fn in_line(&self) -> BTreeSet<u8> {
        let ready = self.jobs.values().filter(|job| job.is_ready());
        let tenants: BTreeSet<u8> = ready.map(|job| job.asked.tenant).collect();
        tenants.into_iter().filter(|tenant| self.may(*tenant)).collect()
    }

    /// Tenants are served alike (I12); of how many pairs that says something.
    pub(super) fn must_be_fair(&mut self) -> usize {
        for job in self.jobs.values_mut() {
            if std::mem::take(&mut job.refund) {
                self.ledger.forgive(job.asked.tenant);
            }
        }
        let (in_line, first) = (self.in_line(), u64::from(self.weight.max(1)));
        let weight = |tenant| if tenant == 0 { first } else { 1 };
        self.ledger.must_be_fair(&in_line, weight)
    }

    /// What tenants may have from now on.
    pub(super) fn govern(&mut self, running_max: u32, weight: u32) {
        (self.running_max, self.weight) = (running_max, weight);
        self.ledger.begin_anew();
    }

    /// The jobs of which one must be given to the next claim: of tenants that may have one, those that lost their worker come
    /// before all others.
    pub(super) fn next(&self) -> Vec<JobId> {
        if self.paused.contains(&None) {
            return Vec::new();
        }
        let of = |state| {
            let jobs = self
                .jobs
                .iter()
                .filter(move |(_, job)| job.state == state && self.may(job.asked.tenant));
            jobs.map(|(id, _)| *id).collect::<Vec<_>>()
        };
        let lost = of(JobState::Recovering);
        if lost.is_empty() {
            of(JobState::Queued)
        } else {
            lost
        }
    }

    /// Gives that job; whether it was given before by this nonce.
    pub(super) fn claim(&mut self, now: u64, id: JobId, nonce: u64, epoch: Epoch) {
        let again = self.given.insert(nonce, id).is_some();
        let job = self.jobs.get_mut(&id).expect("a job that is ready");
        job.lease_until = now + LEASE_MS;
        if again {
            return;
        }
        job.claims += 1;
        if job.claims == 1 {
            self.ledger.charge(job.asked.tenant, job.asked.cost);
        }
        job.deliveries += 1;
        job.token = Some(LeaseToken {
            delivery: job.claims,
            nonce,
        });
        job.open(epoch, Said::Status(JobState::Running));
    }

    fn held(&mut self, id: JobId, token: LeaseToken) -> Option<&mut Job> {
        let job = self.jobs.get_mut(&id)?;
        (job.state == JobState::Running && job.token == Some(token)).then_some(job)
    }

    /// The answer but for the time, which is told as 0.
    pub(super) fn extend(&mut self, now: u64, id: JobId, token: LeaseToken) -> Extended {
        let Some(job) = self.held(id, token) else {
            return Extended::Lost;
        };
        job.lease_until = now + LEASE_MS;
        if job.cancelled.is_some() {
            Extended::Cancel
        } else {
            Extended::Until(0)
        }
    }

    pub(super) fn append(&mut self, id: JobId, token: LeaseToken, write: &Write) -> Appended {
        let Some(job) = self.held(id, token) else {
            return Appended::Lost;
        };
        match job.fit(write) {
            Fit::Dup => return Appended::Dup,
            Fit::Back(last) => return Appended::RolledBack(last),
            Fit::Next if job.cancelled.is_some() => return Appended::Cancel,
            Fit::Next => {}
        }
        if matches!(write.said, Said::Text(_)) {
            job.losses = 0;
        }
        if let Some(record) = &write.record {
            job.record.clone_from(record);
        }
        job.put(write.position, write.said.clone());
        if write.trims {
            job.snapshot = write.position.seq;
        }
        Appended::Ok
    }

    /// Why a step that ends a delivery is not taken.
    fn refuse(&mut self, id: JobId, token: LeaseToken, write: &Write, cancels: bool) -> Option<Fenced> {
        let Some(job) = self.jobs.get(&id) else {
            return Some(Fenced::Lost);
        };
        if job.state != JobState::Running || job.token != Some(token) {
            let same = job.token == Some(token) && job.last() == write.position;
            let done = same && job.state != JobState::Running;
            return Some(if done { Fenced::Dup } else { Fenced::Lost });
        }
        match job.fit(write) {
            Fit::Dup => Some(Fenced::RolledBack(job.last())),
            Fit::Back(last) => Some(Fenced::RolledBack(last)),
            Fit::Next => (job.cancelled.is_some() && !cancels).then_some(Fenced::Cancel),
        }
    }

    fn let_go(&mut self, id: JobId) -> &mut Job {
        let job = self.jobs.get_mut(&id).expect("a job that ran");
        if let Some(token) = job.token {
            self.given.remove(&token.nonce);
        }
        job
    }

    pub(super) fn defer(
        &mut self,
        id: JobId,
        token: LeaseToken,
        write: &Write,
        record: &AttemptRecord,
        until: u64,
    ) -> Fenced {
        if let Some(refused) = self.refuse(id, token, write, false) {
            return refused;
        }
        let job = self.let_go(id);
        job.deliveries -= 1;
        job.record = record.clone();
        job.wait_until = until;
        job.put(write.position, write.said.clone());
        Fenced::Ok
    }

    pub(super) fn fail(
        &mut self,
        now: u64,
        id: JobId,
        token: LeaseToken,
        write: &Write,
        until: u64,
    ) -> Fenced {
        if let Some(refused) = self.refuse(id, token, write, false) {
            return refused;
        }
        let job = self.let_go(id);
        job.failed += 1;
        if job.deliveries >= DELIVERIES_MAX {
            job.put(write.position, Said::End(Outcome::Failed));
            job.end(now, true);
        } else {
            job.wait_until = until;
            job.put(write.position, write.said.clone());
        }
        Fenced::Ok
    }

    pub(super) fn finish(
        &mut self,
        now: u64,
        id: JobId,
        token: LeaseToken,
        write: &Write,
        outcome: Outcome,
    ) -> Fenced {
        if let Some(refused) = self.refuse(id, token, write, outcome == Outcome::Cancelled) {
            return refused;
        }
        let job = self.let_go(id);
        job.put(write.position, Said::End(outcome));
        job.end(now, false);
        job.refund = outcome != Outcome::Completed;
        Fenced::Ok
    }

    pub(super) fn cancel(&mut self, now: u64, id: JobId, epoch: Epoch) -> Option<Cancelled> {
        let job = self.jobs.get_mut(&id)?;
        if job.state.is_end() {
            return Some(Cancelled::Already(job.state));
        }
        if job.state == JobState::Running {
            job.cancelled.get_or_insert(now);
            return Some(Cancelled::Requested);
        }
        job.open(epoch, Said::End(Outcome::Cancelled));
        job.end(now, false);
        Some(Cancelled::Now)
    }

    /// A verdict; `mends` are the errors of one that does not accept.
    pub(super) fn rule(
        &mut self,
        now: u64,
        id: JobId,
        epoch: Epoch,
        attempt: Option<u32>,
        mends: Option<&Vec<livedraft::job::AttemptError>>,
    ) -> Option<Ruled> {
        let job = self.jobs.get_mut(&id)?;
        let (accepted, waits) = (mends.is_none(), job.awaits());
        if let Some(ruled) = job.record.ruled {
            let named = attempt.map_or(!waits, |attempt| attempt == ruled.attempt);
            if named && ruled.accepted == accepted {
                return Some(Ruled::Taken(ruled.attempt));
            }
        }
        let Some(due) = job
            .record
            .awaited
            .as_ref()
            .filter(|_| waits)
            .map(|one| one.attempt)
        else {
            return Some(Ruled::NotDue(job.state));
        };
        if attempt.is_some_and(|attempt| attempt != due) {
            return Some(Ruled::Other(due));
        }
        job.record.ruled = Some(RuledOn {
            attempt: due,
            accepted,
        });
        match mends {
            None => {
                job.open(epoch, Said::End(Outcome::Completed));
                job.end(now, false);
            }
            Some(_) if job.record.reasks >= REASKS_MAX => {
                job.open(epoch, Said::End(Outcome::Failed));
                job.end(now, false);
            }
            Some(errors) => {
                job.record.mends = Some(errors.clone());
                job.open(epoch, Said::Status(JobState::Queued));
            }
        }
        Some(Ruled::Taken(due))
    }

    /// Takes back what is overdue, in epochs that the engine has drawn for it: how many recover, how many ended.
    pub(super) fn reap(&mut self, now: u64, epoch: impl Fn(JobId) -> Epoch) -> (usize, usize) {
        let (mut recovering, mut ended) = (0, 0);
        let due: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.overdue(now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let epoch = epoch(id);
            let job = self.let_go(id);
            job.token = None;
            if job.cancelled.is_some() {
                job.open(epoch, Said::End(Outcome::Cancelled));
                job.end(now, false);
                ended += 1;
            } else if job.losses + 1 >= LOSSES_MAX {
                job.open(epoch, Said::End(Outcome::Failed));
                job.end(now, true);
                ended += 1;
            } else {
                job.losses += 1;
                job.open(epoch, Said::Status(JobState::Recovering));
                recovering += 1;
            }
        }
        (recovering, ended)
    }

    /// Puts in line what has waited, ends what has waited for a verdict, and forgets: how many it was the time of.
    pub(super) fn promote(&mut self, now: u64, epoch: impl Fn(JobId) -> Epoch) -> usize {
        let gone: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.is_forgotten(now))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            let job = self.jobs.remove(&id).expect("it was found");
            let key = job.asked.key.map(|(key, _)| (job.asked.tenant, key));
            if let Some(key) = key.filter(|key| self.keys.get(key).is_some_and(|(named, _)| *named == id)) {
                self.keys.remove(&key);
            }
        }
        let mut due = 0;
        for (id, job) in &mut self.jobs {
            if job.state != JobState::Waiting || job.wait_until > now {
                continue;
            }
            due += 1;
            if job.awaits() {
                job.open(epoch(*id), Said::End(Outcome::Completed));
                job.end(now, false);
            } else {
                job.open(epoch(*id), Said::Status(JobState::Queued));
            }
        }
        due
    }

    /// Whether something is past its retention: an engine may forget it by itself.
    pub(super) fn is_to_forget(&self, now: u64) -> bool {
        self.jobs.values().any(|job| job.is_forgotten(now))
    }
}
