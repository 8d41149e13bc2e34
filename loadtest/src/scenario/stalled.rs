//! Readers that stop reading.

use std::time::Duration;

use serde_json::{Value, json};

use super::{CONNECTING, PATIENCE, Plan, histogram, mib, request, source, start_with};
use crate::answer::Answer;
use crate::report::{Row, ms, rounded, row};
use crate::system::{Setup, System};
use crate::viewer::{Seen, Viewer};
use crate::{Outcome, clock, http, process};

/// Readers that stop, unless another number is asked for.
const READERS: usize = 1_000;
/// What the kernel keeps of a reader's bytes: little, so that it stands still soon.
const RECEIVES: u32 = 4_096;
/// Tokens a second, and what is added to the stamp of each: some 100 KiB a second to every reader.
const TOKENS_PER_SECOND: u32 = 100;
const PADDING: usize = 1_000;
/// A third of what is usual: the rule is the same, and the run is shorter.
const SEND_TIMEOUT: &str = "server.send_timeout_ms=10000";
/// All of the text is one string, of some 5 MB.
const STRING: &str = "worker.string_bytes_max=16777216";
/// From the first token: standing still, the close after 10 s, the end of the connection after as long again.
const WATCHED: Duration = Duration::from_secs(50);
const SAMPLE: Duration = Duration::from_secs(5);

/// One job with a reader that keeps up: alone, and beside many that never read again.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for readers in [0, plan.sockets.unwrap_or(READERS)] {
        rows.extend(case(plan, readers).await?);
    }
    Ok(rows)
}

async fn case(plan: &Plan, readers: usize) -> Outcome<Vec<Row>> {
    let every = Duration::from_secs(1) / TOKENS_PER_SECOND;
    let answer = Answer::Stamped {
        tokens: WATCHED.as_secs() as usize * TOKENS_PER_SECOND as usize,
        every,
        padding: PADDING,
    };
    let setup = Setup::default().with(SEND_TIMEOUT).with(STRING);
    let (model, system) = start_with(plan, answer.clone(), setup).await?;
    let mut good = Viewer::connect(source(0), system.address()).await?;
    let (job, mut seen) = good.create(request(&answer, 0)).await?;
    let stalled = stall(readers, &system, &job).await?;
    tokio::time::timeout(PATIENCE, model.asked(1)).await??;
    let base = Base {
        resident: system.resident_bytes()?,
        kernel: process::tcp_bytes()?,
        readers,
    };
    model.open();
    let (mut rows, begun) = (Vec::new(), clock::micros());
    while !follow_for(SAMPLE, &mut good, &mut seen).await? {
        let seconds = (clock::micros() - begun) as f64 / 1e6;
        rows.push(base.sample(seconds, &system, &mut seen).await?);
    }
    drop(stalled);
    Ok(rows)
}

/// Watches the job from sockets that are not read from then on.
async fn stall(readers: usize, system: &System, job: &str) -> Outcome<Vec<Viewer>> {
    let mut stalled = Vec::with_capacity(readers);
    let indexes: Vec<usize> = (0..readers).collect();
    for batch in indexes.chunks(CONNECTING) {
        let connecting = batch.iter().map(|index| async {
            let mut viewer = Viewer::connect_narrow(source(*index), system.address(), RECEIVES).await?;
            viewer.attach(job).await?;
            Outcome::Ok(viewer)
        });
        stalled.extend(futures_util::future::try_join_all(connecting).await?);
    }
    Ok(stalled)
}

/// Follows the job for a while; true at its end.
async fn follow_for(time: Duration, good: &mut Viewer, seen: &mut Seen) -> Outcome<bool> {
    match tokio::time::timeout(time, good.follow(seen)).await {
        Ok(ended) => ended.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Where things stood when all had attached.
struct Base {
    resident: u64,
    kernel: u64,
    readers: usize,
}

impl Base {
    async fn sample(&self, seconds: f64, system: &System, seen: &mut Seen) -> Outcome<Row> {
        let delays = histogram(std::mem::take(&mut seen.delays).iter())?;
        let resident = system.resident_bytes()?;
        let sockets = http::metric(system.address(), "livedraft_connections{kind=\"socket\"}").await?;
        let each = |bytes: u64, before: u64| -> Value {
            let growth = bytes.saturating_sub(before) as f64 / 1_024.0;
            if self.readers == 0 {
                json!("–")
            } else {
                rounded(growth / self.readers as f64, 1)
            }
        };
        Ok(row([
            ("stalled readers", json!(self.readers)),
            ("after s", rounded(seconds, 0)),
            ("sockets", json!(sockets)),
            ("RSS MiB", mib(resident)),
            ("RSS grown MiB", mib(resident.saturating_sub(self.resident))),
            ("KiB per reader", each(resident, self.resident)),
            (
                "kernel's TCP KiB per reader",
                each(process::tcp_bytes()?, self.kernel),
            ),
            ("good viewer p50 ms", ms(delays.value_at_quantile(0.5))),
            ("p99 ms", ms(delays.value_at_quantile(0.99))),
            ("conflated", json!(seen.conflated)),
        ]))
    }
}
