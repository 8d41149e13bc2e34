//! A randomized model of the log and its epochs (rules E1–E8): the embedded engine as the log, replicas as nodes, and
//! workers, nodes and viewers reduced to what the rules ask of them, so that a run costs microseconds and thousands
//! of orders of events are tried.
//!
//! The engine is replicated with a lag: a failover puts an earlier state in place of what it held, and in a split
//! the old one goes on for those that still hold it. Live messages are lost and come out of order, answers are lost.
//!
//! What must hold at every step:
//! - (epoch, seq) → payload is a function, and (epoch, seq) → state is one.
//! - A viewer's state is the one that the log had at the viewer's position.
//!
//! And when all is quiet: every viewer holds the log's state, and the log has exactly one end.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use livedraft::backend::embedded::{Embedded, EngineOptions, State};
use livedraft::backend::{
    Append, Appended, EventLog, Fenced, JobFacts, JobQueue, Reading, Start, Submission, Write,
};
use livedraft::clock;
use livedraft::event::{End, Entry, Epoch, Event, Fold, Position, Resume, Timings};
use livedraft::hub::{HubOptions, Replica, Took};
use livedraft::job::{JobId, JobState, LeaseTimes, LeaseToken, Outcome, Usage};
use livedraft::partial::Value;

use crate::harness::frame;
use tokio::sync::mpsc;

const RUNS: u64 = 3_000;
const NODES: usize = 2;
const WORKERS: usize = 2;
const VIEWERS: usize = 3;

/// How often the rare branches ran.
#[derive(Default, Debug)]
struct Counts {
    dup: u64,
    lost: u64,
    rolled_back: u64,
    failovers: u64,
    splits: u64,
    late: u64,
    gaps: u64,
    tails: u64,
    snapshots: u64,
    cancels: u64,
    two_ends: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    New,
    Old,
}

/// A node: a replica, the entries behind its last snapshot, and a wire that loses and disorders.
struct Node {
    side: Side,
    replica: Replica,
    base: Fold,
    tail: Vec<Arc<Entry>>,
    live: mpsc::Receiver<Arc<Entry>>,
    inbox: Vec<Arc<Entry>>,
}

/// What a client holds.
#[derive(Clone)]
struct Viewer {
    node: Option<usize>,
    state: Fold,
    end: Option<String>,
    ends: Vec<String>,
}

/// A worker at a job: its own fold, and the write that has not been answered.
struct Worker {
    side: Side,
    token: LeaseToken,
    fold: Fold,
    pending: Option<Pending>,
}

#[derive(Clone)]
enum Pending {
    Append(Box<Append>),
    Finish(Write),
}

struct Model {
    seed: u64,
    job: JobId,
    new: Embedded,
    old: Option<Embedded>,
    /// Every state that the new side went through, and how far they have reached its replica.
    history: Vec<State>,
    replicated: usize,
    nodes: Vec<Node>,
    viewers: Vec<Viewer>,
    workers: Vec<Option<Worker>>,
    payloads: HashMap<Position, String>,
    states: HashMap<Position, String>,
    counts: Counts,
    texts: u64,
}

fn below(limit: u64) -> u64 {
    clock::nonce() % limit
}

/// True in `percent` of all cases.
fn chance(percent: u64) -> bool {
    below(100) < percent
}

fn any(limit: usize) -> usize {
    usize::try_from(below(limit as u64)).expect("an index")
}

fn epoch() -> Epoch {
    Epoch::new(clock::nonce())
}

/// The engine answers at once: nothing in it waits.
fn now<T, E: std::fmt::Debug>(step: impl Future<Output = Result<T, E>>) -> T {
    step.now_or_never().expect("at once").expect("an answer")
}

/// What must be equal where positions are.
fn text(fold: &Fold, end: Option<&str>) -> String {
    let value = fold.value.as_ref().map(Value::to_json);
    format!("{value:?} cursor {:?} end {end:?}", fold.cursor)
}

fn end_name(entry: &Entry) -> Option<String> {
    match &entry.event {
        Event::End(end) => end
            .sha256
            .clone()
            .or_else(|| Some("ended by the engine".to_owned())),
        _ => None,
    }
}

impl Node {
    fn new(engine: &Embedded, job: JobId) -> Self {
        let live = now(engine.subscribe(job));
        let reading = now(engine.read(job, None)).expect("the job");
        let facts = now(engine.facts(job)).expect("the job");
        let facts: Arc<JobFacts> = facts;
        let replica = Replica::new(facts, HubOptions::default(), &reading).expect("it folds");
        let base = replica.fold().clone();
        Self {
            side: Side::New,
            replica,
            base,
            tail: Vec::new(),
            live,
            inbox: Vec::new(),
        }
    }

    fn repair(&mut self, reading: &Reading) {
        let last = self.replica.last();
        if let Start::Snapshot(state) = &reading.start {
            self.base = (**state).clone();
            self.tail = reading.tail.clone();
        } else {
            let behind = reading.tail.iter().filter(|entry| entry.position.seq > last.seq);
            self.tail.extend(behind.cloned());
        }
        self.replica.repair(reading).expect("what the engine holds folds");
    }

    /// The entries behind a position; `None` where they are no longer here.
    fn behind(&self, held: Position) -> Option<Vec<Arc<Entry>>> {
        let behind = self.tail.iter().filter(|entry| entry.position.seq > held.seq);
        (held.seq >= self.base.position.seq).then(|| behind.cloned().collect())
    }
}

impl Model {
    fn new(seed: u64) -> Self {
        clock::seed(Some(seed));
        let lease = LeaseTimes {
            // Every lease has always run out: whether it is taken back is drawn.
            lease_ms: 0,
            extend_ms: 0,
            cancel_grace_ms: 0,
            losses_max: u32::MAX,
        };
        let new = Embedded::new(EngineOptions {
            lease,
            ..EngineOptions::default()
        });
        let job = JobId::new(clock::job_uuid());
        let spec = serde_json::from_str(r#"{"model":"scripted","input":"x","schema":{}}"#).expect("a spec");
        let submission = Submission {
            id: job,
            epoch: epoch(),
            tenant: "one".into(),
            spec: Arc::new(spec),
            shape: Arc::default(),
            idempotency: None,
        };
        now(new.submit(submission));
        let nodes: Vec<Node> = (0..NODES).map(|_| Node::new(&new, job)).collect();
        let viewer = Viewer {
            node: None,
            state: nodes[0].replica.fold().clone(),
            end: None,
            ends: Vec::new(),
        };
        let mut model = Self {
            seed,
            job,
            history: vec![new.state()],
            replicated: 0,
            new,
            old: None,
            nodes,
            viewers: vec![viewer; VIEWERS],
            workers: (0..WORKERS).map(|_| None).collect(),
            payloads: HashMap::new(),
            states: HashMap::new(),
            counts: Counts::default(),
            texts: 0,
        };
        model.wrote(Side::New);
        model
    }

    fn engine(&self, side: Side) -> &Embedded {
        match (side, &self.old) {
            (Side::Old, Some(old)) => old,
            _ => &self.new,
        }
    }

    fn read(&self, side: Side, held: Option<Position>) -> Reading {
        now(self.engine(side).read(self.job, held)).expect("the job")
    }

    /// A step may have written: what it wrote is held against all that was ever written, and goes on the wires.
    fn wrote(&mut self, side: Side) {
        let reading = self.read(side, None);
        let Start::Snapshot(state) = &reading.start else {
            panic!("asked for the whole")
        };
        let mut fold = (**state).clone();
        self.stood(fold.position, &fold, None);
        for entry in &reading.tail {
            self.written(entry);
            fold.apply(entry).expect("it folds");
            self.stood(entry.position, &fold, end_name(entry).as_deref());
        }
        if side == Side::New {
            self.history.push(self.new.state());
        }
        for node in &mut self.nodes {
            while let Ok(entry) = node.live.try_recv() {
                if !chance(12) {
                    node.inbox.push(entry);
                }
            }
        }
    }

    fn written(&mut self, entry: &Entry) {
        let payload = format!("{:?} {:?}", entry.opens, entry.event);
        let before = self
            .payloads
            .entry(entry.position)
            .or_insert_with(|| payload.clone());
        assert_eq!(
            *before, payload,
            "seed {}: {} has two payloads",
            self.seed, entry.position
        );
    }

    fn stood(&mut self, position: Position, fold: &Fold, end: Option<&str>) {
        let state = text(fold, end);
        let before = self.states.entry(position).or_insert_with(|| state.clone());
        assert_eq!(*before, state, "seed {}: {position} has two states", self.seed);
    }

    /// A live message reaches a node, mostly in its turn.
    fn hear(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.inbox.is_empty() {
            return;
        }
        let turn = if chance(90) { 0 } else { any(node.inbox.len()) };
        let entry = node.inbox.remove(turn);
        match node.replica.take(&entry) {
            Took::Applied => {
                node.tail.push(entry);
                self.tell(number);
            }
            Took::Old => self.counts.late += 1,
            Took::Gap => {
                self.counts.gaps += 1;
                self.repair(number);
            }
        }
    }

    fn repair(&mut self, number: usize) {
        let node = &self.nodes[number];
        let reading = self.read(node.side, node.replica.held());
        self.nodes[number].repair(&reading);
        self.tell(number);
    }

    /// Rule E2: the node compares epoch and seq.
    fn poll(&mut self, number: usize) {
        let node = &self.nodes[number];
        let last = now(self.engine(node.side).positions(&[self.job]))[0].expect("the job");
        if last != node.replica.last() {
            self.repair(number);
        }
    }

    /// The viewers of a node are told what they miss.
    fn tell(&mut self, number: usize) {
        for viewer in 0..VIEWERS {
            if self.viewers[viewer].node == Some(number) {
                self.sync(viewer, number);
            }
        }
    }

    fn attach(&mut self, viewer: usize, number: usize) {
        self.viewers[viewer].node = Some(number);
        let held = self.viewers[viewer].state.position;
        let node = &self.nodes[number];
        // A node that is behind the viewer reads again first (rule E8).
        if node.replica.resume(held) == Resume::Snapshot {
            self.repair(number);
        }
        self.sync(viewer, number);
    }

    fn sync(&mut self, viewer: usize, number: usize) {
        let node = &self.nodes[number];
        let viewer = &mut self.viewers[viewer];
        let held = viewer.state.position;
        let tail = (node.replica.resume(held) == Resume::Tail).then(|| node.behind(held));
        if let Some(Some(tail)) = tail {
            self.counts.tails += u64::from(!tail.is_empty());
            for entry in tail {
                viewer.take(&entry);
            }
            // What a client is not told, it does not know: the epoch stands only on what is not a patch (rule E5).
        } else {
            self.counts.snapshots += 1;
            viewer.state = node.replica.fold().clone();
            viewer.end = None;
            if let Some((position, end)) = node.replica.end() {
                let entry = Entry {
                    position,
                    opens: None,
                    event: Event::End(Box::new(end.clone())),
                };
                viewer.take(&entry);
            }
        }
        if viewer.ends.len() > 1 {
            self.counts.two_ends += 1;
        }
    }

    fn check(&self) {
        for (number, viewer) in self.viewers.iter().enumerate() {
            let position = viewer.state.position;
            let holds = text(&viewer.state, viewer.end.as_deref());
            assert_eq!(
                self.states.get(&position),
                Some(&holds),
                "seed {}: viewer {number} at {position} holds another state than the log had",
                self.seed
            );
        }
    }

    fn state(&self) -> JobState {
        let reading = self.read(Side::New, None);
        let ended = reading
            .tail
            .iter()
            .any(|entry| matches!(entry.event, Event::End(_)));
        if ended {
            JobState::Completed
        } else {
            JobState::Running
        }
    }

    fn claim(&mut self, number: usize) {
        let Some(claim) = now(self.new.claim(clock::nonce(), epoch())) else {
            return;
        };
        self.wrote(Side::New);
        // The answer may be lost: nobody holds the token then.
        self.workers[number] = (!chance(15)).then(|| Worker {
            side: Side::New,
            token: claim.token(),
            fold: Fold {
                position: claim.position,
                ..claim.checkpoint.fold.clone()
            },
            pending: None,
        });
    }

    fn work(&mut self, number: usize) {
        let Some(worker) = &self.workers[number] else {
            return self.claim(number);
        };
        let (side, token) = (worker.side, worker.token);
        let pending = match &worker.pending {
            Some(pending) => pending.clone(),
            None => {
                self.texts += 1;
                worker.next(self.job, self.texts)
            }
        };
        let answer = match &pending {
            Pending::Append(append) => now(self.engine(side).append(self.job, token, append)),
            Pending::Finish(write) => match now(self.engine(side).finish(self.job, token, write.clone())) {
                Fenced::Ok => Appended::Ok,
                Fenced::Dup => Appended::Dup,
                Fenced::RolledBack(last) => Appended::RolledBack(last),
                Fenced::Lost => Appended::Lost,
                Fenced::Cancel => Appended::Cancel,
            },
        };
        self.wrote(side);
        if chance(25) {
            // The answer is lost: the same bytes are sent again.
            if let Some(worker) = &mut self.workers[number] {
                worker.pending = Some(pending);
            }
            return;
        }
        self.answered(number, pending, answer);
    }

    fn answered(&mut self, number: usize, pending: Pending, answer: Appended) {
        let Some(worker) = &mut self.workers[number] else {
            return;
        };
        worker.pending = None;
        match answer {
            Appended::Ok | Appended::Dup => {
                self.counts.dup += u64::from(answer == Appended::Dup);
                match pending {
                    Pending::Append(append) => worker.wrote(append.write),
                    Pending::Finish(_) => self.workers[number] = None,
                }
            }
            Appended::Lost => {
                self.counts.lost += 1;
                self.workers[number] = None;
            }
            Appended::RolledBack(last) => {
                self.counts.rolled_back += 1;
                worker.pending = Some(worker.restate(last));
            }
            Appended::Cancel => {
                self.counts.cancels += 1;
                // What was refused may have stood at this seq and been lost: a new epoch.
                let position = Position {
                    epoch: epoch(),
                    ..worker.after()
                };
                let write = Write {
                    opens: true,
                    ..end(position, Outcome::Cancelled)
                };
                worker.pending = Some(Pending::Finish(write));
            }
        }
    }

    fn reap(&mut self) {
        now(self.new.reap(1, &mut epoch));
        self.wrote(Side::New);
    }

    fn cancel(&mut self) {
        now(self.new.cancel(self.job, epoch()));
        self.wrote(Side::New);
    }

    /// The replica takes over, without what had not reached it.
    fn failover(&mut self) {
        self.counts.failovers += 1;
        let split = self.old.is_none() && chance(40);
        if split {
            self.counts.splits += 1;
            self.split();
        }
        self.history.truncate(self.replicated + 1);
        self.new.restore(self.history[self.replicated].clone());
        for number in 0..NODES {
            if !split && chance(70) {
                self.repair(number);
            }
        }
    }

    /// The old master goes on for some.
    fn split(&mut self) {
        let old = Embedded::new(EngineOptions::default());
        old.restore(self.new.state());
        for node in &mut self.nodes {
            if chance(50) {
                node.side = Side::Old;
                node.live = now(old.subscribe(self.job));
            }
        }
        for worker in self.workers.iter_mut().flatten() {
            worker.side = if chance(50) { Side::Old } else { Side::New };
        }
        self.old = Some(old);
    }

    fn heal(&mut self) {
        if self.old.take().is_none() {
            return;
        }
        for worker in self.workers.iter_mut().flatten() {
            worker.side = Side::New;
        }
        for number in 0..NODES {
            if self.nodes[number].side == Side::Old {
                self.nodes[number].side = Side::New;
                self.nodes[number].live = now(self.new.subscribe(self.job));
                self.repair(number);
            }
        }
    }

    fn step(&mut self) {
        match below(100) {
            0..38 => self.work(any(WORKERS)),
            38..42 => self.reap(),
            42..43 => self.cancel(),
            43..52 => self.replicated += any(self.history.len() - self.replicated),
            52..56 if self.counts.failovers < 2 => self.failover(),
            56..60 => self.heal(),
            60..80 => self.hear(any(NODES)),
            80..84 => self.poll(any(NODES)),
            84..92 => self.attach(any(VIEWERS), any(NODES)),
            92..96 => self.viewers[any(VIEWERS)].node = None,
            _ => {}
        }
        self.check();
    }

    /// No more faults: the job goes to its end, and everybody hears of it.
    fn rest(&mut self) {
        self.heal();
        for _ in 0..1_000 {
            if self.state() == JobState::Completed {
                break;
            }
            if chance(10) {
                self.reap();
            }
            self.work(any(WORKERS));
        }
        for number in 0..NODES {
            while !self.nodes[number].inbox.is_empty() {
                self.hear(number);
                self.check();
            }
            self.poll(number);
        }
        for viewer in 0..VIEWERS {
            self.attach(viewer, any(NODES));
        }
        self.check();
        let reading = self.read(Side::New, None);
        let ends = reading
            .tail
            .iter()
            .filter(|entry| matches!(entry.event, Event::End(_)));
        assert_eq!(ends.count(), 1, "seed {}: not one end in the log", self.seed);
        for viewer in &self.viewers {
            assert_eq!(
                viewer.state.position, reading.last,
                "seed {}: a viewer is stuck",
                self.seed
            );
        }
    }
}

impl Viewer {
    /// As a client folds: a patch tells no epoch.
    fn take(&mut self, entry: &Entry) {
        let told = match &entry.event {
            Event::Patch(_) => Position {
                seq: entry.position.seq,
                ..self.state.position
            },
            _ => entry.position,
        };
        self.state.apply(entry).expect("it folds");
        self.state.position = told;
        if let Some(end) = end_name(entry) {
            if !self.ends.contains(&end) {
                self.ends.push(end.clone());
            }
            self.end = Some(end);
        }
    }
}

impl Worker {
    fn after(&self) -> Position {
        Position {
            seq: self.fold.position.seq + 1,
            ..self.fold.position
        }
    }

    /// The next thing that this worker writes.
    fn next(&self, job: JobId, number: u64) -> Pending {
        let position = self.after();
        if chance(18) {
            return Pending::Finish(end(position, Outcome::Completed));
        }
        let ops = match self.fold.value {
            None => format!(r#"["","t{number} ",0]"#),
            Some(_) => format!(r#"["","t{number} "]"#),
        };
        let event = Event::Patch(frame(job, position.seq, &ops).into());
        let write = Write {
            position,
            opens: false,
            event,
        };
        let mut fold = self.fold.clone();
        fold.apply(&entry(write.clone())).expect("it folds");
        Pending::Append(Box::new(Append {
            snapshot: chance(15).then(|| Arc::new(fold)),
            write,
            raw: String::new(),
            raw_anew: false,
            record: None,
        }))
    }

    fn wrote(&mut self, write: Write) {
        self.fold.apply(&entry(write)).expect("it folds");
    }

    /// Rule E7: what it holds, whole, in a new epoch.
    fn restate(&self, last: Position) -> Pending {
        let position = Position {
            epoch: epoch(),
            seq: last.seq + 1,
        };
        let state = Fold {
            position,
            ..self.fold.clone()
        };
        Pending::Append(Box::new(Append {
            write: Write {
                position,
                opens: true,
                event: Event::State(Box::new(state.clone())),
            },
            raw: String::new(),
            raw_anew: false,
            record: None,
            snapshot: Some(Arc::new(state)),
        }))
    }
}

fn entry(write: Write) -> Entry {
    Entry {
        position: write.position,
        opens: None,
        event: write.event,
    }
}

fn end(position: Position, outcome: Outcome) -> Write {
    let end = End {
        outcome,
        error: None,
        sha256: Some(format!("{outcome:?} {}", clock::nonce())),
        best: None,
        usage: Usage::default(),
        attempts: Vec::new(),
        timings: Timings::default(),
        durable: true,
    };
    Write {
        position,
        opens: false,
        event: Event::End(Box::new(end)),
    }
}

#[test]
fn every_viewer_holds_what_the_log_had_at_its_position() {
    let only = std::env::var("LOG_MODEL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..RUNS, |seed: u64| seed..seed + 1);
    let mut all = Counts::default();
    for seed in seeds {
        let mut model = Model::new(seed);
        for _ in 0..25 + seed % 60 {
            model.step();
        }
        model.rest();
        all.add(&model.counts);
    }
    clock::seed(None);
    if only.is_none() {
        for (branch, times) in all.named() {
            assert!(times > 0, "{branch}: never in {RUNS} runs");
        }
    }
}

impl Counts {
    fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("a write was answered twice", self.dup),
            ("a zombie was refused", self.lost),
            ("a write was rolled back", self.rolled_back),
            ("a failover", self.failovers),
            ("a split", self.splits),
            ("a late entry of an old epoch", self.late),
            ("a gap", self.gaps),
            ("a tail", self.tails),
            ("a snapshot", self.snapshots),
            ("a cancel carried by an append", self.cancels),
            ("two ends, the first one lost in a failover", self.two_ends),
        ]
    }

    fn add(&mut self, run: &Self) {
        self.dup += run.dup;
        self.lost += run.lost;
        self.rolled_back += run.rolled_back;
        self.failovers += run.failovers;
        self.splits += run.splits;
        self.late += run.late;
        self.gaps += run.gaps;
        self.tails += run.tails;
        self.snapshots += run.snapshots;
        self.cancels += run.cancels;
        self.two_ends += run.two_ends;
    }
}
