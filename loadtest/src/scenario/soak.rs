//! The same for long: nothing may grow.

use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, Plan, histogram, mib};
use crate::folder::Folder;
use crate::report::{PROCESSES, Row, ms, rounded, row};
use crate::submitter::{Load, submit};
use crate::system::{Engine, Setup, System};
use crate::{Outcome, clock};

/// Jobs a second, and how long one is kept behind its end, ms.
const RATE: u64 = 20;
const RETENTION_MS: u64 = 3_000;
/// Equal parts of the time, with a look behind each; what is warmed up is the first half.
const PARTS: u64 = 10;
const SOCKETS: u32 = 20;
/// Retention, and some turns of what forgets.
const FORGETS: Duration = Duration::from_secs(15);

/// Jobs of half a second at a steady pace: memory, and the keys in Redis, part by part, and when all is forgotten.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let folder = Folder::new()?;
    let setup = Setup {
        data: (plan.engine == Engine::Embedded).then(|| folder.path().to_owned()),
        ..Setup::default()
    };
    let setup = setup
        .with(&format!("engine.retention_ms={RETENTION_MS}"))
        .with("archive.jobs_max=200");
    let system = System::start(&plan.server, plan.engine, &setup).await?;
    let load = Load {
        request: request(),
        rate: RATE,
        jobs: (RATE * plan.seconds / PARTS).max(1),
        to_the_end: true,
    };
    let (mut rows, begun, mut warm) = (Vec::new(), clock::micros(), 0);
    for part in 1..=PARTS {
        let before = system.usage()?;
        let limit = PATIENCE + Duration::from_secs(plan.seconds);
        let answers = tokio::time::timeout(limit, submit(SOCKETS, system.address(), &load)).await??;
        let delays = histogram(answers.delays.iter())?;
        let resident = system.resident_bytes()?;
        if part == PARTS / 2 {
            warm = resident;
        }
        let mut row = look(&system, "under load", clock::micros() - begun).await?;
        row.extend([
            ("jobs".to_owned(), json!(answers.completed)),
            ("not completed".to_owned(), json!(load.jobs - answers.completed)),
            ("accepted p99 ms".to_owned(), ms(delays.value_at_quantile(0.99))),
            (PROCESSES.to_owned(), system.usage()?.since(&before).cells()),
        ]);
        rows.push(row);
    }
    if let Some(last) = rows.last_mut() {
        let now = system.resident_bytes()? as f64;
        last.insert(
            "RSS over that at half the time".to_owned(),
            rounded(now / warm.max(1) as f64, 3),
        );
    }
    clock::sleep(FORGETS).await;
    rows.push(look(&system, "all forgotten", clock::micros() - begun).await?);
    Ok(rows)
}

async fn look(system: &System, when: &str, passed: u64) -> Outcome<Row> {
    let (keys, lasting) = match system.redis() {
        Some(redis) => (json!(redis.keys().await?), json!(redis.lasting_keys().await?)),
        None => (json!("–"), json!("–")),
    };
    Ok(row([
        ("after s", rounded(passed as f64 / 1e6, 0)),
        ("when", json!(when)),
        ("RSS MiB", mib(system.resident_bytes()?)),
        ("keys in Redis", keys),
        ("keys without an expiry", lasting),
    ]))
}

/// Some 50 tokens.
fn request() -> Value {
    json!({
        "model": "scripted", "input": "Ada",
        "schema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
        "script": { "tokens_per_second": 100, "text_chars": 200 },
    })
}
