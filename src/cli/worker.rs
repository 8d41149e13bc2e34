//! `livedraft worker`: the part of a fleet that works on jobs. It listens nowhere.

use clap::Args;

use super::failure::Failure;
use super::node::{Flag, KEYS_HELP, NodeArgs, WorkArgs, go_down};
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::signals::Signals;
use crate::app::Work;

/// Works on the jobs of a fleet.
#[derive(Args, Clone, Debug)]
#[command(after_help = KEYS_HELP)]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    work: WorkArgs,
}

/// The exit code of `worker`: it ends by a signal, in order.
pub(super) async fn run(args: WorkerArgs) -> Result<u8, Failure> {
    let flags: Vec<Flag> = args.node.flags().into_iter().chain(args.work.flags()).collect();
    let parts = args.node.start(flags)?.config.parts;
    let slots = parts.worker.slots;
    let mut signals = Signals::listen()?;
    let work = Work::start(parts)
        .await
        .map_err(|error| Failure::Serve(error.to_string()))?;
    let mut screen = Screen::new(Stream::Err);
    screen.line(&Row::of(
        Tone::Bold,
        &format!("livedraft works on {slots} jobs at a time"),
    ));
    signals.next().await;
    go_down(&mut screen, &mut signals, work.stop()).await
}
