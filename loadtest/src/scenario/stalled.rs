//! Readers that stop reading.

use std::time::Duration;

use serde_json::json;

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

/// One job with a reader that keeps up: alone, and beside many that never read again. What the document itself takes is the
/// same in both.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let (mut rows, alone) = case(plan, 0, &[]).await?;
    let (beside, _) = case(plan, plan.sockets.unwrap_or(READERS), &alone).await?;
    rows.extend(beside);
    Ok(rows)
}

/// The rows, and by how many bytes the system had grown in each; `alone`: by how many it had without those who stop.
async fn case(plan: &Plan, readers: usize, alone: &[u64]) -> Outcome<(Vec<Row>, Vec<u64>)> {
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
    let (mut rows, mut grown, begun) = (Vec::new(), Vec::new(), clock::micros());
    while !follow_for(SAMPLE, &mut good, &mut seen).await? {
        let seconds = (clock::micros() - begun) as f64 / 1e6;
        grown.push(system.resident_bytes()?.saturating_sub(base.resident));
        let document = alone.get(rows.len()).or(alone.last()).copied();
        rows.push(base.sample(seconds, document, &system, &mut seen).await?);
    }
    drop(stalled);
    Ok((rows, grown))
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
    async fn sample(
        &self,
        seconds: f64,
        document: Option<u64>,
        system: &System,
        seen: &mut Seen,
    ) -> Outcome<Row> {
        let delays = histogram(std::mem::take(&mut seen.delays).iter())?;
        let resident = system.resident_bytes()?;
        let sockets = http::metric(system.address(), "livedraft_connections{kind=\"socket\"}").await?;
        let grown = resident.saturating_sub(self.resident);
        let each = |bytes: u64| match self.readers {
            0 => json!(0),
            readers => rounded(bytes as f64 / 1_024.0 / readers as f64, 1),
        };
        let kernel = process::tcp_bytes()?.saturating_sub(self.kernel);
        Ok(row([
            ("stalled readers", json!(self.readers)),
            ("after s", rounded(seconds, 0)),
            ("sockets", json!(sockets)),
            ("RSS MiB", mib(resident)),
            ("RSS grown MiB", mib(grown)),
            (
                "KiB per reader",
                each(grown.saturating_sub(document.unwrap_or(0))),
            ),
            ("kernel's TCP KiB per reader", each(kernel)),
            ("good viewer p50 ms", ms(delays.value_at_quantile(0.5))),
            ("p99 ms", ms(delays.value_at_quantile(0.99))),
            ("conflated", json!(seen.conflated)),
        ]))
    }
}
