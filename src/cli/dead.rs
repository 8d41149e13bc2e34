//! `livedraft dead` and `redrive`: jobs that were given up, and new jobs made of them.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::failure::Failure;
use super::paint::Tone;
use super::screen::say;
use super::{ServerUrl, read, result};
use crate::backend::DeadPage;
use crate::client::Client;

/// Lists the jobs that were given up, the newest first, or shows one with what it asks for.
#[derive(Args, Debug)]
pub(super) struct DeadArgs {
    /// The id of the one to show.
    job: Option<String>,
    /// How many are listed, 1000000 at most; they are asked for page by page.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// List those behind the `next` of an answer before.
    #[arg(long, conflicts_with = "job")]
    cursor: Option<String>,
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

/// A page of the server's, or several of them as one.
#[derive(Serialize, Deserialize)]
struct Letters {
    dead_letters: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What is shown of the server's answers; what else they say is in the document.
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
    let client = args.server.client()?;
    if let Some(job) = &args.job {
        let path = format!("/v1/dead-letters/{}", segment(job)?);
        result::line(&client.http("GET", &path).await?)?;
        return Ok(0);
    }
    let is_first = args.cursor.is_none();
    let letters = listed(&client, args.cursor, args.limit).await?;
    if args.json {
        let document = serde_json::to_string(&letters);
        result::line(&document.map_err(|error| Failure::Output(error.into()))?)?;
        return Ok(0);
    }
    for letter in &letters.dead_letters {
        result::line(&line(&read(letter.get())?))?;
    }
    match letters.next {
        Some(next) => say(Tone::Dim, &format!("there may be more: --cursor {next}")),
        None if is_first && letters.dead_letters.is_empty() => say(Tone::Dim, "no job was given up"),
        None => {}
    }
    Ok(0)
}

/// So many letters, or all there are, from page to page.
async fn listed(client: &Client, cursor: Option<String>, limit: u32) -> Result<Letters, Failure> {
    let mut all = Letters {
        dead_letters: Vec::new(),
        next: cursor,
    };
    let mut left = limit as usize;
    loop {
        let mut path = format!("/v1/dead-letters?limit={}", left.min(DeadPage::LETTERS_MAX));
        if let Some(next) = &all.next {
            path.push_str(&format!("&cursor={}", place(next)?));
        }
        let page: Letters = read(&client.http("GET", &path).await?)?;
        left = left.saturating_sub(page.dead_letters.len());
        all.dead_letters.extend(page.dead_letters);
        all.next = page.next;
        if left == 0 || all.next.is_none() {
            return Ok(all);
        }
    }
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

/// A cursor is one value of a query; what it means is the server's to say.
fn place(cursor: &str) -> Result<&str, Failure> {
    let is_word = cursor
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    match is_word {
        true => Ok(cursor),
        false => Err(Failure::Usage(format!(
            "{cursor:?} is no cursor: it is the `next` of an answer before"
        ))),
    }
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
