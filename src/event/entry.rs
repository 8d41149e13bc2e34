//! One entry of a job's log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::end::End;
use super::position::{Epoch, Position};
use super::snapshot::Fold;
use crate::job::{AttemptError, JobState, Reason};

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
}

impl Event {
    /// Whether the raw text of the checkpoint begins anew with it: a reset, or a whole state.
    pub const fn restarts(&self) -> bool {
        match self {
            Self::Attempt(begins) => begins.reset,
            Self::State(_) => true,
            Self::Patch(_) | Self::Status(_) | Self::Note(_) | Self::End(_) => false,
        }
    }

    /// About how much memory an entry with it takes; the value of a state is not counted.
    pub fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Patch(frame) => frame.len(),
                Self::Note(note) => note.text.len(),
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
            Self::State(_) => "state",
            Self::End(_) => "end",
        }
    }
}
