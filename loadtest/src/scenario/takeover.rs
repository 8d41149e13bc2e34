//! A worker is killed, and another one goes on.

use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, Plan, histogram};
use crate::fold::Fold;
use crate::report::{Row, ms, rounded, row};
use crate::system::{Engine, Setup, System};
use crate::viewer::Viewer;
use crate::{Outcome, clock};

/// Leases, ms, how often they are extended, and how often a worker is killed in each case.
const LEASES: [(u64, u64, usize); 2] = [(15_000, 5_000, 2), (2_000, 600, 5)];
/// What the draft has when the worker is killed.
const MESSAGES: usize = 20;

/// One job, its worker killed with a free one beside it: from the kill to the next change of the draft, and how much of
/// the draft was kept.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    if plan.engine != Engine::Fleet {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for (lease_ms, extend_ms, kills) in LEASES {
        let setup = Setup::default()
            .with(&format!("lease.lease_ms={lease_ms}"))
            .with(&format!("lease.extend_ms={extend_ms}"))
            .with(&format!("redis.response_ms={}", extend_ms / 2));
        let (mut delays, mut kept) = (Vec::new(), 1.0_f64);
        for _ in 0..kills {
            let (delay, share) = tokio::time::timeout(PATIENCE, kill(plan, &setup)).await??;
            delays.push(delay);
            kept = kept.min(share);
        }
        let moved = histogram(delays.iter())?;
        let beyond = moved.max() as f64 / 1_000.0 - lease_ms as f64;
        rows.push(row([
            ("lease ms", json!(lease_ms)),
            ("kills", json!(kills)),
            ("moves again p50 ms", ms(moved.value_at_quantile(0.5))),
            ("moves again max ms", ms(moved.max())),
            ("beyond the lease ms", rounded(beyond, 0)),
            ("draft kept", rounded(kept, 2)),
        ]));
    }
    Ok(rows)
}

/// Microseconds from the kill to the next patch, and which share of the draft stood then.
async fn kill(plan: &Plan, setup: &Setup) -> Outcome<(u64, f64)> {
    let mut system = System::start(&plan.server, plan.engine, setup).await?;
    let mut viewer = Viewer::connect([127, 0, 0, 1], system.address()).await?;
    let (_, mut fold) = created(&mut viewer).await?;
    for _ in 0..MESSAGES {
        next(&mut viewer, &mut fold).await?;
    }
    // The only worker has the job; another one is free from now on.
    system.add("worker", 2)?;
    let before = length(&fold);
    let killed = clock::micros();
    drop(system.take("worker 1")?);
    // What was on its way still comes; behind that it is silent until the takeover is told.
    let mut shortest = before;
    let mut recovering = false;
    loop {
        let message = next(&mut viewer, &mut fold).await?;
        recovering |= message["status"] == "recovering";
        if recovering {
            shortest = shortest.min(length(&fold));
        }
        let is_patch = message.get("o").is_some();
        if recovering && is_patch {
            return Ok((clock::micros() - killed, shortest as f64 / before.max(1) as f64));
        }
    }
}

async fn created(viewer: &mut Viewer) -> Outcome<(String, Fold)> {
    viewer
        .send(&json!({ "type": "job.create", "request": {
        "model": "scripted", "input": "Say what you have to say.",
        "schema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
        "script": { "tokens_per_second": 100, "text_chars": 20_000, "prefill": "goes_on" },
    } }))
        .await?;
    let mut fold = Fold::default();
    let accepted = next(viewer, &mut fold).await?;
    let job = accepted["job_id"]
        .as_str()
        .ok_or_else(|| format!("refused: {accepted}"))?;
    Ok((job.to_owned(), fold))
}

async fn next(viewer: &mut Viewer, fold: &mut Fold) -> Outcome<Value> {
    let message: Value = serde_json::from_str(&viewer.text().await?)?;
    fold.take(&message)?;
    match message["type"].as_str() {
        Some("job.completed" | "job.failed" | "job.incomplete") => {
            Err(format!("the job ended: {message}").into())
        }
        _ => Ok(message),
    }
}

fn length(fold: &Fold) -> usize {
    fold.value()
        .and_then(|value| value["text"].as_str())
        .map_or(0, str::len)
}

/// A kill is waited for longer than its lease.
const _: () = assert!(Duration::from_millis(LEASES[0].0).as_secs() < PATIENCE.as_secs() / 2);
