//! `livedraft worker`: the part of a fleet that works on jobs. It serves no clients, and listens only where it is told to tell
//! how it is.

use clap::Args;

use super::failure::Failure;
use super::node::{Flag, KEYS_HELP, NodeArgs, WorkArgs, given, go_down, reload};
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::signals::{HangUps, Signals};
use crate::app::WorkerNode;

/// Works on the jobs of a fleet.
#[derive(Args, Clone, Debug)]
#[command(after_help = KEYS_HELP)]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    work: WorkArgs,
    /// Where to tell how it is: /livez, /readyz and /metrics; without it, it listens nowhere.
    #[arg(long, value_name = "HOST:PORT")]
    status_bind: Option<String>,
    /// Tell it where others can reach it, although no keys are configured.
    #[arg(long)]
    allow_public: bool,
}

/// The exit code of `worker`: it ends by a signal, in order.
pub(super) async fn run(args: WorkerArgs) -> Result<u8, Failure> {
    let flags = args.flags();
    let parts = args.node.start(flags.clone())?.config.parts;
    let slots = parts.worker.slots;
    let mut signals = Signals::listen()?;
    let mut hang_ups = HangUps::listen()?;
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
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = hang_ups.next() => read_again(&args.node, &flags, &node).await,
        }
    }
    go_down(&mut screen, &mut signals, node.stop()).await
}

/// Reads the configuration again and takes its API keys: all of it must be sound, or they stay as they are.
async fn read_again(node: &NodeArgs, flags: &[Flag], running: &WorkerNode) {
    const STAY: &str = "the keys stay as they were";
    let Some(config) = reload(node, flags, STAY).await else {
        return;
    };
    let keys = &config.parts.server.keys;
    match running.take(keys) {
        Ok(()) => tracing::info!(keys = keys.len(), "the keys were read again"),
        Err(error) => tracing::error!(%error, "{STAY}"),
    }
}

impl WorkerArgs {
    /// The command's own flags, by the keys they set.
    fn flags(&self) -> Vec<Flag> {
        let allow_public = self.allow_public.then(|| true.to_string());
        let own = given([
            ("--status-bind", "server.status_bind", self.status_bind.clone()),
            ("--allow-public", "server.allow_public", allow_public),
        ]);
        let node = self.node.flags().into_iter();
        node.chain(self.work.flags()).chain(own).collect()
    }
}
