//! What this process counts, for operators: one list of instruments, read as text by `GET /metrics`.
//!
//! The instruments are the process's own, as the log is ([`all`]): whoever sees a thing happen counts it where it
//! happens. What is counted of jobs is counted of the entries of their logs, where they are written ([`written`]), so
//! it is true of every end, whoever wrote it. Nothing is counted per token: a patch is one entry, a socket's frames are
//! counted by the batch. A label's values are words of our own tables or names from the configuration, never ids,
//! tenants or texts.

mod instrument;
mod log;
mod process;
mod table;

use std::sync::LazyLock;

pub use self::instrument::{Count, Counts, Kind, Level, Levels, Row, Times, TimesBy};
pub use self::log::written;
pub use self::table::{Metrics, TABLE};

/// The content type of [`render`]: OpenMetrics 1.0, which every Prometheus since 2.5 reads.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The instruments of this process.
pub fn all() -> &'static Metrics {
    static ALL: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &ALL
}

/// Everything as text; what is only known by looking (memory, descriptors) is looked at now.
pub fn render() -> String {
    let all = all();
    process::sample(all);
    all.text()
}
