//! Queues alone: empty jobs that are in line, claimed and finished.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::system::Installed;
use crate::Outcome;
use crate::redis::Redis;
use crate::report::{Row, rounded, row};
use crate::scenario::engine;
use crate::usage::Usage;

/// Jobs in line: apalis-redis fetches none with many more.
const JOBS: usize = 5_000;
/// Jobs at a time, or in a batch.
const AT_A_TIME: usize = 128;

/// Ours, BullMQ, apalis-redis: a second by the wall, and of a second of Redis's CPU.
pub(crate) async fn rows(installed: &Installed) -> Outcome<Vec<Row>> {
    let (rate, of_redis) = engine::claims_and_finishes(JOBS, AT_A_TIME).await?;
    let mut rows = vec![told("livedraft", rate, of_redis)];
    let apalis = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let apalis = format!("{apalis}/peers/release/peer-apalis");
    let bullmq = installed.peers.join("node/queue.mjs");
    for (name, program, first) in [
        ("bullmq", "node", Some(bullmq)),
        ("apalis", apalis.as_str(), None),
    ] {
        let redis = Redis::start(false).await?;
        let mut command = Command::new(program);
        command
            .args(first)
            .args([JOBS.to_string(), AT_A_TIME.to_string()])
            .env("REDIS_URL", format!("redis://{}", redis.address()))
            .env("NODE_ENV", "production")
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let usage = || -> Outcome<Usage> {
            let mut usage = Usage::default();
            usage.add("redis-server", redis.pid())?;
            Ok(usage)
        };
        let before = usage()?;
        let output = command.output().await?;
        let used = usage()?.since(&before);
        let said: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{name} left with {}: {error}", output.status))?;
        let seconds = said["seconds"].as_f64().ok_or("no seconds")?;
        rows.push(told(
            name,
            JOBS as f64 / seconds,
            JOBS as f64 / used.cpu_seconds(),
        ));
    }
    Ok(rows)
}

/// Redis's CPU of the others has putting the jobs in line in it, which is the smaller part.
fn told(name: &str, rate: f64, of_redis: f64) -> Row {
    row([
        ("peer", json!(name)),
        ("jobs", json!(JOBS)),
        ("jobs/s", rounded(rate, 0)),
        ("jobs per Redis CPU s", rounded(of_redis, 0)),
    ])
}
