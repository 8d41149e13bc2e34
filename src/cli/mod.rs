//! The `livedraft` command line: results on stdout, talk on stderr, stable exit codes.

mod choices;
mod chunk;
mod completions;
mod config;
mod dead;
mod demo;
mod doctor;
mod echo;
mod extract;
mod failure;
mod job;
mod keys;
mod log;
mod node;
mod outline;
mod paint;
pub mod parse;
mod queue;
mod result;
mod screen;
mod serve;
mod show;
mod signals;
mod verdict;
mod words;
mod worker;

use std::io;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;

use self::completions::CompletionsArgs;
use self::config::ConfigCommand;
use self::dead::{DeadArgs, RedriveArgs};
use self::demo::DemoArgs;
use self::doctor::DoctorArgs;
use self::echo::EchoArgs;
use self::extract::ExtractArgs;
use self::failure::Failure;
use self::job::{JobArgs, WatchArgs};
use self::keys::KeysArgs;
use self::parse::ParseArgs;
use self::queue::{PauseArgs, QueueArgs};
use self::screen::Stream;
use self::serve::{ApiArgs, ServeArgs};
use self::verdict::{AcceptArgs, ReaskArgs};
use self::worker::WorkerArgs;
use crate::client::{Client, ClientError};

/// Structured LLM output, live from the first token.
#[derive(Parser, Debug)]
#[command(name = "livedraft", version, after_help = failure::TABLE)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// See it all: a server, viewers, a re-ask, a cut socket, a late viewer.
    Demo(DemoArgs),
    /// Run the server: sockets, queue and workers in one process.
    Serve(ServeArgs),
    /// Run the part of a fleet that clients speak with: sockets and HTTP.
    Api(ApiArgs),
    /// Run the part of a fleet that works on jobs.
    Worker(WorkerArgs),
    /// Extract structured data from text, and see it grow.
    #[command(after_help = failure::TABLE)]
    Extract(Box<ExtractArgs>),
    /// Watch a job to its end; an interrupt leaves it alone.
    #[command(after_help = failure::TABLE)]
    Watch(WatchArgs),
    /// Ask for a job's end.
    Cancel(JobArgs),
    /// Take a value that waits for a verdict.
    Accept(AcceptArgs),
    /// Have a value that waits for a verdict asked for again.
    Reask(ReaskArgs),
    /// Print a job's state and value now.
    Get(JobArgs),
    /// List the jobs that were given up, of all tenants, or show one.
    Dead(DeadArgs),
    /// Make a new job of one that was given up.
    Redrive(RedriveArgs),
    /// Show how many jobs are in which state, and what is paused.
    Queue(QueueArgs),
    /// Give no worker any job that is in line, of all or of one tenant; what runs goes on.
    Pause(PauseArgs),
    /// Let what was paused go on.
    Resume(PauseArgs),
    /// Make API keys.
    Keys(KeysArgs),
    /// Turn any model's text into a live draft, without a server.
    Parse(ParseArgs),
    /// What the configuration is, and what is wrong with it.
    Config(ConfigCommand),
    /// Look for what would keep the server from working here, and say the way out.
    Doctor(DoctorArgs),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
    /// Say back what a socket at / says, for conformance suites.
    #[command(hide = true)]
    Echo(EchoArgs),
}

/// Where the server is.
#[derive(Args, Clone, Debug)]
struct ServerUrl {
    /// The server.
    #[arg(long, env = "LIVEDRAFT_URL", default_value = "ws://127.0.0.1:8080")]
    url: String,
}

impl ServerUrl {
    /// Speaks with it, with the key of the environment if there is one.
    fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.url).key(keys::shown()?))
    }
}

/// What is meant of a server's answer over HTTP.
fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T, Failure> {
    let read = serde_json::from_str(answer);
    read.map_err(|error| ClientError::Protocol(error.to_string()).into())
}

/// Runs the command to its exit code.
pub fn run(cli: Cli) -> ExitCode {
    let code = match command(cli.command) {
        Ok(code) => code,
        Err(failure) if failure.is_silent() => failure.exit(),
        Err(failure) => {
            let mut told = format!("livedraft: {failure}\n");
            if let Some(advice) = failure.advice() {
                told.push_str(&format!("  {advice}\n"));
            }
            Stream::Err.write(&told);
            failure.exit()
        }
    };
    ExitCode::from(code)
}

fn command(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Demo(args) => server(demo::run(args)),
        Command::Serve(args) => server(serve::run(args)),
        Command::Api(args) => server(serve::run_api(args)),
        Command::Worker(args) => server(worker::run(args)),
        Command::Extract(args) => client(extract::run(&args)),
        Command::Watch(args) => client(job::watch(args)),
        Command::Cancel(args) => client(job::cancel(args)),
        Command::Accept(args) => client(verdict::accept(args)),
        Command::Reask(args) => client(verdict::reask(args)),
        Command::Get(args) => client(job::get(args)),
        Command::Dead(args) => client(dead::dead(args)),
        Command::Redrive(args) => client(dead::redrive(args)),
        Command::Queue(args) => client(queue::queue(args)),
        Command::Pause(args) => client(queue::pause(args)),
        Command::Resume(args) => client(queue::resume(args)),
        Command::Keys(args) => keys::run(args),
        Command::Parse(args) => Ok(parse_stdin(args)),
        Command::Config(command) => config::run(&command),
        Command::Doctor(args) => server(doctor::run(args)),
        Command::Completions(args) => completions::run(args),
        Command::Echo(args) => server(echo::run(args)),
    }
}

/// A client needs one thread.
fn client(work: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::Serve(format!("no runtime: {error}")))?
        .block_on(work)
}

/// A server has a thread for each core.
fn server(work: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::Serve(format!("no runtime: {error}")))?
        .block_on(work)
}

fn parse_stdin(args: ParseArgs) -> u8 {
    let code = parse::run(args, io::stdin().lock(), io::stdout().lock(), io::stderr().lock());
    u8::try_from(code).unwrap_or(1)
}
