//! The log of `livedraft serve`, on stderr.

use super::failure::Failure;
use super::screen::Stream;
use crate::config::{LogFormat, LogOptions};

/// Starts it.
pub(super) fn start(options: &LogOptions) -> Result<(), Failure> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(options.filter().map_err(Failure::Usage)?)
        .with_writer(std::io::stderr);
    let started = match options.format {
        LogFormat::Text => log.with_ansi(Stream::Err.is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::Serve(format!("the log cannot be started: {error}")))
}
