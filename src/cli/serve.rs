//! `livedraft serve`: the whole server in one process.

use clap::Args;

use super::config::{ConfigArgs, faultless};
use super::failure::Failure;
use super::log;
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::signals::{HangUps, Signals};
use crate::app::App;

const KEYS_HELP: &str = "\
The key of the OpenAI-compatible provider is read from OPENAI_API_KEY, or from the file that
LIVEDRAFT_OPENAI_KEY_FILE names. Without a key and without --base-url only the scripted model is
offered: nothing leaves this machine.

Every other setting: a file (livedraft config init), variables (LIVEDRAFT_SECTION__KEY), --set.";

/// Runs the server.
#[derive(Args, Clone, Debug)]
#[command(after_help = KEYS_HELP)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "HOST:PORT")]
    bind: Option<String>,
    /// Listen where others can reach it, although no keys are configured: whoever does may run and read all jobs.
    #[arg(long)]
    allow_public: bool,
    /// Where jobs are kept; made where it is not there [default: livedraft-data].
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data: Option<String>,
    /// Keep nothing: a restart forgets all jobs.
    #[arg(long)]
    ephemeral: bool,
    /// Jobs worked on at a time [default: 64].
    #[arg(long, value_name = "N")]
    slots: Option<String>,
    /// An OpenAI-compatible API: OpenAI, vLLM, llama.cpp, Groq, OpenRouter… (also: OPENAI_BASE_URL).
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The models of that API that may be asked for; without it, any.
    #[arg(long, value_name = "NAMES")]
    openai_models: Option<String>,
    /// What is logged: error, warn, info, debug, trace, or filters as target=level (also: LIVEDRAFT_LOG)
    /// [default: info].
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// How the log looks: text for people, json for machines [default: text].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// How long running jobs may go on once the server goes down, ms [default: 20000].
    #[arg(long, value_name = "MS")]
    drain_ms: Option<String>,
}

/// The exit code of `serve`: it ends by a signal, in order.
pub(super) async fn run(args: ServeArgs) -> Result<u8, Failure> {
    let loaded = faultless(args.config.load(flags(&args)))?;
    log::start(&loaded.config.log)?;
    if let Some(file) = &loaded.file {
        tracing::info!(file = %file.display(), "configured");
    }
    let mut signals = Signals::listen()?;
    let mut hang_ups = HangUps::listen()?;
    let app = App::start(loaded.config.parts)
        .await
        .map_err(|error| Failure::Serve(error.to_string()))?;
    let address = app.addr();
    let mut screen = Screen::new(Stream::Err);
    let row = Row::of(Tone::Bold, &format!("livedraft listens on http://{address}"))
        .with(Tone::Dim, &format!(" · models: {}", app.models().join(", ")));
    screen.line(&row);
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = hang_ups.next() => read_keys_again(&args, &app).await,
        }
    }
    screen.line(&Row::of(Tone::Dim, "going down; once more to leave at once"));
    tokio::select! {
        () = app.stop() => Ok(0),
        () = signals.next() => Err(Failure::Forced),
    }
}

/// Reads the configuration again and takes its API keys: all of it must be sound, or they stay as they are.
async fn read_keys_again(args: &ServeArgs, app: &App) {
    let args = args.clone();
    let loaded = tokio::task::spawn_blocking(move || args.config.load(flags(&args))).await;
    let Ok(loaded) = loaded else {
        return tracing::error!("the configuration could not be read again; the keys stay as they were");
    };
    for fault in &loaded.faults {
        tracing::error!(%fault, "the configuration is not sound");
    }
    if !loaded.faults.is_empty() {
        return tracing::error!("the keys stay as they were");
    }
    let keys = &loaded.config.parts.server.keys;
    match app.rekey(keys) {
        Ok(()) => tracing::info!(keys = keys.len(), "the keys were read again"),
        Err(error) => tracing::error!(%error, "the keys stay as they were"),
    }
}

/// The command's own flags, by the keys they set.
fn flags(args: &ServeArgs) -> Vec<(&'static str, &'static str, String)> {
    let given = [
        ("--bind", "server.bind", args.bind.clone()),
        (
            "--allow-public",
            "server.allow_public",
            args.allow_public.then(|| true.to_string()),
        ),
        ("--data", "store.folder", args.data.clone()),
        (
            "--ephemeral",
            "store.ephemeral",
            args.ephemeral.then(|| true.to_string()),
        ),
        ("--slots", "worker.slots", args.slots.clone()),
        ("--base-url", "providers.openai.base_url", args.base_url.clone()),
        (
            "--openai-models",
            "providers.openai.models",
            args.openai_models.clone(),
        ),
        ("--log", "log.level", args.log.clone()),
        ("--log-format", "log.format", args.log_format.clone()),
        ("--drain-ms", "worker.drain_ms", args.drain_ms.clone()),
    ];
    given
        .into_iter()
        .filter_map(|(flag, key, value)| Some((flag, key, value?)))
        .collect()
}
