//! `livedraft accept` and `reask`: the verdict on a value that waits for one.

use clap::Args;

use super::failure::Failure;
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::{ServerUrl, result};
use crate::wire::{ClientMessage, JobAccept, JobReask, RulingError, ServerMessage};

/// Takes a job's value that waits for a verdict.
#[derive(Args, Debug)]
pub(super) struct AcceptArgs {
    #[command(flatten)]
    of: Of,
}

/// Has it asked for again.
#[derive(Args, Debug)]
pub(super) struct ReaskArgs {
    #[command(flatten)]
    of: Of,
    /// What is wrong, and where: a JSON Pointer into the value and words for the model. Give it once for each error.
    #[arg(long, num_args = 2, value_names = ["PATH", "MESSAGE"], required = true)]
    error: Vec<String>,
}

#[derive(Args, Debug)]
struct Of {
    /// The job's id.
    job: String,
    /// The attempt whose value is meant; without it the one that waits.
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Print the server's answer as one document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerUrl,
}

const REFERENCE: &str = "verdict";

/// The exit code of `accept`.
pub(super) async fn accept(args: AcceptArgs) -> Result<u8, Failure> {
    let message = ClientMessage::Accept(JobAccept {
        reference: Some(REFERENCE.to_owned()),
        job_id: args.of.job.clone(),
        attempt: args.of.attempt,
    });
    ask(&args.of, &message).await
}

/// The exit code of `reask`.
pub(super) async fn reask(args: ReaskArgs) -> Result<u8, Failure> {
    let error = |words: &[String]| match words {
        [path, message] => Some(RulingError {
            path: path.clone(),
            message: message.clone(),
            keyword: None,
        }),
        _ => None,
    };
    let message = ClientMessage::Reask(JobReask {
        reference: Some(REFERENCE.to_owned()),
        job_id: args.of.job.clone(),
        attempt: args.of.attempt,
        errors: args.error.chunks(2).filter_map(error).collect(),
    });
    ask(&args.of, &message).await
}

async fn ask(of: &Of, message: &ClientMessage) -> Result<u8, Failure> {
    let mut connection = of.server.client()?.connect().await?;
    let answer = connection.ask(message, REFERENCE).await?;
    connection.close().await;
    if of.json {
        result::line(&answer.text)?;
    } else if let ServerMessage::Ruled(ruled) = &answer.message {
        let word = if ruled.accepted {
            "accepted"
        } else {
            "to be asked for again"
        };
        let told = format!("the value of attempt {}: {word}", ruled.attempt);
        Screen::new(Stream::Err).line(&Row::of(Tone::Dim, &told));
    }
    Ok(0)
}
