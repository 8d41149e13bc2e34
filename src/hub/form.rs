//! What viewers are told: events as text frames, each look of a frame encoded once.

use std::sync::{Arc, OnceLock};

use bytestring::ByteString;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::event::{End, Entry, Event, Fold, NoteKind, PatchWriter, Places, Position, Unfoldable, patch};
use crate::hex;
use crate::job::{Attempt, JobId};
use crate::partial::{Op, Shape, Value, parse_written, whole_paths};
use crate::wire::{
    AttemptNow, Bigints, Deliver, JobAttempts, JobDegraded, JobEnd, JobEvent, JobPatch, JobSnapshot,
    JobStateNow, ServerMessage, Unseen, snapshot_parts,
};

/// A text frame, ready to send.
#[derive(Clone, Debug)]
pub struct Told {
    /// The message's `type`; `patch` for the hot frame.
    pub name: &'static str,
    /// The frame; shared, not copied.
    pub text: ByteString,
    /// Where the viewer stands once it has this; `None` for a part that is not the last.
    pub position: Option<Position>,
}

/// How a viewer sees values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Face {
    /// How unseen members look.
    pub(super) unseen: Unseen,
    /// How numbers look that doubles would not keep.
    pub(super) bigints: Bigints,
}

impl Face {
    /// How many there are; each is made once per message.
    pub(super) const COUNT: usize = 4;

    pub(super) fn of(deliver: &Deliver) -> Self {
        Self {
            unseen: deliver.unseen,
            bigints: deliver.bigints,
        }
    }

    /// Its place among all of them; that of the values as they are is 0.
    pub(super) fn slot(self) -> usize {
        let null = usize::from(self.unseen == Unseen::Null);
        let string = usize::from(self.bigints == Bigints::String);
        null + 2 * string
    }

    /// A whole draft as the viewer sees it.
    pub(super) fn draft(self, value: Option<&Value>, shape: &Shape) -> Option<Value> {
        let filled = match self.unseen {
            Unseen::Absent => value.cloned(),
            Unseen::Null => shape.fill_root(value),
        };
        filled.map(|value| self.numbers(value))
    }

    /// A value as it is, but for its numbers: what an end tells.
    pub(super) fn numbers(self, value: Value) -> Value {
        match self.bigints {
            Bigints::Number => value,
            Bigints::String => value.with_big_numbers_quoted(),
        }
    }

    fn op(self, op: Op, shape: &Shape, left: &mut usize) -> Op {
        let op = match self.unseen {
            Unseen::Absent => op,
            Unseen::Null => filled_op(op, shape, left),
        };
        match op {
            Op::Set { path, value } => Op::Set {
                path,
                value: self.numbers(value),
            },
            Op::Append { .. } | Op::Remove { .. } => op,
        }
    }
}

/// How a viewer sees events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Look {
    /// How values look.
    pub(super) face: Face,
    /// Whether patches come under the job's tag.
    pub(super) tagged: bool,
    /// Whether notes are wanted.
    pub(super) notes: bool,
    /// Whether hooks are wanted, and what is wrong and put right.
    pub(super) hooks: bool,
}

impl Look {
    fn hears(self, kind: NoteKind) -> bool {
        match kind {
            NoteKind::Reasoning | NoteKind::Text => self.notes,
            NoteKind::Warning | NoteKind::Invalid => self.notes || self.hooks,
        }
    }
}

/// An event and its encodings.
#[derive(Debug)]
pub(super) struct Frame {
    entry: Arc<Entry>,
    /// The cursor before it: the paths of its ops may be relative to that.
    cursor: Option<String>,
    /// The message; of a patch, under the tag and as it is.
    message: OnceLock<ByteString>,
    /// A patch under the tag in each other face, by its slot.
    faces: [OnceLock<ByteString>; Face::COUNT],
    /// A patch without the tag, by face.
    untagged: [OnceLock<ByteString>; Face::COUNT],
}

impl Frame {
    pub(super) fn new(entry: Arc<Entry>, cursor: Option<String>) -> Self {
        let message = match &entry.event {
            Event::Patch(frame) => OnceLock::from(ByteString::from(&**frame)),
            Event::Status(_)
            | Event::Attempt(_)
            | Event::Note(_)
            | Event::Hook(_)
            | Event::State(_)
            | Event::End(_) => OnceLock::new(),
        };
        Self {
            entry,
            cursor,
            message,
            faces: Default::default(),
            untagged: Default::default(),
        }
    }

    pub(super) fn position(&self) -> Position {
        self.entry.position
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.entry.event.bytes()
    }

    /// Whether it changes the value.
    pub(super) fn changes_value(&self) -> bool {
        match &self.entry.event {
            Event::Patch(_) | Event::State(_) => true,
            Event::Attempt(begins) => begins.reset,
            Event::Status(_) | Event::Note(_) | Event::Hook(_) | Event::End(_) => false,
        }
    }

    pub(super) fn is_patch(&self) -> bool {
        matches!(self.entry.event, Event::Patch(_))
    }

    pub(super) fn told(&self, job: JobId, shape: &Shape, look: Look) -> Option<Told> {
        let told = |name, text: &ByteString| {
            Some(Told {
                name,
                text: text.clone(),
                position: Some(self.entry.position),
            })
        };
        match &self.entry.event {
            Event::Patch(frame) => self
                .patch(job, frame, shape, look)
                .and_then(|text| told("patch", text)),
            Event::Status(change) => told(
                "job.status",
                self.message.get_or_init(|| {
                    let event = JobEvent::new(job, self.entry.position, change.clone());
                    encode(&ServerMessage::Status(event))
                }),
            ),
            Event::Attempt(begins) => told(
                "job.attempt",
                self.message.get_or_init(|| {
                    let event = JobEvent::new(job, self.entry.position, begins.clone());
                    encode(&ServerMessage::Attempt(Box::new(event)))
                }),
            ),
            Event::Note(note) if !look.hears(note.kind) => None,
            Event::Hook(_) if !look.hooks => None,
            Event::Note(note) => told(
                "job.note",
                self.message.get_or_init(|| {
                    let event = JobEvent::new(job, self.entry.position, note.clone());
                    encode(&ServerMessage::Note(event))
                }),
            ),
            Event::Hook(hook) => told(
                "job.hook",
                self.message.get_or_init(|| {
                    let event = JobEvent::new(job, self.entry.position, (**hook).clone());
                    encode(&ServerMessage::Hook(Box::new(event)))
                }),
            ),
            // A state reaches viewers as a snapshot, an end by its own way.
            Event::State(_) | Event::End(_) => None,
        }
    }

    fn patch(&self, job: JobId, frame: &str, shape: &Shape, look: Look) -> Option<&ByteString> {
        let slot = look.face.slot();
        let tagged = match slot {
            0 => self.message.get()?,
            _ => self.faces[slot].get_or_init(|| faced(frame, self.cursor.as_deref(), job, shape, look.face)),
        };
        if look.tagged {
            return Some(tagged);
        }
        Some(self.untagged[slot].get_or_init(|| untagged(tagged, job)))
    }
}

/// A patch frame as `job.patch`.
fn untagged(frame: &str, job: JobId) -> ByteString {
    let Ok(ServerMessage::Patch(patch)) = ServerMessage::decode(frame) else {
        return ByteString::from(frame);
    };
    encode(&ServerMessage::LongPatch(JobPatch {
        job_id: job.to_string(),
        seq: patch.seq,
        ops: patch.ops,
        at: patch.at,
    }))
}

/// A patch frame for viewers that see values otherwise.
fn faced(frame: &str, cursor: Option<&str>, job: JobId, shape: &Shape, face: Face) -> ByteString {
    // The frame is the worker's own; one that cannot be read or does not fit has already failed to fold.
    faced_patch(frame, cursor, job, shape, face).unwrap_or_else(|_| ByteString::from(frame))
}

fn faced_patch(
    frame: &str,
    cursor: Option<&str>,
    job: JobId,
    shape: &Shape,
    face: Face,
) -> Result<ByteString, Unfoldable> {
    let patch = patch::decode(frame)?;
    let mut patches = PatchWriter::new(job.tag(), cursor);
    let encoder = patches.begin(patch.seq);
    let mut cursor = cursor.map(str::to_owned);
    let mut left = Shape::NULLS_MAX;
    for op in patch.ops {
        let op = op.whole(cursor.as_deref())?;
        cursor = op.cursor().map(str::to_owned);
        face.op(op, shape, &mut left).tell(encoder);
    }
    let at = patch
        .at
        .map(|Places(at)| whole_paths(cursor.as_deref(), at))
        .transpose()?;
    Ok(patches.end(at.as_deref()).into())
}

fn filled_op(op: Op, shape: &Shape, left: &mut usize) -> Op {
    match op {
        Op::Append { .. } => op,
        Op::Set { path, value } => {
            let value = shape.fill_at(&path, &value, left);
            Op::Set { path, value }
        }
        // What a draft takes back is all it has shown.
        Op::Remove { path } => match shape.fill_root(None) {
            Some(value) => Op::Set { path, value },
            None => Op::Remove { path },
        },
    }
}

pub(super) fn degraded(job: JobId, active: bool) -> Told {
    let job_id = job.to_string();
    Told {
        name: "degraded",
        text: encode(&ServerMessage::Degraded(JobDegraded { job_id, active })),
        position: None,
    }
}

pub(super) fn snapshot(job: JobId, fold: &Fold, value: Option<&Value>, part_bytes: usize) -> Vec<Told> {
    let messages: Vec<JobSnapshot> = snapshot_parts(job, fold, value, part_bytes);
    let last = messages.len() - 1;
    let told = |(index, message)| Told {
        name: "job.snapshot",
        text: encode(&ServerMessage::Snapshot(Box::new(message))),
        position: (index == last).then_some(fold.position),
    };
    messages.into_iter().enumerate().map(told).collect()
}

/// A viewer that holds the value gets it again only where it is small; else its hash.
pub(super) fn value_or_hash(
    value: Option<&Value>,
    sha256: Option<&str>,
    bytes_max: usize,
) -> (Option<String>, Option<String>) {
    let Some(text) = value.map(Value::to_json) else {
        return (None, None);
    };
    if text.len() <= bytes_max {
        return (Some(text), sha256.map(str::to_owned));
    }
    let hash = sha256.map_or_else(|| hex::encode(&Sha256::digest(text.as_bytes())), str::to_owned);
    (None, Some(hash))
}

pub(super) fn end(
    job: JobId,
    position: Position,
    attempt: u32,
    end: &End,
    value: Option<String>,
    sha256: Option<String>,
    face: Face,
) -> Told {
    let best = end.best.clone().map(|best| match face.bigints {
        Bigints::Number => best,
        // It is our own text; one that cannot be read is told as it is.
        Bigints::String => parse_written(&best).map_or(best, |value| face.numbers(value).to_json()),
    });
    let message = JobEnd {
        outcome: end.outcome,
        job_id: job.to_string(),
        epoch: position.epoch,
        seq: position.seq,
        attempt,
        error: end.error.clone(),
        value: value.and_then(raw),
        sha256,
        best: best.and_then(raw),
        usage: end.usage,
        attempts: end.attempts.clone(),
        timings: end.timings,
        durable: end.durable,
    };
    let name = match end.outcome {
        crate::job::Outcome::Completed => "job.completed",
        crate::job::Outcome::Failed => "job.failed",
        crate::job::Outcome::Cancelled => "job.cancelled",
        crate::job::Outcome::Incomplete => "job.incomplete",
    };
    Told {
        name,
        text: encode(&ServerMessage::End(Box::new(message))),
        position: Some(position),
    }
}

pub(super) fn state(job: JobId, fold: &Fold, end: Option<(Position, &End)>) -> JobStateNow {
    let position = end.map_or(fold.position, |(position, _)| position);
    let end = end.map(|(_, end)| end);
    JobStateNow {
        reference: None,
        job_id: job.to_string(),
        epoch: position.epoch,
        seq: position.seq,
        status: end.map_or(fold.status, |end| end.outcome.into()),
        reason: fold.reason.clone().filter(|_| end.is_none()),
        until_ms: fold.until_ms.filter(|_| end.is_none()),
        attempt: fold.attempt,
        attempts: fold.attempts.clone(),
        value: fold.value.as_ref().map(Value::to_json).and_then(raw),
        at: if end.is_some() {
            Vec::new()
        } else {
            fold.at.clone()
        },
        error: end.and_then(|end| end.error.clone()),
        best: end.and_then(|end| end.best.clone()).and_then(raw),
        usage: end.map(|end| end.usage),
        timings: end.map(|end| end.timings),
    }
}

pub(super) fn attempts(job: JobId, fold: &Fold, end: Option<&End>) -> JobAttempts {
    let costs = end.map(|end| &*end.attempts).unwrap_or_default();
    let told = |attempt: &Attempt| {
        let cost = costs.iter().find(|cost| cost.n == attempt.n);
        AttemptNow {
            attempt: attempt.clone(),
            model: cost.and_then(|cost| cost.model.clone()),
            usage: cost.map(|cost| cost.usage),
            repairs: cost.map(|cost| cost.repairs),
        }
    };
    JobAttempts {
        job_id: job.to_string(),
        status: end.map_or(fold.status, |end| end.outcome.into()),
        attempts: fold.attempts.iter().map(told).collect(),
    }
}

/// Text of our own writer, as JSON inside a message.
fn raw(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

fn encode(message: &ServerMessage) -> ByteString {
    // Our messages are plain structs with string keys: writing them as JSON does not fail.
    message.encode().unwrap_or_default().into()
}
