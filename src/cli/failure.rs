//! How a command ends: the stable exit codes, and what to try next.

use std::io;

use crate::client::{ClientError, Follower};
use crate::config::Fault;
use crate::job::Outcome;
use crate::wire::{Code, JobEnd};

/// The exit codes as `--help` tells them.
pub(super) const TABLE: &str = "\
Exit codes:
  0    done
  1    a fault here: the server or the demo failed, or the result cannot be written
  2    usage: arguments, a configuration, a schema or a request that cannot be taken
  3    the job failed, or its answer is incomplete
  4    the model's provider failed
  5    no server could be reached, or it cannot take the job now
  6    the job was cancelled
  124  --timeout passed; the job goes on
  130  interrupted";

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("the configuration cannot be taken{}", listed(.0))]
    Config(Vec<Fault>),
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("timed out; the job goes on{}", attach(job.as_deref()))]
    TimedOut { job: Option<String> },
    #[error("left; the job goes on{}", attach(job.as_deref()))]
    Interrupted { job: Option<String> },
    /// A second signal did not let the server go down in order.
    #[error("left at once: running jobs were not waited for")]
    Forced,
    /// Without its output the command did nothing.
    #[error("the result cannot be written: {0}")]
    Output(io::Error),
    #[error("signals cannot be heard: {0}")]
    Signals(#[from] io::Error),
    /// The server could not start, or stopped by a fault.
    #[error("{0}")]
    Serve(String),
    /// The demo saw what must not be.
    #[error("{0}")]
    Demo(String),
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

fn attach(job: Option<&str>) -> String {
    job.map_or_else(String::new, |job| {
        format!("\n  to see it again: livedraft watch {job}")
    })
}

impl Failure {
    pub(super) fn exit(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Client(error) => of_client(error),
            Self::TimedOut { .. } => 124,
            Self::Interrupted { .. } | Self::Forced => 130,
            Self::Output(_) | Self::Signals(_) | Self::Serve(_) | Self::Demo(_) => 1,
        }
    }

    /// Whether there is nobody to be told: the reader of a pipe has what it wanted.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The next command to try.
    pub(super) fn advice(&self) -> Option<&'static str> {
        let error = match self {
            Self::Client(error) => error,
            Self::Config(_) => return Some("to see every key and what holds: livedraft config show"),
            _ => return None,
        };
        match error {
            ClientError::Unreachable { .. } | ClientError::GaveUp { .. } => {
                Some("start a server: livedraft serve\n  or name one:    --url ws://host:port")
            }
            ClientError::Refused { .. } => Some(
                "name a livedraft server: --url ws://host:port\n  and its key, if it asks for one: LIVEDRAFT_KEY, or LIVEDRAFT_KEY_FILE",
            ),
            ClientError::Answer(error) => match Code::named(&error.code)? {
                Code::NotFound => Some("submit a job: livedraft extract --help"),
                Code::UnknownModel => Some("without --model, the first model that the server names is taken"),
                _ => None,
            },
            _ => None,
        }
    }
}

fn of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::Url { .. } => 2,
        ClientError::Answer(error) if Code::named(&error.code).is_some_and(|code| !code.again()) => 2,
        ClientError::Follow(_) => 3,
        ClientError::GaveUp { last, .. } => of_client(last),
        _ => 5,
    }
}

/// The exit code of a job that was followed to its end.
pub(super) fn of_job(follower: &Follower) -> u8 {
    follower.end().map_or(3, of_end)
}

fn of_end(end: &JobEnd) -> u8 {
    match end.outcome {
        Outcome::Completed => 0,
        Outcome::Cancelled => 6,
        Outcome::Failed | Outcome::Incomplete => {
            let code = end.error.as_ref().map_or("", |error| &error.code);
            if code.starts_with("provider_") { 4 } else { 3 }
        }
    }
}
