//! For how long the engine has not been heard of a job.

use std::time::Duration;

use tokio::time::Instant;

/// Since when what is asked fails, and since when nothing can be heard.
#[derive(Debug, Default)]
pub(super) struct Outage {
    silent: Option<Instant>,
    deaf: Option<Instant>,
}

impl Outage {
    /// A question that was begun at a time was answered, or not.
    pub(super) fn asked(&mut self, began: Instant, answered: bool) {
        note(&mut self.silent, began, answered);
    }

    /// A subscription that was begun at a time was granted, or not.
    pub(super) fn heard(&mut self, began: Instant, granted: bool) {
        note(&mut self.deaf, began, granted);
    }

    /// When it has lasted for so long.
    pub(super) fn lasts(&self, time: Duration) -> Option<Instant> {
        let since = self.silent.into_iter().chain(self.deaf).min();
        since.map(|since| since + time)
    }
}

fn note(since: &mut Option<Instant>, began: Instant, is_well: bool) {
    *since = (!is_well).then(|| since.unwrap_or(began));
}
