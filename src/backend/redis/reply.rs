//! What scripts answer, read.

use redis::{FromRedisValue, Value, from_redis_value};

use crate::backend::own::status;
use crate::backend::{Appended, BackendError, Fenced};
use crate::event::{self, End, Entry, Epoch, Event, Fold, Lineage, Opening, Position};
use crate::job::JobState;

/// The parts of an answer, one behind the other.
#[derive(Debug)]
pub(super) struct Parts(std::vec::IntoIter<Value>);

/// An answer that this version cannot read.
pub(super) fn unreadable(what: impl std::fmt::Display) -> BackendError {
    BackendError::Corrupt(what.to_string())
}

impl Parts {
    pub(super) fn of(value: Value) -> Result<Self, BackendError> {
        match value {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            other => Err(unreadable(format_args!(
                "an answer that is no array: {}",
                kind(&other)
            ))),
        }
    }

    /// The next part; what is left out at the end is nil.
    pub(super) fn next<T: FromRedisValue>(&mut self) -> Result<T, BackendError> {
        from_redis_value(self.0.next().unwrap_or(Value::Nil)).map_err(unreadable)
    }

    /// The next part, as it is written.
    pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self) -> Result<T, BackendError> {
        self.next::<String>()?.parse().map_err(unreadable)
    }

    /// The next part, which is JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, BackendError> {
        match self.next::<Option<String>>()? {
            None => Ok(None),
            Some(text) => serde_json::from_str(&text).map(Some).map_err(unreadable),
        }
    }

    pub(super) fn position(&mut self) -> Result<Position, BackendError> {
        Ok(Position {
            epoch: self.parse()?,
            seq: self.next()?,
        })
    }

    /// The next part, which is entries of a stream, where they are told.
    pub(super) fn entries(&mut self) -> Result<Option<Vec<Entry>>, BackendError> {
        let Some(told) = self.next::<Option<Vec<Value>>>()? else {
            return Ok(None);
        };
        let mut entries = Vec::new();
        for entry in told {
            let mut parts = Self::of(entry)?;
            let id: String = parts.next()?;
            let (seq, _) = id
                .split_once('-')
                .ok_or_else(|| unreadable("the name of an entry"))?;
            let seq = seq.parse().map_err(unreadable)?;
            let fields: Vec<String> = parts.next()?;
            let [_, epoch, _, parent, _, kind, _, payload] = fields.as_slice() else {
                return Err(unreadable("an entry of other fields"));
            };
            entries.push(entry_of(epoch, seq, parent, kind, payload)?);
        }
        Ok(Some(entries))
    }
}

/// An entry by its parts: `parent` is empty where it opens no epoch, `-` where it opens the first.
pub(super) fn entry_of(
    epoch: &str,
    seq: u64,
    parent: &str,
    kind: &str,
    payload: &str,
) -> Result<Entry, BackendError> {
    let position = Position {
        epoch: epoch.parse().map_err(unreadable)?,
        seq,
    };
    event::decode(position, opens(parent)?, kind, payload).map_err(unreadable)
}

/// An end that is kept beside its log: where it stands there says nothing of it.
pub(super) fn end(payload: &str) -> Result<Box<End>, BackendError> {
    let nowhere = Position {
        epoch: Epoch::new(0),
        seq: 0,
    };
    match event::decode(nowhere, None, "end", payload)
        .map_err(unreadable)?
        .event
    {
        Event::End(end) => Ok(end),
        _ => Err(unreadable("an end that is none")),
    }
}

fn opens(parent: &str) -> Result<Option<Option<Epoch>>, BackendError> {
    match parent {
        "" => Ok(None),
        "-" => Ok(Some(None)),
        parent => Ok(Some(Some(parent.parse().map_err(unreadable)?))),
    }
}

/// A line of epochs: `epoch,parent,base;` each.
pub(super) fn lineage(text: &str) -> Result<Lineage, BackendError> {
    let mut openings = Vec::new();
    for opening in text.split_terminator(';') {
        let parts: Vec<&str> = opening.split(',').collect();
        let [epoch, parent, base] = parts.as_slice() else {
            return Err(unreadable("a line of epochs"));
        };
        openings.push(Opening {
            epoch: epoch.parse().map_err(unreadable)?,
            parent: opens(parent)?.flatten(),
            base: base.parse().map_err(unreadable)?,
        });
    }
    Ok(openings.into())
}

/// The stored snapshot of a log; before the first one it is the state in which a job is submitted.
pub(super) fn snapshot(stored: Option<&str>, lineage: &Lineage) -> Result<Fold, BackendError> {
    if let Some(text) = stored {
        return serde_json::from_str(text).map_err(unreadable);
    }
    let epoch = lineage
        .first()
        .ok_or_else(|| unreadable("a log without an epoch"))?;
    Ok(Fold::submitted(Position { epoch, seq: 0 }))
}

/// The entries of a log that holds no more than that its job was queued, and runs since the end of it.
pub(super) fn first_entries(lineage: &Lineage, last: Position) -> Result<Vec<Entry>, BackendError> {
    let first = lineage
        .first()
        .ok_or_else(|| unreadable("a log without an epoch"))?;
    let queued = Position { epoch: first, seq: 1 };
    let entry = |position, opens, state| Entry {
        position,
        opens: Some(opens),
        event: status(state, None, None),
    };
    Ok(vec![
        entry(queued, None, JobState::Queued),
        entry(last, Some(first), JobState::Running),
    ])
}

/// What became of an append.
pub(super) fn appended(answer: Value) -> Result<Appended, BackendError> {
    let mut parts = Parts::of(answer)?;
    match parts.next::<String>()?.as_str() {
        "ok" => Ok(Appended::Ok),
        "dup" => Ok(Appended::Dup),
        "rolled_back" => Ok(Appended::RolledBack(parts.position()?)),
        "lost" => Ok(Appended::Lost),
        "cancel" => Ok(Appended::Cancel),
        other => Err(unreadable(other)),
    }
}

/// What became of a step that ends a delivery, and whether the job has ended by it, where the step says that.
pub(super) fn fenced(answer: Value) -> Result<(Fenced, bool), BackendError> {
    let mut parts = Parts::of(answer)?;
    match parts.next::<String>()?.as_str() {
        "ok" => Ok((Fenced::Ok, parts.next::<Option<u8>>()? == Some(1))),
        "dup" => Ok((Fenced::Dup, false)),
        "rolled_back" => Ok((Fenced::RolledBack(parts.position()?), false)),
        "lost" => Ok((Fenced::Lost, false)),
        "cancel" => Ok((Fenced::Cancel, false)),
        other => Err(unreadable(other)),
    }
}

/// How long nobody has viewed a job, where an end is to say that.
pub(super) fn unviewed(answer: &Value) -> Result<Option<u32>, BackendError> {
    let mut parts = Parts::of(answer.clone())?;
    match parts.next::<String>()?.as_str() {
        "unviewed" => Ok(Some(parts.next()?)),
        _ => Ok(None),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) => "a text",
        _ => "something else",
    }
}
