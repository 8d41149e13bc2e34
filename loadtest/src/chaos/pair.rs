//! A Redis and its replica: how the one takes the other's place, and what that loses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;

use super::history::Toll;
use super::proxy::{Proxy, Way};
use crate::redis::Redis;
use crate::{Outcome, clock};

/// How long a replica may take to have all that its master has.
const CATCHES_UP: Duration = Duration::from_secs(5);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// Where every job stands, in one text; it changes nothing, so a Redis whose writers wait answers it.
const STANDS: &str = r#"EVAL_RO "local all = {} for _, key in ipairs(redis.call('KEYS', '*:job:*')) do local held = redis.call('HMGET', key, 'epoch', 'seq', 'cancel') all[#all + 1] = string.match(key, '[^:]*$') .. ' ' .. (held[1] or '') .. '.' .. (held[2] or '') .. '.' .. (held[3] or '') end return table.concat(all, ',')" 0"#;

/// How the old master ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    Killed,
    /// It is told to follow the new one while its clients are still there.
    Demoted,
}

/// The two.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) master: Redis,
    replica: Redis,
    /// The way from the replica to its master.
    between: Proxy,
    found_at: watch::Sender<SocketAddr>,
    /// What failovers have taken.
    pub(crate) toll: Toll,
}

impl Pair {
    /// Starts both; they keep every write.
    pub(crate) async fn start() -> Outcome<Self> {
        let (master, replica) = tokio::try_join!(Redis::start(true), Redis::start(true))?;
        let pair = Self {
            between: Proxy::start().await?,
            found_at: watch::Sender::new(master.address()),
            master,
            replica,
            toll: Toll::default(),
        };
        pair.follow().await?;
        Ok(pair)
    }

    /// Where the master is, also behind a failover.
    pub(crate) fn found_at(&self) -> watch::Receiver<SocketAddr> {
        self.found_at.subscribe()
    }

    /// Lets the replica follow the master, from what the master has.
    async fn follow(&self) -> Outcome<()> {
        replicate(&self.replica, Some(self.way_to_master())).await
    }

    /// Where the replica finds the master from now on.
    fn way_to_master(&self) -> SocketAddr {
        self.between.make(Way::Good);
        self.between.lead_to(self.master.address());
        self.between.address()
    }

    /// The replica gets nothing more from now on; false where it was not up to its master, which stays the only one then.
    pub(crate) async fn lag(&self) -> Outcome<bool> {
        let begun = clock::micros();
        loop {
            let about = self.replica.ask("INFO replication").await?;
            if about.contains("master_link_status:up") {
                self.between.make(Way::Frozen);
                return Ok(true);
            }
            if clock::micros() - begun > CATCHES_UP.as_micros() as u64 {
                return Ok(false);
            }
            clock::sleep(LOOK).await;
        }
    }

    /// The replica takes over; where clients find it. The old master takes no write behind the comparison of both: killed, it
    /// comes back as a replica, and its writers wait until it is one where it lives.
    pub(crate) async fn fail_over(&mut self, old: Old) -> Outcome<SocketAddr> {
        self.master.ask("CLIENT PAUSE 100000 WRITE").await?;
        let (had, kept) = (stands(&self.master).await?, stands(&self.replica).await?);
        self.toll.take(&had, &kept);
        if old == Old::Killed {
            self.master.kill()?;
        }
        replicate(&self.replica, None).await?;
        std::mem::swap(&mut self.master, &mut self.replica);
        match old {
            Old::Killed => {
                let master = self.way_to_master();
                self.replica.start_again_behind(master).await?;
            }
            Old::Demoted => {
                self.follow().await?;
                self.replica.ask("CLIENT UNPAUSE").await?;
            }
        }
        self.found_at.send_replace(self.master.address());
        Ok(self.master.address())
    }
}

async fn replicate(redis: &Redis, of: Option<SocketAddr>) -> Outcome<()> {
    let of = of.map_or_else(|| "NO ONE".to_owned(), |of| format!("{} {}", of.ip(), of.port()));
    redis.ask(&format!("REPLICAOF {of}")).await?;
    Ok(())
}

async fn stands(redis: &Redis) -> Outcome<BTreeMap<String, String>> {
    let told = redis.ask(STANDS).await?;
    let jobs = told.split(',').filter_map(|job| job.split_once(' '));
    Ok(jobs.map(|(job, at)| (job.to_owned(), at.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Old, Pair, Proxy};
    use crate::redis;

    /// Jobs whose writes were acknowledged on a way that still leads to the old master while it comes back.
    type Acknowledged = Arc<Mutex<Vec<u64>>>;

    async fn more_than(acknowledged: &Acknowledged, more: usize) {
        let before = acknowledged.lock().unwrap().len();
        while acknowledged.lock().unwrap().len() < before + more {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_kept_or_told_as_lost() {
        for old in [Old::Killed, Old::Demoted] {
            let mut pair = Pair::start().await.unwrap();
            let clients = Proxy::start_to_redis().await.unwrap();
            clients.lead_to(pair.master.address());
            let (acknowledged, way) = (Acknowledged::default(), clients.address());
            let noted = Arc::clone(&acknowledged);
            let writer = tokio::spawn(async move {
                for job in 0.. {
                    let write = format!("HSET all:job:{job} epoch 1 seq {job}");
                    if redis::ask(way, &write)
                        .await
                        .is_ok_and(|told| told.starts_with(':'))
                    {
                        noted.lock().unwrap().push(job);
                    }
                }
            });
            more_than(&acknowledged, 50).await;
            assert!(pair.lag().await.unwrap());
            more_than(&acknowledged, 50).await;
            clients.lead_to(pair.fail_over(old).await.unwrap());
            more_than(&acknowledged, 50).await;
            writer.abort();
            assert!(!pair.toll.lost.is_empty());
            let acknowledged = acknowledged.lock().unwrap().clone();
            for job in acknowledged {
                let kept = pair.master.ask(&format!("EXISTS all:job:{job}")).await.unwrap();
                let is_known = kept.starts_with(":1") || pair.toll.lost.contains(&job.to_string());
                assert!(is_known, "{old:?}: job {job} was acknowledged");
            }
        }
    }
}
