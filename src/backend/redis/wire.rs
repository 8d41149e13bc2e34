//! One wire of live messages: a connection, and who reads what comes on it. What comes goes from the connection straight
//! into the readers' bounded channels: nothing waits between the two.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue as _, PushInfo, PushKind, RedisError, Value};
use tokio::sync::{Notify, mpsc, oneshot};

use super::error::told;
use super::keys::{self, Keys};
use super::link::Link;
use super::live::{Hints, Reach, WISHES_MAX};
use super::node::Node;
use super::reply::{entry_of, unreadable};
use crate::backend::BackendError;
use crate::clock;
use crate::event::Entry;
use crate::job::JobId;

/// Channels that are let go in one command.
const LEFT_MAX: usize = 1_024;
/// The longest pause before the connection is made again.
const RECONNECT: Duration = Duration::from_secs(1);

/// A subscription that somebody waits for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) job: JobId,
    pub(super) reader: mpsc::Sender<Arc<Entry>>,
    pub(super) done: oneshot::Sender<Granted>,
}

/// What came of a wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Granted {
    /// Entries come from now on.
    Here,
    /// Another server has the job by now.
    Elsewhere,
}

/// Who reads which job.
#[derive(Debug, Default)]
struct Readers {
    jobs: Mutex<HashMap<JobId, Vec<mpsc::Sender<Arc<Entry>>>>>,
    /// Jobs whose channels are being let go.
    left: Mutex<HashSet<JobId>>,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Vec<mpsc::Sender<Arc<Entry>>>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, HashSet<JobId>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a job's channel is being let go.
    fn lets_go(&self, job: JobId) -> bool {
        self.left().contains(&job)
    }

    fn add(&self, job: JobId, reader: mpsc::Sender<Arc<Entry>>) {
        self.lock().entry(job).or_default().push(reader);
    }

    fn tell(&self, job: JobId, entry: &Arc<Entry>) {
        if let Some(readers) = self.lock().get(&job) {
            for reader in readers {
                // A full channel loses this entry; the reader sees the gap.
                let _ = reader.try_send(Arc::clone(entry));
            }
        }
    }

    /// The readers of a job read it anew.
    fn end(&self, job: JobId) {
        self.lock().remove(&job);
    }

    /// All do.
    fn end_all(&self) {
        self.lock().clear();
    }

    /// Of these jobs those that nobody reads any more.
    fn unread(&self, heard: &HashSet<JobId>) -> Vec<JobId> {
        let mut jobs = self.lock();
        jobs.retain(|_, readers| {
            readers.retain(|reader| !reader.is_closed());
            !readers.is_empty()
        });
        heard
            .iter()
            .filter(|job| !jobs.contains_key(job))
            .copied()
            .collect()
    }
}

/// What hears all that comes by itself.
#[derive(Clone, Debug)]
struct Ears {
    lost: Arc<Notify>,
    readers: Arc<Readers>,
    hints: Arc<Hints>,
    /// Channels for all nodes: hints of cancels, and of words that hold for all.
    common: [String; 2],
}

impl Ears {
    fn hear(&self, push: PushInfo) {
        let mut parts = push.data.into_iter();
        let channel = parts.next().and_then(|name| String::from_redis_value(name).ok());
        match (push.kind, channel) {
            (PushKind::Message | PushKind::SMessage, Some(channel)) => {
                let message = parts
                    .next()
                    .and_then(|message| Vec::from_redis_value(message).ok());
                if let Some(message) = message {
                    self.message(&channel, &message);
                }
            }
            // Without having been asked to: the job is another server's by now. The answer to the next question would be
            // taken for this, so the connection is left.
            (PushKind::SUnsubscribe, Some(channel))
                if keys::job_of(&channel).is_some_and(|job| !self.readers.lets_go(job)) =>
            {
                self.lost.notify_one();
            }
            (PushKind::Disconnection, _) => self.lost.notify_one(),
            _ => {}
        }
    }

    /// What was published on a channel.
    fn message(&self, channel: &str, message: &[u8]) {
        let [control, notices] = &self.common;
        if channel == notices {
            self.hints.notice();
            return;
        }
        if channel == control {
            let job = std::str::from_utf8(message).map(str::parse);
            if let Ok(Ok(job)) = job {
                self.hints.cancel(job);
            }
            return;
        }
        let Some(job) = keys::job_of(channel) else {
            return;
        };
        match entry(message) {
            Ok(Some(entry)) => self.readers.tell(job, &Arc::new(entry)),
            Ok(None) => self.readers.end(job),
            Err(error) => {
                tracing::error!(%job, %error, "a live message cannot be read");
                self.readers.end(job);
            }
        }
    }
}

/// A wire.
pub(super) struct Wire {
    link: Arc<Link>,
    keys: Arc<Keys>,
    /// Where it leads; `None`: to whoever is the master.
    node: Option<Arc<Node>>,
    reach: Reach,
    probe: Duration,
    readers: Arc<Readers>,
    hints: Arc<Hints>,
}

/// A connection of a wire.
struct Hearing {
    node: Arc<Node>,
    connection: MultiplexedConnection,
    /// The jobs that are subscribed to.
    heard: HashSet<JobId>,
}

impl Wire {
    pub(super) fn new(
        link: Arc<Link>,
        keys: Arc<Keys>,
        node: Option<Arc<Node>>,
        reach: Reach,
        probe: Duration,
        hints: Arc<Hints>,
    ) -> Self {
        Self {
            link,
            keys,
            node,
            reach,
            probe,
            readers: Arc::default(),
            hints,
        }
    }

    /// Hears, over one connection after the other, until nobody can wish for anything any more.
    pub(super) async fn run(self, mut asked: mpsc::Receiver<Wish>) {
        loop {
            let error = match self.listen(&mut asked).await {
                Ok(()) => return,
                Err(error) => error,
            };
            tracing::warn!(%error, "live messages cannot be heard");
            self.link.doubt();
            self.readers.end_all();
            // Who asks meanwhile is told at once, by the end of what it waits for.
            let again = clock::now() + clock::jitter(RECONNECT);
            loop {
                tokio::select! {
                    () = clock::sleep_until(again) => break,
                    wish = asked.recv() => if wish.is_none() { return },
                }
            }
        }
    }

    /// Hears until the connection is lost, or until the engine is gone.
    async fn listen(&self, asked: &mut mpsc::Receiver<Wish>) -> Result<(), RedisError> {
        let lost = Arc::new(Notify::new());
        let mut changes = self.link.changes();
        let mut hearing = self.hearing(&lost).await?;
        let node = Arc::clone(&hearing.node);
        self.hints.notice();
        let mut probe = clock::now() + self.probe;
        loop {
            tokio::select! {
                () = lost.notified() => return Err(told("the connection was closed")),
                () = node.demoted() => return Err(told("the server takes no writes any more")),
                // An error means that the engine is gone, and this task with it.
                _ = changes.changed() => if !self.is_master(&node).await {
                    return Err(told("another server takes what is written"));
                },
                wish = asked.recv() => match wish {
                    Some(wish) => self.grant(wish, asked, &mut hearing).await?,
                    None => return Ok(()),
                },
                () = clock::sleep_until(probe) => {
                    self.look_after(&mut hearing).await?;
                    probe = clock::now() + self.probe;
                }
            }
        }
    }

    async fn hearing(&self, lost: &Arc<Notify>) -> Result<Hearing, RedisError> {
        let node = match &self.node {
            Some(node) => Arc::clone(node),
            None => self.link.master(0).await?,
        };
        let ears = Ears {
            lost: Arc::clone(lost),
            readers: Arc::clone(&self.readers),
            hints: Arc::clone(&self.hints),
            common: [self.keys.control(), self.keys.notices()],
        };
        let common = ears.common.clone();
        let mut connection = node.listen(move |push| ears.hear(push)).await?;
        node.within(connection.subscribe(&common)).await?;
        Ok(Hearing {
            node,
            connection,
            heard: HashSet::new(),
        })
    }

    /// Whether a server is a master still, as far as is known.
    async fn is_master(&self, node: &Arc<Node>) -> bool {
        let masters = self.link.masters().await;
        masters.map_or(true, |known| {
            known.all().iter().any(|one| one.name() == node.name())
        })
    }

    /// Subscribes to what is wished for, and to all that waits behind it in the same go.
    async fn grant(
        &self,
        first: Wish,
        asked: &mut mpsc::Receiver<Wish>,
        hearing: &mut Hearing,
    ) -> Result<(), RedisError> {
        let mut wishes = vec![first];
        while wishes.len() < WISHES_MAX
            && let Ok(wish) = asked.try_recv()
        {
            wishes.push(wish);
        }
        let mut unheard = Vec::new();
        let mut waiting = Vec::with_capacity(wishes.len());
        for Wish { job, reader, done } in wishes {
            // Before it is subscribed to: nothing falls between the two.
            self.readers.add(job, reader);
            if hearing.heard.insert(job) {
                unheard.push(job);
            }
            waiting.push((job, done));
        }
        let elsewhere = self.hear(hearing, &unheard).await?;
        for job in &elsewhere {
            hearing.heard.remove(job);
            self.readers.end(*job);
        }
        for (job, done) in waiting {
            let is_here = !elsewhere.contains(&job);
            // The one who asked may have gone.
            let _ = done.send(if is_here {
                Granted::Here
            } else {
                Granted::Elsewhere
            });
        }
        Ok(())
    }

    /// Subscribes to the channels of jobs; which of them another server has by now. Those that are their server's own are
    /// named one by one, since they may be of several slots.
    async fn hear(&self, hearing: &mut Hearing, jobs: &[JobId]) -> Result<HashSet<JobId>, RedisError> {
        let Hearing { node, connection, .. } = hearing;
        let mut elsewhere = HashSet::new();
        if jobs.is_empty() {
            return Ok(elsewhere);
        }
        if self.reach == Reach::All {
            node.within(connection.subscribe(self.channels(jobs))).await?;
            return Ok(elsewhere);
        }
        let mut asked = redis::pipe();
        asked.ignore_errors();
        for channel in self.channels(jobs) {
            asked.cmd("SSUBSCRIBE").arg(channel);
        }
        let told: Vec<Result<Value, RedisError>> = node.within(asked.query_async(connection)).await?;
        for (job, told) in jobs.iter().zip(told) {
            let Err(error) = told else { continue };
            let slot = self.keys.slot(self.keys.shard_of(*job));
            if !self.link.is_elsewhere(slot, node, &error) {
                return Err(error);
            }
            elsewhere.insert(*job);
        }
        Ok(elsewhere)
    }

    /// Lets the channels of jobs go.
    async fn leave(&self, hearing: &mut Hearing, jobs: &[JobId]) -> Result<(), RedisError> {
        let Hearing { node, connection, .. } = hearing;
        if self.reach == Reach::All {
            return node.within(connection.unsubscribe(self.channels(jobs))).await;
        }
        let mut said = redis::pipe();
        // Where another server has one by now, this one has let it go.
        said.ignore_errors();
        for channel in self.channels(jobs) {
            said.cmd("SUNSUBSCRIBE").arg(channel);
        }
        *self.readers.left() = jobs.iter().copied().collect();
        let told = node.within(said.query_async::<Value>(connection)).await;
        self.readers.left().clear();
        told.map(drop)
    }

    fn channels(&self, jobs: &[JobId]) -> Vec<String> {
        jobs.iter().map(|job| self.keys.job(*job).live).collect()
    }

    /// Lets go of what nobody reads, and asks whether the other side is still there, and a master: else it may lag behind one.
    async fn look_after(&self, hearing: &mut Hearing) -> Result<(), RedisError> {
        let left = self.readers.unread(&hearing.heard);
        for some in left.chunks(LEFT_MAX) {
            self.leave(hearing, some).await?;
        }
        for job in left {
            hearing.heard.remove(&job);
        }
        let mut ask = redis::cmd("INFO");
        ask.arg("replication");
        let Hearing { node, connection, .. } = hearing;
        let about: String = node.within(ask.query_async(connection)).await?;
        if about.contains("role:slave") {
            node.demote();
            return Err(told("the server follows another one now"));
        }
        Ok(())
    }
}

/// A published entry; `None` for one that is to be read.
fn entry(message: &[u8]) -> Result<Option<Entry>, BackendError> {
    let message = std::str::from_utf8(message).map_err(unreadable)?;
    let (head, payload) = message
        .split_once('\n')
        .ok_or_else(|| unreadable("a message without a head"))?;
    let head: Vec<&str> = head.split(' ').collect();
    let [epoch, seq, parent, kind] = head.as_slice() else {
        return Err(unreadable("the head of a message"));
    };
    if kind.is_empty() {
        return Ok(None);
    }
    entry_of(epoch, seq.parse().map_err(unreadable)?, parent, kind, payload).map(Some)
}
