//! The same steps, taken by the reference and by an engine behind a line that fails when it is told to; their answers are
//! held against each other, and what must always hold is looked at behind every step.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::fault::{FaultRates, Faulty};
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::*;
use livedraft::hub::{HubOptions, Replica};
use livedraft::job::*;
use livedraft::partial::Value;
use tokio::sync::mpsc;

use super::engine::{Engine, Saved};
use super::seen::{Seen, must_hold};
use super::step::{Line, Step};
use super::store::{Asked, Store};
use super::worker::{Sent, Told, Worker};
use super::{Counts, RETRY_MS, WAIT_MS, cost_of, spec, tenant_name};

/// Steps that end a case: within so many rounds every job has come to its end (I7).
const ROUNDS_MAX: usize = 60;
const ALL: usize = 100;

/// A node's copy of a job, and the live entries that come to it.
struct Node {
    replica: Replica,
    live: mpsc::Receiver<Arc<Entry>>,
}

/// A submission that was sent.
#[derive(Clone)]
struct Submitting {
    submission: Submission,
    asked: Asked,
    /// The dead letter that it is made of.
    letter: Option<JobId>,
}

/// One case.
pub(super) struct World {
    engine: Engine,
    line: Arc<Faulty>,
    store: Store,
    /// The case's clock, ms.
    now: u64,
    saved: Option<(Saved, Store, Seen)>,
    workers: Vec<Worker>,
    /// The last submission.
    submitted: Option<Submitting>,
    /// The nonce of the last claim that was sent, until it is answered.
    asked: Option<u64>,
    nodes: BTreeMap<JobId, Node>,
    seen: Seen,
    pub(super) counts: Counts,
}

fn epoch() -> Epoch {
    Epoch::new(clock::nonce())
}

fn refused() -> Vec<AttemptError> {
    vec![AttemptError {
        path: String::new(),
        keyword: "refused".to_owned(),
        message: "not so".to_owned(),
        value: None,
    }]
}

/// One of a list by a number of any size.
fn pick<T: Copy>(of: &[T], number: u8) -> Option<T> {
    (!of.is_empty()).then(|| of[usize::from(number) % of.len()])
}

/// An answer that was heard is the one that was expected.
fn same<T: PartialEq + Debug>(heard: Option<T>, expected: &T) {
    if let Some(heard) = heard {
        assert_eq!(heard, *expected);
    }
}

impl World {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            line: Faulty::new(engine.backend(), FaultRates::default()),
            engine,
            store: Store::default(),
            now: 0,
            saved: None,
            workers: Vec::new(),
            submitted: None,
            asked: None,
            nodes: BTreeMap::new(),
            seen: Seen::default(),
            counts: Counts::default(),
        }
    }

    /// Takes a step, and looks at everything.
    pub(super) async fn take(&mut self, step: Step) {
        self.step(step).await;
        let look = self.engine.look(&self.store, &self.seen).await;
        must_hold(&self.store, &look, &mut self.seen);
        self.counts.together += self.store.must_be_fair() as u64;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Submit {
                tenant,
                key,
                size,
                line,
            } => self.submit(tenant, key, size, line).await,
            Step::SubmitAgain => self.submit_again(Line::Good).await,
            Step::Claim(line) => {
                self.asked = Some(clock::nonce());
                self.claim(line).await;
            }
            Step::ClaimAgain => self.claim(Line::Good).await,
            Step::Govern { running_max, weight } => self.govern(running_max, weight).await,
            Step::Pause { tenant, paused } => self.pause(tenant, paused).await,
            Step::Extend(who) => self.extend(who).await,
            Step::Begin { who, line } => self.write(who, line, Worker::begin).await,
            Step::Say {
                who,
                letters,
                trims,
                line,
            } => self.write(who, line, |worker| worker.say(letters, trims)).await,
            Step::Defer { who, verdict, line } => {
                let until = self.now + WAIT_MS;
                self.write(who, line, |worker| worker.defer(verdict, until)).await;
            }
            Step::Fail { who, line } => self.write(who, line, Worker::fail).await,
            Step::Finish { who, outcome, line } => {
                self.write(who, line, |worker| worker.finish(outcome)).await;
            }
            Step::Again(who) => self.again(who).await,
            Step::Cancel { job, line } => self.cancel(job, line).await,
            Step::Rule {
                job,
                accept,
                named,
                line,
            } => self.rule(job, accept, named, line).await,
            Step::Redrive { letter, line } => self.redrive(letter, line).await,
            Step::Reap(line) => self.reap(line).await,
            Step::Promote(line) => self.promote(line).await,
            Step::Pass(hundreds) => self.pass(hundreds).await,
            Step::Save => {
                self.saved = Some((self.engine.save(), self.store.clone(), self.seen.clone()));
            }
            Step::Failover => self.fail_over().await,
            Step::Hear(job) => self.hear(job),
            Step::Poll(job) => self.poll(job).await,
            Step::Lag(_) | Step::Reach(_) | Step::Poison | Step::Rush(_) => {
                unreachable!("it is taken in its parts")
            }
        }
    }

    /// What a step answers, where it is heard; whether it was taken.
    async fn ask<T>(
        &mut self,
        line: Line,
        step: impl AsyncFnOnce(&Faulty) -> Result<T, BackendError>,
    ) -> (Option<T>, bool) {
        let rates = match line {
            Line::Good => FaultRates::default(),
            Line::Refused => FaultRates {
                refused: 1_000,
                ..FaultRates::default()
            },
            Line::Unheard => FaultRates {
                answers_lost: 1_000,
                ..FaultRates::default()
            },
        };
        self.line.set(rates);
        let answer = step(&self.line).await;
        self.line.set(FaultRates::default());
        assert_eq!(answer.is_ok(), line == Line::Good, "{:?}", answer.err());
        (answer.ok(), line != Line::Refused)
    }

    async fn submit(&mut self, tenant: u8, key: Option<(u8, u8)>, size: u8, line: Line) {
        let name = tenant_name(tenant);
        let idempotency = key.map(|(key, request)| Idempotency {
            key: format!("k{key}").into(),
            request: [request; 32],
        });
        let spec = spec(size);
        let cost = cost_of(&spec);
        let submission = Submission {
            id: self.line.draw(&name, idempotency.as_ref()),
            epoch: epoch(),
            tenant: name.into(),
            spec: Arc::new(spec),
            shape: Arc::default(),
            idempotency,
        };
        self.submitted = Some(Submitting {
            submission,
            asked: Asked { tenant, key, cost },
            letter: None,
        });
        self.submit_again(line).await;
    }

    async fn redrive(&mut self, letter: u8, line: Line) {
        let ended: Vec<JobId> = self
            .store
            .jobs
            .iter()
            .filter(|(_, job)| job.state.is_end())
            .map(|(id, _)| *id)
            .collect();
        let dead: Vec<JobId> = ended
            .iter()
            .copied()
            .filter(|id| self.store.jobs[id].dead)
            .collect();
        let Some(letter) = pick(if dead.is_empty() { &ended } else { &dead }, letter) else {
            return;
        };
        let tenant = self.store.jobs[&letter].asked.tenant;
        let (spec, key) = (spec(0), None);
        let cost = cost_of(&spec);
        let submission = Submission {
            id: self.line.draw_beside(letter),
            epoch: epoch(),
            tenant: tenant_name(tenant).into(),
            spec: Arc::new(spec),
            shape: Arc::default(),
            idempotency: None,
        };
        self.submitted = Some(Submitting {
            submission,
            asked: Asked { tenant, key, cost },
            letter: Some(letter),
        });
        self.submit_again(line).await;
    }

    /// The last submission, byte for byte.
    async fn submit_again(&mut self, line: Line) {
        let Some(Submitting {
            submission,
            asked,
            letter,
        }) = self.submitted.clone()
        else {
            return;
        };
        // A letter that is forgotten is no letter: nobody asks for it again by the answer that it had.
        if letter.is_some_and(|letter| !self.store.jobs.contains_key(&letter)) {
            return;
        }
        let (id, epoch) = (submission.id, submission.epoch);
        let position = Position { epoch, seq: 1 };
        let (told, taken) = match letter {
            None => {
                let sent = self
                    .ask(line, async |engine| engine.submit(submission).await)
                    .await;
                (sent.0.map(Some), sent.1)
            }
            Some(letter) => {
                self.ask(line, async |engine| engine.redrive(letter, submission).await)
                    .await
            }
        };
        if !taken {
            return;
        }
        let expected = match letter {
            None => Some(self.store.submit(id, position, asked)),
            Some(letter) => self.store.redrive(self.now, letter, id, position, asked),
        };
        if let Some(Submitted::New { .. }) = &expected {
            self.watch(id).await;
        }
        // How many are ahead, and when to come again, is told by an engine as it sees fit.
        let told = told.map(|told| {
            told.map(|told| match told {
                Submitted::New { position, .. } => Submitted::New {
                    position,
                    ahead: 0,
                    durable: true,
                },
                Submitted::Full { of, .. } => Submitted::Full {
                    retry_after_ms: 0,
                    of,
                },
                other => other,
            })
        });
        same(told, &expected);
        self.counts.full += u64::from(matches!(expected, Some(Submitted::Full { .. })));
        self.counts.existing += u64::from(matches!(expected, Some(Submitted::Existing { .. })));
        self.counts.redriven +=
            u64::from(letter.is_some() && matches!(expected, Some(Submitted::New { .. })));
    }

    async fn claim(&mut self, line: Line) {
        let Some(nonce) = self.asked else { return };
        let epoch = epoch();
        let (told, taken) = self
            .ask(line, async |engine| engine.claim(nonce, epoch).await)
            .await;
        if !taken {
            return;
        }
        let before = self.store.given.get(&nonce).copied();
        let given = match &told {
            Some(claim) => claim.as_ref().map(|claim| claim.id),
            // Nobody was told: it is seen in the logs.
            None => self.engine.opened_by(&self.store, epoch).await.or(before),
        };
        let may_be = before.map_or_else(|| self.store.next(), |before| vec![before]);
        match given {
            Some(given) => assert!(
                may_be.contains(&given),
                "{given} is given, and not one of {may_be:?}"
            ),
            None => assert!(may_be.is_empty(), "nothing is given, and {may_be:?} are in line"),
        }
        // What was answered is not asked again: its worker has it.
        self.asked = self.asked.filter(|_| told.is_none());
        let Some(given) = given else { return };
        self.store.claim(self.now, given, nonce, epoch);
        self.counts.claims_again += u64::from(before.is_some());
        let Some(Some(claim)) = told else { return };
        self.worker(&claim);
    }

    async fn govern(&mut self, running_max: u32, weight: u32) {
        let each = Share {
            running_max,
            ..Share::default()
        };
        let first = (tenant_name(0).into(), Share { weight, ..each });
        let shares = Shares {
            each,
            own: [first].into(),
        };
        self.engine
            .backend()
            .govern(&shares)
            .await
            .expect("an engine that answers");
        self.store.govern(running_max, weight);
    }

    async fn pause(&mut self, tenant: Option<u8>, paused: bool) {
        let name = tenant.map(tenant_name);
        let told = self.engine.backend().pause(name.as_deref(), paused).await;
        assert_eq!(told, Ok(true));
        if paused {
            self.store.paused.insert(tenant);
        } else {
            self.store.paused.remove(&tenant);
        }
    }

    /// A worker that was given a job: what it begins with is what the job has come to (I4).
    fn worker(&mut self, claim: &Claim) {
        let job = &self.store.jobs[&claim.id];
        let Checkpoint { fold, raw, record } = claim.checkpoint.clone();
        assert_eq!(Some(claim.token()), job.token);
        assert_eq!((claim.position, fold.position), (job.last(), job.last()));
        assert_eq!(
            (&raw, &record),
            (&job.raw, &job.record),
            "the checkpoint of {}",
            claim.id
        );
        assert_eq!(fold.value, job.draft.clone().map(Value::String));
        self.counts.takeovers += u64::from(claim.token().delivery > 1);
        let worker = Worker {
            job: claim.id,
            token: claim.token(),
            at: claim.position,
            draft: job.draft.clone(),
            record,
            fold,
            back: None,
            last: None,
            over: false,
            until: 0,
            cost: job.asked.cost,
        };
        self.workers.push(worker);
    }

    async fn extend(&mut self, who: u8) {
        let Some((job, token)) = self
            .whom(who)
            .map(|at| (self.workers[at].job, self.workers[at].token))
        else {
            return;
        };
        let (told, _) = self
            .ask(Line::Good, async |engine| engine.extend(&[(job, token)]).await)
            .await;
        let told = told.map(|told| match told[..] {
            [Extended::Until(_)] => Extended::Until(0),
            [other] => other,
            _ => panic!("one answer to one lease: {told:?}"),
        });
        let expected = self.store.extend(self.now, job, token);
        self.counts.zombies += u64::from(expected == Extended::Lost);
        same(told, &expected);
    }

    fn whom(&self, who: u8) -> Option<usize> {
        // The last ones are the likeliest to hold a lease.
        let many = self.workers.len();
        (many > 0).then(|| many - 1 - usize::from(who) % many)
    }

    /// Makes what a worker has to say and sends it; what was not answered is sent again instead (E3), and what was rolled
    /// back is said in a new epoch, a draft as the whole of it (E7).
    async fn write(&mut self, who: u8, line: Line, make: impl FnOnce(&mut Worker) -> Sent) {
        let Some(at) = self.whom(who) else { return };
        let worker = &mut self.workers[at];
        if !worker.over && worker.last.as_ref().is_none_or(|(_, answered)| *answered) {
            let sent = make(worker);
            worker.last = Some((sent, false));
        }
        self.send(at, line).await;
    }

    /// The last of a worker, byte for byte, answered or not.
    async fn again(&mut self, who: u8) {
        let Some(at) = self.whom(who) else { return };
        if self.workers[at].last.is_some() {
            self.send(at, Line::Good).await;
        }
    }

    async fn send(&mut self, at: usize, line: Line) {
        let Worker {
            job, token, until, ..
        } = self.workers[at];
        // A Redis is told how long it is until then by our clock, which stands while its own is put ahead.
        let until = if self.engine.is_redis() {
            self.now + WAIT_MS
        } else {
            until
        };
        let Some((sent, before)) = self.workers[at].last.clone() else {
            return;
        };
        let now = self.now;
        let (told, taken) = match &sent {
            Sent::Append(append, _) => {
                let sent = self
                    .ask(line, async |engine| engine.append(job, token, append).await)
                    .await;
                (sent.0.map(Told::Append), sent.1)
            }
            Sent::Defer(deferral, _) => {
                let deferral = deferral.clone();
                let sent = self
                    .ask(line, async |engine| engine.defer(job, token, deferral).await)
                    .await;
                (sent.0.map(Told::Fenced), sent.1)
            }
            Sent::Fail(failure, _) => {
                let failure = failure.clone();
                let sent = self
                    .ask(line, async |engine| engine.fail(job, token, failure).await)
                    .await;
                (sent.0.map(Told::Fenced), sent.1)
            }
            Sent::Finish(write, ..) => {
                let write = write.clone();
                let sent = self
                    .ask(line, async |engine| engine.finish(job, token, write).await)
                    .await;
                (sent.0.map(Told::Fenced), sent.1)
            }
        };
        if !taken {
            return;
        }
        let expected = match &sent {
            Sent::Append(_, write) => Told::Append(self.store.append(job, token, write)),
            Sent::Defer(deferral, write) => {
                Told::Fenced(self.store.defer(job, token, write, &deferral.record, until))
            }
            Sent::Fail(_, write) => Told::Fenced(self.store.fail(now, job, token, write, now + RETRY_MS)),
            Sent::Finish(_, write, outcome) => {
                Told::Fenced(self.store.finish(now, job, token, write, *outcome))
            }
        };
        same(told, &expected);
        self.counts.note(&expected);
        if told.is_some() && !before {
            self.workers[at].hears(&sent, &expected);
        }
    }

    async fn cancel(&mut self, job: u8, line: Line) {
        let Some(id) = self.any(job) else { return };
        let epoch = epoch();
        let (told, taken) = self
            .ask(line, async |engine| engine.cancel(id, epoch).await)
            .await;
        if !taken {
            return;
        }
        let expected = self.store.cancel(self.now, id, epoch);
        if matches!(expected, Some(Cancelled::Now | Cancelled::Requested)) {
            self.seen.cancelled(id, self.store.jobs[&id].last().seq);
        }
        same(told, &expected);
    }

    async fn rule(&mut self, job: u8, accept: bool, named: Option<u8>, line: Line) {
        let waits: Vec<JobId> = self
            .store
            .jobs
            .iter()
            .filter(|(_, job)| job.record.awaited.is_some())
            .map(|(id, _)| *id)
            .collect();
        let Some(id) = pick(&waits, job).or_else(|| self.any(job)) else {
            return;
        };
        let (epoch, attempt) = (epoch(), named.map(u32::from));
        let ruling = if accept {
            Ruling::Accept
        } else {
            Ruling::Reask(refused())
        };
        let (told, taken) = self
            .ask(line, async |engine| engine.rule(id, epoch, attempt, ruling).await)
            .await;
        if !taken {
            return;
        }
        let mends = refused();
        let expected = self
            .store
            .rule(self.now, id, epoch, attempt, (!accept).then_some(&mends));
        self.counts.ruled += u64::from(matches!(expected, Some(Ruled::Taken(_))));
        same(told, &expected);
    }

    async fn reap(&mut self, line: Line) {
        let mut drawn = Vec::new();
        let mut draw = || {
            drawn.push(epoch());
            drawn[drawn.len() - 1]
        };
        let (told, taken) = self
            .ask(line, async |engine| engine.reap(ALL, &mut draw).await)
            .await;
        if !taken {
            return;
        }
        let opened = self.engine.opened(&self.store, &drawn).await;
        let (recovering, ended) = self.store.reap(self.now, |job| opened[&job]);
        let expected = Reaped {
            recovering,
            ended,
            unviewed: 0,
        };
        self.counts.reaped += recovering as u64;
        same(told, &expected);
    }

    async fn promote(&mut self, line: Line) {
        let mut drawn = Vec::new();
        let mut draw = || {
            drawn.push(epoch());
            drawn[drawn.len() - 1]
        };
        let (told, taken) = self
            .ask(line, async |engine| engine.promote(ALL, &mut draw).await)
            .await;
        if !taken {
            return;
        }
        let opened = self.engine.opened(&self.store, &drawn).await;
        let is_there = |store: &Store, sent: &Submitting| store.jobs.contains_key(&sent.submission.id);
        let before = self
            .submitted
            .as_ref()
            .is_some_and(|sent| is_there(&self.store, sent));
        let expected = self.store.promote(self.now, |job| opened[&job]);
        self.nodes.retain(|job, _| self.store.jobs.contains_key(job));
        // Nobody sends a submission again for so long.
        let sent = self.submitted.take();
        self.submitted = sent.filter(|sent| !before || is_there(&self.store, sent));
        same(told, &expected);
    }

    async fn pass(&mut self, hundreds: u8) {
        let ms = u64::from(hundreds) * 100_000;
        self.engine.pass(Duration::from_millis(ms)).await;
        self.now += ms;
        self.forget().await;
    }

    /// What is past its retention is forgotten at once: a Redis may do so by itself.
    async fn forget(&mut self) {
        if self.store.is_to_forget(self.now) {
            self.promote(Line::Good).await;
        }
    }

    /// The engine is again what it was when it was saved. What clients and workers know stays.
    async fn fail_over(&mut self) {
        let Some((saved, store, seen)) = self.saved.take() else {
            return;
        };
        self.engine.restore(&saved);
        self.counts.failovers += u64::from(self.store.jobs.len() + self.workers.len() > 0);
        self.store = store;
        self.seen.fail_over(seen);
        self.nodes.retain(|job, _| self.store.jobs.contains_key(job));
        self.forget().await;
    }

    /// A node begins to watch a job.
    async fn watch(&mut self, job: JobId) {
        if self.nodes.contains_key(&job) {
            return;
        }
        let backend = self.engine.backend();
        let live = backend.subscribe(job).await.expect("an engine that answers");
        let facts = backend
            .facts(job)
            .await
            .expect("an engine that answers")
            .expect("a job");
        let reading = backend
            .read(job, None)
            .await
            .expect("an engine that answers")
            .expect("a job");
        let replica = Replica::new(facts, HubOptions::default(), &reading).expect("it folds");
        self.nodes.insert(job, Node { replica, live });
    }

    fn watched(&self, job: u8) -> Option<JobId> {
        let watched: Vec<JobId> = self.nodes.keys().copied().collect();
        pick(&watched, job)
    }

    /// The node takes what has come to it, in order; wherever it stands then, it holds what the log had there (I10).
    fn hear(&mut self, job: u8) {
        let Some(job) = self.watched(job) else { return };
        let node = self.nodes.get_mut(&job).expect("it is watched");
        while let Ok(entry) = node.live.try_recv() {
            node.replica.take(&entry);
            self.seen
                .must_have_been(job, node.replica.last(), &node.replica.fold().value);
        }
    }

    /// The node compares positions, and reads where they differ: it holds then what the log has.
    async fn poll(&mut self, job: u8) {
        let Some(job) = self.watched(job) else { return };
        let backend = self.engine.backend();
        let last = backend.positions(&[job]).await.expect("an engine that answers")[0].expect("a job");
        let node = self.nodes.get_mut(&job).expect("it is watched");
        if last != node.replica.last() {
            let held = node.replica.held();
            let reading = backend
                .read(job, held)
                .await
                .expect("an engine that answers")
                .expect("a job");
            self.counts.repaired += 1;
            self.counts.by_lineage +=
                u64::from(held.is_some() && matches!(reading.start, Start::Snapshot(_)));
            node.replica.repair(&reading).expect("what is kept folds");
        }
        let job = &self.store.jobs[&job];
        assert_eq!(node.replica.last(), job.last());
        assert_eq!(node.replica.fold().value, job.draft.clone().map(Value::String));
    }

    fn any(&self, job: u8) -> Option<JobId> {
        let all: Vec<JobId> = self.store.jobs.keys().copied().collect();
        pick(&all, job)
    }

    /// Lets everything come to its end (I7), and be forgotten without a trace (I13).
    pub(super) async fn end(mut self) -> Counts {
        self.take(Step::Govern {
            running_max: 0,
            weight: 1,
        })
        .await;
        for tenant in self.store.paused.clone() {
            self.take(Step::Pause {
                tenant,
                paused: false,
            })
            .await;
        }
        for round in 0.. {
            assert!(round < ROUNDS_MAX, "jobs never end: {:?}", self.store.counts());
            if self.store.jobs.values().all(|job| job.state.is_end()) {
                break;
            }
            self.take(Step::Pass(4)).await;
            self.take(Step::Reap(Line::Good)).await;
            self.take(Step::Promote(Line::Good)).await;
            while !self.store.next().is_empty() {
                self.take(Step::Claim(Line::Good)).await;
                self.take(Step::Finish {
                    who: 0,
                    outcome: Outcome::Completed,
                    line: Line::Good,
                })
                .await;
            }
        }
        self.nodes.clear();
        for _ in 0..2 {
            self.take(Step::Pass(100)).await;
            self.take(Step::Promote(Line::Good)).await;
        }
        assert!(self.store.jobs.is_empty());
        self.engine.must_be_empty().await;
        self.counts
    }
}
