//! What whole documents cost.

use std::time::Duration;

use serde_json::json;

use super::{PATIENCE, Plan, request, source, start, total};
use crate::Outcome;
use crate::answer::{Answer, document};
use crate::report::{PROCESSES, Row, rounded, row};
use crate::system::System;
use crate::viewer::{Seen, Viewer};

/// Documents over which the cost of a short one is averaged.
const DOCUMENTS: u32 = 5;

/// Whole documents in tokens of four bytes, flat out and paced.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let paced = Some(Duration::from_millis(1));
    let cases = [
        (20, None, 0, DOCUMENTS),
        (1, None, 0, DOCUMENTS),
        (200, None, 0, 1),
        (1_024, None, 0, 1),
        (20, paced, 0, 1),
        (20, paced, 4, 1),
    ];
    let (mut rows, mut first) = (Vec::new(), None);
    for (kib, every, flush_ms, repeats) in cases {
        let text = document(kib * 1_024);
        let bytes = text.len() as f64;
        let answer = Answer::Document {
            text,
            every,
            burst: 1,
        };
        let (model, system) = start(plan, answer.clone()).await?;
        model.open();
        // One before the measured ones: what is built at the first job is no cost of a document.
        one_document(&system, &answer, flush_ms).await?;
        let before = system.usage()?;
        let mut seen = Vec::new();
        for _ in 0..repeats {
            seen.push(one_document(&system, &answer, flush_ms).await?);
        }
        let used = system.usage()?.since(&before);
        let cpu = used.cpu_seconds() / f64::from(repeats);
        let first = *first.get_or_insert(cpu);
        let sent = total(&seen, |seen| seen.bytes) / f64::from(repeats);
        let patches = total(&seen, |seen| seen.patches) / f64::from(repeats);
        rows.push(row([
            ("document KiB", json!(kib)),
            (
                "tokens/s",
                every.map_or(json!("flat out"), |every| json!(1_000 / every.as_millis())),
            ),
            ("flush_ms", json!(flush_ms)),
            ("CPU s", rounded(cpu, 4)),
            ("CPU over 20 KiB", rounded(cpu / first, 2)),
            ("CPU us per token", rounded(cpu * 1e6 / (bytes / 4.0), 1)),
            ("tokens per frame", rounded(bytes / 4.0 / patches, 2)),
            ("bytes over document", rounded(sent / bytes, 2)),
            (PROCESSES, used.cells()),
        ]));
    }
    Ok(rows)
}

async fn one_document(system: &System, answer: &Answer, flush_ms: u64) -> Outcome<Seen> {
    let mut viewer = Viewer::connect(source(0), system.address()).await?;
    let (_, mut seen) = viewer.create(request(answer, flush_ms)).await?;
    tokio::time::timeout(PATIENCE, viewer.follow(&mut seen)).await??;
    Ok(seen)
}
