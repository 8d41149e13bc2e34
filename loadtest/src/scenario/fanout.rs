//! From the model to many sockets.

use std::time::Duration;

use serde_json::json;

use super::{Plan, connect, delays, flow, request, start, total};
use crate::Outcome;
use crate::answer::Answer;
use crate::report::{PROCESSES, Row, ms, rounded, row};
use crate::usage::Usage;

/// One job that many sockets watch.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for sockets in plan
        .sockets
        .map_or(vec![1, 100, 1_000, 5_000], |sockets| vec![sockets])
    {
        let every = Duration::from_millis(20);
        let tokens = usize::try_from(plan.seconds * 50)?;
        let answer = Answer::Stamped {
            tokens,
            every,
            padding: 0,
        };
        let (model, system) = start(plan, answer.clone()).await?;
        let mut viewers = connect(sockets, system.address()).await?;
        let first = viewers.first_mut().ok_or("no sockets")?;
        let (job_id, seen) = first.create(request(&answer, 0)).await?;
        let mut watching = vec![(viewers.remove(0), seen)];
        for mut viewer in viewers {
            let seen = viewer.attach(&job_id).await?;
            watching.push((viewer, seen));
        }
        let own = Usage::own()?;
        let (seen, used) = flow(plan, &model, &system, watching, 1).await?;
        let own = Usage::own()?.since(&own);
        let delays = delays(&seen)?;
        let conflated = total(&seen, |seen| seen.conflated);
        let frames = total(&seen, |seen| seen.patches);
        rows.push(row([
            ("sockets", json!(sockets)),
            ("frames/s offered", json!(50 * sockets)),
            ("p50 ms", ms(delays.value_at_quantile(0.5))),
            ("p99 ms", ms(delays.value_at_quantile(0.99))),
            ("max ms", ms(delays.max())),
            ("CPU us per frame", rounded(used.cpu_seconds() * 1e6 / frames, 1)),
            ("CPU s", rounded(used.cpu_seconds(), 2)),
            ("tester CPU s", rounded(own.cpu_seconds(), 2)),
            ("conflated", json!(conflated)),
            (
                "conflated %",
                rounded(conflated * 100.0 / (frames + conflated), 2),
            ),
            (
                "tokens missing",
                json!(sockets * tokens - usize::try_from(delays.len())?),
            ),
            (PROCESSES, used.cells()),
        ]));
    }
    Ok(rows)
}
