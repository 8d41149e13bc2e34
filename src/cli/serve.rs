//! `livedraft serve`: the whole server in one process.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::log::{self, LogFormat};
use super::paint::{Row, Tone};
use super::screen::{Screen, Stream};
use super::signals::Signals;
use crate::app::{App, Options};
use crate::llm::{Models, OpenAiOptions, ProvidersOptions, Secret};

/// Where OpenAI itself is.
const OPENAI: &str = "https://api.openai.com/v1";

/// Where the key of the OpenAI-compatible provider comes from; never an argument, which others can see.
const KEY: &str = "OPENAI_API_KEY";
const KEY_FILE: &str = "LIVEDRAFT_OPENAI_KEY_FILE";

const KEYS_HELP: &str = "\
The key of the OpenAI-compatible provider is read from OPENAI_API_KEY, or from the file that
LIVEDRAFT_OPENAI_KEY_FILE names. Without a key and without --base-url only the scripted model is
offered: nothing leaves this machine.";

/// Runs the server.
#[derive(Args, Clone, Debug)]
#[command(after_help = KEYS_HELP)]
pub(super) struct ServeArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    bind: String,
    /// Listen where others can reach it, although no keys are configured: whoever does may run and read all jobs.
    #[arg(long)]
    allow_public: bool,
    /// Jobs worked on at a time.
    #[arg(long, value_name = "N", default_value_t = 64)]
    slots: usize,
    /// An OpenAI-compatible API: OpenAI, vLLM, llama.cpp, Groq, OpenRouter…
    #[arg(long, value_name = "URL", env = "OPENAI_BASE_URL")]
    base_url: Option<String>,
    /// The models of that API that may be asked for; without it, any.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    openai_models: Vec<String>,
    /// What is logged: error, warn, info, debug, trace, or filters as target=level.
    #[arg(long, value_name = "LEVEL", env = "LIVEDRAFT_LOG", default_value = "info")]
    log: String,
    /// How the log looks: text for people, json for machines.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "LIVEDRAFT_LOG_FORMAT",
        value_enum,
        default_value_t
    )]
    log_format: LogFormat,
    /// How long running jobs may go on once the server goes down, ms.
    #[arg(long, value_name = "MS", default_value_t = 20_000)]
    drain_ms: u64,
}

/// The exit code of `serve`: it ends by a signal, in order.
pub(super) async fn run(args: ServeArgs) -> Result<u8, Failure> {
    log::start(&args.log, args.log_format)?;
    let mut signals = Signals::listen()?;
    let app = App::start(options(&args)?)
        .await
        .map_err(|error| Failure::Serve(error.to_string()))?;
    let address = app.addr();
    let mut screen = Screen::new(Stream::Err);
    let row = Row::of(Tone::Bold, &format!("livedraft listens on http://{address}"))
        .with(Tone::Dim, &format!(" · models: {}", app.models().join(", ")));
    screen.line(&row);
    signals.next().await;
    screen.line(&Row::of(Tone::Dim, "going down; once more to leave at once"));
    tokio::select! {
        () = app.stop() => Ok(0),
        () = signals.next() => Err(Failure::Forced),
    }
}

fn options(args: &ServeArgs) -> Result<Options, Failure> {
    let mut options = Options::default();
    options.server.bind = address(&args.bind)?;
    options.server.allow_public = args.allow_public;
    options.worker.slots = args.slots.max(1);
    options.worker.drain = Duration::from_millis(args.drain_ms);
    options.providers = providers(args, key()?);
    Ok(options)
}

fn address(bind: &str) -> Result<SocketAddr, Failure> {
    let wrong = |what: &str| Failure::Usage(format!("--bind {bind}: {what}"));
    let found = bind
        .to_socket_addrs()
        .map_err(|error| wrong(&error.to_string()))?
        .next();
    found.ok_or_else(|| wrong("no such host"))
}

fn providers(args: &ServeArgs, key: Option<Secret>) -> ProvidersOptions {
    let wanted = key.is_some() || args.base_url.is_some() || !args.openai_models.is_empty();
    let openai = wanted.then(|| {
        let base_url = args.base_url.as_deref().unwrap_or(OPENAI);
        let mut openai = OpenAiOptions::new("openai", base_url);
        openai.key = key;
        if !args.openai_models.is_empty() {
            openai.models = Models::Only(args.openai_models.clone());
        }
        openai
    });
    ProvidersOptions {
        scripted: true,
        openai: openai.into_iter().collect(),
    }
}

fn key() -> Result<Option<Secret>, Failure> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (set(KEY), set(KEY_FILE)) {
        (Some(key), _) => Ok(Some(Secret::new(key))),
        (None, Some(file)) => key_in(file.as_ref()).map(Some),
        (None, None) => Ok(None),
    }
}

fn key_in(file: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("{KEY_FILE} {}: {error}", file.display())))?;
    Ok(Secret::new(text.trim()))
}
