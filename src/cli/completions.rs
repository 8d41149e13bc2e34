//! `livedraft completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::Cli;
use super::failure::Failure;
use super::screen::Stream;

/// `livedraft completions SHELL`.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell; its page on completion says where the script belongs.
    shell: Shell,
}

/// The exit code of `completions`.
pub(super) fn run(args: CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "livedraft", &mut script);
    let script = String::from_utf8_lossy(&script);
    Stream::Out.put(&script).map(|()| 0).map_err(Failure::Output)
}
