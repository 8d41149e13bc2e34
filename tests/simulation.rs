//! A seeded simulation: workers, hubs and viewers over one engine that loses answers, live messages and suffixes of
//! its writes, while workers die and viewers come and go. One thread, paused time, all randomness from the seed. Some worlds
//! are over a real Redis too, in real time and by chance.
//!
//! What must hold in every run:
//! - (epoch, seq) → bytes, and (epoch, seq) → folded value, are functions.
//! - Every viewer folds to the value that the engine holds at the end.
//! - Every job ends, exactly once in its log, and every viewer is told that end.
//! - Behind an acknowledged cancel nothing is written, nor told, but the end.
//! - Attempts are numbered without a gap, and re-asks are bounded.
#![allow(clippy::print_stdout, reason = "what came about is counted aloud")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use livedraft::backend::embedded::{Embedded, EngineOptions, State};
use livedraft::backend::fault::{AnswerCounts, FaultRates, Faulty};
use livedraft::backend::{Backend, Cancelled, Redis, Start};
use livedraft::client::{Follower, Received, Took};
use livedraft::clock;
use livedraft::event::{Epoch, Event, Position};
use livedraft::hub::{Hub, HubOptions};
use livedraft::job::{JobId, JobSpec, JobState, LeaseTimes, Reason};
use livedraft::llm::{Providers, ProvidersOptions};
use livedraft::partial::Value;
use livedraft::submit::{Admission, AdmissionOptions, Offered};
use livedraft::wire::{Deliver, Form, ServerMessage, Unseen};
use livedraft::worker::{Worker, WorkerOptions};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::redis_server::{Copy, RedisServer};

/// Worlds of a usual run; `SIMULATION_SEEDS=n` makes as many.
const SEEDS: u64 = 2_000;
const REDIS_WORLDS: u64 = 6;
const JOBS: usize = 2;
const VIEWERS: usize = 3;

/// What all viewers saw, held against each other.
#[derive(Default)]
struct Seen {
    bytes: HashMap<(JobId, Position), String>,
    folds: HashMap<(JobId, Position), Option<String>>,
    /// Values as viewers see them that want unseen members as `null`, where anything is shown.
    filled: HashMap<(JobId, Position), String>,
    /// Where logs ended when their cancels had been acknowledged.
    cancelled: HashMap<JobId, u64>,
    /// How far the epochs had come that a failover has cut off: a slow viewer may be told of it later.
    cut_off: HashMap<(JobId, Epoch), u64>,
    conflated: u64,
    resumed: u64,
    replaced: u64,
    worker_lost: u64,
    spliced: u64,
    spliced_again: u64,
    recovering: u64,
    trimmed: u64,
    deferred: u64,
}

/// The engine of a world, and how it loses a suffix of its writes.
enum Engine {
    Embedded(Arc<Embedded>),
    Redis(Arc<Redis>, RedisServer),
}

/// An engine as it was.
enum Saved {
    Embedded(Box<State>),
    Redis(Copy),
}

impl Engine {
    fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Embedded(engine) => Arc::clone(engine) as Arc<dyn Backend>,
            Self::Redis(engine, _) => Arc::clone(engine) as Arc<dyn Backend>,
        }
    }

    fn is_redis(&self) -> bool {
        matches!(self, Self::Redis(..))
    }

    fn save(&self) -> Saved {
        match self {
            Self::Embedded(engine) => Saved::Embedded(Box::new(engine.state())),
            Self::Redis(_, server) => Saved::Redis(server.copy()),
        }
    }

    /// Fails over to a replica that lagged. Ends are told only once durable (rule E6): none of them is lost, and in a Redis
    /// that is looked at in the same moment: false where one has come.
    fn restore(&self, saved: Saved) -> bool {
        match (self, saved) {
            (Self::Embedded(engine), Saved::Embedded(state)) => {
                engine.restore(*state);
                true
            }
            (Self::Redis(_, server), Saved::Redis(copy)) => {
                server.put_back_unless_changed(&copy, "{livedraft:0}:ended")
            }
            _ => unreachable!("what was saved is of the same engine"),
        }
    }
}

struct World {
    seed: u64,
    engine: Engine,
    backend: Arc<dyn Backend>,
    line: Arc<Faulty>,
    hubs: Vec<Arc<Hub>>,
    providers: Arc<Providers>,
    seen: Mutex<Seen>,
}

fn below(limit: u64) -> u64 {
    clock::nonce() % limit
}

async fn nap(limit_ms: u64) {
    clock::sleep(Duration::from_millis(below(limit_ms.max(1)))).await;
}

fn engine_options() -> EngineOptions {
    let lease = LeaseTimes {
        lease_ms: 3_000,
        extend_ms: 1_000,
        cancel_grace_ms: 2_000,
        losses_max: 1_000,
    };
    EngineOptions {
        lease,
        ..EngineOptions::default()
    }
}

impl World {
    fn new(seed: u64, engine: Engine) -> Arc<Self> {
        let backend = engine.backend();
        let rates = FaultRates {
            refused: below(60),
            answers_lost: below(60),
            live_lost: below(200),
            delay: Duration::from_millis(below(20)),
        };
        let line = Faulty::new(Arc::clone(&backend), rates);
        // A small ring, so that slow viewers fall out of it.
        let options = HubOptions {
            backlog_frames_max: 8,
            ..HubOptions::default()
        };
        let hubs = (0..2)
            .map(|_| Hub::new(Arc::clone(&line) as Arc<dyn Backend>, options))
            .collect();
        let providers = Arc::new(Providers::new(ProvidersOptions::default()).expect("the scripted model"));
        Arc::new(Self {
            seed,
            engine,
            backend,
            line,
            hubs,
            providers,
            seen: Mutex::default(),
        })
    }

    fn spawn_worker(&self) -> JoinSet<()> {
        let options = WorkerOptions {
            slots: 2,
            lease: engine_options().lease,
            ..WorkerOptions::default()
        };
        let worker = Worker::new(
            Arc::clone(&self.line) as Arc<dyn Backend>,
            Arc::clone(&self.providers),
            Arc::default(),
            options,
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&worker).heartbeat());
        tasks.spawn(async move {
            let (_open, drain) = watch::channel(false);
            worker.run(drain).await;
        });
        tasks
    }

    async fn submit(&self) -> JobId {
        let providers = Arc::clone(&self.providers);
        let offered = Arc::new(move |model: &str| {
            providers
                .resolve(model)
                .map(|_| Offered::default())
                .map_err(|unknown| unknown.nearest)
        });
        let admission = Admission::new(
            Arc::clone(&self.backend),
            Arc::default(),
            AdmissionOptions::default(),
            offered,
        );
        let schema = json!({"type": "object", "properties": {
            "name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}},
            "address": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        }, "required": ["name", "tags", "address"]});
        let mode = ["auto", "tools", "md_json"][below(3) as usize];
        // Some are long enough for stored snapshots and trimmed tails.
        let (text_chars, token_chars) = if below(4) == 0 { (8_000, 400) } else { (40, 4) };
        let spec = json!({"model": "scripted", "input": "x", "schema": schema, "mode": mode, "flush_ms": below(3) * 20, "script": {
            "tokens_per_second": 40, "seed": below(1_000), "invalid_attempts": below(3), "text_chars": text_chars,
            "token_chars": token_chars, "think": below(2) == 0, "prose": below(2) == 0, "rate_limited_attempts": below(8) / 7,
        }, "limits": {"seconds": 60}});
        let spec = serde_json::from_value(spec).expect("a spec");
        admission
            .submit("default", spec, None)
            .await
            .expect("accepted")
            .id
    }

    /// One viewer of one job: comes and goes between hubs, reads at its own pace, until it is told the end.
    async fn view(self: Arc<Self>, job: JobId, deliver: Deliver) -> Follower {
        let mut follower = Follower::of(job.to_string(), deliver);
        loop {
            let hub = &self.hubs[below(2) as usize];
            let wake = Arc::new(Notify::new());
            let held = if below(4) == 0 { None } else { follower.position() };
            let Ok(Some(mut viewer)) = hub.watch(job, held, deliver, &wake).await else {
                nap(200).await;
                continue;
            };
            let resumed = viewer.resumed();
            self.seen().resumed += u64::from(resumed);
            let attached = json!({"type": "job.attached", "job_id": job.to_string(), "tag": job.tag().as_str(), "resumed": resumed});
            follower
                .take(&Received::read(attached.to_string()).expect("a message"))
                .expect("it binds");
            let leaves = 5 + below(60);
            for turn in 0.. {
                if turn == leaves {
                    break;
                }
                let told = viewer.take(clock::now_ms(), 512);
                if told.is_empty() {
                    tokio::select! {
                        () = wake.notified() => {}
                        () = clock::sleep(Duration::from_secs(5)) => {}
                    }
                }
                for frame in told {
                    self.hear(job, deliver, &mut follower, &frame.text);
                }
                if follower.end().is_some() {
                    self.seen().conflated += viewer.conflated();
                    return follower;
                }
                if below(8) == 0 {
                    nap(800).await;
                }
            }
            self.seen().conflated += viewer.conflated();
        }
    }

    fn hear(&self, job: JobId, deliver: Deliver, follower: &mut Follower, text: &str) {
        let received = Received::read(text).expect("a message");
        let took = match follower.take(&received) {
            Ok(took) => took,
            Err(error) => panic!("seed {}: {error} at {text}", self.seed),
        };
        let mut seen = self.seen();
        match &received.message {
            ServerMessage::Snapshot(_) if took == Took::Replaced => seen.replaced += 1,
            ServerMessage::Status(status) => {
                seen.recovering += u64::from(status.event.status == JobState::Recovering);
                seen.deferred += u64::from(status.event.status == JobState::Waiting);
            }
            ServerMessage::Attempt(attempt) => {
                let lost = attempt.event.reason == Reason::WorkerLost;
                seen.worker_lost += u64::from(lost);
                seen.spliced += u64::from(!attempt.event.reset);
                seen.spliced_again += u64::from(lost && !attempt.event.reset);
            }
            _ => {}
        }
        let Some(position) = follower.position() else {
            return;
        };
        let event = !matches!(
            received.message,
            ServerMessage::Snapshot(_) | ServerMessage::End(_)
        );
        if let (ServerMessage::Patch(_), Some(at)) = (&received.message, seen.cancelled.get(&job)) {
            let cut_off = seen.cut_off.get(&(job, position.epoch));
            assert!(
                position.seq <= *at || cut_off.is_some_and(|last| position.seq <= *last),
                "seed {}: {text} behind a cancel at {at}",
                self.seed
            );
        }
        if event && deliver.unseen == Unseen::Absent && deliver.form == Form::Patch {
            let before = seen
                .bytes
                .entry((job, position))
                .or_insert_with(|| text.to_owned());
            assert_eq!(before, text, "seed {}: {position} has two payloads", self.seed);
        }
        if deliver.unseen == Unseen::Absent && took != Took::Skipped && took != Took::Part {
            let fold = follower.value().map(Value::to_json);
            let before = seen.folds.entry((job, position)).or_insert_with(|| fold.clone());
            assert_eq!(*before, fold, "seed {}: {position} has two folds", self.seed);
        }
        // An end tells the value as it is, in every look.
        let looks = deliver.unseen == Unseen::Null && !matches!(received.message, ServerMessage::End(_));
        if let Some(value) = follower
            .value()
            .filter(|_| looks && took != Took::Skipped && took != Took::Part)
        {
            let filled = value.to_json();
            let before = seen
                .filled
                .entry((job, position))
                .or_insert_with(|| filled.clone());
            assert_eq!(*before, filled, "seed {}: {position} has two looks", self.seed);
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no viewer has panicked")
    }

    /// Kills workers, loses suffixes of writes, asks for a job's end. Its workers are handed back alive.
    async fn torment(self: &Arc<Self>, jobs: &[JobId]) -> Vec<JoinSet<()>> {
        let mut workers = vec![self.spawn_worker(), self.spawn_worker()];
        for _ in 0..3 + below(8) {
            let saved = self.engine.save();
            let ended = self.ended(jobs).await;
            nap(700).await;
            match below(4) {
                // Ends are told only once durable (rule E6): a failover loses none of them.
                0 if self.ended(jobs).await == ended => self.fail_over(jobs, saved).await,
                1 => {
                    let victim = below(2) as usize;
                    workers[victim] = self.spawn_worker();
                }
                2 if below(4) == 0 => {
                    let job = jobs[below(jobs.len() as u64) as usize];
                    self.cancel(job).await;
                }
                _ => {}
            }
        }
        workers
    }

    async fn fail_over(&self, jobs: &[JobId], saved: Saved) {
        let positions = self.backend.positions(jobs).await.expect("the engine");
        if !self.engine.restore(saved) {
            return;
        }
        for (job, last) in jobs.iter().zip(positions) {
            let last = last.expect("the job");
            // A Redis goes on until it is put back: how far, nobody knows.
            let seq = if self.engine.is_redis() {
                u64::MAX
            } else {
                last.seq
            };
            let mut seen = self.seen();
            let cut_off = seen.cut_off.entry((*job, last.epoch)).or_default();
            *cut_off = seq.max(*cut_off);
        }
    }

    async fn cancel(&self, job: JobId) {
        let told = self.backend.cancel(job, Epoch::new(clock::nonce())).await;
        if matches!(
            told.expect("the engine"),
            Some(Cancelled::Now | Cancelled::Requested)
        ) {
            let last = self.backend.positions(&[job]).await.expect("the engine")[0].expect("the job");
            self.seen().cancelled.entry(job).or_insert(last.seq);
        }
    }

    async fn ended(&self, jobs: &[JobId]) -> usize {
        let mut ended = 0;
        for job in jobs {
            let reading = self
                .backend
                .read(*job, None)
                .await
                .expect("the engine")
                .expect("the job");
            ended += usize::from(reading.tail.iter().any(|entry| entry.event.kind() == "end"));
        }
        ended
    }

    /// The final log: one end, and the value it leaves.
    async fn final_value(&self, job: JobId) -> Option<String> {
        let reading = self
            .backend
            .read(job, None)
            .await
            .expect("the engine")
            .expect("the job");
        let ends = reading
            .tail
            .iter()
            .filter(|entry| matches!(entry.event, Event::End(_)))
            .count();
        assert_eq!(ends, 1, "seed {}: not one end in the log of {job}", self.seed);
        if let Some(at) = self.seen().cancelled.get(&job).copied() {
            let mut behind = reading.tail.iter().filter(|entry| entry.position.seq > at);
            assert!(
                behind.all(|entry| matches!(entry.event, Event::End(_))),
                "seed {}: {job} goes on behind its cancel at {at}",
                self.seed
            );
        }
        let Start::Snapshot(state) = reading.start else {
            panic!("asked for the whole")
        };
        let mut fold = (*state).clone();
        self.seen().trimmed += u64::from(fold.position.seq > 0);
        for entry in &reading.tail {
            fold.apply(entry).expect("it folds");
        }
        let numbered = fold.attempts.iter().zip(1..).all(|(attempt, n)| attempt.n == n);
        let invalid = fold
            .attempts
            .iter()
            .filter(|attempt| attempt.reason == Reason::Invalid)
            .count();
        assert!(
            numbered && invalid <= JobSpec::DEFAULT_REASKS as usize,
            "seed {}: attempts of {job}: {:?}",
            self.seed,
            fold.attempts
        );
        fold.value.as_ref().map(Value::to_json)
    }
}

fn looks(number: usize) -> Deliver {
    match number % 4 {
        0 => Deliver::default(),
        1 => Deliver {
            notes: true,
            ..Deliver::default()
        },
        2 => Deliver {
            form: Form::Snapshot,
            interval_ms: 50,
            ..Deliver::default()
        },
        _ => Deliver {
            unseen: Unseen::Null,
            ..Deliver::default()
        },
    }
}

async fn run(seed: u64, engine: Engine) -> (Seen, AnswerCounts) {
    let world = World::new(seed, engine);
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(world.submit().await);
    }
    let mut viewers = JoinSet::new();
    for number in 0..JOBS * VIEWERS {
        let job = jobs[number % JOBS];
        let world = Arc::clone(&world);
        viewers.spawn(async move {
            nap(2_000).await;
            (job, world.view(job, looks(number / JOBS)).await)
        });
    }
    let workers = world.torment(&jobs).await;
    let quiet = clock::now() + Duration::from_secs(600);
    loop {
        tokio::select! {
            told = viewers.join_next() => {
                let Some(told) = told else { break };
                let (job, follower) = told.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                let value = world.final_value(job).await;
                if follower.deliver().unseen == Unseen::Absent {
                    assert_eq!(follower.value().map(Value::to_json), value, "seed {seed}: another value");
                }
                assert_eq!(follower.tally().duplicated, 0, "seed {seed}");
            }
            () = clock::sleep_until(quiet) => panic!("seed {seed}: a viewer was never told the end"),
        }
    }
    drop(workers);
    let counts = world.line.counts();
    (std::mem::take(&mut *world.seen()), counts)
}

impl Seen {
    /// What came about: how often each rare thing did.
    fn add(&mut self, saw: &Self) {
        self.conflated += saw.conflated;
        self.resumed += saw.resumed;
        self.replaced += saw.replaced;
        self.worker_lost += saw.worker_lost;
        self.spliced += saw.spliced;
        self.spliced_again += saw.spliced_again;
        self.recovering += saw.recovering;
        self.trimmed += saw.trimmed;
        self.deferred += saw.deferred;
    }
}

/// The world of a seed, on this thread alone.
fn world_of(seed: u64) -> (Seen, AnswerCounts) {
    clock::seed(Some(seed));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let saw = runtime.expect("a runtime").block_on(async {
        let engine = Arc::new(Embedded::new(engine_options()));
        run(seed, Engine::Embedded(engine)).await
    });
    clock::seed(None);
    saw
}

/// The worlds of these seeds, on as many threads as the machine has; a seed whose world is not in order is told.
fn worlds(seeds: std::ops::Range<u64>) -> (Seen, AnswerCounts) {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let all = Mutex::new((Seen::default(), AnswerCounts::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let world = std::panic::catch_unwind(|| world_of(seed));
            let (saw, told) = world.unwrap_or_else(|_| panic!("again: SIMULATION_SEED={seed}"));
            let mut all = all.lock().expect("nobody has panicked with it");
            all.0.add(&saw);
            all.1.dup += told.dup;
            all.1.rolled_back += told.rolled_back;
            all.1.lost += told.lost;
        }
    };
    std::thread::scope(|scope| {
        let working: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in working {
            thread.join().expect("worlds in order");
        }
    });
    all.into_inner().expect("nobody has panicked with it")
}

#[test]
fn every_viewer_folds_the_same_draft_under_faults() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse().expect("a number"))
    };
    let only: Option<u64> = number("SIMULATION_SEED");
    let seeds = only.map_or(0..number("SIMULATION_SEEDS").unwrap_or(SEEDS), |seed| {
        seed..seed + 1
    });
    // The house's clock begins now, and not at a time that a world has put ahead.
    clock::now_ms();
    let (seen, counts) = worlds(seeds.clone());
    if only.is_none() {
        // The rare branches ran, or the run above proves nothing.
        let branches = [
            ("a backlog dropped for a snapshot", seen.conflated),
            ("a viewer resumed by tail", seen.resumed),
            ("a state replaced", seen.replaced),
            ("a takeover", seen.worker_lost),
            ("bad places asked for alone", seen.spliced),
            ("a takeover in the middle of that", seen.spliced_again),
            ("a lease reaped", seen.recovering),
            ("a tail trimmed", seen.trimmed),
            ("a job put back", seen.deferred),
            ("a write sent again", counts.dup),
            ("a write rolled back", counts.rolled_back),
            ("a zombie refused", counts.lost),
        ];
        println!("{branches:?}");
        for (what, times) in branches {
            assert!(times > 0, "{what}: never in {seeds:?}");
        }
    }
}

/// Worlds over a Redis, all at once: what must hold holds there too.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_so_over_redis() {
    let mut worlds = JoinSet::new();
    for number in 0..REDIS_WORLDS {
        let server = RedisServer::start();
        let engine = Arc::new(server.engine(1, engine_options()).await);
        worlds.spawn(run(number, Engine::Redis(engine, server)));
    }
    let mut counts = AnswerCounts::default();
    while let Some(ran) = worlds.join_next().await {
        let (_, told) = ran.expect("a world in order");
        counts.dup += told.dup;
    }
    assert!(
        counts.dup > 0,
        "a write sent again: never in {REDIS_WORLDS} worlds"
    );
}
