//! More submissions at once than there is room for.

use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, Plan, histogram};
use crate::Outcome;
use crate::report::{PROCESSES, Row, ms, row};
use crate::submitter::{Load, submit};
use crate::system::{Setup, System};

/// Jobs of the burst, unless another number is asked for.
const JOBS: usize = 4_000;
/// A second; far more than are worked on.
const RATE: u64 = 4_000;
const SOCKETS: u32 = 100;
/// Jobs that may wait in line.
const QUEUED: u64 = 500;
/// Jobs that are worked on at a time.
const SLOTS: u32 = 16;

/// 4,000 submissions in a second, with room for 500 in line: how soon each is answered, and that what was accepted ends
/// and what was not was told when to come again.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let jobs = plan.jobs.unwrap_or(JOBS) as u64;
    let setup = Setup {
        slots: SLOTS,
        ..Setup::default()
    };
    let setup = setup
        .with(&format!("engine.queued_max={QUEUED}"))
        .with("server.submits_per_second_per_tenant=100000")
        .with("limits.messages_per_second_max=1000");
    let system = System::start(&plan.server, plan.engine, &setup).await?;
    let load = Load {
        request: request(),
        rate: RATE,
        jobs,
        to_the_end: true,
    };
    let before = system.usage()?;
    let limit = PATIENCE + Duration::from_secs(plan.seconds);
    let answers = tokio::time::timeout(limit, submit(SOCKETS, system.address(), &load)).await??;
    let used = system.usage()?.since(&before);
    let accepted = histogram(answers.delays.iter())?;
    let refused = histogram(answers.refusals.iter())?;
    let told: Value = serde_json::from_str(answers.refusal.as_deref().unwrap_or("{}"))?;
    Ok(vec![row([
        ("submissions", json!(jobs)),
        ("accepted", json!(answers.delays.len())),
        ("accepted p50 ms", ms(accepted.value_at_quantile(0.5))),
        ("accepted p99 ms", ms(accepted.value_at_quantile(0.99))),
        ("refused", json!(answers.refused)),
        ("refused p99 ms", ms(refused.value_at_quantile(0.99))),
        ("refused by", told["code"].clone()),
        (
            "refused without a time to come again",
            json!(answers.without_time),
        ),
        (
            "accepted and not completed",
            json!(answers.delays.len() as u64 - answers.completed),
        ),
        (PROCESSES, used.cells()),
    ])])
}

/// A job of some 50 ms.
fn request() -> Value {
    json!({
        "model": "scripted", "input": "Ada",
        "schema": { "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] },
        "script": { "tokens_per_second": 500 },
    })
}
