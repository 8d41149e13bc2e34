//! Load scenarios for livedraft: a server process or a fleet, a model server that writes token by token, and sockets that
//! watch, all on the loopback, bounded in number and time.

mod answer;
mod chaos;
mod cli;
mod clock;
mod fold;
mod folder;
mod http;
mod model;
mod node;
mod peers;
mod process;
mod redis;
mod report;
mod scenario;
mod submitter;
mod system;
mod usage;
mod viewer;
mod weather;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Cli, Command, CompareArgs, RunArgs};
use crate::scenario::Plan;

/// What the tester's functions return: an error ends the run, so it needs to be told and not matched.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Exit code 0: all is as it should be; 1: a budget is not kept, or something is worse; 2: it could not be measured.
#[tokio::main]
async fn main() -> ExitCode {
    // Dropping what runs ends its processes too.
    let done = tokio::select! {
        done = run(Cli::parse().command) => done,
        () = told_to_stop() => Err("told to stop".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Nobody is left to tell where stderr is gone.
            let _ = writeln!(std::io::stderr(), "loadtest: {error}");
            ExitCode::from(2)
        }
    }
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

/// Whether all is as it should be.
async fn run(command: Command) -> Outcome<bool> {
    match command {
        Command::Run(args) => measure(&args).await,
        Command::Chaos(args) => chaos::run(&args).await,
        Command::Peers(args) => peers::run(&args).await,
        Command::Compare(args) => compare(&args),
    }
}

async fn measure(args: &RunArgs) -> Outcome<bool> {
    let count = |given: Option<u32>| given.map(usize::try_from).transpose();
    let plan = Plan {
        server: args.server.clone(),
        engine: args.engine[0],
        seconds: args.seconds,
        sockets: count(args.sockets)?,
        jobs: count(args.jobs)?,
        rate: args.rate,
    };
    let scenarios = args.scenario.each();
    let mut tables = Vec::new();
    for scenario in &scenarios {
        let measured = scenario.table(&plan, &args.engine).await;
        tables.push(measured.map_err(|error| format!("{}: {error}", scenario.name()))?);
    }
    report::tell(&tables, &about(args), &args.out(&args.scenario.name()))?;
    let broken: usize = tables.iter().map(report::Table::broken).sum();
    Ok(broken == 0)
}

/// What is known of the system: its profile is the folder it was built into.
fn about(args: &RunArgs) -> serde_json::Value {
    let folder = args.server.parent().and_then(|folder| folder.file_name());
    let engines: Vec<&str> = args.engine.iter().map(|engine| engine.name()).collect();
    json!({
        "profile": folder.map(|name| name.to_string_lossy()),
        "allocator": "the system's",
        "engines": engines,
        "seconds": args.seconds,
    })
}

fn compare(args: &CompareArgs) -> Outcome<bool> {
    let (text, worse) = report::compare(&args.a, &args.b, args.times)?;
    write!(std::io::stdout().lock(), "{text}")?;
    Ok(worse == 0)
}
