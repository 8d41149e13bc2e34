//! What a server says.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::limits::Limits;
use crate::event::{AttemptBegins, EndError, Epoch, Hook, Note, Places, Position, StatusChange, Timings};
use crate::job::{Attempt, AttemptUsage, JobId, JobState, Outcome, Usage};

/// A message from a server.
#[derive(Clone, Debug)]
pub enum ServerMessage {
    /// `welcome`: the first on every socket.
    Welcome(Box<Welcome>),
    /// `job.accepted`: the job is kept; its creator watches it.
    Accepted(JobAccepted),
    /// `job.attached`: the client watches the job.
    Attached(JobAttached),
    /// `job.detached`: it watches no longer; nothing of the job follows.
    Detached(JobDetached),
    /// `job.cancelling`: the cancel was taken.
    Cancelling(JobCancelling),
    /// `job.ruled`: the verdict was taken.
    Ruled(JobRuled),
    /// `job.state`: the answer to `job.get`.
    State(Box<JobStateNow>),
    /// `job.snapshot`: replaces what the viewer has.
    Snapshot(Box<JobSnapshot>),
    /// The hot frame, without `type`.
    Patch(Patch),
    /// `job.patch`: the same, where two jobs of the socket share a tag.
    LongPatch(JobPatch),
    /// `job.status`: the job stands elsewhere.
    Status(JobEvent<StatusChange>),
    /// `job.attempt`: an attempt begins.
    Attempt(Box<JobEvent<AttemptBegins>>),
    /// `job.note`: something beside the value.
    Note(JobEvent<Note>),
    /// `job.hook`: how a model is asked and what came of it.
    Hook(Box<JobEvent<Hook>>),
    /// `job.completed`, `job.failed`, `job.cancelled`, `job.incomplete`.
    End(Box<JobEnd>),
    /// `degraded`: what is told of the job may be late, or is in time again.
    Degraded(JobDegraded),
    /// `error`: a message could not be taken.
    Error(Box<ErrorMessage>),
    /// `goodbye`: the socket will be closed.
    Goodbye(Goodbye),
    /// `pong`.
    Pong,
}

/// `welcome`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// Names the connection in the server's log.
    pub connection_id: String,
    /// The server's version.
    pub version: String,
    /// The server pings about this often and closes when no pong comes, ms.
    pub heartbeat_ms: u64,
    /// What the client must keep to.
    pub limits: Limits,
    /// The models that may be named.
    pub models: Vec<String>,
}

/// `job.accepted`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "described in PROTOCOL.md, as in the messages below")]
pub struct JobAccepted {
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub job_id: String,
    /// What the job's patch frames are marked with; `null` where they come as `job.patch`.
    pub tag: Option<String>,
    pub epoch: Epoch,
    pub seq: u64,
    /// Jobs before it in the queue.
    pub ahead: u64,
    /// Whether the idempotency key named a job that was there; its snapshot follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub existing: bool,
    /// False where fewer replicas hold it than are asked for.
    #[serde(default = "crate::event::durable", skip_serializing_if = "Clone::clone")]
    pub durable: bool,
}

/// `job.attached`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobAttached {
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub job_id: String,
    pub tag: Option<String>,
    /// Whether the tail behind the given position follows; else a snapshot that replaces.
    pub resumed: bool,
}

/// `job.detached`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobDetached {
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub job_id: String,
}

/// `job.cancelling`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobCancelling {
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub job_id: String,
    /// The end the job had already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub already: Option<JobState>,
}

/// `job.ruled`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobRuled {
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub job_id: String,
    /// The attempt whose value it was on.
    pub attempt: u32,
    /// Whether that was accepted; else it is asked for again.
    pub accepted: bool,
}

/// `job.state`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobStateNow {
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub job_id: String,
    pub epoch: Epoch,
    pub seq: u64,
    pub status: JobState,
    /// Why it stands there, and until when it waits, where that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    pub attempt: u32,
    pub attempts: Vec<Attempt>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub value: Option<Box<RawValue>>,
    pub at: Vec<String>,
    /// The rest is there once the job has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<EndError>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub best: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// `job.snapshot`, whole or one part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobSnapshot {
    pub job_id: String,
    pub epoch: Epoch,
    pub seq: u64,
    pub status: JobState,
    /// Why it stands there, and until when it waits, where that was told; in parts only the first has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    pub attempt: u32,
    /// Every attempt so far; in parts only the first has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<Attempt>>,
    /// The draft; absent while nothing is shown, and in parts.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub value: Option<Box<RawValue>>,
    /// The path that a short append means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    #[serde(default)]
    pub at: Vec<String>,
    /// Which part this is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// How many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// A slice of the value's JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The hot frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Patch {
    /// The job's tag.
    #[serde(rename = "j")]
    pub tag: String,
    /// The event's seq, in the epoch last told.
    #[serde(rename = "s")]
    pub seq: u64,
    /// The ops.
    #[serde(rename = "o")]
    pub ops: Box<RawValue>,
    /// The open places, where they changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Places>,
}

/// `job.patch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobPatch {
    pub job_id: String,
    pub seq: u64,
    pub ops: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Places>,
}

/// What happened to a job, told as it stands in the log: `job.status`, `job.attempt`, `job.note`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobEvent<T> {
    pub job_id: String,
    pub epoch: Epoch,
    pub seq: u64,
    /// The event; its members stand beside the others.
    #[serde(flatten)]
    pub event: T,
}

/// The end of a job; its outcome is its `type`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobEnd {
    #[serde(skip, default = "unread")]
    pub outcome: Outcome,
    pub job_id: String,
    pub epoch: Epoch,
    pub seq: u64,
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<EndError>,
    /// The final value, or what was reached; left out where the viewer holds it and the hash is told.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub value: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub best: Option<Box<RawValue>>,
    pub usage: Usage,
    pub attempts: Vec<AttemptUsage>,
    pub timings: Timings,
    /// False where the end could not be stored.
    #[serde(default = "crate::event::durable", skip_serializing_if = "Clone::clone")]
    pub durable: bool,
}

/// `degraded`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobDegraded {
    pub job_id: String,
    /// Whether the server cannot ask how the job stands; else it can again.
    pub active: bool,
}

/// `error`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ErrorMessage {
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// A word of the codes table.
    pub code: String,
    pub message: String,
    /// JSON Pointer into the message that could not be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// `goodbye`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Goodbye {
    /// When to come back, ms from now.
    pub reconnect_after_ms: u64,
}

/// Text that is no message of a server as this version knows them.
#[derive(Debug, thiserror::Error)]
pub enum UnknownMessage {
    /// It is not JSON, or a field is not what it should be.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Its `type` is unknown: a newer server; clients skip it.
    #[error("unknown type {0:?}")]
    Type(String),
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// A member that is there has a value, also where that is `null`; serde alone would read `null` as absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl<T> JobEvent<T> {
    /// An event of a job, and where it stands in the log.
    pub fn new(job: JobId, position: Position, event: T) -> Self {
        Self {
            job_id: job.to_string(),
            epoch: position.epoch,
            seq: position.seq,
            event,
        }
    }

    /// Where it stands.
    pub const fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            seq: self.seq,
        }
    }
}

const fn unread() -> Outcome {
    Outcome::Failed
}

impl ServerMessage {
    /// The message as a text frame.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Welcome(body) => tagged("welcome", body),
            Self::Accepted(body) => tagged("job.accepted", body),
            Self::Attached(body) => tagged("job.attached", body),
            Self::Detached(body) => tagged("job.detached", body),
            Self::Cancelling(body) => tagged("job.cancelling", body),
            Self::Ruled(body) => tagged("job.ruled", body),
            Self::State(body) => tagged("job.state", body),
            Self::Snapshot(body) => tagged("job.snapshot", body),
            Self::Patch(body) => serde_json::to_string(body),
            Self::LongPatch(body) => tagged("job.patch", body),
            Self::Status(body) => tagged("job.status", body),
            Self::Attempt(body) => tagged("job.attempt", body),
            Self::Note(body) => tagged("job.note", body),
            Self::Hook(body) => tagged("job.hook", body),
            Self::End(body) => tagged(end_type(body.outcome), body),
            Self::Degraded(body) => tagged("degraded", body),
            Self::Error(body) => tagged("error", body),
            Self::Goodbye(body) => tagged("goodbye", body),
            Self::Pong => Ok("{\"type\":\"pong\"}".to_owned()),
        }
    }

    /// Reads a text frame, for clients.
    pub fn decode(text: &str) -> Result<Self, UnknownMessage> {
        let head: Head = serde_json::from_str(text)?;
        let Some(kind) = head.kind else {
            return Ok(Self::Patch(serde_json::from_str(text)?));
        };
        Ok(match kind.as_str() {
            "welcome" => Self::Welcome(serde_json::from_str(text)?),
            "job.accepted" => Self::Accepted(serde_json::from_str(text)?),
            "job.attached" => Self::Attached(serde_json::from_str(text)?),
            "job.detached" => Self::Detached(serde_json::from_str(text)?),
            "job.cancelling" => Self::Cancelling(serde_json::from_str(text)?),
            "job.ruled" => Self::Ruled(serde_json::from_str(text)?),
            "job.state" => Self::State(serde_json::from_str(text)?),
            "job.snapshot" => Self::Snapshot(serde_json::from_str(text)?),
            "job.patch" => Self::LongPatch(serde_json::from_str(text)?),
            "job.status" => Self::Status(serde_json::from_str(text)?),
            "job.attempt" => Self::Attempt(serde_json::from_str(text)?),
            "job.note" => Self::Note(serde_json::from_str(text)?),
            "job.hook" => Self::Hook(serde_json::from_str(text)?),
            "job.completed" => end(text, Outcome::Completed)?,
            "job.failed" => end(text, Outcome::Failed)?,
            "job.cancelled" => end(text, Outcome::Cancelled)?,
            "job.incomplete" => end(text, Outcome::Incomplete)?,
            "degraded" => Self::Degraded(serde_json::from_str(text)?),
            "error" => Self::Error(serde_json::from_str(text)?),
            "goodbye" => Self::Goodbye(serde_json::from_str(text)?),
            "pong" => Self::Pong,
            _ => return Err(UnknownMessage::Type(kind)),
        })
    }
}

fn tagged<T: Serialize>(kind: &str, body: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Tagged { kind, body })
}

fn end(text: &str, outcome: Outcome) -> Result<ServerMessage, serde_json::Error> {
    let mut body: Box<JobEnd> = serde_json::from_str(text)?;
    body.outcome = outcome;
    Ok(ServerMessage::End(body))
}

const fn end_type(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "job.completed",
        Outcome::Failed => "job.failed",
        Outcome::Cancelled => "job.cancelled",
        Outcome::Incomplete => "job.incomplete",
    }
}
