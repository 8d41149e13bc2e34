//! What the nodes of a fleet tell each other of models: one that said that it is asked too often, or that fails again and
//! again, is left alone by all. Where Redis is away, each node goes by what it has found itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::backend::Redis;
use crate::clock;
use crate::llm::{Bar, News, Providers};

/// How often the others' news are asked for at the least, since their hints may be lost.
const POLL: Duration = Duration::from_secs(10);

/// Shares news for as long as what it gives lives. What the others know by now is known when it returns.
pub(super) async fn share(engine: &Arc<Redis>, providers: &Arc<Providers>) -> JoinSet<()> {
    let news = providers.news();
    hear(engine, providers).await;
    let mut task = JoinSet::new();
    task.spawn(run(Arc::clone(engine), Arc::clone(providers), news));
    task
}

async fn run(engine: Arc<Redis>, providers: Arc<Providers>, mut news: broadcast::Receiver<News>) {
    loop {
        tokio::select! {
            told = news.recv() => match told {
                Ok(told) => tell(&engine, &told).await,
                // What was dropped the others find out by themselves.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            () = engine.noticed() => hear(&engine, &providers).await,
            () = clock::sleep(POLL / 2 + clock::jitter(POLL / 2)) => hear(&engine, &providers).await,
        }
    }
}

async fn tell(engine: &Redis, news: &News) {
    let Ok(word) = serde_json::to_string(&(&news.provider, &news.model, word(news.bar))) else {
        return;
    };
    if let Err(error) = engine.notice(&word, news.wait).await {
        tracing::debug!(%error, "the fleet is not told that a model is left alone");
    }
}

async fn hear(engine: &Redis, providers: &Providers) {
    let held = match engine.notices().await {
        Ok(held) => held,
        Err(error) => {
            tracing::debug!(%error, "which models the fleet leaves alone is not known");
            return;
        }
    };
    for (text, wait) in held {
        // What a newer node says, and this one does not know, is not for it.
        let Ok((provider, model, why)) = serde_json::from_str::<(String, String, String)>(&text) else {
            continue;
        };
        let bars = [Bar::RateLimited, Bar::Broken];
        if let Some(bar) = bars.into_iter().find(|bar| word(*bar) == why) {
            providers.hear(&News {
                provider,
                model,
                bar,
                wait,
            });
        }
    }
}

const fn word(bar: Bar) -> &'static str {
    match bar {
        Bar::RateLimited => "rate_limited",
        Bar::Broken => "broken",
    }
}
