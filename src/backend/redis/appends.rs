//! Appends on their way to Redis: those of many jobs of a shard leave as one step.
//!
//! Of each shard one such step is on its way at a time; what comes meanwhile gathers, and leaves with the next. So an
//! append that is alone waits for nothing, and the more there are, the less one costs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{Script, Value};
use tokio::sync::oneshot;

use super::error;
use super::keys::JobKeys;
use super::link::Link;
use super::log::Written;
use super::reply;
use super::step::Step;
use crate::backend::{Appended, BackendError};

/// Appends that leave together.
const TOGETHER_MAX: usize = 64;
/// Bytes that leave together, unless one alone has more.
const TOGETHER_BYTES_MAX: usize = 512 * 1024;
/// Appends of a shard that wait. Each running job has one; more are those of writers that gave up.
const WAITING_MAX: usize = 65_536;

/// An append as its script takes it.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) keys: JobKeys,
    pub(super) token: String,
    pub(super) written: Written,
    pub(super) kind: &'static str,
    pub(super) raw: String,
    pub(super) raw_anew: u8,
    /// The attempt record, or nothing.
    pub(super) record: String,
    /// The snapshot at this entry, or nothing.
    pub(super) snapshot: String,
}

impl Packed {
    const fn bytes(&self) -> usize {
        self.written.payload.len() + self.raw.len() + self.record.len() + self.snapshot.len()
    }
}

/// All shards' appends.
#[derive(Debug)]
pub(super) struct Appends(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    link: Arc<Link>,
    step: Script,
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
    append: Packed,
    answer: oneshot::Sender<Result<Appended, BackendError>>,
}

impl Appends {
    pub(super) fn new(link: Arc<Link>, step: Script, shards: usize) -> Self {
        Self(Arc::new(Inner {
            link,
            step,
            shards: (0..shards).map(|_| Mutex::default()).collect(),
        }))
    }

    /// Sends one, with what others send at the moment. It is sent also where the caller does not wait for the answer.
    pub(super) async fn send(&self, shard: usize, append: Packed) -> Result<Appended, BackendError> {
        let (answer, told) = oneshot::channel();
        let starts = {
            let mut gathered = self.0.lock(shard);
            if gathered.waiting.len() >= WAITING_MAX {
                let what = format!("{WAITING_MAX} appends wait for it already");
                return Err(BackendError::Unavailable(what));
            }
            gathered.waiting.push_back(Waiting { append, answer });
            !std::mem::replace(&mut gathered.is_sent, true)
        };
        if starts {
            tokio::spawn(Arc::clone(&self.0).send_all(shard));
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
            // Other jobs whose windows end on the same beat have not run yet.
            tokio::task::yield_now().await;
            let Some(together) = self.take(shard) else {
                return;
            };
            self.send(together).await;
        }
    }

    /// What leaves next; nothing where none waits, and whoever comes then has it sent.
    fn take(&self, shard: usize) -> Option<Vec<Waiting>> {
        let mut gathered = self.lock(shard);
        let (mut count, mut bytes) = (0, 0);
        for waiting in gathered.waiting.iter().take(TOGETHER_MAX) {
            bytes += waiting.append.bytes();
            if count > 0 && bytes > TOGETHER_BYTES_MAX {
                break;
            }
            count += 1;
        }
        gathered.is_sent = count > 0;
        (count > 0).then(|| gathered.waiting.drain(..count).collect())
    }

    async fn send(&self, together: Vec<Waiting>) {
        let keys = together.iter().map(|waiting| &waiting.append.keys);
        let keys: Vec<&String> = keys.flat_map(|keys| [&keys.job, &keys.raw, &keys.log]).collect();
        let mut step = Step::new(&self.step, &keys);
        for Waiting { append, .. } in &together {
            let written = &append.written;
            step.arg(&append.keys.live).arg(&append.token);
            step.arg(&written.epoch).arg(written.seq).arg(written.opens);
            step.arg(append.kind).arg(&written.payload);
            step.arg(&append.raw).arg(append.raw_anew);
            step.arg(&append.record).arg(&append.snapshot);
        }
        let answers = self.link.step::<Vec<Value>>(&step).await;
        let count = answers.as_ref().map_or(0, Vec::len);
        let mut answers = answers.map(Vec::into_iter);
        for (place, waiting) in together.into_iter().enumerate() {
            let answer = match &mut answers {
                Err(error) => Err(error.clone()),
                Ok(answers) => answers
                    .next()
                    .ok_or_else(|| reply::unreadable(format_args!("{count} answers, none for the {place}th")))
                    .and_then(|answer| reply::appended(answer, error::refused)),
            };
            // Who does not wait any more is told nothing.
            let _ = waiting.answer.send(answer);
        }
    }
}
