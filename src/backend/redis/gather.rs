//! Steps that many take at the same time: of a shard, what comes while one is on its way leaves together with the next.
//!
//! Of each shard one such step is on its way at a time; what comes meanwhile gathers. So who is alone waits for nothing, and
//! the more there are, the less one costs. What becomes of one is nothing to the others; where the server is not heard of,
//! that is the answer to all that wait by then.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Script, ToRedisArgs, Value};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::error;
use super::keys::Keys;
use super::link::Link;
use super::reply::{self, Parts};
use super::step::Step;
use crate::backend::BackendError;

/// Bytes that leave together, unless one alone has more.
const TOGETHER_BYTES_MAX: usize = 512 * 1024;
/// Items of a shard that wait. Each has a caller; more are those of callers that gave up.
const WAITING_MAX: usize = 65_536;

/// What one asks of a step.
#[derive(Debug, Default)]
pub(super) struct Item {
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

impl Item {
    /// Asks by the keys of its shard.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Asks by keys of its own.
    pub(super) fn on(keys: impl IntoIterator<Item = String>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            args: Vec::new(),
        }
    }

    pub(super) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        arg.write_redis_args(&mut self.args);
        self
    }

    fn bytes(&self) -> usize {
        self.args.iter().map(Vec::len).sum()
    }
}

/// A kind of step.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) script: Script,
    /// What all of them give the script, before what each does.
    pub(super) head: Item,
    /// How many leave together.
    pub(super) together_max: usize,
    /// Whether one leaves whose caller waits for it no more.
    pub(super) outlives_caller: bool,
    /// Whether replicas are waited for behind it; then the number of those that hold it stands behind each answer.
    pub(super) held: Option<Held>,
}

/// What is waited for behind a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// So many replicas.
    pub(super) replicas: u32,
    /// For so long at the most.
    pub(super) time: Duration,
}

/// All shards' items of one kind.
#[derive(Debug)]
pub(super) struct Gather(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    link: Arc<Link>,
    keys: Arc<Keys>,
    kind: Kind,
    /// Callers may be on any: this one is there as long as the engine.
    runtime: Handle,
    shards: Vec<Mutex<Gathered>>,
}

/// Those of a shard that have not left.
#[derive(Debug, Default)]
struct Gathered {
    waiting: VecDeque<Waiting>,
    /// Whether somebody sends them.
    is_sent: bool,
}

#[derive(Debug)]
struct Waiting {
    item: Item,
    answer: oneshot::Sender<Result<Value, BackendError>>,
}

impl Gather {
    /// Must be called on the runtime on which all are sent.
    pub(super) fn new(link: &Arc<Link>, keys: &Arc<Keys>, kind: Kind) -> Self {
        Self(Arc::new(Inner {
            link: Arc::clone(link),
            keys: Arc::clone(keys),
            kind,
            runtime: Handle::current(),
            shards: (0..keys.count()).map(|_| Mutex::default()).collect(),
        }))
    }

    /// Sends one, with what others send at the moment, and returns what the script answers to it.
    pub(super) async fn send(&self, shard: usize, item: Item) -> Result<Value, BackendError> {
        let (answer, told) = oneshot::channel();
        let starts = {
            let mut gathered = self.0.lock(shard);
            if gathered.waiting.len() >= WAITING_MAX {
                let what = format!("{WAITING_MAX} steps of one kind wait for it already");
                return Err(BackendError::Unavailable(what));
            }
            gathered.waiting.push_back(Waiting { item, answer });
            !std::mem::replace(&mut gathered.is_sent, true)
        };
        if starts {
            self.0.runtime.spawn(Arc::clone(&self.0).send_all(shard));
        }
        let gone = || BackendError::Unavailable("the runtime goes down".to_owned());
        told.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Inner {
    fn lock(&self, shard: usize) -> MutexGuard<'_, Gathered> {
        self.shards[shard % self.shards.len()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_all(self: Arc<Self>, shard: usize) {
        loop {
            // Others that come in the same turn have not run yet.
            tokio::task::yield_now().await;
            let Some(together) = self.take(shard) else {
                return;
            };
            if let Err(error @ BackendError::Unavailable(_)) = self.send(shard, together).await {
                // To wait for as long once more, one step behind the other, helps nobody.
                let waiting = std::mem::take(&mut self.lock(shard).waiting);
                for waiting in waiting {
                    let _ = waiting.answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// What leaves next; nothing where none waits, and whoever comes then has it sent.
    fn take(&self, shard: usize) -> Option<Vec<Waiting>> {
        let mut gathered = self.lock(shard);
        if !self.kind.outlives_caller {
            gathered.waiting.retain(|waiting| !waiting.answer.is_closed());
        }
        let (mut count, mut bytes) = (0, 0);
        for waiting in gathered.waiting.iter().take(self.kind.together_max) {
            bytes += waiting.item.bytes();
            if count > 0 && bytes > TOGETHER_BYTES_MAX {
                break;
            }
            count += 1;
        }
        gathered.is_sent = count > 0;
        (count > 0).then(|| gathered.waiting.drain(..count).collect())
    }

    async fn take_step(&self, step: &Step<'_>) -> Result<Vec<Value>, BackendError> {
        let Some(Held { replicas, time }) = self.kind.held else {
            return self.link.step(step).await;
        };
        let (told, count) = self.link.hold::<Vec<Value>>(step, replicas, time).await?;
        let with_count = |one| Value::Array(vec![one, Value::Int(count.into())]);
        Ok(told.into_iter().map(with_count).collect())
    }

    /// Sends some, and gives each its answer; an error is that of the step.
    async fn send(&self, shard: usize, together: Vec<Waiting>) -> Result<(), BackendError> {
        let own: Vec<&String> = together.iter().flat_map(|waiting| &waiting.item.keys).collect();
        let mut step = if own.is_empty() {
            Step::new(&self.kind.script, self.keys.shard(shard))
        } else {
            Step::new(&self.kind.script, &own)
        };
        let items = together.iter().map(|waiting| &waiting.item);
        for arg in std::iter::once(&self.kind.head)
            .chain(items)
            .flat_map(|item| &item.args)
        {
            step.arg(arg);
        }
        match self.take_step(&step).await {
            Err(error) => {
                for waiting in together {
                    // Who does not wait any more is told nothing.
                    let _ = waiting.answer.send(Err(error.clone()));
                }
                Err(error)
            }
            Ok(answers) => {
                let (asked, told) = (together.len(), answers.len());
                let mut answers = answers.into_iter();
                for waiting in together {
                    let none = || reply::unreadable(format_args!("{told} answers for {asked} asked"));
                    let answer = answers.next().ok_or_else(none).and_then(taken);
                    let _ = waiting.answer.send(answer);
                }
                Ok(())
            }
        }
    }
}

/// An answer, unless it is an error that was met at this one.
fn taken(answer: Value) -> Result<Value, BackendError> {
    let Value::Array(parts) = &answer else {
        return Ok(answer);
    };
    match parts.first() {
        Some(Value::BulkString(word)) if word == b"error" => {
            let mut parts = Parts::of(answer)?;
            let (_, said): (String, String) = (parts.next()?, parts.next()?);
            Err(error::refused(&said))
        }
        _ => Ok(answer),
    }
}
