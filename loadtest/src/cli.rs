//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};

use crate::scenario::Scenario;
use crate::system::Engine;

/// Seeds of one run, at most.
const SEEDS_MAX: usize = 10_000;

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
    /// Tokens a second of each job (`saturation`).
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rate: u32,
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
    /// Seeds in place of one, the last included: each with a fleet of its own, and one sum of them all.
    #[arg(long, value_name = "A..B", conflicts_with = "seed")]
    pub(crate) seeds: Option<Seeds>,
    /// Of several seeds, how many at the same time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_a_time)]
    pub(crate) at_a_time: usize,
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

/// From one seed to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not `A..B` with A at most B, and at most {SEEDS_MAX} seeds");
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let from = from.parse().map_err(|_| wrong())?;
        let to = to.parse().map_err(|_| wrong())?;
        let many = (from..=to).take(SEEDS_MAX + 1).count();
        (1..=SEEDS_MAX)
            .contains(&many)
            .then_some(Self { from, to })
            .ok_or_else(wrong)
    }
}

fn at_a_time(text: &str) -> Result<usize, String> {
    let many = text.parse().ok().filter(|many| (1..=64).contains(many));
    many.ok_or_else(|| format!("`{text}` is not 1 to 64"))
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

#[cfg(test)]
mod tests {
    use super::Seeds;

    #[test]
    fn seeds_are_a_range_with_its_ends() {
        assert_eq!("1..50".parse(), Ok(Seeds { from: 1, to: 50 }));
        assert_eq!("7..7".parse(), Ok(Seeds { from: 7, to: 7 }));
        for wrong in ["", "1", "5..4", "a..b", "0..99999999"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }
}
