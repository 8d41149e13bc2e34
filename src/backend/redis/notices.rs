//! Words that hold for a while for all nodes of a fleet: what one has found out, the others need not. They are opaque here,
//! bounded in number, and lost where Redis is: then each node goes by what it knows itself.

use std::time::Duration;

use super::Redis;
use super::step::Step;
use crate::backend::BackendError;

/// Words that hold at a time; of more, those go that would go first.
const NOTICES_MAX: usize = 1_000;

impl Redis {
    /// Tells all nodes a word that holds for so long; one that holds already is held as long as either says.
    ///
    /// # Errors
    /// Redis cannot be asked.
    pub async fn notice(&self, word: &str, hold: Duration) -> Result<(), BackendError> {
        let mut step = Step::new(&self.scripts.notice, &[self.keys.notices()]);
        step.arg(word)
            .arg(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX));
        step.arg(NOTICES_MAX);
        self.link.step::<u8>(&step).await.map(drop)
    }

    /// The words that hold now, and for how long still.
    ///
    /// # Errors
    /// Redis cannot be asked.
    pub async fn notices(&self) -> Result<Vec<(String, Duration)>, BackendError> {
        let mut step = Step::new(&self.scripts.notices, &[self.keys.notices()]);
        step.arg(NOTICES_MAX);
        let told: Vec<(String, u64)> = self.link.step(&step).await?;
        let held = told
            .into_iter()
            .map(|(word, ms)| (word, Duration::from_millis(ms)));
        Ok(held.collect())
    }

    /// Returns when there may be a word that was not there before. It is a hint, and may be lost.
    pub async fn noticed(&self) {
        self.live.noticed().await;
    }
}
