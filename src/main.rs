//! The `livedraft` command.

use std::process::ExitCode;

use clap::Parser as _;
use livedraft::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
