//! From the model to many sockets.

use std::time::Duration;

use serde_json::json;

use super::{Plan, connect, delays, flow, request, start, total};
use crate::answer::Answer;
use crate::report::{Row, ms, rounded, row};
use crate::{Outcome, process};

/// One job that many sockets watch.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for sockets in plan.sockets.map_or(vec![100, 1_000], |sockets| vec![sockets]) {
        let every = Duration::from_millis(20);
        let tokens = usize::try_from(plan.seconds * 50)?;
        let answer = Answer::Stamped {
            tokens,
            every,
            padding: 0,
        };
        let (model, server) = start(plan, answer.clone()).await?;
        let mut viewers = connect(sockets, server.address()).await?;
        let first = viewers.first_mut().ok_or("no sockets")?;
        let (job_id, seen) = first.create(request(&answer, 0)).await?;
        let mut watching = vec![(viewers.remove(0), seen)];
        for mut viewer in viewers {
            let seen = viewer.attach(&job_id).await?;
            watching.push((viewer, seen));
        }
        let own = process::cpu_seconds(std::process::id())?;
        let (seen, cpu) = flow(plan, &model, &server, watching, 1).await?;
        let own = process::cpu_seconds(std::process::id())? - own;
        let delays = delays(&seen)?;
        let frames = total(&seen, |seen| seen.patches);
        rows.push(row([
            ("sockets", json!(sockets)),
            ("frames/s offered", json!(50 * sockets)),
            ("p50 ms", ms(delays.value_at_quantile(0.5))),
            ("p99 ms", ms(delays.value_at_quantile(0.99))),
            ("max ms", ms(delays.max())),
            ("server CPU us per frame", rounded(cpu * 1e6 / frames, 1)),
            ("server CPU s", rounded(cpu, 2)),
            ("tester CPU s", rounded(own, 2)),
            (
                "conflated",
                json!(seen.iter().map(|seen| seen.conflated).sum::<u64>()),
            ),
            (
                "tokens missing",
                json!(sockets * tokens - usize::try_from(delays.len())?),
            ),
        ]));
    }
    Ok(rows)
}
