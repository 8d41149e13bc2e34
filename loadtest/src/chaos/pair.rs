//! A Redis and its replica: how the one takes the other's place, and what that loses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;

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
    /// Jobs of which a failover has lost something.
    pub(crate) set_back: BTreeSet<String>,
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
            set_back: BTreeSet::new(),
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
        self.between.make(Way::Good);
        self.between.lead_to(self.master.address());
        for redis in [&self.master, &self.replica] {
            redis.ask("CONFIG SET repl-diskless-sync-delay 0").await?;
        }
        replicate(&self.replica, Some(self.between.address())).await
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

    /// The replica takes over; where clients find it.
    pub(crate) async fn fail_over(&mut self, old: Old) -> Outcome<SocketAddr> {
        self.master.ask("CLIENT PAUSE 10000 WRITE").await?;
        let (had, kept) = (stands(&self.master).await?, stands(&self.replica).await?);
        let lost = had.iter().filter(|(job, at)| kept.get(*job) != Some(at));
        self.set_back.extend(lost.map(|(job, _)| job.clone()));
        if old == Old::Killed {
            self.master.kill()?;
        }
        replicate(&self.replica, None).await?;
        std::mem::swap(&mut self.master, &mut self.replica);
        if old == Old::Killed {
            self.replica.start_again().await?;
        }
        self.follow().await?;
        if old == Old::Demoted {
            self.replica.ask("CLIENT UNPAUSE").await?;
        }
        self.found_at.send_replace(self.master.address());
        Ok(self.master.address())
    }
}

async fn replicate(redis: &Redis, of: Option<SocketAddr>) -> Outcome<()> {
    let of = of.map_or_else(|| "NO ONE".to_owned(), |of| format!("{} {}", of.ip(), of.port()));
    let answer = redis.ask(&format!("REPLICAOF {of}")).await?;
    if answer.starts_with("+OK") {
        Ok(())
    } else {
        Err(format!("REPLICAOF {of}: {answer}").into())
    }
}

async fn stands(redis: &Redis) -> Outcome<BTreeMap<String, String>> {
    let told = redis.ask(STANDS).await?;
    let jobs = told.split(',').filter_map(|job| job.split_once(' '));
    Ok(jobs.map(|(job, at)| (job.to_owned(), at.to_owned())).collect())
}
