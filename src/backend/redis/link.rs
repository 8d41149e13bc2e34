//! The way to whoever takes what is written: which server that is, and what its answers say of that.
//!
//! A step is sent again here only where it was not taken for certain: it went to a server that said so. Any other whose
//! answer is lost is its caller's to repeat.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::{ErrorKind, FromRedisValue, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::error::{code, told, unavailable};
use super::masters::{Finder, Masters};
use super::node::{Asked, Node, On, is_away};
use super::options::RedisOptions;
use super::step::Step;
use super::url::{RedisKind, RedisUrl};
use crate::backend::BackendError;
use crate::clock;

/// How often a step is sent on, or again, that was not taken.
pub(super) const TURNS_MAX: usize = 16;
/// How long a slot that moves is let be before it is asked again.
pub(super) const MOVING: Duration = Duration::from_millis(50);
/// The masters are found out this often at the most.
const PAUSE: Duration = Duration::from_millis(100);

/// The way.
pub(super) struct Link {
    me: Weak<Self>,
    finder: Finder,
    limit: Duration,
    known: Mutex<Known>,
    /// One finds out for all.
    turn: tokio::sync::Mutex<()>,
    /// Rises whenever other servers are masters than before.
    changes: watch::Sender<u64>,
    /// A search beside the work is over.
    searched: Notify,
    waits: Vec<AtomicBool>,
    woken: Notify,
}

/// The masters as they were found last.
struct Known {
    masters: Arc<Masters>,
    found: Option<Instant>,
    /// How often they were looked for.
    version: u64,
    /// An answer has shown that they may be others.
    doubtful: bool,
    /// Since when somebody asks while the work goes on.
    sought: Option<Instant>,
}

/// What an error asks for.
enum Turn {
    Again,
    /// Another server has it already, and not yet as its own.
    Detour(Arc<Node>),
    No,
}

/// That somebody asks while the work goes on: until it is dropped, with its runtime at the latest.
struct Sought(Arc<Link>);

impl Drop for Sought {
    fn drop(&mut self) {
        self.0.known().sought = None;
        self.0.searched.notify_waiters();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("kind", &self.finder.kind())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// A way that has not been gone yet.
    pub(super) fn new(
        url: &RedisUrl,
        authority: Option<&[u8]>,
        options: &RedisOptions,
    ) -> Result<Arc<Self>, RedisError> {
        let known = Known {
            masters: Arc::new(Masters::default()),
            found: None,
            version: 0,
            doubtful: true,
            sought: None,
        };
        let shards = options.shards_of(url.kind());
        let finder = Finder::new(url, authority, options)?;
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            finder,
            limit: options.limit(),
            known: Mutex::new(known),
            turn: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
            searched: Notify::new(),
            waits: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            woken: Notify::new(),
        }))
    }

    /// How long anything may take.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether keys are divided over several servers.
    pub(super) fn is_divided(&self) -> bool {
        self.finder.kind() == RedisKind::Cluster
    }

    /// Tells when other servers are masters than before.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The masters; found out first where that is to be doubted. Where some are known that is waited for only for a moment:
    /// whoever knows more may be away for long, and what is known may be right.
    pub(super) async fn masters(&self) -> Result<Arc<Masters>, RedisError> {
        let (version, before) = {
            let known = self.known();
            let lately = known.found.is_some_and(|at| clock::now() < at + PAUSE);
            if known.masters.all().is_empty() {
                (known.version, None)
            } else if known.doubtful && !lately {
                (known.version, Some(Arc::clone(&known.masters)))
            } else {
                return Ok(Arc::clone(&known.masters));
            }
        };
        let Some(before) = before else {
            return self.seek(version).await;
        };
        let searched = self.searched.notified();
        tokio::pin!(searched);
        searched.as_mut().enable();
        let since = self.seek_beside(version);
        tokio::select! {
            () = searched => Ok(Arc::clone(&self.known().masters)),
            () = clock::sleep_until(since + PAUSE) => Ok(before),
        }
    }

    /// Asks while the work goes on, unless somebody does already; since when.
    fn seek_beside(&self, version: u64) -> Instant {
        let now = clock::now();
        let Some(link) = self.me.upgrade() else { return now };
        let before = {
            let mut known = self.known();
            let before = known.sought;
            known.sought = before.or(Some(now));
            before
        };
        if let Some(since) = before {
            return since;
        }
        let sought = Sought(link);
        tokio::spawn(async move {
            // What was found is known, and that nobody answers too.
            let _ = sought.0.seek(version).await;
        });
        now
    }

    /// Asks, unless somebody else has since the masters were looked for so many times.
    async fn seek(&self, version: u64) -> Result<Arc<Masters>, RedisError> {
        let _turn = self.turn.lock().await;
        let before = {
            let known = self.known();
            // Somebody else has asked meanwhile: that nobody answers holds for all who wait.
            if known.version != version && known.masters.all().is_empty() {
                return Err(told("nobody says which servers are masters"));
            }
            if known.version != version {
                return Ok(Arc::clone(&known.masters));
            }
            Arc::clone(&known.masters)
        };
        let found = self.finder.find(before.all()).await;
        if found.is_err() {
            let mut known = self.known();
            known.found = Some(clock::now());
            known.version += 1;
        }
        match found {
            Ok(found) => Ok(self.take(&before, found)),
            Err(error) if before.all().is_empty() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "nobody says which servers are masters");
                Ok(before)
            }
        }
    }

    fn take(&self, before: &Masters, found: Masters) -> Arc<Masters> {
        let names = |masters: &Masters| {
            let mut names: Vec<String> = masters.all().iter().map(|node| node.name().to_owned()).collect();
            names.sort();
            names
        };
        let (was, is) = (names(before), names(&found));
        let masters = Arc::new(found);
        let mut known = self.known();
        known.masters = Arc::clone(&masters);
        known.found = Some(clock::now());
        known.version += 1;
        known.doubtful = false;
        drop(known);
        if was != is {
            if !was.is_empty() {
                tracing::warn!(?was, ?is, "other servers take what is written");
            }
            self.changes.send_modify(|times| *times += 1);
        }
        masters
    }

    /// The server that holds a slot.
    pub(super) async fn master(&self, slot: u16) -> Result<Arc<Node>, RedisError> {
        let masters = self.masters().await?;
        let node = masters.at(slot).cloned();
        node.ok_or_else(|| {
            self.doubt();
            told("CLUSTERDOWN a slot is held by nobody")
        })
    }

    /// Whether the server that holds a slot has not answered what it was asked last.
    pub(super) fn is_silent(&self, slot: u16) -> bool {
        self.known().masters.at(slot).is_some_and(|node| node.is_silent())
    }

    /// The masters may be others: whoever asks next finds out.
    pub(super) fn doubt(&self) {
        if self.finder.kind() != RedisKind::Single {
            self.known().doubtful = true;
        }
    }

    /// A step on the shared connection.
    pub(super) async fn step<T: FromRedisValue>(&self, step: &Step<'_>) -> Result<T, BackendError> {
        let answer = self.send(step.slot(), On::Main, Asked::Step(step)).await;
        answer.map_err(|error| unavailable(&error))
    }

    /// A step on the heartbeat's connection.
    pub(super) async fn beat<T: FromRedisValue>(&self, step: &Step<'_>) -> Result<T, BackendError> {
        let answer = self.send(step.slot(), On::Heart, Asked::Step(step)).await;
        answer.map_err(|error| unavailable(&error))
    }

    /// A step on a connection of its own, and how many replicas hold what it wrote, once they are enough or a time is over.
    pub(super) async fn hold<T: FromRedisValue>(
        &self,
        step: &Step<'_>,
        replicas: u32,
        time: Duration,
    ) -> Result<(T, u32), BackendError> {
        let held = async { self.master(step.slot()).await?.hold(step, replicas, time).await };
        held.await.map_err(|error| {
            self.doubt();
            unavailable(&error)
        })
    }

    /// Several commands on keys of one slot, in one round trip. While the slot moves some keys have gone already, and a server
    /// says that of its own alone: then each command is sent by itself.
    pub(super) async fn ask<T: FromRedisValue>(&self, slot: u16, asked: &Pipeline) -> Result<T, RedisError> {
        let told = self.send(slot, On::Main, Asked::Commands(asked)).await;
        match told {
            Err(error) if asked.len() > 1 && error.kind() == ErrorKind::Server(ServerErrorKind::Ask) => {}
            told => return told,
        }
        let mut all = Vec::with_capacity(asked.len());
        for command in asked.cmd_iter() {
            let mut one = redis::pipe();
            one.add_command(command.clone());
            let (told,): (Value,) = self.send(slot, On::Main, Asked::Commands(&one)).await?;
            all.push(told);
        }
        Ok(redis::from_redis_value(Value::Array(all))?)
    }

    async fn send<T: FromRedisValue>(&self, slot: u16, on: On, asked: Asked<'_>) -> Result<T, RedisError> {
        let mut detour = None;
        let mut last = None;
        for _ in 0..TURNS_MAX {
            let asking = detour.is_some();
            let node = match detour.take() {
                Some(node) => node,
                None => self.master(slot).await?,
            };
            let error = match node.send(on, asked, asking).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match self.learn(slot, &node, &error) {
                Turn::Again => clock::sleep(clock::jitter(MOVING)).await,
                Turn::Detour(node) if asked.is_one() => detour = Some(node),
                Turn::Detour(_) | Turn::No => return Err(error),
            }
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| told("a slot moves for long")))
    }

    /// Whether an error says that another server has a slot, or may have it soon: it is known from now on.
    pub(super) fn is_elsewhere(&self, slot: u16, asked: &Node, error: &RedisError) -> bool {
        matches!(self.learn(slot, asked, error), Turn::Again)
    }

    /// What an error says of who is to be asked.
    fn learn(&self, slot: u16, asked: &Node, error: &RedisError) -> Turn {
        match error.kind() {
            ErrorKind::Server(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)) => {
                let known = Arc::clone(&self.known().masters);
                let Some(node) = redirected(error, asked)
                    .and_then(|(host, port)| self.finder.node(&host, port, known.all()).ok())
                else {
                    return Turn::No;
                };
                if kind == ServerErrorKind::Ask {
                    return Turn::Detour(node);
                }
                self.lead(slot, node);
                Turn::Again
            }
            ErrorKind::Server(ServerErrorKind::TryAgain) => Turn::Again,
            _ => {
                let is_other = matches!(
                    code(error),
                    Some("READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" | "NOREPLICAS")
                );
                if is_away(error) || is_other {
                    self.doubt();
                }
                Turn::No
            }
        }
    }

    /// A slot is another server's, maybe one that was not known.
    fn lead(&self, slot: u16, node: Arc<Node>) {
        let mut known = self.known();
        let masters = known.masters.with(slot, node);
        let is_new = masters.all().len() > known.masters.all().len();
        known.masters = Arc::new(masters);
        known.doubtful = true;
        drop(known);
        if is_new {
            self.changes.send_modify(|times| *times += 1);
        }
    }

    /// Until an element of one of these lists was taken, one list of each shard, or a time is over.
    pub(super) async fn pop(
        self: &Arc<Self>,
        lists: Vec<(u16, String)>,
        time: Duration,
    ) -> Result<(), BackendError> {
        if self.is_divided() {
            self.pop_each(lists, time).await;
            return Ok(());
        }
        let names: Vec<String> = lists.into_iter().map(|(_, name)| name).collect();
        let popped = async { self.master(0).await?.pop(&names, time).await };
        match popped.await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.doubt();
                Err(unavailable(&error))
            }
        }
    }

    /// Lists of different slots are waited for one by one. Whoever stops waiting lets the others wait on: what they take
    /// by then wakes who waits next.
    async fn pop_each(self: &Arc<Self>, lists: Vec<(u16, String)>, time: Duration) {
        let until = clock::now() + time;
        for (shard, (slot, name)) in lists.into_iter().enumerate() {
            let waits = move |link: &Self, set| {
                link.waits
                    .get(shard)
                    .is_none_or(|waits| waits.swap(set, Ordering::AcqRel))
            };
            if waits(self, true) {
                continue;
            }
            let link = Arc::clone(self);
            tokio::spawn(async move {
                let popped = async { link.master(slot).await?.pop(&[name], time).await };
                match popped.await {
                    Ok(true) => link.woken.notify_one(),
                    Ok(false) => {}
                    Err(_) => link.doubt(),
                }
                waits(&link, false);
            });
        }
        tokio::select! {
            () = self.woken.notified() => {}
            () = clock::sleep_until(until) => {}
        }
    }
}

/// Where an answer says that a slot is; without a host it is that of the server that was asked.
fn redirected(error: &RedisError, asked: &Node) -> Option<(String, u16)> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let own = asked.name().rsplit_once(':')?.0;
    let host = if host.is_empty() || host == "?" { own } else { host };
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tokio::net::TcpListener;

    use super::{Link, Masters, RedisOptions};

    /// Sentinels that take connections and say nothing, for so long.
    async fn over_a_silent_sentinel(limit: Duration) -> (TcpListener, Arc<Link>) {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis+sentinel://{}/main", silent.local_addr().unwrap());
        let options = RedisOptions {
            connect: limit,
            response: limit,
            ..RedisOptions::default()
        };
        let link = Link::new(&url.parse().unwrap(), None, &options).unwrap();
        (silent, link)
    }

    /// One looks for the masters, and all who wait take what it has found: also that nobody answers.
    #[tokio::test]
    async fn who_waits_for_a_search_in_vain_begins_none_of_its_own() {
        let (silent, link) = over_a_silent_sentinel(Duration::from_millis(100)).await;
        let all = join_all((0..20).map(|_| link.masters()));
        let mut asked = 0;
        let mut heard = Vec::new();
        let count = async {
            loop {
                heard.push(silent.accept().await.unwrap());
                asked += 1;
            }
        };
        tokio::select! {
            told = all => assert!(told.iter().all(Result::is_err)),
            () = count => {}
        }
        assert_eq!(asked, 1);
    }

    /// Where the Sentinels cannot be reached, and a master is known, steps go there without waiting for what they say.
    #[tokio::test]
    async fn what_is_sought_in_vain_holds_no_step_up() {
        let (silent, link) = over_a_silent_sentinel(Duration::from_secs(1_000_000)).await;
        let node = link.finder.node("127.0.0.1", 1, &[]).unwrap();
        link.known().masters = Arc::new(Masters::default().with(0, node));
        for _ in 0..10 {
            assert_eq!(link.masters().await.unwrap().all().len(), 1);
        }
        let _asked = silent.accept().await.unwrap();
        assert!(silent.accept().now_or_never().is_none(), "they are asked once");
    }

    /// A server that nobody knew of gets its wire at once.
    #[test]
    fn a_server_that_is_new_is_told_of() {
        let url = "redis+cluster://127.0.0.1:1".parse().unwrap();
        let link = Link::new(&url, None, &RedisOptions::default()).unwrap();
        let mut changes = link.changes();
        for (port, is_new) in [(2, true), (2, false), (3, true)] {
            let node = link.finder.node("127.0.0.1", port, &[]).unwrap();
            link.lead(7, node);
            assert_eq!(changes.has_changed().unwrap(), is_new);
            changes.mark_unchanged();
        }
    }
}
