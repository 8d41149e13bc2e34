//! `livedraft worker`: the part of a fleet that works on jobs. It serves no clients, and listens only where it is told to tell
//! how it is.

use clap::Args;

use super::failure::Failure;
use super::node::{Flag, KEYS_HELP, NodeArgs, WorkArgs, go_down};
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::signals::Signals;
use crate::app::WorkerNode;

/// Works on the jobs of a fleet.
#[derive(Args, Clone, Debug)]
#[command(after_help = KEYS_HELP)]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    work: WorkArgs,
    /// Where to tell how it is, as HOST:PORT: /livez, /readyz and /metrics; without it, it listens nowhere.
    #[arg(long, value_name = "ADDRESS")]
    status_bind: Option<String>,
}

/// The exit code of `worker`: it ends by a signal, in order.
pub(super) async fn run(args: WorkerArgs) -> Result<u8, Failure> {
    let status = args
        .status_bind
        .map(|address| ("--status-bind", "server.status_bind", address));
    let flags = args.node.flags().into_iter().chain(args.work.flags());
    let flags: Vec<Flag> = flags.chain(status).collect();
    let parts = args.node.start(flags)?.config.parts;
    let slots = parts.worker.slots;
    let mut signals = Signals::listen()?;
    let node = WorkerNode::start(parts)
        .await
        .map_err(|error| Failure::Serve(error.to_string()))?;
    let mut screen = Screen::new(Stream::Err);
    let status = node.status_addr();
    let told = status.map_or_else(String::new, |at| format!(", and tells how on http://{at}"));
    screen.line(&Row::of(
        Tone::Bold,
        &format!("livedraft works on {slots} jobs at a time{told}"),
    ));
    signals.next().await;
    go_down(&mut screen, &mut signals, node.stop()).await
}
