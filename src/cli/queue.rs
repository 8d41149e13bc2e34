//! `livedraft queue`, `pause` and `resume`: how much there is of what, and who is given no worker for now.

use std::fmt::Write as _;

use clap::Args;
use serde::Deserialize;

use super::failure::Failure;
use super::paint::Tone;
use super::screen::say;
use super::{ServerUrl, read, result};

/// Shows how many jobs there are in which state, and what is paused.
#[derive(Args, Debug)]
pub(super) struct QueueArgs {
    #[command(flatten)]
    shown: Shown,
}

/// Says whom it is about.
#[derive(Args, Debug)]
pub(super) struct PauseArgs {
    /// The tenant; without it the whole queue.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Args, Debug)]
struct Shown {
    /// Print the server's answer as one document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerUrl,
}

/// What the server says of the queue.
#[derive(Deserialize)]
struct Queue {
    queued: u64,
    running: u64,
    waiting: u64,
    ended: u64,
    dead: u64,
    paused: bool,
    paused_tenants: Vec<String>,
}

/// The exit code of `queue`.
pub(super) async fn queue(args: QueueArgs) -> Result<u8, Failure> {
    ask("GET", "/v1/queue", args.shown).await
}

/// The exit code of `pause`.
pub(super) async fn pause(args: PauseArgs) -> Result<u8, Failure> {
    let path = path("/v1/queue/pause", args.tenant.as_deref());
    ask("POST", &path, args.shown).await
}

/// The exit code of `resume`.
pub(super) async fn resume(args: PauseArgs) -> Result<u8, Failure> {
    let path = path("/v1/queue/resume", args.tenant.as_deref());
    ask("POST", &path, args.shown).await
}

async fn ask(method: &str, path: &str, shown: Shown) -> Result<u8, Failure> {
    let answer = shown.server.client()?.http(method, path).await?;
    if shown.json {
        result::line(&answer)?;
        return Ok(0);
    }
    let queue: Queue = read(&answer)?;
    for (state, count) in [
        ("queued", queue.queued),
        ("running", queue.running),
        ("waiting", queue.waiting),
        ("ended", queue.ended),
        ("dead", queue.dead),
    ] {
        result::line(&format!("{state}\t{count}"))?;
    }
    for tenant in &queue.paused_tenants {
        result::line(&format!("paused\t{tenant}"))?;
    }
    if queue.paused {
        say(
            Tone::Warn,
            "the whole queue is paused: `livedraft resume` lets it go on",
        );
    }
    Ok(0)
}

fn path(path: &str, tenant: Option<&str>) -> String {
    match tenant {
        None => path.to_owned(),
        Some(tenant) => format!("{path}?tenant={}", encoded(tenant)),
    }
}

/// A text as it stands in a query.
fn encoded(text: &str) -> String {
    let mut query = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(query, "%{byte:02X}");
        }
    }
    query
}
