//! The live wire: one connection for all subscriptions of this node, and who reads which.
//!
//! It is only a wire. When the connection is lost every reader's channel ends: the reader subscribes again and reads what
//! it missed, and so it does where an entry was too long to be published.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::Msg;
use redis::aio::PubSubSink;
use tokio::sync::{mpsc, oneshot};
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
/// Subscriptions that may wait to be sent; who comes later waits for room.
const WISHES_MAX: usize = 1_024;
/// The longest pause before the connection is made again.
const RECONNECT: Duration = Duration::from_secs(1);

/// The wire.
#[derive(Debug)]
pub(super) struct Live {
    readers: Arc<Readers>,
    wishes: mpsc::Sender<Wish>,
    /// Ends with the engine.
    _task: JoinSet<()>,
}

/// A subscription that somebody waits for.
struct Wish {
    channel: String,
    done: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Readers(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    jobs: HashMap<JobId, Vec<mpsc::Sender<Arc<Entry>>>>,
    workers: Vec<mpsc::Sender<JobId>>,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Jobs that nobody reads any more.
    fn let_go(&self) -> Vec<JobId> {
        let mut left = Vec::new();
        self.lock().jobs.retain(|job, readers| {
            readers.retain(|reader| !reader.is_closed());
            if readers.is_empty() {
                left.push(*job);
            }
            !readers.is_empty()
        });
        left
    }
}

impl Live {
    /// Connects and keeps connected, on the runtime it is called on.
    pub(super) fn start(link: Arc<Link>, control: String, channels: Channels, probe: Duration) -> Self {
        let readers = Arc::new(Readers::default());
        let (wishes, asked) = mpsc::channel(WISHES_MAX);
        let wire = Wire {
            link,
            control,
            channels,
            probe,
            readers: Arc::clone(&readers),
        };
        let mut task = JoinSet::new();
        task.spawn(wire.run(asked));
        Self {
            readers,
            wishes,
            _task: task,
        }
    }

    /// Entries of a job from now on: answered once Redis has said that they come.
    pub(super) async fn subscribe(
        &self,
        job: JobId,
        channel: String,
    ) -> Result<mpsc::Receiver<Arc<Entry>>, BackendError> {
        let lost = || BackendError::Unavailable("the wire of live messages is down".to_owned());
        let (sender, receiver) = mpsc::channel(LIVE_ENTRIES_MAX);
        let (done, answered) = oneshot::channel();
        let wish = Wish { channel, done };
        self.readers.lock().jobs.entry(job).or_default().push(sender);
        self.wishes.try_send(wish).map_err(|_| lost())?;
        // Whoever is dropped meanwhile was told of by the end of its channel.
        answered.await.map_err(|_| lost())?;
        Ok(receiver)
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
    control: String,
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
            // Who asks meanwhile is told at once.
            let again = clock::now() + clock::jitter(RECONNECT);
            loop {
                tokio::select! {
                    () = clock::sleep_until(again) => break,
                    wish = asked.recv() => match wish {
                        Some(_) => self.readers.end_all(),
                        None => return,
                    },
                }
            }
        }
    }

    /// Hears until the connection is lost, or until the engine is gone.
    async fn listen(&self, asked: &mut mpsc::Receiver<Wish>) -> Result<(), BackendError> {
        let (mut sink, mut messages) = self.link.listen().await?.split();
        self.link.within(sink.subscribe(&self.control)).await?;
        let mut probe = clock::now() + self.probe;
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.hear(&message),
                    None => return Err(BackendError::Unavailable("the connection was closed".to_owned())),
                },
                wish = asked.recv() => match wish {
                    Some(wish) => self.grant(wish, asked, &mut sink).await?,
                    None => return Ok(()),
                },
                () = clock::sleep_until(probe) => {
                    self.look_after(&mut sink).await?;
                    probe = clock::now() + self.probe;
                }
            }
        }
    }

    /// Subscribes to what is wished for, and to all that waits behind it in the same command.
    async fn grant(
        &self,
        first: Wish,
        asked: &mut mpsc::Receiver<Wish>,
        sink: &mut PubSubSink,
    ) -> Result<(), BackendError> {
        let mut wishes = vec![first];
        while let Ok(wish) = asked.try_recv() {
            wishes.push(wish);
        }
        let channels: Vec<&str> = wishes.iter().map(|wish| wish.channel.as_str()).collect();
        self.link.within(sink.subscribe(&channels)).await?;
        for wish in wishes {
            // The one who asked may have gone.
            let _ = wish.done.send(());
        }
        Ok(())
    }

    /// Lets go of what nobody reads, and asks whether the other side is still there.
    async fn look_after(&self, sink: &mut PubSubSink) -> Result<(), BackendError> {
        let left: Vec<String> = self.readers.let_go().into_iter().map(&self.channels).collect();
        if !left.is_empty() {
            self.link.within(sink.unsubscribe(&left)).await?;
        }
        self.link.within(sink.ping::<redis::Value>()).await.map(drop)
    }

    fn hear(&self, message: &Msg) {
        if message.get_channel_name() == self.control {
            let job = std::str::from_utf8(message.get_payload_bytes()).map(str::parse);
            if let Ok(Ok(job)) = job {
                self.readers.hint(job);
            }
            return;
        }
        let Some(job) = keys::job_of(message.get_channel_name()) else {
            return;
        };
        match entry(message.get_payload_bytes()) {
            Ok(Some(entry)) => self.readers.tell(job, &Arc::new(entry)),
            Ok(None) => self.readers.end(job),
            Err(error) => {
                tracing::error!(%job, %error, "a live message cannot be read");
                self.readers.end(job);
            }
        }
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
