//! The Redis engine: queue and logs of a fleet, in one Redis that all its nodes share.
//!
//! Each step is one script (`lua/`), so it is atomic and its order in the log is its order on the wire. Payloads are
//! opaque to scripts; time is Redis's. What a script needs of the keys' names it is given (`keys`). A step whose answer
//! is lost is sent again by its caller, and knows itself.

mod check;
mod claim;
mod dead;
mod error;
mod foreign;
mod gather;
mod gathers;
mod keys;
mod layout;
mod link;
mod live;
mod log;
mod masters;
mod node;
mod notices;
mod options;
mod outside;
mod promise;
mod queue;
mod reply;
mod scripts;
mod stats;
mod step;
mod submit;
mod tenants;
mod tick;
mod unanswered;
mod url;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::FromRedisValue;

pub use self::check::RedisStartError;
use self::error::unavailable;
use self::gather::Held;
use self::gathers::Gathers;
use self::keys::{Keys, slot_of};
use self::link::Link;
use self::live::Live;
pub use self::options::RedisOptions;
use self::scripts::Scripts;
use self::step::Step;
use self::unanswered::Unanswered;
pub use self::url::{BadRedisUrl, RedisKind, RedisUrl};
use super::BackendError;
use super::embedded::EngineOptions;
use crate::clock;
use crate::job::JobId;

/// The longest a worker sleeps before it looks again without having been woken.
const POLL: Duration = Duration::from_secs(1);
/// Commands of one round trip.
const COMMANDS_MAX: usize = 500;

/// The engine of one node.
#[derive(Debug)]
pub struct Redis {
    engine: EngineOptions,
    keys: Arc<Keys>,
    scripts: Scripts,
    link: Arc<Link>,
    gathers: Gathers,
    replicas: u32,
    replicas_wait: Duration,
    live: Live,
    unanswered: Unanswered,
}

impl Redis {
    /// Looks at the server and connects, on the runtime it is called on.
    ///
    /// # Errors
    /// The server cannot be reached or used, or holds another layout of keys.
    pub async fn open(
        url: &RedisUrl,
        options: &RedisOptions,
        engine: EngineOptions,
    ) -> Result<Self, RedisStartError> {
        let authority = check::authority(url, options)?;
        let link = Link::new(url, authority.as_deref(), options).map_err(|error| RedisStartError::Other {
            url: url.clone(),
            what: error.to_string(),
        })?;
        let reach = check::check(url, &link, options).await?;
        let keys = Arc::new(Keys::new(&options.prefix, options.shards_of(url.kind())));
        let scripts = Scripts::new(reach, options.replicas > 0);
        let held = Held {
            replicas: options.replicas,
            time: options.replicas_wait,
        };
        let gathers =
            Gathers::new(&link, &keys, &scripts, &engine, held).map_err(|error| RedisStartError::Other {
                url: url.clone(),
                what: error.to_string(),
            })?;
        Ok(Self {
            gathers,
            unanswered: Unanswered::new(keys.count()),
            live: Live::start(Arc::clone(&link), Arc::clone(&keys), reach, options.probe),
            engine,
            keys,
            scripts,
            link,
            replicas: options.replicas,
            replicas_wait: options.replicas_wait,
        })
    }

    /// All shards, each once, from one of them on.
    fn shards_from(&self, from: usize) -> Vec<usize> {
        let count = self.keys.count();
        (from..from + count).map(|shard| shard % count).collect()
    }

    /// Whether the server of a shard has not answered what it was asked last.
    fn is_silent(&self, shard: usize) -> bool {
        self.link.is_silent(self.keys.slot(shard))
    }

    /// Commands on the keys of one job, in one round trip.
    async fn ask_of<T: FromRedisValue>(
        &self,
        job: JobId,
        asked: &redis::Pipeline,
    ) -> Result<T, BackendError> {
        let slot = self.keys.slot(self.keys.shard_of(job));
        let answer = self.link.ask(slot, asked).await;
        answer.map_err(|error| unavailable(&error))
    }

    /// Any number of commands, each on a key, in as many round trips as that takes; the answers come in their order.
    async fn ask_all<T: FromRedisValue>(&self, asked: &redis::Pipeline) -> Result<Vec<T>, BackendError> {
        let commands: Vec<&redis::Cmd> = asked.cmd_iter().collect();
        let mut by_slot: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (at, command) in commands.iter().enumerate() {
            let slot = if self.link.is_divided() {
                slot_of_command(command)
            } else {
                0
            };
            by_slot.entry(slot).or_default().push(at);
        }
        let mut answers: Vec<Option<T>> = commands.iter().map(|_| None).collect();
        let parts = by_slot
            .iter()
            .flat_map(|(slot, all)| all.chunks(COMMANDS_MAX).map(|some| (*slot, some)));
        let asks = parts.map(|(slot, some)| {
            let mut part = redis::pipe();
            for at in some {
                part.add_command((*commands[*at]).clone());
            }
            async move { (some, self.link.ask::<Vec<T>>(slot, &part).await) }
        });
        for (some, told) in join_all(asks).await {
            for (at, answer) in some.iter().zip(told.map_err(|error| unavailable(&error))?) {
                answers[*at] = Some(answer);
            }
        }
        let all: Option<Vec<T>> = answers.into_iter().collect();
        all.ok_or_else(|| reply::unreadable("fewer answers than commands"))
    }

    /// That these jobs are not known, as was told: by a look that a server answers also where it has become a replica, and
    /// lags behind its master.
    ///
    /// # Errors
    /// The server is no master any more, or knows one of them by now: whoever asked asks again.
    async fn none_is_known(&self, jobs: impl Iterator<Item = JobId>) -> Result<(), BackendError> {
        let mut by_shard: BTreeMap<usize, Vec<JobId>> = BTreeMap::new();
        for job in jobs {
            by_shard.entry(self.keys.shard_of(job)).or_default().push(job);
        }
        for (shard, all) in by_shard {
            for some in all.chunks(COMMANDS_MAX) {
                let mut step = Step::new(&self.scripts.there, self.keys.shard(shard));
                for job in some {
                    step.arg(job.to_string());
                }
                if self.link.step::<usize>(&step).await? > 0 {
                    let what = "a job was asked for at a server that does not have it yet";
                    return Err(BackendError::Unavailable(what.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Until a job may have come into line: a token says so, and now and then nothing does.
    async fn wait_for_work(&self) {
        let poll = POLL / 2 + clock::jitter(POLL / 2);
        let until = clock::now() + poll;
        if self.link.pop(self.keys.wakes().collect(), poll).await.is_err() {
            clock::sleep_until(until).await;
        }
    }
}

/// The slot of the key of a command.
fn slot_of_command(command: &redis::Cmd) -> u16 {
    match command.args_iter().nth(1) {
        Some(redis::Arg::Simple(key)) => slot_of(&String::from_utf8_lossy(key)),
        _ => 0,
    }
}

/// A flag as scripts take it.
const fn flag(flag: bool) -> u8 {
    if flag { 1 } else { 0 }
}
