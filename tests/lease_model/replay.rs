//! Steps of the small world, taken by an engine, embedded or the real scripts in a Redis, and by a node's replica.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::{Embedded, EngineOptions, State};
use livedraft::backend::{self, Append, Appended, Backend, Fenced, Redis, Submission};
use livedraft::clock;
use livedraft::event::{End, Entry, Epoch, Event, Fold, Position, Timings};
use livedraft::hub::{HubOptions, Replica};
use livedraft::job::{JobId, LeaseTimes, LeaseToken, Outcome, Usage};
use livedraft::partial::Value;

use super::store::{Answer, At, Event as Said, Write};
use super::world::{self, Step};
use crate::harness::frame;
use crate::redis_server::{Copy, RedisServer};
use tokio::sync::mpsc;

/// Beyond what a lease lasts in a Redis: whether it is taken back is a step.
const LEASE: Duration = Duration::from_secs(1_000);

/// An engine, and how it fails over.
pub enum Engine {
    Embedded(Arc<Embedded>),
    Redis(Arc<Redis>, Arc<RedisServer>),
}

/// What its replica has.
enum Replicated {
    Embedded(Box<State>),
    Redis(Copy),
}

/// The same world, real.
pub struct Real {
    job: JobId,
    engine: Engine,
    replica: Replicated,
    /// The tokens of the workers, and the state that each began with.
    workers: [Option<(LeaseToken, Fold)>; 2],
    node: Replica,
    live: mpsc::Receiver<Arc<Entry>>,
    /// What was ever published.
    published: BTreeMap<At, Arc<Entry>>,
}

fn options(lease: Duration) -> EngineOptions {
    EngineOptions {
        lease: LeaseTimes {
            lease_ms: u64::try_from(lease.as_millis()).expect("it is short"),
            extend_ms: 0,
            cancel_grace_ms: 0,
            losses_max: u32::MAX,
        },
        ..EngineOptions::default()
    }
}

impl Engine {
    /// An engine whose leases have always run out: whether one is taken back is a step.
    pub fn embedded() -> Self {
        Self::Embedded(Arc::new(Embedded::new(options(Duration::ZERO))))
    }

    /// The scripts over a Redis that is emptied for them.
    pub async fn over(server: &Arc<RedisServer>) -> Self {
        let () = redis::cmd("FLUSHALL")
            .query(&mut server.connection())
            .expect("a Redis that answers");
        let engine = server.engine(1, options(LEASE)).await;
        Self::Redis(Arc::new(engine), Arc::clone(server))
    }

    fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Embedded(engine) => Arc::clone(engine) as Arc<dyn Backend>,
            Self::Redis(engine, _) => Arc::clone(engine) as Arc<dyn Backend>,
        }
    }

    /// A lease runs out.
    fn run_out(&self) {
        if let Self::Redis(_, server) = self {
            server.pass(LEASE + Duration::from_secs(1));
        }
    }

    fn replicate(&self) -> Replicated {
        match self {
            Self::Embedded(engine) => Replicated::Embedded(Box::new(engine.state())),
            Self::Redis(_, server) => Replicated::Redis(server.copy()),
        }
    }

    fn fail_over(&self, to: &Replicated) {
        match (self, to) {
            (Self::Embedded(engine), Replicated::Embedded(state)) => engine.restore((**state).clone()),
            (Self::Redis(_, server), Replicated::Redis(copy)) => server.put_back(copy),
            _ => unreachable!("a replica is of its engine"),
        }
    }
}

async fn now<T, E: std::fmt::Debug>(step: impl Future<Output = Result<T, E>>) -> T {
    step.await.expect("an answer")
}

fn epoch(name: u8) -> Epoch {
    Epoch::new(u64::from(name))
}

fn position(at: At) -> Position {
    Position {
        epoch: epoch(at.epoch),
        seq: u64::from(at.seq),
    }
}

/// A draft of these texts.
fn value(texts: &[u8]) -> Option<Value> {
    let text: String = texts.iter().map(|text| format!("t{text} ")).collect();
    (!texts.is_empty()).then(|| Value::String(text))
}

impl Real {
    pub async fn new(engine: Engine) -> Self {
        let backend = engine.backend();
        let job = JobId::new(clock::job_uuid());
        let spec = serde_json::from_str(r#"{"model":"scripted","input":"x","schema":{}}"#).expect("a spec");
        now(backend.submit(Submission {
            id: job,
            epoch: epoch(1),
            tenant: "one".into(),
            spec: Arc::new(spec),
            shape: Arc::default(),
            idempotency: None,
        }))
        .await;
        let facts = now(backend.facts(job)).await.expect("the job");
        let reading = now(backend.read(job, None)).await.expect("the job");
        let replica = Replica::new(facts, HubOptions::default(), &reading).expect("it folds");
        Self {
            job,
            live: now(backend.subscribe(job)).await,
            replica: engine.replicate(),
            engine,
            workers: [None, None],
            node: replica,
            published: BTreeMap::new(),
        }
    }

    /// Takes the step that led from `before` to `after`, and must come to the same.
    pub async fn take(&mut self, before: &world::State, step: Step, after: &world::State, way: &[Step]) {
        let backend = self.engine.backend();
        match step {
            Step::Claim(number) => {
                let claim = now(backend.claim(u64::from(after.names), epoch(after.names))).await;
                let claim = claim.expect("a job that is ready");
                let fold = Fold {
                    position: claim.position,
                    ..claim.checkpoint.fold.clone()
                };
                self.workers[number] = Some((claim.token(), fold));
            }
            Step::ClaimUnheard => {
                now(backend.claim(u64::from(after.names), epoch(after.names)))
                    .await
                    .expect("a job that is ready");
            }
            Step::Say(_) | Step::Finish(_) | Step::Tell => {}
            Step::Send(number) | Step::SendUnheard(number) => {
                let worker = before.workers[number].as_ref().expect("a worker");
                let said = worker.pending.as_ref().expect("something to say");
                let answer = self.send(number, worker.fold.len(), said).await;
                assert_eq!(Some(answer), after.answer, "{way:?}");
                if after.workers[number].is_none() {
                    self.workers[number] = None;
                }
            }
            Step::Reap => {
                self.engine.run_out();
                now(backend.reap(1, &mut || epoch(after.names))).await;
            }
            Step::Cancel => {
                now(backend.cancel(self.job, epoch(after.names))).await;
            }
            Step::Replicate => self.replica = self.engine.replicate(),
            Step::Failover => self.engine.fail_over(&self.replica),
            Step::Hear(at) => {
                let entry = self.published(at).await;
                self.node.take(&entry);
            }
            Step::Poll => {
                let last = now(backend.positions(&[self.job])).await[0].expect("the job");
                if last != self.node.last() {
                    let reading = now(backend.read(self.job, self.node.held()))
                        .await
                        .expect("the job");
                    self.node.repair(&reading).expect("what the engine holds folds");
                }
            }
        }
        let (at, fold) = after.seen();
        assert_eq!(self.node.last(), position(at), "{way:?}");
        assert_eq!(self.node.fold().value, value(fold), "{way:?}");
    }

    /// Sends what a worker says whose draft then has so many texts.
    async fn send(&mut self, number: usize, texts: usize, write: &Write) -> Answer {
        let backend = self.engine.backend();
        let (token, fold) = self.workers[number].clone().expect("a worker");
        let said = |event| backend::Write {
            position: position(write.at),
            opens: write.opens,
            event,
        };
        let state = |texts: &[u8]| Fold {
            position: position(write.at),
            value: value(texts),
            ..fold.clone()
        };
        let append = |event, snapshot| Append {
            write: said(event),
            raw: String::new(),
            raw_anew: false,
            record: None,
            snapshot,
        };
        let appended = match &write.event {
            Said::Status => unreachable!("the store says that itself"),
            Said::Text(text) => {
                let opens = if texts == 1 { ",0" } else { "" };
                let frame = frame(
                    self.job,
                    u64::from(write.at.seq),
                    &format!(r#"["","t{text} "{opens}]"#),
                );
                now(backend.append(self.job, token, &append(Event::Patch(frame.into()), None))).await
            }
            Said::State(texts) => {
                let state = state(texts);
                let event = Event::State(Box::new(state.clone()));
                now(backend.append(self.job, token, &append(event, Some(Arc::new(state))))).await
            }
            Said::End(name) => match now(backend.finish(self.job, token, said(end(*name)))).await {
                Fenced::Ok => Appended::Ok,
                Fenced::Dup => Appended::Dup,
                Fenced::RolledBack(last) => Appended::RolledBack(last),
                Fenced::Lost => Appended::Lost,
                Fenced::Cancel => Appended::Cancel,
            },
        };
        answer(appended)
    }

    /// What was published there: it may come late, and is waited for.
    async fn published(&mut self, at: At) -> Arc<Entry> {
        while !self.published.contains_key(&at) {
            let entry = self.live.recv().await.expect("what is written is published");
            self.published.insert(found(entry.position), entry);
        }
        Arc::clone(&self.published[&at])
    }
}

fn found(position: Position) -> At {
    At {
        epoch: u8::try_from(position.epoch.bits()).expect("a name"),
        seq: u8::try_from(position.seq).expect("a seq"),
    }
}

fn answer(appended: Appended) -> Answer {
    match appended {
        Appended::Ok => Answer::Ok,
        Appended::Dup => Answer::Dup,
        Appended::Lost => Answer::Lost,
        Appended::RolledBack(last) => Answer::RolledBack(found(last)),
        Appended::Cancel => unreachable!("a running job is not cancelled here"),
    }
}

fn end(name: u8) -> Event {
    Event::End(Box::new(End {
        outcome: Outcome::Completed,
        error: None,
        sha256: Some(name.to_string()),
        best: None,
        usage: Usage::default(),
        attempts: Vec::new(),
        timings: Timings::default(),
        durable: true,
    }))
}
