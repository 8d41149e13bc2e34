//! What is measured of each system.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::socket::Socket;
use super::system::{Installed, Peer, Running};
use crate::answer::{Answer, document};
use crate::model::Model;
use crate::report::{PROCESSES, Row, ms, rounded, row};
use crate::scenario::{delays, request, total};
use crate::usage::Usage;
use crate::viewer::Seen;
use crate::weather::Watch;
use crate::{Outcome, clock};

/// What a case of any system may take; a peer that is slower than that is told so.
const PATIENCE: Duration = Duration::from_secs(100);
/// Documents over which the cost of one is averaged, behind one that is not measured.
const DOCUMENTS: u32 = 2;
/// Jobs that have been asked for before those that are measured.
const WARMING: usize = 1;
/// Handshakes under way at a time.
const CONNECTING: usize = 32;

/// A case: what it is measured by (the column that is told in multiples of ours), and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// One document of so many KiB flat out, each token a write of its own.
    Document(usize),
    /// So many jobs at 100 tokens/s, a socket to each, in this window (of ours; the others have none).
    Paced(usize, u64),
    /// One job at 50 tokens/s, watched by so many.
    Fanout(usize),
    /// So many sockets that say nothing.
    Idle(usize),
}

impl Case {
    /// The column that is compared.
    pub(crate) fn measure(self) -> &'static str {
        match self {
            Self::Document(_) => "CPU s",
            Self::Paced(..) => "CPU us per token",
            Self::Fanout(_) => "CPU us per frame",
            Self::Idle(_) => "KiB per socket",
        }
    }

    /// In words.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Document(kib) => format!("document of {kib} KiB, flat out"),
            Self::Paced(jobs, flush_ms) => format!("{jobs} jobs at 100 tokens/s (flush_ms {flush_ms})"),
            Self::Fanout(sockets) => format!("one job at 50 tokens/s, {sockets} sockets"),
            Self::Idle(sockets) => format!("{sockets} idle sockets"),
        }
    }

    /// Its figures of one system; of one that is too slow or fails, that.
    pub(crate) async fn row(self, peer: Peer, installed: &Installed, seconds: u64) -> Row {
        let watch = Watch::begin();
        let figures = tokio::time::timeout(PATIENCE, self.figures(peer, installed, seconds));
        let figures = match figures.await {
            Ok(Ok(figures)) => figures,
            Ok(Err(error)) => row([("remark", json!(error.to_string()))]),
            Err(_) => row([("remark", json!(format!("not done in {} s", PATIENCE.as_secs())))]),
        };
        let mut all = row([("peer", json!(peer.name()))]);
        all.extend(figures);
        all.extend(watch.end().cells());
        all
    }

    async fn figures(self, peer: Peer, installed: &Installed, seconds: u64) -> Outcome<Row> {
        let stamped = |every: Duration| Answer::Stamped {
            tokens: (seconds as usize * 1_000) / every.as_millis() as usize,
            every,
            padding: 0,
        };
        let answer = match self {
            Self::Document(kib) => Answer::Document {
                text: document(kib << 10),
                every: None,
                burst: 1,
            },
            Self::Paced(..) => stamped(Duration::from_millis(10)),
            Self::Fanout(_) | Self::Idle(_) => stamped(Duration::from_millis(20)),
        };
        let model = Model::start(answer.clone()).await?;
        let running = Running::start(peer, installed, &model.base_url()).await?;
        match self {
            Self::Document(kib) => documents(&running, &model, &answer, kib << 10).await,
            Self::Paced(jobs, flush_ms) => paced(&running, &model, &answer, jobs, flush_ms).await,
            Self::Fanout(sockets) => fanout(&running, &model, &answer, sockets).await,
            Self::Idle(sockets) => idle(&running, sockets, seconds).await,
        }
    }
}

async fn documents(running: &Running, model: &Model, answer: &Answer, bytes: usize) -> Outcome<Row> {
    model.open();
    let one = || async {
        let mut socket = Socket::connect(running.talk, [127, 0, 0, 1], running.address()?).await?;
        let (_, mut seen) = socket.create(request(answer, 0), "report").await?;
        socket.follow(&mut seen).await?;
        Outcome::Ok(seen)
    };
    one().await?;
    let (before, begun) = (running.usage()?, clock::micros());
    let mut seen = Vec::new();
    for _ in 0..DOCUMENTS {
        seen.push(one().await?);
    }
    let (used, took) = (running.usage()?.since(&before), clock::micros() - begun);
    let each = f64::from(DOCUMENTS);
    Ok(row([
        ("CPU s", rounded(used.cpu_seconds() / each, 4)),
        ("wall s", rounded(took as f64 / 1e6 / each, 2)),
        (
            "bytes over document",
            rounded(total(&seen, |seen| seen.bytes) / each / bytes as f64, 2),
        ),
        ("frames", rounded(total(&seen, |seen| seen.patches) / each, 0)),
        (PROCESSES, used.cells()),
    ]))
}

async fn paced(
    running: &Running,
    model: &Model,
    answer: &Answer,
    jobs: usize,
    flush_ms: u64,
) -> Outcome<Row> {
    warm_up(running, model, answer, flush_ms).await?;
    let mut watching = Vec::new();
    for mut socket in connect(running, jobs).await? {
        let (_, seen) = socket.create(request(answer, flush_ms), "text").await?;
        watching.push((socket, seen));
    }
    let (seen, used) = flow(running, model, watching, jobs).await?;
    let delays = delays(&seen)?;
    let written = (jobs * tokens(answer)) as f64;
    let per_token = used.cpu_seconds() / written;
    Ok(row([
        ("CPU us per token", rounded(per_token * 1e6, 1)),
        ("jobs per core", rounded(0.01 / per_token, 0)),
        ("p50 ms", ms(delays.value_at_quantile(0.5))),
        ("p99 ms", ms(delays.value_at_quantile(0.99))),
        ("tokens missing", rounded(written - delays.len() as f64, 0)),
        (PROCESSES, used.cells()),
    ]))
}

async fn fanout(running: &Running, model: &Model, answer: &Answer, sockets: usize) -> Outcome<Row> {
    warm_up(running, model, answer, 0).await?;
    let mut all = connect(running, sockets).await?;
    let first = all.first_mut().ok_or("no sockets")?;
    let (job, seen) = first.create(request(answer, 0), "text").await?;
    let mut watching = vec![(all.remove(0), seen)];
    for mut socket in all {
        let seen = socket.attach(&job).await?;
        watching.push((socket, seen));
    }
    let own = Usage::own()?;
    let (seen, used) = flow(running, model, watching, 1).await?;
    let own = Usage::own()?.since(&own);
    let delays = delays(&seen)?;
    let frames = total(&seen, |seen| seen.patches);
    Ok(row([
        ("CPU us per frame", rounded(used.cpu_seconds() * 1e6 / frames, 1)),
        ("CPU s", rounded(used.cpu_seconds(), 2)),
        ("p50 ms", ms(delays.value_at_quantile(0.5))),
        ("p99 ms", ms(delays.value_at_quantile(0.99))),
        (
            "MiB sent",
            rounded(total(&seen, |seen| seen.bytes) / 1_048_576.0, 1),
        ),
        ("tester CPU s", rounded(own.cpu_seconds(), 2)),
        (
            "tokens missing",
            rounded((sockets * tokens(answer)) as f64 - delays.len() as f64, 0),
        ),
        (PROCESSES, used.cells()),
    ]))
}

async fn idle(running: &Running, sockets: usize, seconds: u64) -> Outcome<Row> {
    let before = running.usage()?;
    let mut reading = JoinSet::new();
    for socket in connect(running, sockets).await? {
        reading.spawn(socket.idle());
    }
    clock::sleep(Duration::from_secs(seconds)).await;
    let after = running.usage()?;
    let grown = after.resident_bytes().saturating_sub(before.resident_bytes()) as f64;
    let lost = std::iter::from_fn(|| reading.try_join_next()).count();
    Ok(row([
        ("KiB per socket", rounded(grown / 1_024.0 / sockets as f64, 1)),
        ("sockets lost", json!(lost)),
        (PROCESSES, after.since(&before).cells()),
    ]))
}

/// One job that is not measured: what is compiled or built at the first is no cost of those behind it.
async fn warm_up(running: &Running, model: &Model, answer: &Answer, flush_ms: u64) -> Outcome<()> {
    model.open();
    let mut socket = Socket::connect(running.talk, [127, 0, 0, 1], running.address()?).await?;
    let (_, mut seen) = socket.create(request(answer, flush_ms), "text").await?;
    socket.follow(&mut seen).await?;
    model.close();
    Ok(())
}

/// Opens the gate once all jobs wait at it, follows all sockets to the end.
async fn flow(
    running: &Running,
    model: &Model,
    watching: Vec<(Socket, Seen)>,
    jobs: usize,
) -> Outcome<(Vec<Seen>, Usage)> {
    model.asked(WARMING + jobs).await?;
    let before = running.usage()?;
    let mut following = JoinSet::new();
    for (mut socket, mut seen) in watching {
        following.spawn(async move {
            socket.follow(&mut seen).await?;
            Outcome::Ok((socket, seen))
        });
    }
    model.open();
    let followed = following.join_all().await;
    let used = running.usage()?.since(&before);
    let seen: Outcome<Vec<Seen>> = followed
        .into_iter()
        .map(|one| one.map(|(_, seen)| seen))
        .collect();
    Ok((seen?, used))
}

async fn connect(running: &Running, count: usize) -> Outcome<Vec<Socket>> {
    let (mut connecting, mut sockets) = (JoinSet::new(), Vec::with_capacity(count));
    for _ in 0..count {
        if connecting.len() >= CONNECTING {
            sockets.extend(connecting.join_next().await.transpose()?.transpose()?);
        }
        connecting.spawn(Socket::connect(running.talk, [127, 0, 0, 1], running.address()?));
    }
    while let Some(socket) = connecting.join_next().await {
        sockets.push(socket??);
    }
    Ok(sockets)
}

fn tokens(answer: &Answer) -> usize {
    match answer {
        Answer::Stamped { tokens, .. } => *tokens,
        Answer::Document { text, .. } => text.len().div_ceil(4),
    }
}
