//! The engines that are tried, how their time passes, and how they lose what a replica did not have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::{Embedded, State};
use livedraft::backend::*;
use livedraft::event::{Epoch, Fold};
use livedraft::job::{JobId, JobState};
use redis::FromRedisValue;

use super::options;
use super::seen::{Indexed, Look, Seen, Stands};
use super::store::Store;
use crate::redis_server::{Copy, RedisServer};

/// An engine, and whose clock it goes by.
pub(super) enum Engine {
    /// Ours, which is paused.
    Embedded(Arc<Embedded>),
    /// Its server's.
    Redis(Arc<Redis>, Arc<RedisServer>),
}

/// An engine as it was.
pub(super) enum Saved {
    Embedded(Box<State>),
    Redis(Copy),
}

/// Of every job, in which indexes of its shard it is.
const INDEXES: &str = "local found = {} \
    for _, key in ipairs(redis.call('KEYS', '*:job:*')) do \
        local shard, id = string.match(key, '^(.*):job:(.*)$') \
        local held = redis.call('HMGET', key, 'tenant', 'tok') \
        local nonce = string.match(held[2] or '', '[^.]*$') \
        local function within(index) return redis.call('ZSCORE', shard .. ':' .. index, id) and 1 or 0 end \
        local given = redis.call('HGET', shard .. ':given', nonce) == id and 1 or 0 \
        found[#found + 1] = {id, within('ready'), within('line:' .. held[1]), within('lease'), given, within('wait'), \
            within('ended'), within('dead'), within('cancel')} \
    end return found";

impl Engine {
    /// The Redis of a run, empty, and an engine over it.
    pub(super) async fn over(server: &Arc<RedisServer>, shards: u32) -> Self {
        let () = redis::cmd("FLUSHALL").query(&mut server.connection()).unwrap();
        let engine = server.engine(shards, options()).await;
        Self::Redis(Arc::new(engine), Arc::clone(server))
    }

    pub(super) fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Embedded(engine) => Arc::clone(engine) as Arc<dyn Backend>,
            Self::Redis(engine, _) => Arc::clone(engine) as Arc<dyn Backend>,
        }
    }

    pub(super) fn is_redis(&self) -> bool {
        matches!(self, Self::Redis(..))
    }

    pub(super) async fn pass(&self, time: Duration) {
        match self {
            Self::Embedded(_) => tokio::time::advance(time).await,
            Self::Redis(_, server) => server.pass(time),
        }
    }

    pub(super) fn save(&self) -> Saved {
        match self {
            Self::Embedded(engine) => Saved::Embedded(Box::new(engine.state())),
            Self::Redis(_, server) => Saved::Redis(server.copy()),
        }
    }

    pub(super) fn restore(&self, saved: &Saved) {
        match (self, saved) {
            (Self::Embedded(engine), Saved::Embedded(state)) => engine.restore((**state).clone()),
            (Self::Redis(_, server), Saved::Redis(copy)) => server.put_back(copy),
            _ => unreachable!("what was saved is of the same engine"),
        }
    }

    /// The job whose log ends with the opening of this epoch.
    pub(super) async fn opened_by(&self, store: &Store, epoch: Epoch) -> Option<JobId> {
        self.opened(store, &[epoch]).await.into_keys().next()
    }

    /// The jobs whose logs end with the opening of one of these epochs.
    pub(super) async fn opened(&self, store: &Store, epochs: &[Epoch]) -> BTreeMap<JobId, Epoch> {
        let jobs: Vec<JobId> = store.jobs.keys().copied().collect();
        let told = self
            .backend()
            .positions(&jobs)
            .await
            .expect("an engine that answers");
        let last = jobs.into_iter().zip(told);
        let opened = last.filter_map(|(job, last)| Some((job, last?.epoch)));
        opened.filter(|(_, epoch)| epochs.contains(epoch)).collect()
    }

    /// Everything that can be seen of it.
    pub(super) async fn look(&self, store: &Store, seen: &Seen) -> Look {
        let backend = self.backend();
        let mut look = Look {
            stats: backend.stats().await.expect("an engine that answers"),
            ..Look::default()
        };
        let jobs: Vec<JobId> = store.jobs.keys().copied().collect();
        let states = backend.states(&jobs).await.expect("an engine that answers");
        for (job, state) in jobs.into_iter().zip(states) {
            let state = state.unwrap_or_else(|| panic!("{job} is lost"));
            look.jobs.insert(job, stands(&*backend, job, state.status).await);
        }
        let gone: Vec<JobId> = seen.known().filter(|job| !store.jobs.contains_key(job)).collect();
        let told = backend.states(&gone).await.expect("an engine that answers");
        assert!(
            told.iter().all(Option::is_none),
            "what is forgotten is still there: {gone:?} {told:?}"
        );
        let page = backend
            .dead_letters(None, 100)
            .await
            .expect("an engine that answers");
        look.letters = page.letters.into_iter().map(|letter| letter.id).collect();
        if let Self::Redis(_, server) = self {
            look.indexed = Some(indexed(server));
        }
        look
    }

    /// Nothing is left of what has been (I13).
    pub(super) async fn must_be_empty(&self) {
        let stats = self.backend().stats().await.expect("an engine that answers");
        assert_eq!(stats, Stats::default());
        let Self::Redis(_, server) = self else { return };
        // What is known of tenants that left is known for a while, and how fast jobs leave the line for longer.
        server.pass(Duration::from_secs(40_000));
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query(&mut server.connection())
            .unwrap();
        let left = keys.iter().filter(|key| !key.ends_with(":shares"));
        assert_eq!(left.collect::<Vec<_>>(), ["livedraft:meta"]);
    }
}

async fn stands(backend: &dyn Backend, job: JobId, state: JobState) -> Stands {
    let reading = backend.read(job, None).await.expect("an engine that answers");
    let reading = reading.unwrap_or_else(|| panic!("{job} has no log"));
    let Start::Snapshot(snapshot) = &reading.start else {
        panic!("asked for the whole")
    };
    let mut fold: Fold = (**snapshot).clone();
    for entry in &reading.tail {
        fold.apply(entry).expect("it folds");
    }
    Stands {
        state,
        snapshot: snapshot.position.seq,
        fold,
        reading,
    }
}

fn indexed(server: &RedisServer) -> BTreeMap<JobId, Indexed> {
    let found: Vec<redis::Value> = redis::Script::new(INDEXES)
        .invoke(&mut server.connection())
        .unwrap();
    let read = |value: redis::Value| {
        let (id, within): (String, [bool; 8]) = match value {
            redis::Value::Array(parts) => {
                let mut parts = parts.into_iter();
                let id = String::from_redis_value(parts.next().unwrap()).unwrap();
                let within: Vec<bool> = parts.map(|part| bool::from_redis_value(part).unwrap()).collect();
                (id, within.try_into().unwrap())
            }
            other => panic!("{other:?}"),
        };
        let [ready, line, lease, given, wait, ended, dead, cancel] = within;
        let indexed = Indexed {
            ready,
            line,
            lease,
            given,
            wait,
            ended,
            dead,
            cancel,
        };
        (id.parse().unwrap(), indexed)
    };
    found.into_iter().map(read).collect()
}
