//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::scenario::Scenario;
use crate::system::Engine;

/// Measures livedraft on the loopback, and tries to break it.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a scenario, prints its table, writes its figures; exit code 1 where a budget is not kept.
    Run(RunArgs),
    /// Tries to break a fleet of real processes and checks what its clients saw; exit code 1 where a rule does not hold.
    Chaos(ChaosArgs),
    /// Measures the peers beside livedraft in the same window, and tells what they are in multiples of it.
    Peers(PeersArgs),
    /// Puts two reports side by side; exit code 1 where a figure with a budget has become worse.
    Compare(CompareArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// What is measured.
    pub(crate) scenario: Scenario,
    /// What the system is made of; several, by commas, are measured one after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "embedded")]
    pub(crate) engine: Vec<Engine>,
    /// How long tokens flow, jobs are submitted, or sockets stay idle, in each case.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Sockets or readers, instead of the scenario's numbers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) sockets: Option<u32>,
    /// Jobs, instead of the scenario's numbers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) jobs: Option<u32>,
    /// The system's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/livedraft")]
    pub(crate) server: PathBuf,
    /// Where the figures go (and, beside them, the tables in Markdown); by default to `loadtest/results/`, named for
    /// the scenario and the engines.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ChaosArgs {
    /// Decides what is done and when; without it, one is drawn and told.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How long deeds begin.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Jobs at a time.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) jobs: u32,
    /// The system's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/livedraft")]
    pub(crate) server: PathBuf,
    /// Where what was found goes (and, beside it, in words); without it, to stdout alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PeersArgs {
    /// How long tokens flow, and sockets stay idle, in each case.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    /// The system's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/livedraft")]
    pub(crate) server: PathBuf,
    /// Where the figures go.
    #[arg(long, value_name = "FILE", default_value = "loadtest/results/peers.json")]
    pub(crate) out: PathBuf,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// The earlier report.
    pub(crate) a: PathBuf,
    /// The later one.
    pub(crate) b: PathBuf,
    /// How many times worse a figure may be.
    #[arg(long, value_name = "X", default_value_t = 1.2)]
    pub(crate) times: f64,
}

impl RunArgs {
    /// Where the figures go.
    pub(crate) fn out(&self, scenario: &str) -> PathBuf {
        let engines: Vec<&str> = self.engine.iter().map(|engine| engine.name()).collect();
        let name = match engines[..] {
            ["embedded"] => scenario.to_owned(),
            _ => format!("{scenario}-{}", engines.join("-")),
        };
        let usual = || PathBuf::from(format!("loadtest/results/{name}.json"));
        self.out.clone().unwrap_or_else(usual)
    }
}
