//! Every process of a fleet is replaced, one after the other, while jobs run.

use serde_json::json;

use super::{Plan, histogram};
use crate::Outcome;
use crate::chaos;
use crate::report::{Row, ms, row};
use crate::system::Engine;

/// Jobs at a time, unless another number is asked for.
const JOBS: usize = 50;

/// Two gateways and two workers, each told to go and replaced: whether a job was lost, and how long a viewer saw
/// nothing new of one that ran.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    if plan.engine != Engine::Fleet {
        return Ok(Vec::new());
    }
    let jobs = u32::try_from(plan.jobs.unwrap_or(JOBS))?;
    let rolled = chaos::rolling(&plan.server, jobs).await?;
    let silences = histogram(rolled.silences.iter())?;
    Ok(vec![row([
        ("processes replaced", json!(rolled.replaced)),
        ("jobs at a time", json!(jobs)),
        ("jobs", json!(rolled.jobs)),
        ("completed", json!(rolled.completed)),
        ("lost", json!(rolled.lost)),
        ("other rules broken", json!(rolled.broken)),
        ("sockets that went on", json!(rolled.resumed)),
        ("longest silence p50 ms", ms(silences.value_at_quantile(0.5))),
        ("p99 ms", ms(silences.value_at_quantile(0.99))),
        ("max ms", ms(silences.max())),
    ])])
}
