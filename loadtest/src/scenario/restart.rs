//! How long a server with many stored jobs takes to come back.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, Plan, mib};
use crate::folder::Folder;
use crate::report::{Row, ms, row};
use crate::submitter::{Load, submit};
use crate::system::{Setup, System};
use crate::{Outcome, clock, http};

/// Jobs that have ended and are kept.
const ENDED: u64 = 9_600;
/// Jobs that run, or wait for a slot.
const OPEN: u64 = 400;
/// How many of those run.
const SLOTS: u32 = 64;
const SOCKETS: u32 = 40;
/// Kills in a row.
const KILLS: u32 = 3;
/// Longer than a change of a running job may be told before it is stored.
const CHECKPOINT: Duration = Duration::from_millis(1_500);

/// 10,000 stored jobs, `kill -9`, and the time from starting the process to the first 200 of `/readyz`.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let folder = Folder::new()?;
    let setup = Setup {
        data: Some(folder.path().to_owned()),
        slots: SLOTS,
        ..Setup::default()
    };
    let mut system = System::start(&plan.server, plan.engine, &setup).await?;
    let ended = Load {
        request: request(0, 1_000),
        rate: 500,
        jobs: ENDED,
        to_the_end: true,
    };
    let open = Load {
        request: request(10, 100_000),
        jobs: OPEN,
        to_the_end: false,
        ..ended.clone()
    };
    for load in [ended, open] {
        let answers = tokio::time::timeout(PATIENCE * 2, submit(SOCKETS, system.address(), &load)).await??;
        if let Some(refusal) = answers.refusal {
            return Err(format!("a job was refused: {refusal}").into());
        }
    }
    let mut rows = Vec::new();
    for kill in 1..=KILLS {
        clock::sleep(CHECKPOINT).await;
        let (database, log) = (
            folder.bytes_of("livedraft.db"),
            folder.bytes_of("livedraft.db-wal"),
        );
        let begun = clock::micros();
        system.restart()?;
        ready(system.address()).await?;
        let took = clock::micros() - begun;
        rows.push(row([
            ("kill", json!(kill)),
            ("database MiB", mib(database)),
            ("its log MiB", mib(log)),
            ("ms to ready", ms(took)),
            ("RSS MiB", mib(system.resident_bytes()?)),
            (
                "jobs",
                json!(http::metric(system.address(), "livedraft_jobs{").await?),
            ),
            (
                "ended",
                json!(http::metric(system.address(), "livedraft_jobs{state=\"ended\"}").await?),
            ),
        ]));
    }
    Ok(rows)
}

async fn ready(server: SocketAddr) -> Outcome<()> {
    let waiting = async {
        while http::get(server, "/readyz").await?.0 != 200 {
            clock::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await?
}

/// One string of `chars` characters.
fn request(tokens_per_second: u32, chars: u32) -> Value {
    json!({
        "model": "scripted", "input": "Say what you have to say.",
        "schema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
        "script": { "tokens_per_second": tokens_per_second, "text_chars": chars },
    })
}
