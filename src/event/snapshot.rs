//! Fold: events in, the state of a job out. The one merge rule; clients, nodes and tests all use it.

use std::mem;

use serde::{Deserialize, Serialize};

use super::entry::{AttemptBegins, Entry, Event};
use super::places::Places;
use super::position::Position;
use super::{json_value, patch};
use crate::job::{Attempt, JobState};
use crate::partial::{Folded, Misfit, Value, whole_paths};

/// The folded state of a job at a position.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fold {
    /// The last event that is in it.
    pub position: Position,
    /// Where the job stands.
    pub status: JobState,
    /// Why, where that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when it waits, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// The running or last attempt; 0 before the first.
    pub attempt: u32,
    /// Every attempt so far, the running one included.
    pub attempts: Vec<Attempt>,
    /// The draft; absent while nothing is shown (an explicit `null` is a value).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "json_value")]
    pub value: Option<Value>,
    /// The path that a short append means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The open places: a path is complete iff it is no prefix of one of these (rule C1).
    pub at: Vec<String>,
}

/// Why an event could not be folded: the copy has parted from the log, and a snapshot is needed.
#[derive(Debug, thiserror::Error)]
pub enum Unfoldable {
    /// The patch's text is not one.
    #[error("a patch cannot be read: {0}")]
    BadPatch(#[from] patch::BadPatch),
    /// The patch does not fit the draft.
    #[error("a patch does not fit the draft: {0}")]
    Misfit(#[from] Misfit),
}

impl Fold {
    /// The state before anything but the submission has happened.
    pub fn submitted(position: Position) -> Self {
        Self {
            position,
            status: JobState::Queued,
            reason: None,
            until_ms: None,
            attempt: 0,
            attempts: Vec::new(),
            value: None,
            cursor: None,
            at: Vec::new(),
        }
    }

    /// Folds an entry in. Whether it *may* be applied (lineage, seq) is the caller's to know; after an error the
    /// state is no longer to be used.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Unfoldable> {
        match &entry.event {
            Event::Patch(frame) => self.patch(frame)?,
            Event::Status(change) => self.stand(change.status, change.reason.clone(), change.until_ms),
            Event::Attempt(begins) => self.begin(begins),
            Event::Note(_) | Event::Hook(_) => {}
            Event::State(state) => *self = (**state).clone(),
            Event::End(end) => {
                self.stand(end.outcome.into(), None, None);
                self.at.clear();
            }
        }
        self.position = entry.position;
        Ok(())
    }

    fn stand(&mut self, status: JobState, reason: Option<String>, until_ms: Option<u64>) {
        self.status = status;
        self.reason = reason;
        self.until_ms = until_ms;
    }

    /// Applies the ops of a patch frame and leaves the position as it is.
    pub fn patch(&mut self, frame: &str) -> Result<(), Unfoldable> {
        let patch = patch::decode(frame)?;
        let mut folded = Folded {
            value: self.value.take(),
            cursor: self.cursor.take(),
        };
        let applied = patch.ops.into_iter().try_for_each(|op| folded.apply(op));
        self.value = folded.value;
        self.cursor = folded.cursor;
        applied?;
        if let Some(Places(at)) = patch.at {
            self.at = whole_paths(self.cursor.as_deref(), at)?;
        }
        Ok(())
    }

    /// An attempt begins: a reset empties the draft, anything else reopens the places it names.
    pub fn begin(&mut self, begins: &AttemptBegins) {
        self.attempt = begins.attempt;
        self.attempts.push(Attempt {
            n: begins.attempt,
            reason: begins.reason,
            errors: begins.errors.clone(),
        });
        self.cursor = None;
        if begins.reset {
            drop(mem::take(&mut self.value));
            self.at.clear();
        } else {
            self.at.clone_from(&begins.at);
        }
    }
}
