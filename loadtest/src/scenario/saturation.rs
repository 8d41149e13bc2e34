//! How many live jobs a core carries.

use std::time::Duration;

use serde_json::json;

use super::{Plan, connect, delays, flow, request, start_with};
use crate::Outcome;
use crate::answer::Answer;
use crate::report::{PROCESSES, Row, ms, rounded, row};
use crate::system::Setup;
use crate::usage::Usage;

/// Live jobs of the cases, one after the other.
const JOBS: [usize; 5] = [25, 50, 100, 200, 400];
/// The window of a job that does not ask for one.
const FLUSH_MS: u64 = 33;
/// Behind this median there is no point in more: the machine is full.
const FULL_US: u64 = 500_000;

/// More and more jobs of a rate, a socket to each, in the usual window.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for jobs in plan.jobs.map_or(JOBS.to_vec(), |jobs| vec![jobs]) {
        let tokens = usize::try_from(plan.seconds * u64::from(plan.rate))?;
        let answer = Answer::Stamped {
            tokens,
            every: Duration::from_secs(1) / plan.rate,
            padding: 0,
        };
        let mut setup = Setup::default();
        setup.slots = setup.slots.max(u32::try_from(jobs)?);
        let (model, system) = start_with(plan, answer.clone(), setup).await?;
        let mut viewers = Vec::new();
        for mut viewer in connect(jobs, system.address()).await? {
            let (_, seen) = viewer.create(request(&answer, FLUSH_MS)).await?;
            viewers.push((viewer, seen));
        }
        let own = Usage::own()?;
        let (seen, used) = flow(plan, &model, &system, viewers, jobs).await?;
        let own = Usage::own()?.since(&own);
        let delays = delays(&seen)?;
        let per_token = used.cpu_seconds() / (jobs * tokens) as f64;
        rows.push(row([
            ("jobs", json!(jobs)),
            ("tokens/s", json!(plan.rate)),
            ("CPU us per token", rounded(per_token * 1e6, 1)),
            (
                "jobs per core",
                rounded(1.0 / (per_token * f64::from(plan.rate)), 0),
            ),
            ("p50 ms", ms(delays.value_at_quantile(0.5))),
            ("p99 ms", ms(delays.value_at_quantile(0.99))),
            ("tester CPU s", rounded(own.cpu_seconds(), 2)),
            (
                "tokens missing",
                json!(jobs * tokens - usize::try_from(delays.len())?),
            ),
            (PROCESSES, used.cells()),
        ]));
        if delays.value_at_quantile(0.5) > FULL_US {
            break;
        }
    }
    Ok(rows)
}
