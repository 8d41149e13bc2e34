//! What bounds the way to a Redis.

use std::time::Duration;

use super::url::{RedisKind, RedisUrl};

/// Parts of the jobs over a Cluster, unless their number is set: enough for as many masters.
const CLUSTER_SHARDS: u32 = 16;

/// Bounds and times of the Redis engine beside those of [`EngineOptions`](crate::backend::embedded::EngineOptions).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisOptions {
    /// Where it is; `None`: the embedded engine is used.
    pub url: Option<RedisUrl>,
    /// A file of the certificates (PEM) that vouch for the server of a `rediss://` URL; empty: the roots of the web.
    pub ca_file: String,
    /// What every key and channel begins with.
    pub prefix: String,
    /// Into how many parts the jobs are divided; fixed with the first start. 0: into one, over a Cluster into 16.
    pub shards: u32,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long a command may take before the engine counts as unreachable.
    pub response: Duration,
    /// Connections for commands that wait; each worker that has nothing to do holds one.
    pub waiting_max: usize,
    /// Replicas that hold what is promised before it is told: that a job was accepted, and that it has ended.
    pub replicas: u32,
    /// How long they are waited for; then it is told, and says that it is not durable.
    pub replicas_wait: Duration,
    /// How long the wire of live messages may be silent before it is probed.
    pub probe: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: String::new(),
            prefix: "livedraft".to_owned(),
            shards: 0,
            connect: Duration::from_secs(2),
            response: Duration::from_secs(2),
            waiting_max: 4,
            replicas: 0,
            replicas_wait: Duration::from_secs(1),
            probe: Duration::from_secs(5),
        }
    }
}

impl RedisOptions {
    /// Into how many parts the jobs are divided over what is behind a URL.
    pub(super) const fn shards_of(&self, kind: RedisKind) -> u32 {
        match (self.shards, kind) {
            (0, RedisKind::Cluster) => CLUSTER_SHARDS,
            (0, RedisKind::Single | RedisKind::Sentinel) => 1,
            (shards, _) => shards,
        }
    }

    /// How long anything may take: connecting again is part of what is waited for.
    pub(super) fn limit(&self) -> Duration {
        self.response + self.connect
    }
}
