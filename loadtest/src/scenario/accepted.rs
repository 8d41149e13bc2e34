//! From a submission to its acceptance.

use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, Plan, histogram};
use crate::Outcome;
use crate::folder::Folder;
use crate::report::{PROCESSES, Row, ms, rounded, row};
use crate::submitter::{Load, submit};
use crate::system::{Engine, Setup, System};

/// Submissions a second.
const RATES: [u64; 3] = [50, 200, 1_000];
/// Sockets that take turns: the fastest rate stays below the messages a second of one.
const SOCKETS: u32 = 40;
/// As many a second as the fastest case submits, from one tenant.
const PACE: &str = "server.submits_per_second_per_tenant=2000";

/// Jobs that are submitted at a steady pace and run to their ends: with a data folder, and with none.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for rate in RATES {
        if plan.engine != Engine::Embedded {
            rows.push(case(plan, "Redis", rate, setup()).await?);
            continue;
        }
        let folder = Folder::new()?;
        let data = Some(folder.path().to_owned());
        rows.push(case(plan, "data folder", rate, Setup { data, ..setup() }).await?);
        rows.push(case(plan, "memory", rate, setup()).await?);
    }
    Ok(rows)
}

fn setup() -> Setup {
    Setup::default().with(PACE)
}

async fn case(plan: &Plan, store: &str, rate: u64, setup: Setup) -> Outcome<Row> {
    let system = System::start(&plan.server, plan.engine, &setup).await?;
    let warm = Load {
        request: request(),
        rate: 50,
        jobs: 50,
        to_the_end: true,
    };
    let limit = PATIENCE + Duration::from_secs(plan.seconds);
    tokio::time::timeout(PATIENCE, submit(SOCKETS, system.address(), &warm)).await??;
    let load = Load {
        rate,
        jobs: rate * plan.seconds,
        ..warm
    };
    let before = system.usage()?;
    let answers = tokio::time::timeout(limit, submit(SOCKETS, system.address(), &load)).await??;
    let used = system.usage()?.since(&before);
    if let Some(refusal) = &answers.refusal {
        return Err(format!("{} of {} were refused: {refusal}", answers.refused, load.jobs).into());
    }
    let delays = histogram(answers.delays.iter())?;
    Ok(row([
        ("submits/s", json!(rate)),
        ("store", json!(store)),
        ("jobs", json!(delays.len())),
        ("p50 ms", ms(delays.value_at_quantile(0.5))),
        ("p99 ms", ms(delays.value_at_quantile(0.99))),
        ("max ms", ms(delays.max())),
        (
            "CPU us per job",
            rounded(used.cpu_seconds() * 1e6 / load.jobs as f64, 0),
        ),
        ("not completed", json!(load.jobs - answers.completed)),
        (PROCESSES, used.cells()),
    ]))
}

/// A small job that ends at once.
fn request() -> Value {
    json!({
        "model": "scripted", "input": "Ada, 36",
        "schema": {
            "type": "object",
            "properties": { "name": { "type": "string" }, "age": { "type": "integer" } },
            "required": ["name", "age"],
        },
        "script": { "tokens_per_second": 0 },
    })
}
