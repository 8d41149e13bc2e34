//! Steps of the small world, taken by the embedded engine and by a node's replica.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use livedraft::backend::embedded::{Embedded, EngineOptions, State};
use livedraft::backend::{self, Append, Appended, EventLog, Fenced, JobQueue, Submission};
use livedraft::clock;
use livedraft::event::{End, Entry, Epoch, Event, Fold, Position, Timings};
use livedraft::hub::{HubOptions, Replica};
use livedraft::job::{JobId, LeaseTimes, LeaseToken, Outcome, Usage};
use livedraft::partial::Value;

use super::store::{Answer, At, Event as Said, Write};
use super::world::{self, Step};
use crate::harness::frame;
use tokio::sync::mpsc;

/// The same world, real.
pub struct Real {
    job: JobId,
    engine: Embedded,
    replica: State,
    /// The tokens of the workers, and the state that each began with.
    workers: [Option<(LeaseToken, Fold)>; 2],
    node: Replica,
    live: mpsc::Receiver<Arc<Entry>>,
    /// What was ever published.
    published: BTreeMap<At, Arc<Entry>>,
}

/// The engine answers at once: nothing in it waits.
fn now<T, E: std::fmt::Debug>(step: impl Future<Output = Result<T, E>>) -> T {
    step.now_or_never().expect("at once").expect("an answer")
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
    pub fn new() -> Self {
        let engine = Embedded::new(EngineOptions {
            // Every lease has always run out: whether it is taken back is a step.
            lease: LeaseTimes {
                lease_ms: 0,
                extend_ms: 0,
                cancel_grace_ms: 0,
                losses_max: u32::MAX,
            },
            ..EngineOptions::default()
        });
        let job = JobId::new(clock::job_uuid());
        let spec = serde_json::from_str(r#"{"model":"scripted","input":"x","schema":{}}"#).expect("a spec");
        now(engine.submit(Submission {
            id: job,
            epoch: epoch(1),
            tenant: "one".into(),
            spec: Arc::new(spec),
            shape: Arc::default(),
            idempotency: None,
        }));
        let facts = now(engine.facts(job)).expect("the job");
        let reading = now(engine.read(job, None)).expect("the job");
        Self {
            job,
            live: now(engine.subscribe(job)),
            replica: engine.state(),
            engine,
            workers: [None, None],
            node: Replica::new(facts, HubOptions::default(), &reading).expect("it folds"),
            published: BTreeMap::new(),
        }
    }

    /// Takes the step that led from `before` to `after`, and must come to the same.
    pub fn take(&mut self, before: &world::State, step: Step, after: &world::State, way: &[Step]) {
        match step {
            Step::Claim(number) => {
                let claim = now(self.engine.claim(u64::from(after.names), epoch(after.names)));
                let claim = claim.expect("a job that is ready");
                let fold = Fold {
                    position: claim.position,
                    ..claim.checkpoint.fold.clone()
                };
                self.workers[number] = Some((claim.token(), fold));
            }
            Step::ClaimUnheard => {
                now(self.engine.claim(u64::from(after.names), epoch(after.names)))
                    .expect("a job that is ready");
            }
            Step::Say(_) | Step::Finish(_) | Step::Tell => {}
            Step::Send(number) | Step::SendUnheard(number) => {
                let worker = before.workers[number].as_ref().expect("a worker");
                let answer = self.send(
                    number,
                    worker.fold.len(),
                    worker.pending.as_ref().expect("something to say"),
                );
                assert_eq!(Some(answer), after.answer, "{way:?}");
                if after.workers[number].is_none() {
                    self.workers[number] = None;
                }
            }
            Step::Reap => drop(now(self.engine.reap(1, &mut || epoch(after.names)))),
            Step::Cancel => drop(now(self.engine.cancel(self.job, epoch(after.names)))),
            Step::Replicate => self.replica = self.engine.state(),
            Step::Failover => self.engine.restore(self.replica.clone()),
            Step::Hear(at) => {
                self.node.take(&self.published[&at]);
            }
            Step::Poll => {
                let last = now(self.engine.positions(&[self.job]))[0].expect("the job");
                if last != self.node.last() {
                    let reading = now(self.engine.read(self.job, self.node.held())).expect("the job");
                    self.node.repair(&reading).expect("what the engine holds folds");
                }
            }
        }
        self.hear();
        let (at, fold) = after.seen();
        assert_eq!(self.node.last(), position(at), "{way:?}");
        assert_eq!(self.node.fold().value, value(fold), "{way:?}");
    }

    /// Sends what a worker says whose draft then has so many texts.
    fn send(&mut self, number: usize, texts: usize, write: &Write) -> Answer {
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
                now(self
                    .engine
                    .append(self.job, token, &append(Event::Patch(frame.into()), None)))
            }
            Said::State(texts) => {
                let state = state(texts);
                let event = Event::State(Box::new(state.clone()));
                now(self
                    .engine
                    .append(self.job, token, &append(event, Some(Arc::new(state)))))
            }
            Said::End(name) => match now(self.engine.finish(self.job, token, said(end(*name)))) {
                Fenced::Ok => Appended::Ok,
                Fenced::Dup => Appended::Dup,
                Fenced::RolledBack(last) => Appended::RolledBack(last),
                Fenced::Lost => Appended::Lost,
                Fenced::Cancel => Appended::Cancel,
            },
        };
        answer(appended)
    }

    /// Keeps what was published, for live messages that come late.
    fn hear(&mut self) {
        while let Ok(entry) = self.live.try_recv() {
            self.published.insert(at(entry.position), entry);
        }
    }
}

fn at(position: Position) -> At {
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
        Appended::RolledBack(last) => Answer::RolledBack(at(last)),
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
