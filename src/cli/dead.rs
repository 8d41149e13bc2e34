//! `livedraft dead` and `redrive`: jobs that were given up, and new jobs made of them.

use clap::Args;
use serde::Deserialize;

use super::failure::Failure;
use super::paint::Tone;
use super::screen::say;
use super::{ServerUrl, read, result};

/// Lists the jobs that were given up, the newest first, or shows one with what it asks for.
#[derive(Args, Debug)]
pub(super) struct DeadArgs {
    /// The id of the one to show.
    job: Option<String>,
    /// How many are listed, 100 at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Print the server's answer as one document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerUrl,
}

/// Makes a new job of one that was given up.
#[derive(Args, Debug)]
pub(super) struct RedriveArgs {
    /// Its id.
    job: String,
    /// Print the server's answer as one document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerUrl,
}

/// What is shown of the server's answers; what else they say is in the document.
#[derive(Deserialize)]
struct Letters {
    dead_letters: Vec<Letter>,
}

#[derive(Deserialize)]
struct Letter {
    job_id: String,
    tenant: String,
    died_ms: u64,
    attempts: usize,
    error: Option<Why>,
}

#[derive(Deserialize)]
struct Why {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct Created {
    job_id: String,
}

/// The exit code of `dead`.
pub(super) async fn dead(args: DeadArgs) -> Result<u8, Failure> {
    let path = match &args.job {
        Some(job) => format!("/v1/dead-letters/{}", segment(job)?),
        None => format!("/v1/dead-letters?limit={}", args.limit),
    };
    let answer = args.server.client()?.http("GET", &path).await?;
    if args.json || args.job.is_some() {
        result::line(&answer)?;
        return Ok(0);
    }
    let letters: Letters = read(&answer)?;
    for letter in &letters.dead_letters {
        result::line(&line(letter))?;
    }
    if letters.dead_letters.is_empty() {
        say(Tone::Dim, "no job was given up");
    }
    Ok(0)
}

/// The exit code of `redrive`: 0 also where a job was made of it before.
pub(super) async fn redrive(args: RedriveArgs) -> Result<u8, Failure> {
    let path = format!("/v1/dead-letters/{}/redrive", segment(&args.job)?);
    let answer = args.server.client()?.http("POST", &path).await?;
    if args.json {
        result::line(&answer)?;
        return Ok(0);
    }
    let created: Created = read(&answer)?;
    result::line(&created.job_id)?;
    say(
        Tone::Dim,
        &format!("to see it: livedraft watch {}", created.job_id),
    );
    Ok(0)
}

/// Id, tenant, time, attempts, and why, by tabs.
fn line(letter: &Letter) -> String {
    let why = letter
        .error
        .as_ref()
        .map(|why| format!("{}: {}", why.code, why.message));
    format!(
        "{}\t{}\t{}\t{}\t{}",
        letter.job_id,
        letter.tenant,
        letter.died_ms,
        letter.attempts,
        why.unwrap_or_default()
    )
}

/// An id is one segment of a path.
fn segment(job: &str) -> Result<&str, Failure> {
    let is_id = !job.is_empty()
        && job
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match is_id {
        true => Ok(job),
        false => Err(Failure::Usage(format!("{job:?} is no job's id"))),
    }
}
