//! The Redis engine: queue and logs of a fleet, in one Redis that all its nodes share.
//!
//! Each step is one script (`lua/`), so it is atomic and its order in the log is its order on the wire. Payloads are
//! opaque to scripts; time is Redis's. What a script needs of the keys' names it is given (`keys`). A step whose answer
//! is lost is sent again by its caller, and knows itself.

mod appends;
mod check;
mod dead;
mod foreign;
mod keys;
mod link;
mod live;
mod log;
mod notices;
mod options;
mod outside;
mod queue;
mod reply;
mod scripts;
mod submit;
mod tick;
mod unanswered;

use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;

use self::appends::Appends;
pub use self::check::RedisStartError;
use self::keys::Keys;
use self::link::Link;
use self::live::Live;
pub use self::options::{BadRedisUrl, RedisOptions, RedisUrl};
use self::scripts::Scripts;
use self::unanswered::Unanswered;
use super::BackendError;
use super::embedded::EngineOptions;
use crate::clock;

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
    appends: Appends,
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
        let link = Link::new(url, authority, options).map_err(|error| RedisStartError::Other {
            url: url.clone(),
            what: error.to_string(),
        })?;
        check::check(url, link.client(), options).await?;
        let (keys, link) = (
            Arc::new(Keys::new(&options.prefix, options.shards)),
            Arc::new(link),
        );
        let names = Arc::clone(&keys);
        let channels = Box::new(move |job| names.job(job).live);
        let scripts = Scripts::new();
        Ok(Self {
            appends: Appends::new(Arc::clone(&link), scripts.append.clone(), keys.count()),
            live: Live::start(
                Arc::clone(&link),
                [keys.control(), keys.notices()],
                channels,
                options.probe,
            ),
            engine,
            keys,
            scripts,
            link,
            unanswered: Unanswered::default(),
        })
    }

    /// Any number of commands, in as many round trips as that takes.
    async fn ask_all<T: FromRedisValue>(&self, asked: &redis::Pipeline) -> Result<Vec<T>, BackendError> {
        let mut answers = Vec::new();
        let commands: Vec<&redis::Cmd> = asked.cmd_iter().collect();
        for part in commands.chunks(COMMANDS_MAX) {
            let mut some = redis::pipe();
            for command in part {
                some.add_command((*command).clone());
            }
            answers.extend(self.link.ask::<Vec<T>>(&some).await?);
        }
        Ok(answers)
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

/// A flag as scripts take it.
const fn flag(flag: bool) -> u8 {
    if flag { 1 } else { 0 }
}
