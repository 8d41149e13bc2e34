//! Viewers that come late to a running job.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{PATIENCE, Plan, connect, histogram};
use crate::report::{PROCESSES, Row, ms, rounded, row};
use crate::system::{Setup, System};
use crate::viewer::Viewer;
use crate::{Outcome, clock};

/// Viewers that come, unless another number is asked for.
const JOINERS: usize = 1_000;
/// Between two of them.
const PACE: Duration = Duration::from_millis(5);
/// What the running job has reached when they come: about so many characters, and then nothing follows for a while.
const REACHED_TOKENS: u32 = 5_000;
/// Longer than a node polls its logs: what it does by itself meanwhile is counted apart.
const QUIET: Duration = Duration::from_secs(4);

/// A draft of 20 KB that stands still, and viewers that attach to it at a pace: from the moment one was due to its
/// whole state. Where there is a Redis, its commands are counted, less those of as long a time without them.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let system = System::start(&plan.server, plan.engine, &Setup::default()).await?;
    let mut first = Viewer::connect([127, 0, 0, 1], system.address()).await?;
    let (job, _) = first.create(request()).await?;
    tokio::time::timeout(PATIENCE, reached(&mut first)).await??;
    let joiners = plan.sockets.unwrap_or(JOINERS);
    let viewers = connect(joiners, system.address()).await?;
    let monitor = match system.redis() {
        Some(redis) => Some(redis.monitor().await?),
        None => None,
    };
    let sent = || {
        monitor
            .as_ref()
            .map(|monitor| monitor.counts().values().sum::<u64>())
    };
    let (quiet, begun) = (sent(), clock::micros());
    clock::sleep(QUIET).await;
    let quiet = sent().zip(quiet).map(|(now, before)| now - before);
    let per_second = quiet.map(|quiet| quiet as f64 * 1e6 / (clock::micros() - begun) as f64);
    let (before, counted, begun) = (system.usage()?, sent(), clock::micros());
    let mut joining = JoinSet::new();
    let mut pace = clock::ticks(Duration::ZERO, PACE);
    for mut viewer in viewers {
        let due = clock::micros_at(pace.tick().await);
        let job = job.clone();
        joining.spawn(async move {
            let answers = tokio::time::timeout(PATIENCE, join(&mut viewer, &job)).await??;
            // Their sockets stay until all have come.
            Outcome::Ok((viewer, clock::micros() - due, answers))
        });
    }
    let joined: Outcome<Vec<(Viewer, u64, u64)>> = joining.join_all().await.into_iter().collect();
    let joined = joined?;
    let used = system.usage()?.since(&before);
    let seconds = (clock::micros() - begun) as f64 / 1e6;
    let commands = sent()
        .zip(counted)
        .zip(per_second)
        .map(|((now, counted), per_second)| {
            ((now - counted) as f64 - per_second * seconds).max(0.0) / joiners as f64
        });
    let delays = histogram(joined.iter().map(|(_, delay, _)| delay))?;
    let most = joined.iter().map(|(_, _, answers)| *answers).max().unwrap_or(0);
    Ok(vec![row([
        ("joiners", json!(joiners)),
        ("p50 ms", ms(delays.value_at_quantile(0.5))),
        ("p99 ms", ms(delays.value_at_quantile(0.99))),
        ("max ms", ms(delays.max())),
        ("questions each", json!(1)),
        ("messages until the state", json!(most)),
        (
            "Redis commands each",
            commands.map_or(json!("–"), |each| rounded(each, 3)),
        ),
        (
            "CPU us each",
            rounded(used.cpu_seconds() * 1e6 / joiners as f64, 0),
        ),
        (PROCESSES, used.cells()),
    ])])
}

/// Asks once, and reads until the state is there; how many messages that took.
async fn join(viewer: &mut Viewer, job: &str) -> Outcome<u64> {
    viewer
        .send(&json!({ "type": "job.attach", "job_id": job }))
        .await?;
    for count in 1.. {
        let message: Value = serde_json::from_str(&viewer.text().await?)?;
        match message["type"].as_str() {
            Some("job.snapshot") if message["part"] == message["parts"] => return Ok(count),
            Some("error") => return Err(format!("an attach was refused: {message}").into()),
            _ => {}
        }
    }
    Err("more messages than there are".into())
}

/// Reads until the draft has come as far as it goes.
async fn reached(viewer: &mut Viewer) -> Outcome<()> {
    let mut bytes = 0;
    // Four characters a token, and the frames around them.
    while bytes < REACHED_TOKENS as usize * 4 {
        bytes += viewer.text().await?.len();
    }
    Ok(())
}

/// A long text that hangs in the middle.
fn request() -> Value {
    json!({
        "model": "scripted", "input": "Say what you have to say.", "flush_ms": 33,
        "schema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
        "script": { "tokens_per_second": 10_000, "text_chars": 100_000, "hang_after": REACHED_TOKENS },
    })
}
