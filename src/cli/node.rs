//! What the commands that run a node have in common: `serve`, `api` and `worker`.

use clap::Args;

use super::config::{ConfigArgs, faultless};
use super::failure::Failure;
use super::log;
use super::paint::{Row, Tone};
use super::screen::Screen;
use super::signals::Signals;
use crate::config::{Config, Loaded};

pub(super) const KEYS_HELP: &str = "\
The key of the OpenAI-compatible provider is read from OPENAI_API_KEY, or from the file that
LIVEDRAFT_OPENAI_KEY_FILE names. Without a key and without --base-url only the scripted model is
offered: nothing leaves this machine.

Every other setting: a file (livedraft config init), variables (LIVEDRAFT_SECTION__KEY), --set.";

/// A flag: its name, the key it sets, the value.
pub(super) type Flag = (&'static str, &'static str, String);

/// What every node is told.
#[derive(Args, Clone, Debug)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The Redis that a fleet shares, as redis://HOST:PORT; with a password by LIVEDRAFT_REDIS__URL.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
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
}

/// What a node is told that works on jobs.
#[derive(Args, Clone, Debug)]
pub(super) struct WorkArgs {
    /// Jobs worked on at a time [default: 64].
    #[arg(long, value_name = "N")]
    slots: Option<String>,
    /// How long running jobs may go on once the node goes down, ms [default: 20000].
    #[arg(long, value_name = "MS")]
    drain_ms: Option<String>,
}

impl NodeArgs {
    /// The configuration, and what is wrong with it.
    pub(super) fn load(&self, flags: Vec<Flag>) -> Loaded {
        self.config.load(flags)
    }

    /// The configuration, which must be sound; from now on there is a log.
    pub(super) fn start(&self, flags: Vec<Flag>) -> Result<Loaded, Failure> {
        let loaded = faultless(self.load(flags))?;
        log::start(&loaded.config.log)?;
        if let Some(file) = &loaded.file {
            tracing::info!(file = %file.display(), "configured");
        }
        Ok(loaded)
    }

    pub(super) fn flags(&self) -> Vec<Flag> {
        given([
            ("--redis", "redis.url", self.redis.clone()),
            ("--base-url", "providers.openai.base_url", self.base_url.clone()),
            (
                "--openai-models",
                "providers.openai.models",
                self.openai_models.clone(),
            ),
            ("--log", "log.level", self.log.clone()),
            ("--log-format", "log.format", self.log_format.clone()),
        ])
    }
}

impl WorkArgs {
    pub(super) fn flags(&self) -> Vec<Flag> {
        given([
            ("--slots", "worker.slots", self.slots.clone()),
            ("--drain-ms", "worker.drain_ms", self.drain_ms.clone()),
        ])
    }
}

/// The flags that were given.
pub(super) fn given<const N: usize>(all: [(&'static str, &'static str, Option<String>); N]) -> Vec<Flag> {
    let given = all
        .into_iter()
        .filter_map(|(flag, key, value)| Some((flag, key, value?)));
    given.collect()
}

/// Reads the configuration again; `None` where it is not sound, which is logged with what that leaves as it is (`stay`).
pub(super) async fn reload(node: &NodeArgs, flags: &[Flag], stay: &str) -> Option<Config> {
    let (node, flags) = (node.clone(), flags.to_vec());
    let loaded = tokio::task::spawn_blocking(move || node.load(flags)).await;
    let Ok(loaded) = loaded else {
        tracing::error!("the configuration could not be read again: {stay}");
        return None;
    };
    for fault in &loaded.faults {
        tracing::error!(%fault, "the configuration is not sound");
    }
    if !loaded.faults.is_empty() {
        tracing::error!("{stay}");
        return None;
    }
    Some(loaded.config)
}

/// Goes down in order; a second signal ends it at once.
pub(super) async fn go_down(
    screen: &mut Screen,
    signals: &mut Signals,
    stopped: impl Future<Output = ()>,
) -> Result<u8, Failure> {
    screen.line(&Row::of(Tone::Dim, "going down; once more to leave at once"));
    tokio::select! {
        () = stopped => Ok(0),
        () = signals.next() => Err(Failure::Forced),
    }
}
