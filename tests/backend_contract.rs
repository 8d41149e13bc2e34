//! The contract of an engine, as cases that run over every engine: embedded, durable and over Redis, and behind a line that
//! refuses steps and loses answers.
//!
//! A case speaks through [`Line`], which sends a step again until it is answered, as every caller in the house does.

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::fault::{FaultRates, Faulty};
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::*;
use livedraft::job::*;
use livedraft::partial::Value;
use livedraft::store::{Store, StoreOptions};
use tokio::sync::{OwnedMutexGuard, mpsc};

use crate::harness::frame;
use crate::redis_server::{RedisCluster, RedisServer, as_user_of_the_page, tls_folder};

/// An engine, the patience to ask it again, and its time.
pub(crate) struct Line(pub(crate) Arc<dyn Backend>, pub(crate) Time);

/// Whose clock an engine goes by.
pub(crate) enum Time {
    /// Ours, which is paused.
    Ours,
    /// Its server's.
    Theirs(RedisServer),
    /// Its master's, which has a replica.
    Held(
        RedisServer,
        #[allow(dead_code, reason = "dropping it ends it")] RedisServer,
    ),
    /// That of all nodes of its Cluster, which it has alone.
    Cluster(OwnedMutexGuard<RedisCluster>),
}

pub(crate) async fn again<T, F: Future<Output = Result<T, BackendError>>>(mut step: impl FnMut() -> F) -> T {
    let mut told = None;
    for _ in 0..1_000 {
        match step().await {
            Ok(answer) => return answer,
            Err(error) => told = Some(error),
        }
    }
    panic!("a thousand steps in a row were not answered: {told:?}");
}

impl Line {
    pub(crate) fn ours(engine: Arc<dyn Backend>) -> Self {
        Self(engine, Time::Ours)
    }

    /// Lets time pass for the engine.
    pub(crate) async fn pass(&self, time: Duration) {
        match &self.1 {
            Time::Ours => tokio::time::advance(time).await,
            Time::Theirs(server) | Time::Held(server, _) => server.pass(time),
            Time::Cluster(cluster) => cluster.pass(time),
        }
    }

    pub(crate) async fn submit(&self, submission: &Submission) -> Submitted {
        again(|| self.0.submit(submission.clone())).await
    }

    pub(crate) async fn claim(&self) -> Option<Claim> {
        let (nonce, epoch) = (clock::nonce(), epoch());
        again(|| self.0.claim(nonce, epoch)).await
    }

    pub(crate) async fn append(&self, claim: &Claim, append: &Append) -> Appended {
        again(|| self.0.append(claim.id, claim.token(), append)).await
    }

    pub(crate) async fn finish(&self, claim: &Claim, write: Write) -> Fenced {
        again(|| self.0.finish(claim.id, claim.token(), write.clone())).await
    }

    pub(crate) async fn extend(&self, claim: &Claim) -> Extended {
        let leases = [(claim.id, claim.token())];
        again(|| self.0.extend(&leases)).await[0]
    }

    pub(crate) async fn cancel(&self, job: JobId) -> Option<Cancelled> {
        let epoch = epoch();
        again(|| self.0.cancel(job, epoch)).await
    }

    pub(crate) async fn reap(&self) {
        again(|| async { self.0.reap(100, &mut epoch).await }).await;
    }

    pub(crate) async fn promote(&self) {
        again(|| async { self.0.promote(100, &mut epoch).await }).await;
    }

    /// A verdict; every one that is sent has the epoch of its own that it is sent again with.
    async fn rule(&self, job: JobId, attempt: Option<u32>, ruling: Ruling) -> Option<Ruled> {
        let epoch = epoch();
        again(|| self.0.rule(job, epoch, attempt, ruling.clone())).await
    }

    async fn viewed(&self, job: JobId, node: u64, by_any: bool) {
        again(|| self.0.viewed(job, node, by_any)).await;
    }

    async fn end(&self, job: JobId) -> Option<End> {
        let reading = self.read(job, None).await;
        reading.tail.last().and_then(|entry| match &entry.event {
            Event::End(end) => Some((**end).clone()),
            _ => None,
        })
    }

    /// A job whose value waits for a verdict, with so many re-asks behind it; until when.
    async fn awaiting(&self, reasks: u32) -> (JobId, u64) {
        let claim = self.running().await;
        self.append(
            &claim,
            &patch_at(&claim, behind(claim.position, 1), r#"["","a",0]"#),
        )
        .await;
        let record = AttemptRecord {
            n: reasks + 1,
            reasks,
            best: Some("\"a\"".to_owned()),
            awaited: Some(Awaited {
                attempt: reasks + 1,
                sha256: "5a".to_owned(),
                turns: vec![Message::text(Role::Assistant, "a"), Message::text(Role::User, "")],
                since_ms: clock::now_ms(),
            }),
            ..AttemptRecord::default()
        };
        let until_ms = clock::now_ms() + 60_000;
        let deferral = Deferral {
            write: waiting(behind(claim.position, 2)),
            record,
            until_ms,
        };
        let deferred = again(|| self.0.defer(claim.id, claim.token(), deferral.clone())).await;
        assert!(matches!(deferred, Fenced::Ok | Fenced::Dup));
        (claim.id, until_ms)
    }

    pub(crate) async fn read(&self, job: JobId, held: Option<Position>) -> Reading {
        again(|| self.0.read(job, held)).await.expect("the job is there")
    }

    pub(crate) async fn stats(&self) -> Stats {
        again(|| self.0.stats()).await
    }

    pub(crate) async fn fold(&self, job: JobId) -> Fold {
        let reading = self.read(job, None).await;
        let Start::Snapshot(state) = reading.start else {
            panic!("asked for the whole")
        };
        let mut fold = (*state).clone();
        for entry in &reading.tail {
            fold.apply(entry).expect("it folds");
        }
        fold
    }

    /// Submits a job and claims it.
    pub(crate) async fn running(&self) -> Claim {
        self.submit(&submission()).await;
        self.claim().await.expect("it was submitted")
    }
}

pub(crate) fn epoch() -> Epoch {
    Epoch::new(clock::nonce())
}

pub(crate) fn submission() -> Submission {
    let spec = serde_json::from_str(r#"{"model":"scripted","input":"x","schema":{}}"#).expect("a spec");
    Submission {
        id: JobId::new(clock::job_uuid()),
        epoch: epoch(),
        tenant: "one".into(),
        spec: Arc::new(spec),
        shape: Arc::default(),
        idempotency: None,
    }
}

/// The next live entry; what was written before a position may come, too, and is passed over.
pub(crate) async fn heard_behind(live: &mut mpsc::Receiver<Arc<Entry>>, before: Position) -> Arc<Entry> {
    loop {
        let entry = live.recv().await.expect("its channel goes on");
        if entry.position.seq > before.seq {
            return entry;
        }
    }
}

/// A job that ends five seconds after its last viewer has gone.
fn viewed_submission() -> Submission {
    let spec =
        r#"{"model":"scripted","input":"x","schema":{},"on_last_viewer_gone":{"cancel_after_ms":5000}}"#;
    Submission {
        spec: Arc::new(serde_json::from_str(spec).expect("a spec")),
        ..submission()
    }
}

/// What somebody outside finds wrong.
fn refused() -> Vec<AttemptError> {
    vec![AttemptError {
        path: String::new(),
        keyword: "refused".to_owned(),
        message: "not so".to_owned(),
        value: None,
    }]
}

fn keyed(line: &Line, tenant: &str, request: u8) -> Submission {
    let idempotency = Idempotency {
        key: "k".into(),
        request: [request; 32],
    };
    Submission {
        id: line.0.draw(tenant, Some(&idempotency)),
        tenant: tenant.into(),
        idempotency: Some(idempotency),
        ..submission()
    }
}

pub(crate) fn behind(position: Position, by: u64) -> Position {
    Position {
        seq: position.seq + by,
        ..position
    }
}

pub(crate) fn write(position: Position, event: Event) -> Write {
    Write {
        position,
        opens: false,
        event,
    }
}

pub(crate) fn patch_at(claim: &Claim, position: Position, ops: &str) -> Append {
    let frame = frame(claim.id, position.seq, ops);
    Append {
        write: write(position, Event::Patch(frame.into())),
        raw: "r".to_owned(),
        raw_anew: false,
        record: None,
        snapshot: None,
    }
}

pub(crate) fn end(outcome: Outcome) -> Event {
    Event::End(Box::new(End {
        outcome,
        error: None,
        sha256: None,
        best: None,
        usage: Usage::default(),
        attempts: Vec::new(),
        timings: Timings::default(),
        durable: true,
    }))
}

pub(crate) fn waiting(position: Position) -> Write {
    let change = StatusChange {
        status: JobState::Waiting,
        reason: Some("rate_limited".to_owned()),
        until_ms: None,
    };
    write(position, Event::Status(change))
}

pub(crate) async fn redis_as_user_of_the_page(options: EngineOptions) -> (RedisServer, Redis) {
    let (server, url) = RedisServer::start_tls();
    server.add_user_of_the_page();
    let redis = RedisOptions {
        ca_file: format!("{}/ca.pem", tls_folder()),
        ..RedisOptions::default()
    };
    let url = as_user_of_the_page(&url).parse().expect("a URL");
    let engine = Redis::open(&url, &redis, options).await.expect("it opens");
    (server, engine)
}

/// Into how many parts an engine over a Cluster is divided: cases that count have one part, since what comes first does so in
/// its part.
fn shards_of(case: &str) -> u32 {
    let counts = [
        "dead_letters_are_bounded",
        "ended_jobs_are_forgotten_in_time",
        "jobs_come_in_order",
        "the_line_is_bounded",
        "what_was_lost_comes_first",
    ];
    if counts.contains(&case) { 1 } else { 16 }
}

/// An engine of so many parts, each with the bounds that others have.
pub(crate) async fn over_parts(cluster: &RedisCluster, shards: u32, bounds: EngineOptions) -> Redis {
    let parts = usize::try_from(shards).expect("few");
    let bounds = EngineOptions {
        queued_max: bounds.queued_max * parts,
        asked_bytes_max: bounds.asked_bytes_max * parts,
        ..bounds
    };
    let redis = RedisOptions {
        shards,
        ..RedisOptions::default()
    };
    let url = as_user_of_the_page(&cluster.url()).parse().expect("a URL");
    Redis::open(&url, &redis, bounds).await.expect("it opens")
}

/// Runs a case over every engine.
macro_rules! contract {
    ($($(#[$doc:meta])* async fn $name:ident($line:ident: &Line) $body:block)*) => {
        mod case {
            use super::*;
            $($(#[$doc])* pub(super) async fn $name($line: &Line) $body)*
        }
        mod embedded {
            use super::*;
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                case::$name(&Line::ours(Arc::new(Embedded::new(options())))).await;
            })*
        }
        mod durable {
            use super::*;
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                let _time = StandingTime::keep();
                case::$name(&Line::ours(Arc::new(durable(options()).await))).await;
            })*
        }
        mod redis {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let server = RedisServer::start();
                let engine = server.engine(1, options()).await;
                case::$name(&Line(Arc::new(engine), Time::Theirs(server))).await;
            })*
        }
        /// By TLS, as the user that docs/redis.md names.
        mod redis_as_user {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let (server, engine) = redis_as_user_of_the_page(options()).await;
                case::$name(&Line(Arc::new(engine), Time::Theirs(server))).await;
            })*
        }
        /// What is promised is held by a replica first; as the user that docs/redis.md names.
        mod redis_held {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let (master, replica) = (RedisServer::start(), RedisServer::start());
                replica.follow_closely(&master).await;
                let redis = RedisOptions { replicas: 1, ..RedisOptions::default() };
                master.add_user_of_the_page();
                let url = as_user_of_the_page(&master.url()).parse().expect("a URL");
                let engine = Redis::open(&url, &redis, options()).await.expect("it opens");
                case::$name(&Line(Arc::new(engine), Time::Held(master, replica))).await;
            })*
        }
        /// Three masters and their replicas, sixteen parts; as the user that docs/redis.md names.
        mod redis_cluster {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let cluster = RedisCluster::shared().await;
                let engine = over_parts(&cluster, shards_of(stringify!($name)), options()).await;
                case::$name(&Line(Arc::new(engine), Time::Cluster(cluster))).await;
            })*
        }
        mod redis_faulty {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                for seed in 0..5 {
                    let server = RedisServer::start();
                    let engine = server.engine(1, options()).await;
                    clock::seed(Some(seed));
                    let rates = FaultRates { refused: 150, answers_lost: 150, ..FaultRates::default() };
                    case::$name(&Line(Faulty::new(Arc::new(engine), rates), Time::Theirs(server))).await;
                    clock::seed(None);
                }
            })*
        }
        mod faulty {
            use super::*;
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                for seed in 0..20 {
                    clock::seed(Some(seed));
                    let rates = FaultRates { refused: 150, answers_lost: 150, ..FaultRates::default() };
                    case::$name(&Line::ours(Faulty::new(Arc::new(Embedded::new(options())), rates))).await;
                }
                clock::seed(None);
            })*
        }
    };
}

pub(crate) use contract;

/// While it is held, time stands: the database answers from a thread of its own, and a paused clock would else run on
/// while it is waited for.
pub(crate) struct StandingTime(
    #[allow(dead_code, reason = "dropping it lets the thread go")] std::sync::mpsc::Sender<()>,
);

impl StandingTime {
    pub(crate) fn keep() -> Self {
        let (held, parked) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || parked.recv());
        Self(held)
    }
}

/// An engine over a database in memory.
pub(crate) async fn durable(options: EngineOptions) -> Embedded {
    let store = Store::open(&StoreOptions::ephemeral()).await.expect("a database");
    Embedded::open(options, Arc::new(store)).await.expect("an engine")
}

fn options() -> EngineOptions {
    EngineOptions {
        queued_max: 3,
        retained_max: 2,
        dead_max: 2,
        ..EngineOptions::default()
    }
}

contract! {
    /// A submission opens the first epoch with `queued`, a claim the next with `running`; then patches, then the end.
    async fn a_job_goes_through(line: &Line) {
        let submission = submission();
        let Submitted::New { position, .. } = line.submit(&submission).await else { panic!("new") };
        assert_eq!(position, Position { epoch: submission.epoch, seq: 1 });
        let claim = line.claim().await.expect("ready");
        assert_eq!(claim.id, submission.id);
        assert_eq!(claim.checkpoint.fold.status, JobState::Running);
        assert_eq!(claim.checkpoint.fold.position, claim.position);
        let first = behind(claim.position, 1);
        let appended = line.append(&claim, &patch_at(&claim, first, r#"["",{},0]"#)).await;
        assert!(matches!(appended, Appended::Ok | Appended::Dup));
        let second = behind(claim.position, 2);
        line.append(&claim, &patch_at(&claim, second, r#"["/a","x",0],["y"]"#)).await;
        let finished = line.finish(&claim, write(behind(claim.position, 3), end(Outcome::Completed))).await;
        assert!(matches!(finished, Fenced::Ok | Fenced::Dup));
        let fold = line.fold(claim.id).await;
        assert_eq!(fold.value.as_ref().map(Value::to_json).as_deref(), Some(r#"{"a":"xy"}"#));
        assert_eq!(fold.status, JobState::Completed);
        assert_eq!(fold.position, behind(claim.position, 3));
        assert_eq!(line.stats().await.ended, 1);
    }

    /// Every entry that opens an epoch names the one before; all others name none.
    async fn openings_name_their_parents(line: &Line) {
        let claim = line.running().await;
        line.append(&claim, &patch_at(&claim, behind(claim.position, 1), r#"["",1,0]"#)).await;
        let reading = line.read(claim.id, None).await;
        let mut current = None;
        for entry in &reading.tail {
            match entry.opens {
                Some(parent) => {
                    assert_eq!(parent, current);
                    assert!(!matches!(entry.event, Event::Patch(_)), "a patch opens no epoch");
                    current = Some(entry.position.epoch);
                }
                None => assert_eq!(Some(entry.position.epoch), current),
            }
        }
        assert_eq!(reading.lineage.current(), current);
        assert!(reading.tail.iter().map(|entry| entry.position.seq).eq(1..=reading.last.seq));
    }

    /// A claim that is sent again is answered as it was, and costs the job nothing.
    async fn a_claim_knows_itself(line: &Line) {
        line.submit(&submission()).await;
        line.submit(&submission()).await;
        let (nonce, epoch) = (clock::nonce(), epoch());
        let first = again(|| line.0.claim(nonce, epoch)).await.expect("in line");
        line.pass(Duration::from_secs(10)).await;
        let told = again(|| line.0.claim(nonce, epoch)).await.expect("the same");
        assert_eq!((told.id, told.token(), told.position), (first.id, first.token(), first.position));
        assert_eq!(told.checkpoint.fold, first.checkpoint.fold);
        assert_eq!(line.stats().await.running, 1);
        // The lease is good from when it was answered.
        line.pass(Duration::from_secs(10)).await;
        line.reap().await;
        assert!(matches!(line.extend(&first).await, Extended::Until(_)));
        let other = line.claim().await.expect("in line");
        assert_ne!(other.id, first.id);
        line.finish(&first, write(behind(first.position, 1), end(Outcome::Completed))).await;
        assert!(again(|| line.0.claim(nonce, epoch)).await.is_none(), "what has ended is not given again");
    }

    /// A job that lost its worker comes before all others, whosever they are.
    async fn what_was_lost_comes_first(line: &Line) {
        let lost = line.running().await;
        for _ in 0..2 {
            line.submit(&Submission { tenant: "two".into(), ..submission() }).await;
        }
        line.pass(Duration::from_secs(16)).await;
        line.reap().await;
        assert_eq!(line.claim().await.expect("in line").id, lost.id);
    }

    /// Nothing shortens a wait.
    async fn a_wait_may_be_long(line: &Line) {
        let claim = line.running().await;
        let until_ms = clock::now_ms() + 2 * 3_600_000;
        let deferral = Deferral { write: waiting(behind(claim.position, 1)), record: AttemptRecord::default(), until_ms };
        again(|| line.0.defer(claim.id, claim.token(), deferral.clone())).await;
        line.pass(Duration::from_secs(2 * 3_600 - 60)).await;
        line.promote().await;
        assert!(line.claim().await.is_none(), "its time has not come");
        line.pass(Duration::from_secs(61)).await;
        line.promote().await;
        assert_eq!(line.claim().await.expect("its time has come").id, claim.id);
    }

    /// A delivery that failed is made again, also where its record has a value that was about to wait for a verdict.
    async fn a_failed_delivery_waits_for_no_verdict(line: &Line) {
        let claim = line.running().await;
        let record = AttemptRecord {
            n: 1,
            awaited: Some(Awaited { attempt: 1, sha256: "5a".to_owned(), turns: Vec::new(), since_ms: clock::now_ms() }),
            ..AttemptRecord::default()
        };
        let mut append = patch_at(&claim, behind(claim.position, 1), r#"["","a",0]"#);
        append.record = Some(record);
        line.append(&claim, &append).await;
        let Event::End(give_up) = end(Outcome::Failed) else { unreachable!() };
        let failure = Failure { again: waiting(behind(claim.position, 2)), retry_ms: 500, give_up };
        again(|| line.0.fail(claim.id, claim.token(), failure.clone())).await;
        let early = line.rule(claim.id, None, Ruling::Accept).await;
        assert_eq!(early, Some(Ruled::NotDue(JobState::Waiting)));
        line.pass(Duration::from_secs(1)).await;
        line.promote().await;
        assert_eq!(line.claim().await.expect("in line").id, claim.id);
    }

    /// No two tenants' keys are one, however they are spelled.
    async fn keys_of_tenants_are_apart(line: &Line) {
        for (tenant, key) in [("a", "b:c"), ("a:b", "c"), ("", "a:b:c")] {
            let idempotency = Idempotency { key: key.into(), request: [1; 32] };
            let own = Submission {
                id: line.0.draw(tenant, Some(&idempotency)),
                tenant: tenant.into(),
                idempotency: Some(idempotency),
                ..submission()
            };
            assert!(matches!(line.submit(&own).await, Submitted::New { .. }), "{tenant} {key}");
        }
    }

    /// No write without the token of the running delivery.
    async fn a_zombie_writes_nothing(line: &Line) {
        let old = line.running().await;
        // Progress, so that claims whose answers are lost do not make the job poison.
        line.append(&old, &patch_at(&old, behind(old.position, 1), r#"["","a",0]"#)).await;
        line.pass(Duration::from_secs(16)).await;
        line.reap().await;
        let new = line.claim().await.expect("recovering");
        assert_eq!(new.id, old.id);
        let before = line.fold(old.id).await;
        let next = behind(new.position, 1);
        assert_eq!(line.append(&old, &patch_at(&old, next, r#"["",1,0]"#)).await, Appended::Lost);
        assert_eq!(line.extend(&old).await, Extended::Lost);
        assert_eq!(line.finish(&old, write(next, end(Outcome::Completed))).await, Fenced::Lost);
        let deferral = Deferral { write: waiting(next), record: AttemptRecord::default(), until_ms: 0 };
        assert_eq!(again(|| line.0.defer(old.id, old.token(), deferral.clone())).await, Fenced::Lost);
        let Event::End(give_up) = end(Outcome::Failed) else { unreachable!() };
        let failure = Failure { again: waiting(next), retry_ms: 0, give_up };
        assert_eq!(again(|| line.0.fail(old.id, old.token(), failure.clone())).await, Fenced::Lost);
        assert_eq!(line.fold(old.id).await, before);
        assert!(matches!(line.extend(&new).await, Extended::Until(_)));
    }

    /// The same append again changes nothing; one that skips a seq, or names another epoch, is rolled back.
    async fn appends_fit_the_end_of_the_log(line: &Line) {
        let claim = line.running().await;
        let first = patch_at(&claim, behind(claim.position, 1), r#"["","a",0]"#);
        line.append(&claim, &first).await;
        assert_eq!(line.append(&claim, &first).await, Appended::Dup);
        let last = behind(claim.position, 1);
        let gap = patch_at(&claim, behind(claim.position, 3), r#"["b"]"#);
        assert_eq!(line.append(&claim, &gap).await, Appended::RolledBack(last));
        let other = Position { epoch: epoch(), seq: last.seq + 1 };
        assert_eq!(line.append(&claim, &patch_at(&claim, other, r#"["b"]"#)).await, Appended::RolledBack(last));
        assert_eq!(line.fold(claim.id).await.position, last);
    }

    /// A `state` entry opens an epoch and replaces all there is.
    async fn a_state_entry_replaces(line: &Line) {
        let claim = line.running().await;
        line.append(&claim, &patch_at(&claim, behind(claim.position, 1), r#"["","a",0]"#)).await;
        let position = Position { epoch: epoch(), seq: claim.position.seq + 2 };
        let state = Fold {
            value: Some(Value::String("whole".to_owned())),
            status: JobState::Running,
            ..Fold::submitted(position)
        };
        let restate = Append {
            write: Write { position, opens: true, event: Event::State(Box::new(state.clone())) },
            raw: "\"whole\"".to_owned(),
            raw_anew: false,
            record: None,
            snapshot: Some(Arc::new(state.clone())),
        };
        assert!(matches!(line.append(&claim, &restate).await, Appended::Ok | Appended::Dup));
        assert_eq!(line.append(&claim, &restate).await, Appended::Dup);
        assert_eq!(line.fold(claim.id).await, state);
        line.pass(Duration::from_secs(16)).await;
        line.reap().await;
        let next = line.claim().await.expect("recovering");
        assert_eq!(next.checkpoint.raw, "\"whole\"");
    }

    /// The next worker gets the folded draft, the raw text and the attempt record.
    async fn a_takeover_gets_the_checkpoint(line: &Line) {
        let claim = line.running().await;
        let record = AttemptRecord { n: 1, reasks: 1, ..AttemptRecord::default() };
        let begins = AttemptBegins { attempt: 1, reason: Reason::First, reset: true, at: Vec::new(), errors: Vec::new() };
        let begin = Append {
            write: write(behind(claim.position, 1), Event::Attempt(begins)),
            raw: String::new(),
            raw_anew: false,
            record: Some(record.clone()),
            snapshot: None,
        };
        line.append(&claim, &begin).await;
        line.append(&claim, &patch_at(&claim, behind(claim.position, 2), r#"["","a",0]"#)).await;
        line.append(&claim, &patch_at(&claim, behind(claim.position, 3), r#"["b"]"#)).await;
        line.pass(Duration::from_secs(16)).await;
        line.reap().await;
        assert_eq!(line.fold(claim.id).await.status, JobState::Recovering);
        let next = line.claim().await.expect("recovering");
        assert_eq!(next.checkpoint.record, record);
        assert_eq!(next.checkpoint.raw, "rr");
        assert_eq!(next.checkpoint.fold.value, Some(Value::String("ab".to_owned())));
        assert_eq!(next.checkpoint.fold.attempt, 1);
        assert!(next.token().delivery > claim.token().delivery);
    }

    /// A job nobody works on ends at once by a cancel, a running one by its worker, a silent one by the reaper.
    async fn a_cancel_ends_a_job_in_every_state(line: &Line) {
        let queued = submission();
        line.submit(&queued).await;
        let told = line.cancel(queued.id).await;
        assert!(matches!(told, Some(Cancelled::Now | Cancelled::Already(JobState::Cancelled))));
        assert_eq!(line.cancel(queued.id).await, Some(Cancelled::Already(JobState::Cancelled)));
        assert!(line.claim().await.is_none(), "a cancelled job is not claimed");

        let running = line.running().await;
        assert_eq!(line.cancel(running.id).await, Some(Cancelled::Requested));
        assert_eq!(line.extend(&running).await, Extended::Cancel);
        let next = behind(running.position, 1);
        assert_eq!(line.append(&running, &patch_at(&running, next, r#"["",1,0]"#)).await, Appended::Cancel);
        assert_eq!(line.finish(&running, write(next, end(Outcome::Completed))).await, Fenced::Cancel);
        let finished = line.finish(&running, write(next, end(Outcome::Cancelled))).await;
        assert!(matches!(finished, Fenced::Ok | Fenced::Dup));

        let silent = line.running().await;
        assert_eq!(line.cancel(silent.id).await, Some(Cancelled::Requested));
        line.pass(Duration::from_secs(6)).await;
        line.reap().await;
        assert_eq!(line.fold(silent.id).await.status, JobState::Cancelled);
        assert_eq!(line.cancel(JobId::new(clock::job_uuid())).await, None);
    }

    /// A deferred job waits for its time, keeps its record, and is claimed again.
    async fn a_deferred_job_comes_back(line: &Line) {
        let claim = line.running().await;
        let record = AttemptRecord { n: 1, ..AttemptRecord::default() };
        let until_ms = clock::now_ms() + 60_000;
        let deferral = Deferral { write: waiting(behind(claim.position, 1)), record: record.clone(), until_ms };
        again(|| line.0.defer(claim.id, claim.token(), deferral.clone())).await;
        assert_eq!(line.fold(claim.id).await.status, JobState::Waiting);
        line.promote().await;
        assert!(line.claim().await.is_none(), "its time has not come");
        line.pass(Duration::from_secs(61)).await;
        line.promote().await;
        let next = line.claim().await.expect("its time has come");
        assert_eq!((next.id, next.checkpoint.record), (claim.id, record));
    }

    /// A delivery that fails is made again until they are used up; then the job ends as the worker said.
    async fn failed_deliveries_are_bounded(line: &Line) {
        let submission = submission();
        line.submit(&submission).await;
        for _ in 0..50 {
            line.pass(Duration::from_secs(1)).await;
            line.promote().await;
            let Some(claim) = line.claim().await else { break };
            let Event::End(give_up) = end(Outcome::Failed) else { unreachable!() };
            let failure = Failure { again: waiting(behind(claim.position, 1)), retry_ms: 500, give_up };
            again(|| line.0.fail(claim.id, claim.token(), failure.clone())).await;
        }
        assert_eq!(line.fold(submission.id).await.status, JobState::Failed);
    }

    /// A job that was given up is kept with what it asks for, and a new job is made of it, once.
    async fn a_dead_letter_is_redriven(line: &Line) {
        let submission = keyed(line, "one", 1);
        line.submit(&submission).await;
        for _ in 0..3 {
            line.claim().await.expect("in line");
            line.pass(Duration::from_secs(16)).await;
            line.reap().await;
        }
        let letters = again(|| line.0.dead_letters(None, 10)).await.letters;
        let [letter] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!((letter.id, &*letter.tenant), (submission.id, "one"));
        assert_eq!(letter.end.error.as_ref().map(|error| error.code.as_str()), Some("poison"));
        assert!(letter.died_ms >= letter.submitted_ms + 30_000, "{letter:?}");
        assert_eq!((line.stats().await.dead, line.stats().await.ended), (1, 0));
        // It outlives the retention of others.
        line.pass(Duration::from_secs(2 * 3_600)).await;
        line.promote().await;
        let (found, request) = again(|| line.0.dead_letter(letter.id)).await.expect("it is kept");
        assert_eq!((found.id, &request.spec), (letter.id, &submission.spec));
        assert_eq!(again(|| line.0.redriven(letter.id)).await, None);

        let new = Submission {
            id: line.0.draw_beside(letter.id),
            epoch: epoch(),
            idempotency: None,
            ..submission.clone()
        };
        let told = again(|| line.0.redrive(letter.id, new.clone())).await;
        assert!(matches!(told, Some(Submitted::New { .. })), "{told:?}");
        let told = again(|| line.0.redrive(letter.id, new.clone())).await;
        assert!(matches!(told, Some(Submitted::New { .. })), "sent again: {told:?}");
        let other = Submission { id: line.0.draw_beside(letter.id), epoch: epoch(), ..new.clone() };
        assert_eq!(again(|| line.0.redrive(letter.id, other.clone())).await, Some(Submitted::existing(new.id)));
        assert_eq!(again(|| line.0.redriven(letter.id)).await, Some(Submitted::existing(new.id)));
        assert_eq!(line.claim().await.expect("in line").id, new.id);
        assert!(again(|| line.0.dead_letters(None, 10)).await.letters.is_empty());
        assert!(again(|| line.0.dead_letter(letter.id)).await.is_none());
        assert_eq!((line.stats().await.dead, line.stats().await.ended), (0, 1));
        // Now it is kept as long as any other.
        line.pass(Duration::from_secs(3_601)).await;
        line.promote().await;
        assert!(again(|| line.0.facts(letter.id)).await.is_none());
    }

    /// What ended otherwise is no dead letter; those there are are kept by count and by age.
    async fn dead_letters_are_bounded(line: &Line) {
        let completed = line.running().await;
        line.finish(&completed, write(behind(completed.position, 1), end(Outcome::Failed))).await;
        let unknown = JobId::new(clock::job_uuid());
        for job in [completed.id, unknown] {
            assert!(again(|| line.0.dead_letter(job)).await.is_none());
            let new = submission();
            assert_eq!(again(|| line.0.redrive(job, new.clone())).await, None);
        }
        let mut dead = Vec::new();
        for _ in 0..3 {
            let own = submission();
            line.submit(&own).await;
            for _ in 0..5 {
                line.pass(Duration::from_secs(1)).await;
                line.promote().await;
                let claim = line.claim().await.expect("in line");
                let Event::End(give_up) = end(Outcome::Failed) else { unreachable!() };
                let failure = Failure { again: waiting(behind(claim.position, 1)), retry_ms: 500, give_up };
                again(|| line.0.fail(claim.id, claim.token(), failure.clone())).await;
            }
            dead.push(own.id);
            line.pass(Duration::from_secs(1)).await;
        }
        line.promote().await;
        let letters = again(|| line.0.dead_letters(None, 10)).await.letters;
        let told: Vec<JobId> = letters.iter().map(|letter| letter.id).collect();
        assert_eq!(told, [dead[2], dead[1]], "the newest first");
        assert_eq!(again(|| line.0.dead_letters(None, 1)).await.letters.len(), 1);
        assert!(again(|| line.0.facts(dead[0])).await.is_none(), "by count");
        line.pass(Duration::from_secs(8 * 24 * 3_600)).await;
        line.promote().await;
        assert!(again(|| line.0.dead_letters(None, 10)).await.letters.is_empty(), "by age");
        assert!(again(|| line.0.facts(dead[2])).await.is_none());
    }

    /// Three leases lost without progress are poison.
    async fn poison_ends_a_job(line: &Line) {
        let submission = submission();
        line.submit(&submission).await;
        let mut losses = 0;
        while !line.fold(submission.id).await.status.is_end() {
            losses += 1;
            assert!(losses < 20, "the job never ends");
            let _ = line.claim().await;
            line.pass(Duration::from_secs(16)).await;
            line.reap().await;
        }
        let reading = line.read(submission.id, None).await;
        let last = reading.tail.last().expect("an end");
        let Event::End(end) = &last.event else { panic!("an end") };
        assert_eq!(end.error.as_ref().map(|error| error.code.as_str()), Some("poison"));
        assert!(last.opens.is_some(), "an end that the engine writes opens an epoch");
    }

    /// Attempts that begin and change nothing are no progress.
    async fn beginning_is_no_progress(line: &Line) {
        let submission = submission();
        line.submit(&submission).await;
        for _ in 0..3 {
            let Some(claim) = line.claim().await else { break };
            let begins = AttemptBegins { attempt: 1, reason: Reason::First, reset: true, at: Vec::new(), errors: Vec::new() };
            let begin = Append {
                write: write(behind(claim.position, 1), Event::Attempt(begins)),
                raw: String::new(),
                raw_anew: false,
                record: None,
                snapshot: None,
            };
            line.append(&claim, &begin).await;
            line.pass(Duration::from_secs(16)).await;
            line.reap().await;
        }
        assert_eq!(line.fold(submission.id).await.status, JobState::Failed);
    }

    /// Steps that end a delivery answer as they did when they are sent again, and are not taken where another event
    /// stands.
    async fn last_steps_know_themselves(line: &Line) {
        let claim = line.running().await;
        let next = behind(claim.position, 1);
        line.append(&claim, &patch_at(&claim, next, r#"["","a",0]"#)).await;
        let taken = line.finish(&claim, write(next, end(Outcome::Completed))).await;
        assert_eq!(taken, Fenced::RolledBack(next), "a patch stands there");
        let deferral = Deferral { write: waiting(behind(next, 1)), record: AttemptRecord::default(), until_ms: 0 };
        for _ in 0..2 {
            let deferred = again(|| line.0.defer(claim.id, claim.token(), deferral.clone())).await;
            assert!(matches!(deferred, Fenced::Ok | Fenced::Dup), "{deferred:?}");
        }
        line.promote().await;
        assert_eq!(again(|| line.0.defer(claim.id, claim.token(), deferral.clone())).await, Fenced::Lost);
    }

    /// The same key and request name the same job; another request is a conflict; another tenant is another name.
    async fn idempotency_keys_name_jobs(line: &Line) {
        let first = keyed(line, "one", 1);
        line.submit(&first).await;
        assert_eq!(line.submit(&keyed(line, "one", 1)).await, Submitted::existing(first.id));
        assert_eq!(line.submit(&keyed(line, "one", 2)).await, Submitted::Conflict(first.id));
        let other = keyed(line, "two", 1);
        assert!(matches!(line.submit(&other).await, Submitted::New { .. }));
        assert_eq!(line.stats().await.queued, 2);
        let claim = line.claim().await.expect("in line");
        line.finish(&claim, write(behind(claim.position, 1), end(Outcome::Completed))).await;
        line.pass(Duration::from_secs(3_601)).await;
        line.promote().await;
        assert!(again(|| line.0.facts(claim.id)).await.is_none());
        let tenant = if claim.id == first.id { "one" } else { "two" };
        let told = line.submit(&keyed(line, tenant, 3)).await;
        assert!(matches!(told, Submitted::New { .. }), "a key never names a job that is gone: {told:?}");
    }

    /// A submission that is sent again is answered as it was, also once the job has gone on.
    async fn a_submission_is_answered_as_it_was(line: &Line) {
        let submission = submission();
        line.submit(&submission).await;
        line.claim().await.expect("in line");
        let Submitted::New { position, .. } = line.submit(&submission).await else { panic!("its own job") };
        assert_eq!(position, Position { epoch: submission.epoch, seq: 1 });
    }

    /// Over the cap a submission is told when to come again, and changes nothing.
    async fn the_line_is_bounded(line: &Line) {
        for _ in 0..3 {
            line.submit(&submission()).await;
        }
        assert!(matches!(line.submit(&submission()).await, Submitted::Full { retry_after_ms: 1.., of: Full::Jobs }));
        assert_eq!(line.stats().await.queued, 3);
        let claim = line.claim().await.expect("in line");
        let until_ms = clock::now_ms() + 60_000;
        let deferral = Deferral { write: waiting(behind(claim.position, 1)), record: AttemptRecord::default(), until_ms };
        again(|| line.0.defer(claim.id, claim.token(), deferral.clone())).await;
        let told = line.submit(&submission()).await;
        assert!(matches!(told, Submitted::Full { .. }), "those put back count: {told:?}");
    }

    /// First in, first out; no two claims hold the same job.
    async fn jobs_come_in_order(line: &Line) {
        let jobs = [submission(), submission(), submission()];
        for job in &jobs {
            line.submit(job).await;
        }
        let mut claimed = Vec::new();
        while let Some(claim) = line.claim().await {
            claimed.push(claim.id);
            line.finish(&claim, write(behind(claim.position, 1), end(Outcome::Completed))).await;
        }
        claimed.sort();
        let mut submitted: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        submitted.sort();
        assert_eq!(claimed, submitted);
    }

    /// Who holds a position on the line gets the tail; off the line, ahead, or behind the stored snapshot: a state.
    async fn reads_resume_by_lineage(line: &Line) {
        let claim = line.running().await;
        for by in 1..=4 {
            let append = patch_at(&claim, behind(claim.position, by), if by == 1 { r#"["","",0]"# } else { r#"["x"]"# });
            line.append(&claim, &append).await;
        }
        let held = behind(claim.position, 2);
        let reading = line.read(claim.id, Some(held)).await;
        assert!(matches!(reading.start, Start::Tail));
        assert!(reading.tail.iter().map(|entry| entry.position.seq).eq(held.seq + 1..=held.seq + 2));
        for off in [behind(claim.position, 9), Position { epoch: epoch(), seq: 1 }] {
            assert!(matches!(line.read(claim.id, Some(off)).await.start, Start::Snapshot(_)));
        }
        let mut trim = patch_at(&claim, behind(claim.position, 5), r#"["y"]"#);
        let mut fold = line.fold(claim.id).await;
        fold.position = behind(claim.position, 5);
        fold.value = Some(Value::String("xxxy".to_owned()));
        trim.snapshot = Some(Arc::new(fold.clone()));
        line.append(&claim, &trim).await;
        let reading = line.read(claim.id, Some(held)).await;
        assert!(matches!(&reading.start, Start::Snapshot(state) if **state == fold));
        assert!(reading.tail.is_empty());
        assert!(matches!(line.read(claim.id, Some(fold.position)).await.start, Start::Tail));
    }

    /// What is published is what stands in the log, in its order.
    async fn live_entries_are_those_of_the_log(line: &Line) {
        let claim = line.running().await;
        let mut live = again(|| line.0.subscribe(claim.id)).await;
        line.append(&claim, &patch_at(&claim, behind(claim.position, 1), r#"["","a",0]"#)).await;
        line.append(&claim, &patch_at(&claim, behind(claim.position, 2), r#"["b"]"#)).await;
        line.finish(&claim, write(behind(claim.position, 3), end(Outcome::Completed))).await;
        let reading = line.read(claim.id, Some(claim.position)).await;
        for entry in reading.tail {
            assert_eq!(heard_behind(&mut live, claim.position).await, entry);
        }
    }

    /// Positions are told for known jobs and not for others.
    async fn positions_are_polled(line: &Line) {
        let claim = line.running().await;
        let unknown = JobId::new(clock::job_uuid());
        let jobs = [claim.id, unknown];
        let told = again(|| line.0.positions(&jobs)).await;
        assert_eq!(told, [Some(claim.position), None]);
        assert!(again(|| line.0.read(unknown, None)).await.is_none());
        assert!(again(|| line.0.facts(unknown)).await.is_none());
    }

    /// Where jobs stand is told in the order of the question, as readers know it.
    async fn states_are_told_as_readers_know_them(line: &Line) {
        let unknown = JobId::new(clock::job_uuid());
        let waits = line.running().await;
        let record = AttemptRecord::default();
        let until_ms = clock::now_ms() + 60_000;
        let why = |status, reason: &str| StatusChange { status, reason: Some(reason.to_owned()), until_ms: Some(until_ms) };
        let limited = why(JobState::Waiting, "rate_limited");
        let entry = write(behind(waits.position, 1), Event::Status(limited.clone()));
        let deferral = Deferral { write: entry, record, until_ms };
        again(|| line.0.defer(waits.id, waits.token(), deferral.clone())).await;
        let ends = line.running().await;
        line.finish(&ends, write(behind(ends.position, 1), end(Outcome::Incomplete))).await;
        let cancelled = line.running().await;
        line.cancel(cancelled.id).await;
        let queued = submission();
        line.submit(&queued).await;
        let jobs = [queued.id, unknown, waits.id, cancelled.id, ends.id];
        let states = again(|| line.0.states(&jobs)).await;
        let bare = |status| Some(StatusChange::bare(status));
        let expected = [bare(JobState::Queued), None, Some(limited), bare(JobState::Running), bare(JobState::Incomplete)];
        assert_eq!(states, expected, "a cancel that was asked for is no end yet");
        line.cancel(queued.id).await;
        assert_eq!(again(|| line.0.states(&jobs[..1])).await, [bare(JobState::Cancelled)]);
        assert_eq!(again(|| line.0.states(&[])).await, []);
    }

    /// Why a job waits is told as long as it does, and of each wait anew.
    async fn states_tell_why_a_job_waits(line: &Line) {
        let first = line.running().await;
        let jobs = [first.id];
        let stands = async || again(|| line.0.states(&jobs)).await.pop().flatten().expect("it is there");
        let event = |reason: Option<&str>| Event::Status(StatusChange {
            status: JobState::Waiting,
            reason: reason.map(str::to_owned),
            until_ms: None,
        });
        let mut claim = first.clone();
        for reason in [Some("rate_limited"), None, Some("drain")] {
            let entry = write(behind(claim.position, 1), event(reason));
            let until_ms = clock::now_ms() + 500;
            let deferral = Deferral { write: entry, record: AttemptRecord::default(), until_ms };
            again(|| line.0.defer(claim.id, claim.token(), deferral.clone())).await;
            assert_eq!(Event::Status(stands().await), event(reason));
            line.pass(Duration::from_secs(1)).await;
            line.promote().await;
            assert_eq!(stands().await, StatusChange::bare(JobState::Queued), "behind {reason:?}");
            claim = line.claim().await.expect("its time has come");
            assert_eq!(stands().await, StatusChange::bare(JobState::Running), "behind {reason:?}");
        }
        let Event::End(give_up) = end(Outcome::Failed) else { unreachable!() };
        let again_later = write(behind(claim.position, 1), event(Some("provider")));
        let failure = Failure { again: again_later, retry_ms: 500, give_up };
        again(|| line.0.fail(claim.id, claim.token(), failure.clone())).await;
        assert_eq!(Event::Status(stands().await), event(Some("provider")));
        line.cancel(claim.id).await;
        assert_eq!(stands().await, StatusChange::bare(JobState::Cancelled));
    }

    /// A value that waits for a verdict is accepted, once, and its job ends by that.
    async fn a_value_is_accepted(line: &Line) {
        let (job, _) = line.awaiting(0).await;
        line.promote().await;
        assert_eq!(line.stats().await.waiting, 1, "its time has not come");
        assert!(line.claim().await.is_none(), "nobody works on it");
        assert_eq!(line.rule(job, Some(2), Ruling::Accept).await, Some(Ruled::Other(1)));
        assert_eq!(line.rule(job, Some(1), Ruling::Accept).await, Some(Ruled::Taken(1)));
        let end = line.end(job).await.expect("an end");
        assert_eq!((end.outcome, end.sha256.as_deref()), (Outcome::Completed, Some("5a")));
        assert_eq!((end.best, end.error), (None, None));
        assert_eq!(line.fold(job).await.value.as_ref().map(Value::to_json).as_deref(), Some("\"a\""));
        // The same again, with and without the attempt's name; another verdict comes too late.
        assert_eq!(line.rule(job, Some(1), Ruling::Accept).await, Some(Ruled::Taken(1)));
        assert_eq!(line.rule(job, None, Ruling::Accept).await, Some(Ruled::Taken(1)));
        let late = line.rule(job, None, Ruling::Reask(refused())).await;
        assert_eq!(late, Some(Ruled::NotDue(JobState::Completed)));
        assert_eq!(line.stats().await.ended, 1);
        assert_eq!(line.rule(JobId::new(clock::job_uuid()), None, Ruling::Accept).await, None);
    }

    /// Silence accepts, and nobody may say otherwise then.
    async fn silence_accepts_a_value(line: &Line) {
        let (job, _) = line.awaiting(0).await;
        line.pass(Duration::from_secs(61)).await;
        line.promote().await;
        assert_eq!(line.end(job).await.map(|end| end.outcome), Some(Outcome::Completed));
        for ruling in [Ruling::Accept, Ruling::Reask(refused())] {
            assert_eq!(line.rule(job, None, ruling).await, Some(Ruled::NotDue(JobState::Completed)));
        }
    }

    /// A value that is not accepted is asked for again: the next worker finds the errors beside what was kept of it.
    async fn a_value_is_asked_for_again(line: &Line) {
        let (job, _) = line.awaiting(0).await;
        assert_eq!(line.rule(job, None, Ruling::Reask(refused())).await, Some(Ruled::Taken(1)));
        assert_eq!(line.rule(job, Some(1), Ruling::Reask(refused())).await, Some(Ruled::Taken(1)), "again");
        let claim = line.claim().await.expect("in line");
        assert_eq!(claim.id, job);
        assert_eq!(line.rule(job, None, Ruling::Reask(refused())).await, Some(Ruled::Taken(1)), "and again");
        let late = line.rule(job, None, Ruling::Accept).await;
        assert_eq!(late, Some(Ruled::NotDue(JobState::Running)));
        let record = claim.checkpoint.record;
        assert_eq!(record.mends, Some(refused()));
        assert_eq!(record.awaited.map(|awaited| awaited.turns.len()), Some(2));
        assert_eq!(record.best.as_deref(), Some("\"a\""));
    }

    /// Where no re-ask is left, a job whose value is not accepted has failed.
    async fn a_value_that_cannot_be_asked_for_again_has_failed(line: &Line) {
        let (job, _) = line.awaiting(JobSpec::DEFAULT_REASKS).await;
        assert!(matches!(line.rule(job, None, Ruling::Reask(refused())).await, Some(Ruled::Taken(_))));
        let end = line.end(job).await.expect("an end");
        let error = end.error.expect("it says why");
        assert_eq!((end.outcome, error.code.as_str()), (Outcome::Failed, "invalid_output"));
        assert_eq!((error.errors, end.best.as_deref()), (refused(), Some("\"a\"")));
    }

    /// A job whose value waits is cancelled as any that waits.
    async fn a_job_whose_value_waits_is_cancelled(line: &Line) {
        let (job, _) = line.awaiting(0).await;
        line.cancel(job).await;
        assert_eq!(line.end(job).await.map(|end| end.outcome), Some(Outcome::Cancelled));
        let late = line.rule(job, None, Ruling::Accept).await;
        assert_eq!(late, Some(Ruled::NotDue(JobState::Cancelled)));
        assert_eq!(line.stats().await.waiting, 0);
    }

    /// A job that does not go on without viewers is cancelled once the last node has none, and not before.
    async fn a_job_that_nobody_views_any_more_is_cancelled(line: &Line) {
        let unviewed = viewed_submission();
        line.submit(&unviewed).await;
        let job = unviewed.id;
        let wait = Duration::from_millis(5_001);
        let still_there = async || {
            line.pass(wait).await;
            line.reap().await;
            assert_eq!(line.end(job).await, None);
        };
        line.viewed(job, 1, false).await;
        still_there().await;
        line.viewed(job, 1, true).await;
        line.viewed(job, 2, true).await;
        line.viewed(job, 1, false).await;
        still_there().await;
        line.viewed(job, 2, false).await;
        line.viewed(job, 1, true).await;
        still_there().await;
        line.viewed(job, 1, false).await;
        line.pass(wait).await;
        line.reap().await;
        let end = line.end(job).await.expect("an end");
        assert_eq!(end.outcome, Outcome::Cancelled);
        assert_eq!(end.error.map(|error| error.code).as_deref(), Some("unviewed"));
    }

    /// So is one that a worker has: it is told, and its end says why.
    async fn a_running_job_that_nobody_views_is_told_to_its_worker(line: &Line) {
        let submission = viewed_submission();
        line.submit(&submission).await;
        let claim = line.claim().await.expect("ready");
        let job = claim.id;
        line.viewed(job, 1, true).await;
        line.viewed(job, 1, false).await;
        line.pass(Duration::from_millis(5_001)).await;
        line.reap().await;
        assert_eq!(line.extend(&claim).await, Extended::Cancel);
        let finished = line.finish(&claim, write(behind(claim.position, 1), end(Outcome::Cancelled))).await;
        assert!(matches!(finished, Fenced::Ok | Fenced::Dup));
        let end = line.end(job).await.expect("an end");
        assert_eq!(end.error.map(|error| error.code).as_deref(), Some("unviewed"));
    }

    /// Ended jobs are kept by count and by age.
    async fn ended_jobs_are_forgotten_in_time(line: &Line) {
        let mut jobs = Vec::new();
        for _ in 0..3 {
            let claim = line.running().await;
            line.finish(&claim, write(behind(claim.position, 1), end(Outcome::Completed))).await;
            jobs.push(claim.id);
        }
        line.promote().await;
        assert!(again(|| line.0.read(jobs[0], None)).await.is_none(), "by count");
        assert!(again(|| line.0.read(jobs[2], None)).await.is_some());
        line.pass(Duration::from_secs(3_601)).await;
        line.promote().await;
        assert_eq!(line.stats().await.ended, 0, "by age");
    }
}

#[tokio::test(start_paused = true)]
async fn ended_jobs_are_kept_up_to_a_bound_of_bytes() {
    let options = EngineOptions {
        retained_bytes_max: 1_000,
        ..EngineOptions::default()
    };
    let line = Line::ours(Arc::new(Embedded::new(options)));
    for (letters, kept) in [(10, 1), (2_000, 0)] {
        let claim = line.running().await;
        let ops = format!(r#"["","{}",0]"#, "x".repeat(letters));
        line.append(&claim, &patch_at(&claim, behind(claim.position, 1), &ops))
            .await;
        line.finish(&claim, write(behind(claim.position, 2), end(Outcome::Completed)))
            .await;
        line.promote().await;
        assert_eq!(line.stats().await.ended, kept, "{letters}");
    }
}

/// Cases in which somebody hears or reads what another one has written, over a Cluster that publishes to all nodes, as it is
/// where one is older than 7.0.
macro_rules! published_to_all {
    ($($name:ident)*) => {
        mod redis_cluster_to_all {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let cluster = RedisCluster::shared().await;
                cluster.publish_to_all();
                let engine = over_parts(&cluster, shards_of(stringify!($name)), options()).await;
                case::$name(&Line(Arc::new(engine), Time::Cluster(cluster))).await;
            })*
        }
    };
}

published_to_all! {
    live_entries_are_those_of_the_log
    openings_name_their_parents
    a_state_entry_replaces
    a_takeover_gets_the_checkpoint
    a_cancel_ends_a_job_in_every_state
    a_deferred_job_comes_back
    what_was_lost_comes_first
    poison_ends_a_job
    a_job_that_nobody_views_any_more_is_cancelled
    a_running_job_that_nobody_views_is_told_to_its_worker
}
