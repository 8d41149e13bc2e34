//! The scenarios. Each case has a system of its own.

mod accepted;
mod burst;
mod cancel;
mod commands;
mod document;
pub(crate) mod engine;
mod fanout;
mod goal;
mod idle;
mod late;
mod latency;
mod restart;
mod rolling;
mod saturation;
mod soak;
mod stalled;
mod storm;
mod takeover;
mod tenants;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::model::Model;
use crate::report::{Row, Table, rounded};
use crate::system::{Engine, Setup, System};
use crate::usage::Usage;
use crate::viewer::{Seen, Viewer};
use crate::weather::Watch;
use crate::{Outcome, process};

/// Handshakes under way at a time.
const CONNECTING: usize = 64;
/// Sockets of one source address, well below the ports it has.
const SOCKETS_PER_SOURCE: usize = 20_000;
/// A server that hangs ends the run.
const PATIENCE: Duration = Duration::from_secs(60);

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Token at the model to frame at the socket, at 100 tokens/s a job.
    Latency,
    /// Memory of sockets that say nothing.
    Idle,
    /// One job at 50 frames/s, watched by many.
    Fanout,
    /// CPU and bytes of whole documents.
    Document,
    /// From a submission to its acceptance.
    Accepted,
    /// Time to come back with 10,000 stored jobs.
    Restart,
    /// Readers that stop reading beside one that does not.
    Stalled,
    /// From a cancel to the close of the provider's connection.
    Cancel,
    /// How many live jobs at 100 tokens/s a core carries.
    Saturation,
    /// Viewers that come late: one question, and the state.
    Late,
    /// All viewers break and come back at once.
    Storm,
    /// More submissions at once than there is room for.
    Burst,
    /// One tenant with much beside some with little.
    Tenants,
    /// A worker is killed, another goes on.
    Takeover,
    /// Every process of a fleet is replaced while jobs run.
    Rolling,
    /// What clients ask of Redis for a token.
    Commands,
    /// The queue and the log alone, over Redis: jobs and appends a second.
    Engine,
    /// The same for long: nothing may grow.
    Soak,
    /// All of them.
    All,
}

/// What a run was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) server: PathBuf,
    pub(crate) engine: Engine,
    pub(crate) seconds: u64,
    pub(crate) sockets: Option<usize>,
    pub(crate) jobs: Option<usize>,
    /// Tokens a second of a job.
    pub(crate) rate: u32,
}

impl Scenario {
    /// The scenarios that a name stands for.
    pub(crate) fn each(self) -> Vec<Self> {
        match self {
            Self::All => Self::value_variants()
                .iter()
                .copied()
                .filter(|one| *one != Self::All)
                .collect(),
            one => vec![one],
        }
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or(String::new(), |name| name.get_name().to_owned())
    }

    /// Measures it on each engine that it makes sense for.
    pub(crate) async fn table(self, plan: &Plan, engines: &[Engine]) -> Outcome<Table> {
        let goal = goal::of(self);
        let watch = Watch::begin();
        let mut rows: Vec<Row> = Vec::new();
        for &engine in engines {
            let plan = Plan {
                engine,
                ..plan.clone()
            };
            for mut row in self.run(&plan).await? {
                row.shift_insert(0, "engine".to_owned(), json!(engine.name()));
                rows.push(row);
            }
        }
        if rows.is_empty() {
            let engines: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
            return Err(format!("{} is not measured on {}", self.name(), engines.join(", ")).into());
        }
        Ok(Table {
            scenario: self.name(),
            about: goal.about,
            keys: goal.keys,
            budgets: goal.budgets,
            rows,
            weather: watch.end(),
        })
    }

    async fn run(self, plan: &Plan) -> Outcome<Vec<Row>> {
        match self {
            Self::Latency | Self::All => latency::run(plan).await,
            Self::Idle => idle::run(plan).await,
            Self::Fanout => fanout::run(plan).await,
            Self::Document => document::run(plan).await,
            Self::Accepted => accepted::run(plan).await,
            Self::Restart => restart::run(plan).await,
            Self::Stalled => stalled::run(plan).await,
            Self::Cancel => cancel::run(plan).await,
            Self::Saturation => saturation::run(plan).await,
            Self::Late => late::run(plan).await,
            Self::Storm => storm::run(plan).await,
            Self::Burst => burst::run(plan).await,
            Self::Tenants => tenants::run(plan).await,
            Self::Takeover => takeover::run(plan).await,
            Self::Rolling => rolling::run(plan).await,
            Self::Commands => commands::run(plan).await,
            Self::Engine => engine::run(plan).await,
            Self::Soak => soak::run(plan).await,
        }
    }
}

async fn start(plan: &Plan, answer: Answer) -> Outcome<(Model, System)> {
    start_with(plan, answer, Setup::default()).await
}

/// The model server, and a system that asks it.
async fn start_with(plan: &Plan, answer: Answer, setup: Setup) -> Outcome<(Model, System)> {
    let model = Model::start(answer).await?;
    let setup = Setup {
        base_url: Some(model.base_url()),
        ..setup
    };
    let system = System::start(&plan.server, plan.engine, &setup).await?;
    Ok((model, system))
}

/// Opens the gate once all jobs wait at it, follows all viewers to the end; what they saw, and what the system spent
/// meanwhile.
async fn flow(
    plan: &Plan,
    model: &Model,
    system: &System,
    viewers: Vec<(Viewer, Seen)>,
    jobs: usize,
) -> Outcome<(Vec<Seen>, Usage)> {
    tokio::time::timeout(PATIENCE, model.asked(jobs)).await??;
    let before = system.usage()?;
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
    let used = system.usage()?.since(&before);
    let seen: Outcome<Vec<Seen>> = followed
        .into_iter()
        .map(|one| one.map(|(_, seen)| seen))
        .collect();
    Ok((seen?, used))
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

/// What a job asks for that is answered so.
pub(crate) fn request(answer: &Answer, flush_ms: u64) -> Value {
    json!({
        "model": "openai/load", "input": "Say what you have to say.", "schema": answer.schema(),
        "max_reasks": 0, "flush_ms": flush_ms,
    })
}

/// All delays that were seen, of microseconds.
pub(crate) fn delays(seen: &[Seen]) -> Outcome<Histogram<u64>> {
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

/// Of all that was seen.
pub(crate) fn total(seen: &[Seen], count: impl Fn(&Seen) -> u64) -> f64 {
    seen.iter().map(count).sum::<u64>() as f64
}
