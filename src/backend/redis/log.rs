//! The logs of jobs.

use std::sync::Arc;

use async_trait::async_trait;
use redis::Value;
use tokio::sync::mpsc;

use super::gather::Item;
use super::reply::{self, Parts};
use super::step::Step;
use super::{Redis, flag};
use crate::backend::witness::witness;
use crate::backend::{Append, Appended, BackendError, EventLog, Reading, Start, Write};
use crate::event::{self, Entry, Position};
use crate::job::{JobId, LeaseToken};

#[async_trait]
impl EventLog for Redis {
    async fn append(&self, job: JobId, token: LeaseToken, append: &Append) -> Result<Appended, BackendError> {
        let (keys, written) = (self.keys.job(job), Written::of(&append.write)?);
        let mut item = Item::on([keys.job, keys.raw, keys.log]);
        item.arg(keys.live).arg(token.to_string());
        item.arg(&written.epoch).arg(written.seq).arg(written.opens);
        item.arg(append.write.event.kind()).arg(&written.payload);
        item.arg(&append.raw)
            .arg(flag(append.raw_anew || append.write.event.restarts()));
        item.arg(append.record.as_ref().map_or(Ok(String::new()), text)?)
            .arg(append.snapshot.as_deref().map_or(Ok(String::new()), text)?);
        let answer = self.gathers.appends.send(self.keys.shard_of(job), item).await?;
        let answer = reply::appended(answer)?;
        if matches!(answer, Appended::Ok | Appended::Dup) {
            tell(job, &append.write);
        }
        Ok(answer)
    }

    async fn read(&self, job: JobId, held: Option<Position>) -> Result<Option<Reading>, BackendError> {
        let keys = self.keys.job(job);
        let mut step = Step::new(&self.scripts.read, &[&keys.job, &keys.log]);
        step.arg(held.map_or_else(String::new, |held| held.epoch.to_string()));
        step.arg(held.map_or(0, |held| held.seq));
        let answer: Value = self.link.step(&step).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let mut parts = Parts::of(answer)?;
        let lineage = reply::lineage(&parts.next::<String>()?)?;
        let last = parts.position()?;
        let whole = parts.next::<u8>()? == 1;
        let stored: Option<String> = parts.next()?;
        let start = if whole {
            Start::Snapshot(Arc::new(reply::snapshot(stored.as_deref(), &lineage)?))
        } else {
            Start::Tail
        };
        let tail = parts
            .entries()?
            .unwrap_or_default()
            .into_iter()
            .map(Arc::new)
            .collect();
        Ok(Some(Reading {
            lineage,
            last,
            start,
            tail,
        }))
    }

    async fn positions(&self, jobs: &[JobId]) -> Result<Vec<Option<Position>>, BackendError> {
        let mut asked = redis::pipe();
        for job in jobs {
            asked
                .cmd("HMGET")
                .arg(self.keys.job(*job).job)
                .arg(&["epoch", "seq"]);
        }
        let mut positions = Vec::with_capacity(jobs.len());
        for (epoch, seq) in self.ask_all::<(Option<String>, Option<u64>)>(&asked).await? {
            positions.push(match (epoch, seq) {
                (Some(epoch), Some(seq)) => Some(Position {
                    epoch: epoch.parse().map_err(reply::unreadable)?,
                    seq,
                }),
                _ => None,
            });
        }
        let unknown = jobs.iter().zip(&positions).filter(|(_, told)| told.is_none());
        self.none_is_known(unknown.map(|(job, _)| *job)).await?;
        Ok(positions)
    }

    async fn subscribe(&self, job: JobId) -> Result<mpsc::Receiver<Arc<Entry>>, BackendError> {
        self.live.subscribe(job).await
    }
}

/// A write as scripts take it.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) epoch: String,
    pub(super) seq: u64,
    pub(super) opens: u8,
    pub(super) payload: String,
}

impl Written {
    pub(super) fn of(write: &Write) -> Result<Self, BackendError> {
        Ok(Self {
            epoch: write.position.epoch.to_string(),
            seq: write.position.seq,
            opens: flag(write.opens),
            payload: event::encode(&write.event).map_err(reply::unreadable)?,
        })
    }
}

pub(super) fn text<T: serde::Serialize>(what: &T) -> Result<String, BackendError> {
    serde_json::to_string(what).map_err(reply::unreadable)
}

/// Operators are told of what this process has written: also where the answer to the write itself was lost.
pub(super) fn tell(job: JobId, write: &Write) {
    let entry = Entry {
        position: write.position,
        opens: None,
        event: write.event.clone(),
    };
    witness(job, &entry);
}
