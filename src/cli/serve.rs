//! `livedraft serve`: the whole server in one process; and `livedraft api`, its part of a fleet that clients speak with.

use clap::Args;

use super::failure::Failure;
use super::node::{Flag, KEYS_HELP, NodeArgs, WorkArgs, given, go_down, reload};
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::signals::{HangUps, Signals};
use crate::app::{App, StartError};

/// Runs the server.
#[derive(Args, Clone, Debug)]
#[command(after_help = KEYS_HELP)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Where jobs are kept; made where it is not there [default: livedraft-data].
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data: Option<String>,
    /// Keep nothing: a restart forgets all jobs.
    #[arg(long)]
    ephemeral: bool,
    #[command(flatten)]
    work: WorkArgs,
}

/// Runs the sockets and the HTTP of a fleet; its workers do the work.
#[derive(Args, Clone, Debug)]
#[command(after_help = KEYS_HELP)]
pub(super) struct ApiArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "HOST:PORT")]
    bind: Option<String>,
    /// Listen where others can reach it, although no keys are configured: whoever does may run and read all jobs.
    #[arg(long)]
    allow_public: bool,
}

/// The exit code of `serve`: it ends by a signal, in order.
pub(super) async fn run(args: ServeArgs) -> Result<u8, Failure> {
    let flags = args.flags();
    let loaded = args.api.node.start(flags.clone())?;
    serve(&args.api.node, flags, App::start(loaded.config.parts)).await
}

/// The exit code of `api`.
pub(super) async fn run_api(args: ApiArgs) -> Result<u8, Failure> {
    let flags = args.flags();
    let loaded = args.node.start(flags.clone())?;
    serve(&args.node, flags, App::start_api(loaded.config.parts)).await
}

async fn serve(
    node: &NodeArgs,
    flags: Vec<Flag>,
    started: impl Future<Output = Result<App, StartError>>,
) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let mut hang_ups = HangUps::listen()?;
    let app = started.await.map_err(|error| Failure::Serve(error.to_string()))?;
    let address = app.addr();
    let mut screen = Screen::new(Stream::Err);
    let row = Row::of(Tone::Bold, &format!("livedraft listens on http://{address}"))
        .with(Tone::Dim, &format!(" · models: {}", app.models().join(", ")));
    screen.line(&row);
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = hang_ups.next() => read_again(node, &flags, &app).await,
        }
    }
    go_down(&mut screen, &mut signals, app.stop()).await
}

/// Reads the configuration again and takes its API keys, and what tenants may have: all of it must be sound, or both stay as
/// they are.
async fn read_again(node: &NodeArgs, flags: &[Flag], app: &App) {
    const STAY: &str = "the keys, and what tenants may have, stay as they were";
    let Some(config) = reload(node, flags, STAY).await else {
        return;
    };
    let keys = &config.parts.server.keys;
    match app.take(keys, &config.parts.tenants).await {
        Ok(()) => tracing::info!(
            keys = keys.len(),
            "the keys, and what tenants may have, were read again"
        ),
        Err(error) => tracing::error!(%error, "{STAY}"),
    }
}

impl ApiArgs {
    /// The command's own flags, by the keys they set.
    fn flags(&self) -> Vec<Flag> {
        let allow_public = self.allow_public.then(|| true.to_string());
        let own = given([
            ("--bind", "server.bind", self.bind.clone()),
            ("--allow-public", "server.allow_public", allow_public),
        ]);
        self.node.flags().into_iter().chain(own).collect()
    }
}

impl ServeArgs {
    fn flags(&self) -> Vec<Flag> {
        let own = given([
            ("--data", "store.folder", self.data.clone()),
            (
                "--ephemeral",
                "store.ephemeral",
                self.ephemeral.then(|| true.to_string()),
            ),
        ]);
        let api = self.api.flags().into_iter();
        api.chain(own).chain(self.work.flags()).collect()
    }
}
