//! What goes into a session, and what comes out.

use std::sync::Arc;

use crate::access::{Access, Identity};
use crate::event::Position;
use crate::job::{JobId, JobSpec, JobState, Ruling};
use crate::wire::{
    BadMessage, ClientMessage, Close, Deliver, ErrorMessage, JobRuled, JobStateNow, Limits, ServerMessage,
};

/// What a session is told at its beginning.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Names the connection in the log and to the client.
    pub connection_id: String,
    /// The limits, as `welcome` tells them.
    pub limits: Limits,
    /// How long a silent client is let be before it is pinged; as long again without a pong ends the session, ms.
    pub heartbeat_ms: u64,
    /// The models that may be named.
    pub models: Vec<String>,
    /// Who may come in.
    pub access: Arc<Access>,
    /// Who the client is, where the upgrade told it.
    pub who: Option<Arc<Identity>>,
    /// How long a client that is not known yet may take to say who it is, ms.
    pub auth_timeout_ms: u64,
    /// Attaches a second, as a mean; twice as many in a burst.
    pub attaches_per_second_max: u32,
    /// Pings and pongs a second from the client, as a mean; twice as many in a burst.
    pub control_frames_per_second_max: u32,
}

/// An input.
#[derive(Debug)]
pub enum Input {
    /// The socket is open.
    Opened,
    /// A text message came.
    Text(String),
    /// A binary message came.
    Binary,
    /// A piece of a message came.
    Heard,
    /// A ping or pong came.
    Control,
    /// The deadline was reached.
    Tick,
    /// The answer to [`Ask::Submit`].
    Submitted {
        /// The message's `ref`.
        reference: Option<String>,
        /// How the creator watches.
        deliver: Deliver,
        /// What became of it.
        answer: Result<Accepted, Box<ErrorMessage>>,
    },
    /// The answer to [`Ask::Watch`]: a viewer is ready.
    Watched {
        /// The message's `ref`.
        reference: Option<String>,
        /// The job.
        job: JobId,
        /// What became of it.
        answer: Result<Watched, Box<ErrorMessage>>,
    },
    /// The answer to [`Ask::Cancel`]: the end the job had already, if it had one.
    Cancelled {
        /// The message's `ref`.
        reference: Option<String>,
        /// The job.
        job: JobId,
        /// What became of it.
        answer: Result<Option<JobState>, Box<ErrorMessage>>,
    },
    /// The answer to [`Ask::Rule`], `ref` included.
    Ruled(Result<JobRuled, Box<ErrorMessage>>),
    /// The answer to [`Ask::State`].
    State {
        /// What became of it, `ref` included.
        answer: Result<Box<JobStateNow>, Box<ErrorMessage>>,
    },
    /// A message that was read beside, being long, or why it cannot be taken.
    Read(Box<Result<ClientMessage, BadMessage>>),
    /// A viewer has told its end, or its job is gone.
    Over(JobId),
    /// The server goes down.
    Drain {
        /// When the client shall come back, ms.
        reconnect_after_ms: u64,
    },
}

/// A job that was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The job.
    pub job: JobId,
    /// Where its log stands.
    pub position: Position,
    /// Jobs before it.
    pub ahead: u64,
    /// Whether the idempotency key named it.
    pub existing: bool,
    /// Whether it is held as safely as is asked for.
    pub durable: bool,
}

/// A viewer that is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watched {
    /// Whether it goes on by tail.
    pub resumed: bool,
}

/// An output.
#[derive(Debug)]
pub enum Output {
    /// Send a message.
    Send(ServerMessage),
    /// Send a WebSocket ping.
    Ping,
    /// Ask the world, with the client's rights; the answer comes back as an input.
    Ask(Ask),
    /// Watch a job that was just accepted, from `held` on.
    Follow {
        /// The job.
        job: JobId,
        /// What the creator holds.
        held: Option<Position>,
        /// How it watches.
        deliver: Deliver,
        /// Whether patches come under the tag.
        tagged: bool,
    },
    /// Let a viewer that is ready begin.
    Begin {
        /// The job.
        job: JobId,
        /// Whether patches come under the tag.
        tagged: bool,
        /// Whether it begins by a snapshot, whatever it was to go on from.
        anew: bool,
    },
    /// Drop a viewer; nothing of it may follow.
    Unwatch(JobId),
    /// Close the socket after what was sent.
    Close(Close),
}

/// What only the world knows.
#[derive(Debug)]
pub enum Ask {
    /// Keep a job.
    Submit {
        /// Comes back with the answer.
        reference: Option<String>,
        /// The client's key.
        idempotency_key: Option<String>,
        /// What is asked for.
        spec: Box<JobSpec>,
        /// How the creator watches.
        deliver: Deliver,
    },
    /// Make a viewer of a job.
    Watch {
        /// Comes back with the answer.
        reference: Option<String>,
        /// The job.
        job: JobId,
        /// What the client holds.
        held: Option<Position>,
        /// How it watches.
        deliver: Deliver,
    },
    /// Ask for a job's end.
    Cancel {
        /// Comes back with the answer.
        reference: Option<String>,
        /// The job.
        job: JobId,
    },
    /// Give the verdict on a job's value.
    Rule {
        /// Comes back with the answer.
        reference: Option<String>,
        /// The job.
        job: JobId,
        /// The attempt whose value is meant, where it is named.
        attempt: Option<u32>,
        /// The verdict.
        ruling: Ruling,
    },
    /// Read a job's state and value.
    State {
        /// Comes back with the answer.
        reference: Option<String>,
        /// The job.
        job: JobId,
    },
}
