//! Load scenarios for livedraft: a server process, a model server that writes token by token, and sockets that
//! watch, all on the loopback, bounded in number and time.

mod answer;
mod clock;
mod folder;
mod http;
mod model;
mod process;
mod report;
mod scenario;
mod server;
mod submitter;
mod viewer;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::report::Table;
use crate::scenario::Plan;

/// What the tester's functions return: an error ends the run, so it needs to be told and not matched.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measures a livedraft server on the loopback.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Runs a scenario, prints its table, writes its figures.
    Run(RunArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct RunArgs {
    /// What is measured.
    scenario: Scenario,
    /// How long tokens flow, jobs are submitted, or sockets stay idle, in each case.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Sockets of `idle` and `fanout`, readers of `stalled`, instead of the usual numbers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sockets: Option<u32>,
    /// Jobs of `latency` and `cancel` instead of the usual numbers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    jobs: Option<u32>,
    /// The server's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/livedraft")]
    server: PathBuf,
    /// Where the figures go; by default to `loadtest/results/`, named for the scenario.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Token at the model to frame at the socket, at 100 tokens/s a job.
    Latency,
    /// Memory of sockets that say nothing.
    Idle,
    /// One job at 50 frames/s, watched by many.
    Fanout,
    /// CPU and bytes of whole documents.
    Document,
    /// From a submission to its acceptance, with and without a data folder.
    Accepted,
    /// Time to come back with 10,000 stored jobs.
    Restart,
    /// Readers that stop reading beside one that does not.
    Stalled,
    /// From a cancel to the close of the provider's connection.
    Cancel,
    /// All of them.
    All,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let Command::Run(args) = Command::parse();
    let wanted = match args.scenario {
        Scenario::All => vec![
            Scenario::Latency,
            Scenario::Idle,
            Scenario::Fanout,
            Scenario::Document,
            Scenario::Accepted,
            Scenario::Restart,
            Scenario::Stalled,
            Scenario::Cancel,
        ],
        one => vec![one],
    };
    let mut tables = Vec::new();
    for scenario in wanted {
        // Dropping what runs ends its server too.
        tokio::select! {
            table = run(scenario, &args) => tables.push(table?),
            () = told_to_stop() => return Err("told to stop".into()),
        }
    }
    let name = args
        .scenario
        .to_possible_value()
        .ok_or("a scenario without a name")?;
    let file = format!("loadtest/results/{}.json", name.get_name());
    report::tell(&tables, &about(&args), &args.out.unwrap_or_else(|| file.into()))
}

/// Returns at SIGTERM, as `timeout` sends it, or SIGINT.
async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn run(scenario: Scenario, args: &RunArgs) -> Outcome<Table> {
    let count = |given: Option<u32>| given.map(usize::try_from).transpose();
    let plan = Plan {
        server: args.server.clone(),
        seconds: args.seconds,
        sockets: count(args.sockets)?,
        jobs: count(args.jobs)?,
    };
    let load_before = process::load_average();
    let (scenario, goal, rows) = match scenario {
        Scenario::Latency | Scenario::All => (
            "latency",
            "none yet for the embedded engine; through Redis: p50 < 1 ms, p99 < 3 ms with one job",
            scenario::latency::run(&plan).await?,
        ),
        Scenario::Idle => (
            "idle",
            "18 KiB per socket at most, and flat",
            scenario::idle::run(&plan).await?,
        ),
        Scenario::Fanout => (
            "fanout",
            "p99 < 50 ms with 1,000 sockets, 99 % unconflated",
            scenario::fanout::run(&plan).await?,
        ),
        Scenario::Document => (
            "document",
            "20 KB < 0.2 s CPU; 200 KB at most 10.5 times that; bytes at most 10 times at one token a frame, 4 times at four",
            scenario::document::run(&plan).await?,
        ),
        Scenario::Accepted => (
            "accepted",
            "p99 < 10 ms at 200 submits/s with a data folder",
            scenario::accepted::run(&plan).await?,
        ),
        Scenario::Restart => (
            "restart",
            "10,000 stored jobs: ready within 2,000 ms",
            scenario::restart::run(&plan).await?,
        ),
        Scenario::Stalled => (
            "stalled",
            "memory flat and bounded; the good viewer's delays as without them",
            scenario::stalled::run(&plan).await?,
        ),
        Scenario::Cancel => (
            "cancel",
            "p99 < 1,000 ms, before the first byte too",
            scenario::cancel::run(&plan).await?,
        ),
    };
    let load_after = process::load_average();
    Ok(Table {
        scenario,
        goal,
        rows,
        load_before,
        load_after,
    })
}

/// What is known of the server: its profile is the folder it was built into.
fn about(args: &RunArgs) -> serde_json::Value {
    let folder = args.server.parent().and_then(|folder| folder.file_name());
    json!({
        "profile": folder.map(|name| name.to_string_lossy()),
        "allocator": "the system's",
        "seconds": args.seconds,
    })
}
