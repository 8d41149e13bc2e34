//! What clients ask of Redis for a token.

use std::time::Duration;

use serde_json::json;

use super::{Plan, connect, flow, request, start, total};
use crate::Outcome;
use crate::answer::Answer;
use crate::report::{Row, rounded, row};

/// Live jobs, unless another number is asked for.
const JOBS: usize = 10;
/// Tokens a second of each, and its window: the usual one, and none.
const CASES: [(u32, u64); 3] = [(100, 33), (200, 33), (100, 0)];

/// Live jobs with a socket to each, heartbeats and polls included: commands that clients sent over tokens written.
/// `MONITOR` counts them, so nothing else is measured here.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let jobs = plan.jobs.unwrap_or(JOBS);
    let mut rows = Vec::new();
    for (per_second, flush_ms) in CASES {
        let tokens = usize::try_from(plan.seconds * u64::from(per_second))?;
        let answer = Answer::Stamped {
            tokens,
            every: Duration::from_secs(1) / per_second,
            padding: 0,
        };
        let (model, system) = start(plan, answer.clone()).await?;
        let Some(redis) = system.redis() else {
            return Ok(Vec::new());
        };
        let mut viewers = Vec::new();
        for mut viewer in connect(jobs, system.address()).await? {
            let (_, seen) = viewer.create(request(&answer, flush_ms)).await?;
            viewers.push((viewer, seen));
        }
        let monitor = redis.monitor().await?;
        let (seen, _) = flow(plan, &model, &system, viewers, jobs).await?;
        let counts = monitor.counts();
        let written = (jobs * tokens) as f64;
        let mut by_name: Vec<(&String, &u64)> = counts.iter().collect();
        by_name.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let most: Vec<String> = by_name
            .iter()
            .take(4)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        rows.push(row([
            ("jobs", json!(jobs)),
            ("tokens/s", json!(per_second)),
            ("flush_ms", json!(flush_ms)),
            ("tokens", json!(jobs * tokens)),
            ("commands", json!(counts.values().sum::<u64>())),
            (
                "commands per token",
                rounded(counts.values().sum::<u64>() as f64 / written, 3),
            ),
            (
                "frames per token",
                rounded(total(&seen, |seen| seen.patches) / written, 3),
            ),
            ("most of them", json!(most.join(", "))),
        ]));
    }
    Ok(rows)
}
