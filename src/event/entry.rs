//! One entry of a job's log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::end::End;
use super::position::{Epoch, Position};
use super::snapshot::Fold;
use crate::job::{AttemptError, JobState, Reason, Usage};

/// What an entry takes beside its texts, roughly.
const ENTRY_BYTES: usize = 128;
/// What an attempt's error takes, roughly.
const ERROR_BYTES: usize = 256;

/// An entry: where it stands, and what happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// Present on the entry that opens an epoch: the epoch that was current before (rule E1); `Some(None)` is the
    /// first epoch of a job.
    pub opens: Option<Option<Epoch>>,
    /// What happened.
    pub event: Event,
}

/// What can happen in a job's life. Only a patch is kept as the bytes of its frame; the others are kind and
/// arguments, and the node that tells them encodes them.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// Ops on the draft: the wire frame, encoded by the worker (see [`super::patch`]).
    Patch(Arc<str>),
    /// The job stands elsewhere.
    Status(StatusChange),
    /// An attempt begins.
    Attempt(AttemptBegins),
    /// Something a model said beside the value.
    Note(Note),
    /// How a model is asked and what came of it, where the job wants that told.
    Hook(Box<Hook>),
    /// The whole folded state: replaces what a viewer has (rule E7).
    State(Box<Fold>),
    /// The end.
    End(Box<End>),
}

/// The job stands elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusChange {
    /// Where.
    pub status: JobState,
    /// Why, in one word: `rate_limited`, `drain`, `lease_lost`…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For a waiting job: when it goes on, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

impl StatusChange {
    /// Without a reason, and for no known time.
    pub const fn bare(status: JobState) -> Self {
        Self {
            status,
            reason: None,
            until_ms: None,
        }
    }
}

/// An attempt begins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttemptBegins {
    /// Its number.
    pub attempt: u32,
    /// Why.
    pub reason: Reason,
    /// Whether the draft is emptied (rule T8).
    pub reset: bool,
    /// What is reopened where the draft is not emptied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<String>,
    /// What was wrong before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<AttemptError>,
}

/// Something a model said beside the value; an event, not state: conflation and trimming drop it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Note {
    /// What it is.
    pub kind: NoteKind,
    /// The words.
    pub text: String,
    /// What is wrong, where something that has closed is invalid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<AttemptError>,
}

/// What a note is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// The model's reasoning.
    Reasoning,
    /// Prose around the value.
    Text,
    /// Something the server did that the client should know.
    Warning,
    /// Something of the answer has closed, and breaks the schema.
    Invalid,
}

/// How a model is asked and what came of it: sizes and names, never a prompt or a key. What is not its kind's is absent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// What happened.
    pub kind: HookKind,
    /// In which attempt.
    pub attempt: u32,
    /// Who is asked, as the configuration names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Which model, as the job names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How it is asked to answer: a mode's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Messages of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
    /// Their bytes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_bytes: Option<u64>,
    /// Bytes of the tools or the schema that stand beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_bytes: Option<u64>,
    /// The limit on output tokens, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// How long after the model was asked it happened, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// How the answer stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
    /// What was wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<AttemptError>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What the job has cost so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Usage>,
}

/// What a hook tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookKind {
    /// The model was asked, and has begun its answer.
    Request,
    /// The first of the answer has come.
    FirstToken,
    /// The answer has stopped.
    AttemptEnd,
}

impl Hook {
    /// One that tells nothing yet.
    pub const fn new(kind: HookKind, attempt: u32) -> Self {
        Self {
            kind,
            attempt,
            provider: None,
            model: None,
            mode: None,
            messages: None,
            prompt_bytes: None,
            schema_bytes: None,
            max_tokens: None,
            after_ms: None,
            finish: None,
            errors: Vec::new(),
            usage: None,
            total: None,
        }
    }
}

impl Event {
    /// Whether the raw text of the checkpoint begins anew with it: a reset, or a whole state.
    pub const fn restarts(&self) -> bool {
        match self {
            Self::Attempt(begins) => begins.reset,
            Self::State(_) => true,
            Self::Patch(_) | Self::Status(_) | Self::Note(_) | Self::Hook(_) | Self::End(_) => false,
        }
    }

    /// About how much memory an entry with it takes; the value of a state is not counted.
    pub fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Patch(frame) => frame.len(),
                Self::Note(note) => note.text.len() + note.errors.len() * ERROR_BYTES,
                Self::Hook(hook) => ENTRY_BYTES + hook.errors.len() * ERROR_BYTES,
                Self::Attempt(begins) => begins.errors.len() * ERROR_BYTES,
                Self::End(end) => end.best.as_ref().map_or(0, String::len),
                Self::Status(_) | Self::State(_) => 0,
            }
    }

    /// The kind's name, as engines store it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Patch(_) => "patch",
            Self::Status(_) => "status",
            Self::Attempt(_) => "attempt",
            Self::Note(_) => "note",
            Self::Hook(_) => "hook",
            Self::State(_) => "state",
            Self::End(_) => "end",
        }
    }
}
