//! The queue and the log by themselves: the product's engine in this process, and the Redis behind it.

use std::sync::Arc;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::{
    Append, Appended, Backend, Claim, Fenced, Redis as Queue, RedisOptions, Submission, Submitted, Write,
};
use livedraft::clock::{job_uuid, nonce};
use livedraft::event::{End, Epoch, Event, Position, Timings};
use livedraft::job::{JobId, Outcome as Ends, Usage as Tokens};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{PATIENCE, Plan};
use crate::redis::Redis;
use crate::report::{PROCESSES, Row, rounded, row};
use crate::system::Engine;
use crate::usage::Usage;
use crate::{Outcome, clock};

/// Jobs of a case, and appends of one.
const JOBS: usize = 10_000;
const APPENDS: usize = 40_000;
/// Steps under way at the same time.
const AT_A_TIME: [usize; 2] = [16, 128];

/// An engine, shared by all that work at a time.
type Shared = Arc<dyn Backend>;

/// Submits, claims that are finished at once, and appends: how many a second, and of a second of Redis's CPU.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    if plan.engine != Engine::Redis {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for at_a_time in AT_A_TIME {
        let redis = Redis::start(false).await?;
        let jobs = plan.jobs.unwrap_or(JOBS);
        let case = Case::open(&redis, at_a_time, jobs).await?;
        rows.push(case.measure("submit", jobs, submits).await?);
        rows.push(case.measure("claim and finish", jobs, claims).await?);
        rows.push(case.measure("fenced append", APPENDS, appends).await?);
    }
    Ok(rows)
}

/// Claims that are finished at once: how many a second, and of a second of Redis's CPU.
pub(crate) async fn claims_and_finishes(jobs: usize, at_a_time: usize) -> Outcome<(f64, f64)> {
    let redis = Redis::start(false).await?;
    let case = Case::open(&redis, at_a_time, jobs).await?;
    case.measure("submit", jobs, submits).await?;
    let row = case.measure("claim and finish", jobs, claims).await?;
    let figure = |name: &str| row.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    Ok((figure("a second"), figure("per Redis CPU s")))
}

struct Case<'a> {
    redis: &'a Redis,
    engine: Shared,
    at_a_time: usize,
}

impl<'a> Case<'a> {
    async fn open(redis: &'a Redis, at_a_time: usize, jobs: usize) -> Outcome<Self> {
        let url = format!("redis://{}", redis.address()).parse()?;
        let limits = EngineOptions {
            queued_max: jobs * 2,
            ..EngineOptions::default()
        };
        // A step may wait for its turn here: its rate is what counts.
        let options = RedisOptions {
            response: PATIENCE,
            ..RedisOptions::default()
        };
        let engine: Shared = Arc::new(Queue::open(&url, &options, limits).await?);
        Ok(Self {
            redis,
            engine,
            at_a_time,
        })
    }

    /// Lets so many work at a time, each on its share.
    async fn measure<F>(&self, what: &str, count: usize, work: fn(Shared, usize) -> F) -> Outcome<Row>
    where
        F: Future<Output = Outcome<()>> + Send + 'static,
    {
        let usage = || -> Outcome<Usage> {
            let mut usage = Usage::own()?;
            usage.add("redis-server", self.redis.pid())?;
            Ok(usage)
        };
        let share = count / self.at_a_time;
        let (before, begun) = (usage()?, clock::micros());
        let mut working = JoinSet::new();
        for _ in 0..self.at_a_time {
            working.spawn(work(Arc::clone(&self.engine), share));
        }
        working
            .join_all()
            .await
            .into_iter()
            .collect::<Outcome<Vec<()>>>()?;
        let (seconds, used) = ((clock::micros() - begun) as f64 / 1e6, usage()?.since(&before));
        let done = (share * self.at_a_time) as f64;
        let of_redis = used.cpu_seconds_of("redis-server");
        Ok(row([
            ("what", json!(what)),
            ("at a time", json!(self.at_a_time)),
            ("count", json!(done)),
            ("a second", rounded(done / seconds, 0)),
            ("per Redis CPU s", rounded(done / of_redis, 0)),
            ("Redis CPU us", rounded(of_redis * 1e6 / done, 1)),
            ("CPU us", rounded(used.cpu_seconds_of("tester") * 1e6 / done, 1)),
            (PROCESSES, used.cells()),
        ]))
    }
}

async fn submits(engine: Shared, count: usize) -> Outcome<()> {
    for _ in 0..count {
        submit(&engine).await?;
    }
    Ok(())
}

async fn submit(engine: &Shared) -> Outcome<()> {
    let spec = serde_json::from_str(r#"{"model":"scripted","input":"Ada, 36","schema":{}}"#)?;
    let submission = Submission {
        id: JobId::new(job_uuid()),
        epoch: Epoch::new(nonce()),
        tenant: "one".into(),
        spec: Arc::new(spec),
        shape: Arc::default(),
        idempotency: None,
    };
    match engine.submit(submission).await? {
        Submitted::New { .. } => Ok(()),
        other => Err(format!("a job is not taken: {other:?}").into()),
    }
}

async fn claim(engine: &Shared) -> Outcome<Claim> {
    let claim = engine.claim(nonce(), Epoch::new(nonce())).await?;
    claim.ok_or_else(|| "the line is empty".into())
}

async fn claims(engine: Shared, count: usize) -> Outcome<()> {
    for _ in 0..count {
        let claim = claim(&engine).await?;
        let end = End {
            outcome: Ends::Completed,
            error: None,
            sha256: None,
            best: None,
            usage: Tokens::default(),
            attempts: Vec::new(),
            timings: Timings::default(),
            durable: true,
        };
        let write = Write {
            position: behind(claim.position, 1),
            opens: false,
            event: Event::End(Box::new(end)),
        };
        let answer = engine.finish(claim.id, claim.token(), write).await?;
        if answer != Fenced::Ok {
            return Err(format!("an end is not taken: {answer:?}").into());
        }
    }
    Ok(())
}

/// All of one job, as a worker sends them: the next behind the answer to the last.
async fn appends(engine: Shared, count: usize) -> Outcome<()> {
    submit(&engine).await?;
    let claim = claim(&engine).await?;
    let tag = claim.id.tag();
    for number in 1..=count as u64 {
        let position = behind(claim.position, number);
        let seq = position.seq;
        let ops = if number == 1 {
            r#"["",{"text":""},0],["/text","w"]"#
        } else {
            r#"["word"]"#
        };
        let frame = format!(r#"{{"j":"{tag}","s":{seq},"o":[{ops}]}}"#);
        let append = Append {
            write: Write {
                position,
                opens: false,
                event: Event::Patch(frame.as_str().into()),
            },
            raw: "word".to_owned(),
            raw_anew: false,
            record: None,
            snapshot: None,
        };
        let answer = engine.append(claim.id, claim.token(), &append).await?;
        if answer != Appended::Ok {
            return Err(format!("an append is not taken: {answer:?}").into());
        }
    }
    Ok(())
}

fn behind(position: Position, by: u64) -> Position {
    Position {
        seq: position.seq + by,
        ..position
    }
}
