//! The live wire: one connection for all subscriptions of this node, and who reads which.
//!
//! It is only a wire. When the connection is lost every reader's channel ends: the reader subscribes again and reads what
//! it missed, and so it does where an entry was too long to be published. What comes goes from the connection straight
//! into the readers' bounded channels: nothing waits between the two.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue as _, PushInfo, PushKind};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use super::keys;
use super::link::Link;
use super::reply::{entry_of, unreadable};
use crate::backend::BackendError;
use crate::clock;
use crate::event::Entry;
use crate::job::JobId;

/// Entries a slow reader may be behind before it misses some, and repairs by reading.
const LIVE_ENTRIES_MAX: usize = 256;
/// Cancel hints a worker may be behind before it misses some, and hears of them by its heartbeat.
const CANCEL_HINTS_MAX: usize = 256;
/// Subscriptions that may wait to be sent, and are sent in one command; who comes later waits for room.
const WISHES_MAX: usize = 1_024;
/// Channels that are let go in one command.
const LEFT_MAX: usize = 1_024;
/// The longest pause before the connection is made again.
const RECONNECT: Duration = Duration::from_secs(1);

/// The wire.
#[derive(Debug)]
pub(super) struct Live {
    readers: Arc<Readers>,
    wishes: mpsc::Sender<Wish>,
    /// How long somebody waits for room.
    limit: Duration,
    /// Ends with the engine.
    _task: JoinSet<()>,
}

/// A subscription that somebody waits for.
struct Wish {
    job: JobId,
    reader: mpsc::Sender<Arc<Entry>>,
    done: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Readers {
    inner: Mutex<Inner>,
    /// There may be words for all nodes that were not there before.
    noticed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: HashMap<JobId, Vec<mpsc::Sender<Arc<Entry>>>>,
    workers: Vec<mpsc::Sender<JobId>>,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, job: JobId, reader: mpsc::Sender<Arc<Entry>>) {
        self.lock().jobs.entry(job).or_default().push(reader);
    }

    fn tell(&self, job: JobId, entry: &Arc<Entry>) {
        if let Some(readers) = self.lock().jobs.get(&job) {
            for reader in readers {
                // A full channel loses this entry; the reader sees the gap.
                let _ = reader.try_send(Arc::clone(entry));
            }
        }
    }

    fn hint(&self, job: JobId) {
        let workers = &mut self.lock().workers;
        workers.retain(|worker| !worker.is_closed());
        for worker in workers.iter() {
            // A full channel loses the hint; the heartbeat carries it too.
            let _ = worker.try_send(job);
        }
    }

    /// The readers of a job read it anew.
    fn end(&self, job: JobId) {
        self.lock().jobs.remove(&job);
    }

    /// All do.
    fn end_all(&self) {
        self.lock().jobs.clear();
    }

    /// Of these jobs those that nobody reads any more.
    fn unread(&self, heard: &HashSet<JobId>) -> Vec<JobId> {
        let jobs = &mut self.lock().jobs;
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

    /// What was published on a channel.
    fn hear(&self, channel: &str, [control, notices]: &[String; 2], message: &[u8]) {
        if channel == notices {
            self.noticed.notify_one();
            return;
        }
        if channel == control {
            let job = std::str::from_utf8(message).map(str::parse);
            if let Ok(Ok(job)) = job {
                self.hint(job);
            }
            return;
        }
        let Some(job) = keys::job_of(channel) else {
            return;
        };
        match entry(message) {
            Ok(Some(entry)) => self.tell(job, &Arc::new(entry)),
            Ok(None) => self.end(job),
            Err(error) => {
                tracing::error!(%job, %error, "a live message cannot be read");
                self.end(job);
            }
        }
    }
}

impl Live {
    /// Connects and keeps connected, on the runtime it is called on.
    pub(super) fn start(link: Arc<Link>, common: [String; 2], channels: Channels, probe: Duration) -> Self {
        let readers = Arc::new(Readers::default());
        let (wishes, asked) = mpsc::channel(WISHES_MAX);
        let limit = link.limit();
        let wire = Wire {
            link,
            common,
            channels,
            probe,
            readers: Arc::clone(&readers),
        };
        let mut task = JoinSet::new();
        task.spawn(wire.run(asked));
        Self {
            readers,
            wishes,
            limit,
            _task: task,
        }
    }

    /// Entries of a job from now on: answered once Redis has said that they come.
    pub(super) async fn subscribe(&self, job: JobId) -> Result<mpsc::Receiver<Arc<Entry>>, BackendError> {
        let lost = || BackendError::Unavailable("the wire of live messages is down".to_owned());
        let (reader, receiver) = mpsc::channel(LIVE_ENTRIES_MAX);
        let (done, answered) = oneshot::channel();
        let wish = Wish { job, reader, done };
        tokio::select! {
            sent = self.wishes.send(wish) => sent.map_err(|_| lost())?,
            () = clock::sleep(self.limit) => return Err(lost()),
        }
        // Whoever is dropped meanwhile was told of by the end of its channel.
        answered.await.map_err(|_| lost())?;
        Ok(receiver)
    }

    /// Once there may be words for all nodes that were not there before.
    pub(super) async fn noticed(&self) {
        self.readers.noticed.notified().await;
    }

    pub(super) fn cancels(&self) -> mpsc::Receiver<JobId> {
        let (sender, receiver) = mpsc::channel(CANCEL_HINTS_MAX);
        self.readers.lock().workers.push(sender);
        receiver
    }
}

/// How a job's channel is called.
pub(super) type Channels = Box<dyn Fn(JobId) -> String + Send + Sync>;

struct Wire {
    link: Arc<Link>,
    /// Channels for all nodes: hints of cancels, and of words that hold for all.
    common: [String; 2],
    channels: Channels,
    probe: Duration,
    readers: Arc<Readers>,
}

impl Wire {
    async fn run(self, mut asked: mpsc::Receiver<Wish>) {
        loop {
            let error = match self.listen(&mut asked).await {
                Ok(()) => return,
                Err(error) => error,
            };
            tracing::warn!(%error, "live messages cannot be heard");
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
    async fn listen(&self, asked: &mut mpsc::Receiver<Wish>) -> Result<(), BackendError> {
        let lost = Arc::new(Notify::new());
        let mut connection = self.link.listen(self.ears(&lost)).await?;
        self.link.within(connection.subscribe(&self.common)).await?;
        self.readers.noticed.notify_one();
        let mut heard = HashSet::new();
        let mut probe = clock::now() + self.probe;
        loop {
            tokio::select! {
                () = lost.notified() => {
                    return Err(BackendError::Unavailable("the connection was closed".to_owned()));
                }
                () = self.link.demoted() => {
                    return Err(BackendError::Unavailable("the server takes no writes any more".to_owned()));
                }
                wish = asked.recv() => match wish {
                    Some(wish) => self.grant(wish, asked, &mut heard, &mut connection).await?,
                    None => return Ok(()),
                },
                () = clock::sleep_until(probe) => {
                    self.look_after(&mut heard, &mut connection).await?;
                    probe = clock::now() + self.probe;
                }
            }
        }
    }

    /// What is done with all that comes by itself.
    fn ears(&self, lost: &Arc<Notify>) -> impl Fn(PushInfo) + Send + Sync + 'static {
        let (lost, readers, common) = (Arc::clone(lost), Arc::clone(&self.readers), self.common.clone());
        move |push| match push.kind {
            PushKind::Message => {
                let mut parts = push.data.into_iter();
                let channel = parts.next().and_then(|name| String::from_redis_value(name).ok());
                let message = parts
                    .next()
                    .and_then(|message| Vec::from_redis_value(message).ok());
                if let (Some(channel), Some(message)) = (channel, message) {
                    readers.hear(&channel, &common, &message);
                }
            }
            PushKind::Disconnection => lost.notify_one(),
            _ => {}
        }
    }

    /// Subscribes to what is wished for, and to all that waits behind it in the same command.
    async fn grant(
        &self,
        first: Wish,
        asked: &mut mpsc::Receiver<Wish>,
        heard: &mut HashSet<JobId>,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), BackendError> {
        let mut wishes = vec![first];
        while wishes.len() < WISHES_MAX
            && let Ok(wish) = asked.try_recv()
        {
            wishes.push(wish);
        }
        let mut channels = Vec::new();
        let mut granted = Vec::with_capacity(wishes.len());
        for Wish { job, reader, done } in wishes {
            // Before it is subscribed to: nothing falls between the two.
            self.readers.add(job, reader);
            if heard.insert(job) {
                channels.push((self.channels)(job));
            }
            granted.push(done);
        }
        if !channels.is_empty() {
            self.link.within(connection.subscribe(&channels)).await?;
        }
        for done in granted {
            // The one who asked may have gone.
            let _ = done.send(());
        }
        Ok(())
    }

    /// Lets go of what nobody reads, and asks whether the other side is still there.
    async fn look_after(
        &self,
        heard: &mut HashSet<JobId>,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), BackendError> {
        let left = self.readers.unread(heard);
        for some in left.chunks(LEFT_MAX) {
            let channels: Vec<String> = some.iter().map(|job| (self.channels)(*job)).collect();
            self.link.within(connection.unsubscribe(&channels)).await?;
        }
        for job in left {
            heard.remove(&job);
        }
        let ping = redis::cmd("PING");
        self.link
            .within(ping.query_async::<redis::Value>(connection))
            .await
            .map(drop)
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
