//! What is logged.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What is logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or filters as `target=level`. Default: `info`.
    pub level: String,
    /// How the lines look. Default: `text`.
    pub format: LogFormat,
}

/// How the lines of the log look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people: coloured on a terminal.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl LogOptions {
    /// The filter that `level` stands for.
    ///
    /// # Errors
    /// It is none; the text says why.
    pub fn filter(&self) -> Result<EnvFilter, String> {
        filter(&self.level)
    }
}

/// A level alone means our own words: the libraries below only warn, and nobody's bad request is our error.
pub(super) fn filter(level: &str) -> Result<EnvFilter, String> {
    let directives = match level.parse::<LevelFilter>() {
        Ok(LevelFilter::OFF) | Err(_) => level.to_owned(),
        Ok(level) => format!("warn,actix_http=off,livedraft={level}"),
    };
    EnvFilter::try_new(directives).map_err(|error| error.to_string())
}
