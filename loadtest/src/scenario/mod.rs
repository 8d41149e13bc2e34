//! The scenarios. Each case has a server process of its own.

pub(crate) mod accepted;
pub(crate) mod cancel;
pub(crate) mod document;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod restart;
pub(crate) mod stalled;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::model::Model;
use crate::report::rounded;
use crate::server::{Server, Setup};
use crate::viewer::{Seen, Viewer};
use crate::{Outcome, process};

/// Handshakes under way at a time.
const CONNECTING: usize = 64;
/// Sockets of one source address, well below the ports it has.
const SOCKETS_PER_SOURCE: usize = 20_000;
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

async fn start(plan: &Plan, answer: Answer) -> Outcome<(Model, Server)> {
    let model = Model::start(answer).await?;
    let setup = Setup {
        base_url: Some(model.base_url()),
        ..Setup::default()
    };
    let server = Server::start(&plan.server, &setup)?;
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
    histogram(seen.iter().flat_map(|seen| &seen.delays))
}

/// Of microseconds, up to ten minutes.
fn histogram<'a>(delays: impl Iterator<Item = &'a u64>) -> Outcome<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3)?;
    for delay in delays {
        histogram.saturating_record(*delay);
    }
    Ok(histogram)
}

/// Bytes as MiB.
fn mib(bytes: u64) -> Value {
    rounded(bytes as f64 / 1_048_576.0, 1)
}

fn total(seen: &[Seen], count: impl Fn(&Seen) -> u64) -> f64 {
    seen.iter().map(count).sum::<u64>() as f64
}
