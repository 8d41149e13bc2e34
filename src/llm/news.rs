//! What a node has found of a model that the other nodes of its fleet had better know: that it is to be left alone.

use std::time::Duration;

use tokio::sync::broadcast;

use super::health::Bar;

/// News that may wait to be told; older ones are dropped, and the others find out by themselves.
const NEWS_MAX: usize = 256;
/// Bytes of a model's name that is told: clients choose names where a provider takes any.
const MODEL_BYTES_MAX: usize = 256;

/// A model that is to be left alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// The provider, by the name that its configuration gives it.
    pub provider: String,
    /// Its model; empty: all of them.
    pub model: String,
    /// Why.
    pub bar: Bar,
    /// For how long.
    pub wait: Duration,
}

/// Where news are told.
#[derive(Clone, Debug)]
pub(super) struct Teller(broadcast::Sender<News>);

impl Default for Teller {
    fn default() -> Self {
        Self(broadcast::Sender::new(NEWS_MAX))
    }
}

impl Teller {
    pub(super) fn tell(&self, news: News) {
        if news.model.len() <= MODEL_BYTES_MAX {
            // Nobody hears it where the node is alone.
            let _ = self.0.send(news);
        }
    }

    pub(super) fn hear(&self) -> broadcast::Receiver<News> {
        self.0.subscribe()
    }
}
