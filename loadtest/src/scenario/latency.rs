//! From the model to one socket.

use std::time::Duration;

use serde_json::json;

use super::{Plan, connect, delays, flow, request, start, total};
use crate::Outcome;
use crate::answer::Answer;
use crate::report::{PROCESSES, Row, ms, rounded, row};

/// From the writing of a token at the model to its arrival at a socket, one socket to a job.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for jobs in plan.jobs.map_or(vec![1, 50, 200], |jobs| vec![jobs]) {
        let every = Duration::from_millis(10);
        let tokens = usize::try_from(plan.seconds * 100)?;
        let answer = Answer::Stamped {
            tokens,
            every,
            padding: 0,
        };
        let (model, system) = start(plan, answer.clone()).await?;
        let mut viewers = Vec::new();
        for mut viewer in connect(jobs, system.address()).await? {
            let (_, seen) = viewer.create(request(&answer, 0)).await?;
            viewers.push((viewer, seen));
        }
        let (seen, used) = flow(plan, &model, &system, viewers, jobs).await?;
        let delays = delays(&seen)?;
        let written = (jobs * tokens) as f64;
        rows.push(row([
            ("jobs", json!(jobs)),
            ("tokens", json!(delays.len())),
            ("p50 ms", ms(delays.value_at_quantile(0.5))),
            ("p99 ms", ms(delays.value_at_quantile(0.99))),
            ("max ms", ms(delays.max())),
            ("CPU us per token", rounded(used.cpu_seconds() * 1e6 / written, 1)),
            (
                "patch frames per token",
                rounded(total(&seen, |seen| seen.patches) / written, 2),
            ),
            (
                "tokens missing",
                json!(jobs * tokens - usize::try_from(delays.len())?),
            ),
            (PROCESSES, used.cells()),
        ]));
    }
    Ok(rows)
}
