//! The scenarios. Each case has a server process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::answer::{Answer, document};
use crate::model::Model;
use crate::report::{Row, ms, rounded, row};
use crate::server::Server;
use crate::viewer::{Seen, Viewer};
use crate::{Outcome, clock, process};

/// Handshakes under way at a time.
const CONNECTING: usize = 64;
/// Sockets of one source address, well below the ports it has.
const SOCKETS_PER_SOURCE: usize = 20_000;
/// Documents over which the cost of a short one is averaged.
const DOCUMENTS: u32 = 5;
/// A server that hangs ends the run.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) server: PathBuf,
    pub(crate) seconds: u64,
    pub(crate) sockets: Option<usize>,
    pub(crate) jobs: Option<usize>,
}

/// From the writing of a token at the model to its arrival at a socket, one socket to a job.
pub(crate) async fn latency(plan: &Plan) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for jobs in plan.jobs.map_or(vec![1, 50, 200], |jobs| vec![jobs]) {
        let every = Duration::from_millis(10);
        let tokens = usize::try_from(plan.seconds * 100)?;
        let answer = Answer::Stamped { tokens, every };
        let (model, server) = start(plan, answer.clone()).await?;
        let mut viewers = Vec::new();
        for mut viewer in connect(jobs, server.address()).await? {
            let (_, seen) = viewer.create(request(&answer, 0)).await?;
            viewers.push((viewer, seen));
        }
        let (seen, cpu) = flow(plan, &model, &server, viewers, jobs).await?;
        let delays = delays(&seen)?;
        let written = (jobs * tokens) as f64;
        rows.push(row([
            ("jobs", json!(jobs)),
            ("tokens", json!(delays.len())),
            ("p50 ms", ms(delays.value_at_quantile(0.5))),
            ("p99 ms", ms(delays.value_at_quantile(0.99))),
            ("max ms", ms(delays.max())),
            ("server CPU us per token", rounded(cpu * 1e6 / written, 1)),
            (
                "patch frames per token",
                rounded(total(&seen, |seen| seen.patches) / written, 2),
            ),
            (
                "tokens missing",
                json!(jobs * tokens - usize::try_from(delays.len())?),
            ),
        ]));
    }
    Ok(rows)
}

/// One job that many sockets watch.
pub(crate) async fn fanout(plan: &Plan) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for sockets in plan.sockets.map_or(vec![100, 1_000], |sockets| vec![sockets]) {
        let every = Duration::from_millis(20);
        let tokens = usize::try_from(plan.seconds * 50)?;
        let answer = Answer::Stamped { tokens, every };
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

/// Sockets that were welcomed and then say nothing.
pub(crate) async fn idle(plan: &Plan) -> Outcome<Vec<Row>> {
    let sockets = plan.sockets.unwrap_or(5_000);
    let every = Duration::from_secs(1);
    let (_model, server) = start(plan, Answer::Stamped { tokens: 0, every }).await?;
    let before = server.resident_bytes()?;
    let spent = server.cpu_seconds()?;
    let viewers = connect(sockets, server.address()).await?;
    let handshakes = server.cpu_seconds()? - spent;
    let mut reading = JoinSet::new();
    for viewer in viewers {
        reading.spawn(viewer.idle());
    }
    let spent = server.cpu_seconds()?;
    clock::sleep(Duration::from_secs(plan.seconds)).await;
    let after = server.resident_bytes()?;
    let idle = server.cpu_seconds()? - spent;
    let lost = std::iter::from_fn(|| reading.try_join_next()).count();
    let growth = after.saturating_sub(before) as f64;
    Ok(vec![row([
        ("sockets", json!(sockets)),
        ("RSS before MiB", rounded(before as f64 / 1_048_576.0, 1)),
        ("RSS after MiB", rounded(after as f64 / 1_048_576.0, 1)),
        ("KiB per socket", rounded(growth / 1_024.0 / sockets as f64, 2)),
        (
            "server CPU us per handshake",
            rounded(handshakes * 1e6 / sockets as f64, 1),
        ),
        ("server CPU s while idle", rounded(idle, 3)),
        ("sockets lost", json!(lost)),
    ])])
}

/// Whole documents in tokens of four bytes, flat out and paced.
pub(crate) async fn documents(plan: &Plan) -> Outcome<Vec<Row>> {
    let paced = Some(Duration::from_millis(1));
    let cases = [
        (20, None, 0, DOCUMENTS),
        (200, None, 0, 1),
        (20, paced, 0, 1),
        (20, paced, 4, 1),
    ];
    let (mut rows, mut first) = (Vec::new(), None);
    for (kib, every, flush_ms, repeats) in cases {
        let text = document(kib * 1_024);
        let bytes = text.len() as f64;
        let answer = Answer::Document { text, every };
        let (model, server) = start(plan, answer.clone()).await?;
        model.open();
        // One before the measured ones: what is built at the first job is no cost of a document.
        one_document(&server, &answer, flush_ms).await?;
        let spent = server.cpu_seconds()?;
        let mut seen = Vec::new();
        for _ in 0..repeats {
            seen.push(one_document(&server, &answer, flush_ms).await?);
        }
        let cpu = (server.cpu_seconds()? - spent) / f64::from(repeats);
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
            ("server CPU s", rounded(cpu, 4)),
            ("CPU over the first row", rounded(cpu / first, 2)),
            ("server CPU us per token", rounded(cpu * 1e6 / (bytes / 4.0), 1)),
            ("tokens per frame", rounded(bytes / 4.0 / patches, 2)),
            ("bytes over document", rounded(sent / bytes, 2)),
        ]));
    }
    Ok(rows)
}

async fn one_document(server: &Server, answer: &Answer, flush_ms: u64) -> Outcome<Seen> {
    let mut viewer = Viewer::connect(source(0), server.address()).await?;
    let (_, mut seen) = viewer.create(request(answer, flush_ms)).await?;
    tokio::time::timeout(PATIENCE, viewer.follow(&mut seen)).await??;
    Ok(seen)
}

async fn start(plan: &Plan, answer: Answer) -> Outcome<(Model, Server)> {
    let model = Model::start(answer).await?;
    let server = Server::start(&plan.server, &model.base_url())?;
    Ok((model, server))
}

/// Opens the gate once all jobs wait at it, follows all viewers to the end; what they saw, and the server's CPU
/// seconds meanwhile.
async fn flow(
    plan: &Plan,
    model: &Model,
    server: &Server,
    viewers: Vec<(Viewer, Seen)>,
    jobs: usize,
) -> Outcome<(Vec<Seen>, f64)> {
    tokio::time::timeout(PATIENCE, model.asked(jobs)).await??;
    let spent = server.cpu_seconds()?;
    let mut following = JoinSet::new();
    for (mut viewer, mut seen) in viewers {
        following.spawn(async move {
            viewer.follow(&mut seen).await?;
            Outcome::Ok((viewer, seen))
        });
    }
    model.open();
    let limit = PATIENCE + Duration::from_secs(plan.seconds);
    let followed = tokio::time::timeout(limit, following.join_all()).await?;
    let cpu = server.cpu_seconds()? - spent;
    let seen: Outcome<Vec<Seen>> = followed
        .into_iter()
        .map(|one| one.map(|(_, seen)| seen))
        .collect();
    Ok((seen?, cpu))
}

/// `count` welcomed sockets, a bounded number of handshakes at a time.
async fn connect(count: usize, server: SocketAddr) -> Outcome<Vec<Viewer>> {
    // The server inherits the limit and needs as many; some are left for everything else.
    let most = process::open_files_max()?.saturating_sub(100);
    if count > most {
        return Err(format!("{count} sockets need more open files than `ulimit -n` allows ({most})").into());
    }
    let (mut connecting, mut viewers) = (JoinSet::new(), Vec::with_capacity(count));
    for index in 0..count {
        if connecting.len() >= CONNECTING {
            viewers.extend(connecting.join_next().await.transpose()?.transpose()?);
        }
        connecting.spawn(Viewer::connect(source(index), server));
    }
    while let Some(viewer) = connecting.join_next().await {
        viewers.push(viewer??);
    }
    Ok(viewers)
}

fn source(index: usize) -> [u8; 4] {
    let host = u8::try_from(1 + index / SOCKETS_PER_SOURCE).unwrap_or(u8::MAX);
    [127, 0, 0, host]
}

fn request(answer: &Answer, flush_ms: u64) -> Value {
    json!({
        "model": "openai/load", "input": "Say what you have to say.", "schema": answer.schema(),
        "max_reasks": 0, "flush_ms": flush_ms,
    })
}

fn delays(seen: &[Seen]) -> Outcome<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3)?;
    for delay in seen.iter().flat_map(|seen| &seen.delays) {
        histogram.saturating_record(*delay);
    }
    Ok(histogram)
}

fn total(seen: &[Seen], count: impl Fn(&Seen) -> u64) -> f64 {
    seen.iter().map(count).sum::<u64>() as f64
}
