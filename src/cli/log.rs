//! The log of `livedraft serve`, on stderr.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::failure::Failure;
use super::screen::Stream;

/// How the lines of the log look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(super) enum LogFormat {
    /// For people: coloured on a terminal.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Starts it. `level` is a level, or filters as target=level.
pub(super) fn start(level: &str, format: LogFormat) -> Result<(), Failure> {
    // A level alone means our own words: the libraries below only warn, and nobody's bad request is our error.
    let ours = match level.parse::<LevelFilter>() {
        Ok(LevelFilter::OFF) | Err(_) => level.to_owned(),
        Ok(level) => format!("warn,actix_http=off,livedraft={level}"),
    };
    let filter =
        EnvFilter::try_new(ours).map_err(|error| Failure::Usage(format!("--log {level}: {error}")))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => log.with_ansi(Stream::Err.is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::Serve(format!("the log cannot be started: {error}")))
}
