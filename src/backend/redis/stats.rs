//! How much there is of what, and whether anybody answers.

use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;

use super::Redis;
use super::queue::Clock;
use super::reply::{Parts, unreadable};
use crate::backend::{BackendError, Stats};

impl Redis {
    /// Once any shard has answered; the error of the last where none does.
    pub(super) async fn one_answers(&self) -> Result<(), BackendError> {
        let mut asks: FuturesUnordered<_> = self.shards().map(|shard| self.stats_of(shard)).collect();
        let mut last = unreadable("an engine without shards");
        while let Some(answer) = asks.next().await {
            match answer {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Those of all shards together.
    pub(super) async fn all_stats(&self) -> Result<Stats, BackendError> {
        let asks = self.shards().map(|shard| self.stats_of(shard));
        let mut all = Stats::default();
        for one in &try_join_all(asks).await? {
            add(&mut all, one);
        }
        Ok(all)
    }

    fn shards(&self) -> std::ops::Range<usize> {
        0..self.keys.count()
    }

    async fn stats_of(&self, shard: usize) -> Result<Stats, BackendError> {
        let step = self.on(&self.scripts.stats, shard);
        let mut parts = Parts::of(self.link.step(&step).await?)?;
        let mut stats = Stats {
            queued: parts.next()?,
            running: parts.next()?,
            waiting: parts.next()?,
            ended: parts.next()?,
            dead: parts.next()?,
            ..Stats::default()
        };
        let oldest: Option<u64> = parts.next()?;
        let times = Clock::read(parts.next()?);
        stats.oldest_queued_ms = oldest.map(|at| times.local(at));
        stats.paused = parts.next::<u8>()? == 1;
        stats.paused_tenants = parts.next()?;
        Ok(stats)
    }
}

fn add(all: &mut Stats, one: &Stats) {
    all.queued += one.queued;
    all.running += one.running;
    all.waiting += one.waiting;
    all.ended += one.ended;
    all.dead += one.dead;
    let both = all.oldest_queued_ms.into_iter().chain(one.oldest_queued_ms);
    all.oldest_queued_ms = both.min();
    all.paused |= one.paused;
    all.paused_tenants = all.paused_tenants.max(one.paused_tenants);
}
